"""What results.db is asked: experiments, trials, epochs, predictions.

How rows go into results.db: in one short transaction, whole or not at all.

Final models and the openings of the test set: what was scored, when, and by what command.

Trials that run on other machines: their records come by wire, and only the controller writes them.

Writing to results.db: short transactions, each row with one writer, what is final never changed.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, Self

from harness.corpus.utterances import Emotion, Seconds
from harness.errors import StoreError, unknown_name
from harness.store.connection import BUSY_TIMEOUT, connect, connect_readonly, one_sentence
from harness.store.records import (
    PROBABILITY_COLUMNS,
    EpochRecord,
    ExperimentKind,
    ExperimentRecord,
    ExperimentRow,
    ExperimentStatus,
    FinalModel,
    Hyperparameter,
    Prediction,
    ScoreKind,
    TestOpening,
    TestOpeningRow,
    TestScores,
    TrialEnvironment,
    TrialResult,
    TrialRow,
    TrialStatus,
    best_of,
    utc_now,
)
from harness.store.schema import Database, quote_identifier

_TRIALS = """
    SELECT trials.*, trial_results.score AS result_score, best_epoch, duration_seconds, peak_memory_bytes,
        embedding_source, coalesce(so_far.num_epochs, 0) AS num_epochs, best_validation_accuracy
    FROM trials
        LEFT JOIN trial_results USING (trial_id)
        LEFT JOIN (
            SELECT trial_id, count(*) AS num_epochs, max(validation_accuracy) AS best_validation_accuracy
            FROM epochs JOIN trials USING (trial_id) WHERE {scope} GROUP BY trial_id
        ) AS so_far USING (trial_id)
    WHERE {scope}
    ORDER BY trial_index, attempt
"""

Parameters = Sequence[object]


class ResultsReader:
    """A reading connection to results.db; a context manager; of one thread.

    Every method may raise ``StoreError``: what SQLite says of the file, in one sentence.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self._database = database

    @classmethod
    def open_readonly(cls, path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Self:
        """Open an existing database so that nothing can be written to it.

        Raises:
            StoreError: there is none, or it is damaged, another program's or a newer version's
        """
        return cls(path, connect_readonly(path, busy_timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the last one to close also folds SQLite's side files in."""
        with one_sentence(self.path):
            self._database.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every read inside the block see one moment, however much is written meanwhile."""
        with one_sentence(self.path):
            self._database.execute("BEGIN")
            try:
                yield
            finally:
                self._database.rollback()

    def experiment(self, eid: int) -> ExperimentRow:
        """Return one experiment.

        Raises:
            StoreError: no such ``eid``
        """
        rows = self._experiments("WHERE eid = ?", [eid])
        if not rows:
            known = [experiment.eid for experiment in self.experiments()]
            raise StoreError(f"experiment {eid}: not in '{self.path}'; expected one of {known}")
        return rows[0]

    def latest_experiment(self) -> ExperimentRow | None:
        """Return the search that was created last, None where there is none; tables and leaks are no searches."""
        rows = self._experiments("WHERE kind = ? ORDER BY eid DESC LIMIT 1", [ExperimentKind.SEARCH.value])
        return rows[0] if rows else None

    def experiments(self) -> list[ExperimentRow]:
        """Return every experiment, oldest first."""
        return self._experiments("ORDER BY eid", [])

    def find_experiment(self, identity: str) -> ExperimentRow | None:
        """Return the latest experiment of that identity, or None."""
        rows = self._experiments("WHERE identity = ? ORDER BY eid DESC LIMIT 1", [identity])
        return rows[0] if rows else None

    def trials(self, eid: int) -> list[TrialRow]:
        """Return every attempt of every trial, by trial index and attempt."""
        return self._trials("trials.eid = ?", [eid])

    def trial(self, trial_id: int) -> TrialRow:
        """Return one attempt at one trial.

        Raises:
            StoreError: no such ``trial_id``
        """
        rows = self._trials("trials.trial_id = ?", [trial_id])
        if not rows:
            raise self._no_trial(trial_id)
        return rows[0]

    def running_trials(self, eid: int) -> list[TrialRow]:
        """Return the trials that nobody has ended yet, alive or left behind by a dead controller."""
        return self._trials("trials.eid = ? AND status = 'running'", [eid])

    def best_trial(self, eid: int) -> TrialRow | None:
        """Return the finished trial with the best score, of equals the first by index; None without any."""
        target = self.experiment(eid).target
        return best_of(self._trials("trials.eid = ? AND status = 'finished'", [eid]), target)

    def environment(self, trial_id: int) -> TrialEnvironment | None:
        """Return what a trial ran in; None where its process has not said so."""
        rows = self._query("SELECT * FROM trial_environments WHERE trial_id = ?", [trial_id])
        for row in rows:
            return TrialEnvironment(
                threads=row["threads"],
                versions=json.loads(row["versions"]),
                git_revision=row["git_revision"],
                corpus_hash=row["corpus_hash"],
                protocol_hash=row["protocol_hash"],
                host=row["host"],
                pid=row["pid"],
            )
        return None

    def epochs(self, trial_id: int) -> list[EpochRecord]:
        """Return the epochs that a trial has recorded, in order."""
        rows = self._query("SELECT * FROM epochs WHERE trial_id = ? ORDER BY epoch", [trial_id])
        return [_read_epoch(row) for row in rows]

    def epochs_of(self, eid: int) -> dict[int, list[EpochRecord]]:
        """Return the epochs of every trial of an experiment that has any, in order, by trial_id."""
        rows = self._query(
            "SELECT epochs.* FROM epochs JOIN trials USING (trial_id) WHERE eid = ? ORDER BY trial_id, epoch",
            [eid],
        )
        by_trial: dict[int, list[EpochRecord]] = defaultdict(list)
        for row in rows:
            by_trial[row["trial_id"]].append(_read_epoch(row))
        return dict(by_trial)

    def validation_predictions(self, trial_id: int) -> list[Prediction]:
        """Return a trial's predictions of its best epoch on validation, by utterance id."""
        rows = self._query(
            "SELECT * FROM validation_predictions WHERE trial_id = ? ORDER BY utterance_id", [trial_id]
        )
        return [read_prediction(row) for row in rows]

    def _query(self, sql: str, parameters: Parameters) -> list[dict[str, Any]]:
        with one_sentence(self.path):
            return list(self._database.query(sql, list(parameters)))

    def _experiments(self, clause: str, parameters: Parameters) -> list[ExperimentRow]:
        rows = self._query(f"SELECT * FROM experiments {clause}", parameters)
        return [
            ExperimentRow(
                **{
                    **row,
                    "is_synthetic": bool(row["is_synthetic"]),
                    "status": ExperimentStatus(row["status"]),
                    "kind": ExperimentKind(row["kind"]),
                }
            )
            for row in rows
        ]

    def _trials(self, scope: str, parameters: Parameters) -> list[TrialRow]:
        rows = self._query(_TRIALS.format(scope=scope), [*parameters, *parameters])
        return [
            TrialRow(
                **{
                    **row,
                    "status": TrialStatus(row["status"]),
                    "hyperparameters": json.loads(row["hyperparameters"]),
                    "job_path": self._absolute(row["job_path"]),
                }
            )
            for row in rows
        ]

    def _absolute(self, path: str | None) -> str | None:
        """Find a file that was recorded beside this database; a path that was absolute stays."""
        return None if path is None else str(self.path.absolute().parent / path)

    def _no_trial(self, trial_id: int) -> StoreError:
        return StoreError(f"trial {trial_id}: not in '{self.path}'; expected one that start_trial returned")


def _read_epoch(row: Mapping[str, Any]) -> EpochRecord:
    # SQLite keeps NaN as NULL.
    measured: dict[str, Any] = {
        key: math.nan if value is None else value
        for key, value in row.items()
        if key not in {"trial_id", "recorded_at"}
    }
    return EpochRecord(**measured)


def read_prediction(row: Mapping[str, Any]) -> Prediction:
    """Read one row of a table of predictions."""
    return Prediction(
        utterance_id=row["utterance_id"],
        emotion=Emotion(row["emotion"]),
        predicted=Emotion(row["predicted"]),
        probabilities=tuple(row[column] for column in PROBABILITY_COLUMNS),
    )


class Durability(Enum):
    """What a transaction survives, as the value of SQLite's ``synchronous`` in WAL mode."""

    POWER_LOSS = "FULL"
    #: The end of every process; a power loss too, once a later transaction of ``POWER_LOSS`` is committed.
    PROCESS_END = "NORMAL"


class ResultsWriter(ResultsReader):
    """A connection to results.db that takes the write lock for one short transaction at a time."""

    @contextmanager
    def writing(self, durability: Durability = Durability.POWER_LOSS) -> Iterator[Database]:
        """One short transaction that holds the write lock from its beginning; whole or not at all."""
        with one_sentence(self.path):
            # Between transactions: SQLite ignores it inside one.
            self._database.execute(f"PRAGMA synchronous = {durability.value}")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.commit()
            except BaseException:
                self._database.rollback()
                raise

    @contextmanager
    def writing_for(
        self, trial_id: int, durability: Durability = Durability.POWER_LOSS
    ) -> Iterator[Database]:
        """A transaction for a trial that is running, and stays so until the transaction's end.

        Raises:
            StoreError: no such trial, or it has ended
        """
        with self.writing(durability) as database:
            rows = self._query("SELECT status FROM trials WHERE trial_id = ?", [trial_id])
            if not rows:
                raise self._no_trial(trial_id)
            status = rows[0]["status"]
            if status != TrialStatus.RUNNING:
                raise StoreError(
                    f"trial {trial_id}: has ended ({status}) in '{self.path}'; nothing more can be recorded "
                    "for it"
                )
            yield database


def insert(database: Database, table: str, row: dict[str, Any]) -> int:
    """Insert one row of plain or NumPy scalars, and return its rowid."""
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
    columns = ", ".join(plain)
    places = ", ".join("?" for _ in plain)
    cursor = database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(plain.values()))
    return int(cursor.lastrowid or 0)


def insert_predictions(
    database: Database, table: str, key: dict[str, Any], predictions: tuple[Prediction, ...]
) -> None:
    """Insert predictions under ``key``, the columns that they share."""
    columns = (*key, "utterance_id", "emotion", "predicted", *PROBABILITY_COLUMNS)
    places = ", ".join("?" for _ in columns)
    database.conn.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
        [
            (
                *key.values(),
                prediction.utterance_id,
                prediction.emotion.value,
                prediction.predicted.value,
                *(float(probability) for probability in prediction.probabilities),
            )
            for prediction in predictions
        ],
    )


def insert_environment(database: Database, trial_id: int, environment: TrialEnvironment) -> None:
    """Insert what a trial runs in."""
    row = asdict(environment)
    row["versions"] = json.dumps(dict(environment.versions), sort_keys=True)
    row |= {"trial_id": trial_id, "recorded_at": utc_now()}
    insert(database, "trial_environments", row)


def insert_epoch(database: Database, trial_id: int, epoch: EpochRecord) -> None:
    """Insert one epoch of a trial."""
    insert(database, "epochs", {"trial_id": trial_id, **asdict(epoch), "recorded_at": utc_now()})


def insert_result(database: Database, trial_id: int, result: TrialResult) -> None:
    """Insert what a trial found, with its predictions.

    Raises:
        StoreError: the score is not finite
    """
    check_finite(trial_id, result.score)
    row = {field.name: getattr(result, field.name) for field in fields(result)}
    del row["predictions"]
    insert(database, "trial_results", {"trial_id": trial_id, **row, "recorded_at": utc_now()})
    insert_predictions(database, "validation_predictions", {"trial_id": trial_id}, result.predictions)


def check_finite(trial_id: int, score: float) -> None:
    """Refuse a score by which nothing can be ranked.

    Raises:
        StoreError: it is NaN or infinite
    """
    if not math.isfinite(score):
        raise StoreError(f"trial {trial_id}: score {score}; expected a finite number")


def insert_hyperparameters(
    database: Database, trial_id: int, hyperparameters: Mapping[str, Hyperparameter]
) -> None:
    """Insert a trial's point, a typed column a hyperparameter; a column that is not there yet is added.

    Raises:
        StoreError: two names that SQLite takes for one column, or a name that no column can have
    """
    table = database.table("hyperparameters")
    # SQLite's column names know no upper and lower case.
    existing = {column.name.lower(): column.name for column in table.columns}
    row: dict[str, Any] = {"trial_id": trial_id}
    for name, value in hyperparameters.items():
        column = existing.get(name.lower(), name)
        if not name or "\0" in name or not _is_storable(name) or column in row:
            raise StoreError(
                f"hyperparameter {name!r}: cannot be a column beside {sorted(row)}; expected another name "
                "(upper and lower case are not told apart)"
            )
        if column not in existing.values():
            table.add_column(column, _column_type(value))
            existing[name.lower()] = column
        # Exact in the trial's own row; here it is for browsing.
        row[column] = value if _is_storable(value) else json.dumps(value)
    columns = ", ".join(quote_identifier(column) for column in row)
    places = ", ".join("?" for _ in row)
    database.execute(f"INSERT INTO hyperparameters ({columns}) VALUES ({places})", list(row.values()))


def _is_storable(value: Hyperparameter) -> bool:
    """Whether SQLite takes a value as it is: numbers of at most 64 bits, and text that is valid Unicode."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, float)


def _column_type(value: Hyperparameter) -> type:
    for column_type in (int, float):
        if isinstance(value, column_type):
            return column_type
    return str


class OpeningsStore(ResultsWriter):
    """The part of the store that the final trainings write and every report reads."""

    def record_opening(self, opening: TestOpening) -> int:
        """Record that the test session is about to be opened; call this before its files are touched.

        Returns:
            the opening's id, for ``record_test_scores``
        """
        with self.writing() as database:
            row = {**asdict(opening), "seeds": json.dumps(list(opening.seeds))}
            return insert(database, "test_openings", row)

    def record_test_scores(self, opening_id: int, scores: TestScores) -> None:
        """Record one seed's scores and predictions; with the model's last seed the opening is complete.

        Raises:
            StoreError: no such opening, a seed that it did not name, or scores recorded before
        """
        with self.writing() as database:
            opening = self._opening(opening_id)
            if scores.seed not in opening.seeds:
                raise StoreError(
                    f"test opening {opening_id}: scored seed {scores.seed}; expected one of "
                    f"{list(opening.seeds)}"
                )
            if any((known.seed, known.kind) == (scores.seed, scores.kind) for known in opening.scores):
                raise StoreError(
                    f"test opening {opening_id}: seed {scores.seed} ({scores.kind}) has its score already; a "
                    "score on the test set is never replaced"
                )
            key = {"opening_id": opening_id, "seed": scores.seed, "kind": scores.kind.value}
            insert(
                database,
                "test_scores",
                {**key, **_measured(scores), "model": scores.model},
            )
            insert_predictions(database, "test_predictions", key, scores.predictions)
            of_model = [known for known in (*opening.scores, scores) if not known.kind.is_baseline]
            if {known.seed for known in of_model} >= set(opening.seeds):
                database.execute(
                    "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?",
                    [utc_now(), opening_id],
                )

    def record_test_utterances(self, opening_id: int, is_seen: Mapping[str, bool | None]) -> None:
        """Record of each utterance scored whether training had read its transcript, word for word.

        Args:
            is_seen: by utterance id; None where no word was said

        Raises:
            StoreError: no such opening, or its utterances are recorded already
        """
        with self.writing() as database:
            self._opening(opening_id)
            if self._query("SELECT 1 FROM test_utterances WHERE opening_id = ? LIMIT 1", [opening_id]):
                raise StoreError(f"test opening {opening_id}: its utterances are recorded already; expected none")
            database.conn.executemany(
                "INSERT INTO test_utterances (opening_id, utterance_id, is_transcript_seen) VALUES (?, ?, ?)",
                [(opening_id, name, seen) for name, seen in sorted(is_seen.items())],
            )

    def test_utterances(self, opening_id: int) -> dict[str, bool | None]:
        """Return of each utterance scored whether its transcript was seen; empty for older openings."""
        rows = self._query(
            "SELECT utterance_id, is_transcript_seen FROM test_utterances WHERE opening_id = ? ORDER BY utterance_id",
            [opening_id],
        )
        found = {row["utterance_id"]: row["is_transcript_seen"] for row in rows}
        return {name: None if seen is None else bool(seen) for name, seen in found.items()}

    def complete_opening(self, opening_id: int) -> None:
        """Record that everything an opening of `tables` or `leaks` was made for is scored.

        Raises:
            StoreError: no such opening
        """
        with self.writing() as database:
            self._opening(opening_id)
            database.execute(
                "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?", [utc_now(), opening_id]
            )

    def record_trial_test_scores(self, trial_id: int, opening_id: int, scores: TestScores) -> None:
        """Record what a trial of `tables` or `leaks` scored on the test set, with its predictions.

        Raises:
            StoreError: the trial has ended, there is no such opening, or scores of that kind are recorded
        """
        with self.writing_for(trial_id) as database:
            self._opening(opening_id)
            key = {"trial_id": trial_id, "kind": scores.kind.value}
            insert(database, "trial_test_scores", {**key, "opening_id": opening_id, **_measured(scores)})
            insert_predictions(database, "trial_test_predictions", key, scores.predictions)

    def trial_test_scores(self, trial_id: int) -> dict[ScoreKind, TestScores]:
        """Return what a trial scored on the test set, with its predictions by utterance id."""
        rows = self._query(
            "SELECT trial_test_scores.*, seed FROM trial_test_scores JOIN trials USING (trial_id) "
            "WHERE trial_id = ? ORDER BY kind DESC",
            [trial_id],
        )
        predictions = "SELECT * FROM trial_test_predictions WHERE trial_id = ? AND kind = ? ORDER BY utterance_id"
        return {
            ScoreKind(row["kind"]): _read_scores(
                row, tuple(read_prediction(found) for found in self._query(predictions, [trial_id, row["kind"]]))
            )
            for row in rows
        }

    def openings(self) -> list[TestOpeningRow]:
        """Return every opening of the test set that was ever made, oldest first."""
        return self._openings("", [])

    def test_predictions(self, opening_id: int, seed: int, kind: ScoreKind) -> list[Prediction]:
        """Return one seed's predictions on the test session, by utterance id."""
        rows = self._query(
            "SELECT * FROM test_predictions WHERE opening_id = ? AND seed = ? AND kind = ? "
            "ORDER BY utterance_id",
            [opening_id, seed, kind.value],
        )
        return [read_prediction(row) for row in rows]

    def record_final_training(self, model: FinalModel) -> int:
        """Record a model trained on train + validation, and return its id."""
        with self.writing() as database:
            return insert(database, "final_models", asdict(model))

    def final_models(self, eid: int) -> list[FinalModel]:
        """Return the models that were trained from an experiment, oldest first."""
        rows = self._query("SELECT * FROM final_models WHERE eid = ? ORDER BY model_id", [eid])
        for row in rows:
            del row["model_id"]
        return [FinalModel(**row) for row in rows]

    def _opening(self, opening_id: int) -> TestOpeningRow:
        openings = self._openings("WHERE opening_id = ?", [opening_id])
        if not openings:
            raise StoreError(
                f"test opening {opening_id}: not in '{self.path}'; expected one that record_opening returned"
            )
        return openings[0]

    def _openings(self, clause: str, parameters: Parameters) -> list[TestOpeningRow]:
        scores: dict[int, list[TestScores]] = defaultdict(list)
        for row in self._query(f"SELECT * FROM test_scores {clause} ORDER BY seed, kind DESC", parameters):
            scores[row["opening_id"]].append(_read_scores(row))
        # An opening of `tables` has many experiments; whether it is synthetic is a property of the corpus.
        rows = self._query(
            "SELECT *, (SELECT max(is_synthetic) FROM experiments WHERE experiments.eid = test_openings.eid "
            "OR (test_openings.eid IS NULL AND experiments.corpus_hash = test_openings.corpus_hash)) "
            f"AS is_synthetic FROM test_openings {clause} ORDER BY opening_id",
            parameters,
        )
        return [_read_opening(row, tuple(scores[row["opening_id"]])) for row in rows]


def _measured(scores: TestScores) -> dict[str, Any]:
    return {
        "epoch": scores.epoch,
        "weighted_accuracy": scores.weighted_accuracy,
        "unweighted_accuracy": scores.unweighted_accuracy,
        "macro_f1": scores.macro_f1,
        "recorded_at": utc_now(),
    }


def _read_scores(row: dict[str, Any], predictions: tuple[Prediction, ...] = ()) -> TestScores:
    return TestScores(
        seed=row["seed"],
        kind=ScoreKind(row["kind"]),
        weighted_accuracy=row["weighted_accuracy"],
        unweighted_accuracy=row["unweighted_accuracy"],
        macro_f1=row["macro_f1"],
        predictions=predictions,
        epoch=row["epoch"],
        model=row.get("model"),
    )


def _read_opening(row: dict[str, Any], scores: tuple[TestScores, ...]) -> TestOpeningRow:
    is_synthetic = row["is_synthetic"]
    return TestOpeningRow(
        **{
            **row,
            "seeds": tuple(json.loads(row["seeds"])),
            "is_synthetic": None if is_synthetic is None else bool(is_synthetic),
            "scores": scores,
        }
    )


@dataclass(frozen=True)
class TrialRecords:
    """All that a trial's own process recorded, where it ran.

    Attributes:
        environment: None where it came to its end before that
        epochs: from the first, in order
        result: None where it did not train to its end
    """

    environment: TrialEnvironment | None
    epochs: tuple[EpochRecord, ...]
    result: TrialResult | None


class RemoteTrialsStore(OpeningsStore):
    """The part of the store that a controller writes for trials which cannot reach it themselves."""

    def __init__(self, path: Path, database: Database) -> None:
        super().__init__(path, database)
        self._executions: dict[int, str] = {}

    def record_live_epoch(self, trial_id: int, execution: str, epoch: EpochRecord) -> None:
        """Record one epoch of a trial that runs elsewhere, as word of it comes.

        Word may come twice. A trial whose machine was lost begins again: the epochs of the execution before
        give way to those of the new one. The disk is not waited for: all epochs come once more with the end.

        Args:
            execution: tells one execution of the trial from another

        Raises:
            StoreError: the trial has ended
        """
        with self.writing_for(trial_id, Durability.PROCESS_END) as database:
            if self._executions.get(trial_id) == execution:
                database.execute(
                    "DELETE FROM epochs WHERE trial_id = ? AND epoch = ?", [trial_id, epoch.epoch]
                )
            else:
                database.execute("DELETE FROM epochs WHERE trial_id = ?", [trial_id])
            insert_epoch(database, trial_id, epoch)
        self._executions[trial_id] = execution

    def trial_records(self, trial_id: int) -> TrialRecords:
        """Return all that a trial's own process has recorded in this database so far."""
        with self.snapshot():
            rows = self._query("SELECT * FROM trial_results WHERE trial_id = ?", [trial_id])
            result = None
            for row in rows:
                known = {field.name: row[field.name] for field in fields(TrialResult) if field.name in row}
                result = TrialResult(**known, predictions=tuple(self.validation_predictions(trial_id)))
            return TrialRecords(self.environment(trial_id), tuple(self.epochs(trial_id)), result)


def insert_records(database: Database, trial_id: int, records: TrialRecords) -> None:
    """Insert all of a trial's records in place of its live epochs, in the caller's transaction.

    Raises:
        StoreError: the result's score is not finite
    """
    database.execute("DELETE FROM epochs WHERE trial_id = ?", [trial_id])
    if records.environment is not None:
        insert_environment(database, trial_id, records.environment)
    for epoch in records.epochs:
        insert_epoch(database, trial_id, epoch)
    if records.result is not None:
        insert_result(database, trial_id, records.result)


#: The last of a job's output that is kept, in characters.
MAX_LAST_OUTPUT = 4000


class ResultsStore(RemoteTrialsStore):
    """One connection to results.db, in one thread; any number of processes have their own.

    The controller starts and finishes trials. The trial's own process records what it ran in, its
    epochs and its result, only while the trial is running: a trial that was given up writes nothing more.

    Example:
        >>> import tempfile
        >>> with ResultsStore.open(Path(tempfile.mkdtemp()) / "results.db") as store:
        ...     print(store.latest_experiment())
        None
    """

    @classmethod
    def open(cls, path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Self:
        """Open the database, created and brought up to date where needed; many processes may at once.

        Args:
            path: of results.db; its folder is made
            busy_timeout: seconds to wait for another process's lock before giving up

        Raises:
            StoreError: damaged, read-only, locked, another program's, or a newer version's
        """
        return cls(path, connect(path, busy_timeout))

    def create_experiment(self, experiment: ExperimentRecord) -> int:
        """Record a new experiment, and return its ``eid``.

        Raises:
            StoreError: ``target`` is neither ``"max"`` nor ``"min"``, or a JSON text is none
        """
        if experiment.target not in ("max", "min"):
            raise StoreError(
                f"experiment {experiment.name!r}: target {experiment.target!r}; "
                "expected one of ['max', 'min']"
            )
        for field in ("protocol", "search_space", "settings"):
            _check_json(experiment.name, field, getattr(experiment, field))
        with self.writing() as database:
            return insert(database, "experiments", asdict(experiment))

    def update_experiment(
        self, eid: int, status: ExperimentStatus | str, ended_at: str | None = None
    ) -> None:
        """Say how an experiment stands; going on with it clears ``ended_at``.

        Raises:
            StoreError: no such ``eid``
            UnknownNameError: no such status
        """
        if status not in list(ExperimentStatus):
            raise unknown_name("experiment status", str(status), [known.value for known in ExperimentStatus])
        self._change_experiment(eid, {"status": str(status), "ended_at": ended_at})

    def resume_experiment(self, eid: int, num_samples: int, settings: str) -> None:
        """Say that an experiment goes on, with perhaps more trials than it was begun with.

        Args:
            settings: the experiment file as it is now, a JSON text

        Raises:
            StoreError: no such ``eid``, or ``settings`` is no JSON text
        """
        _check_json(self.experiment(eid).name, "settings", settings)
        status = ExperimentStatus.RUNNING.value
        changes = {"status": status, "ended_at": None, "num_samples": num_samples, "settings": settings}
        self._change_experiment(eid, changes)

    def _change_experiment(self, eid: int, changes: Mapping[str, object]) -> None:
        places = ", ".join(f"{column} = ?" for column in changes)
        with self.writing() as database:
            changed = database.execute(
                f"UPDATE experiments SET {places} WHERE eid = ?", [*changes.values(), eid]
            )
            if changed.rowcount == 0:
                raise StoreError(
                    f"experiment {eid}: not in '{self.path}'; expected one that create_experiment returned"
                )

    def start_trial(
        self,
        eid: int,
        trial_index: int,
        seed: int,
        hyperparameters: Mapping[str, Hyperparameter],
        jid: int | None = None,
    ) -> int:
        """Record that a trial is about to run, and return its ``trial_id``.

        The disk is not waited for: a power loss that takes the record takes the trial with it.

        Raises:
            StoreError: no such ``eid``, the trial index is running or finished already, or a
                hyperparameter's name cannot be a column
        """
        with self.writing(Durability.PROCESS_END) as database:
            self.experiment(eid)
            attempts = self._query(
                "SELECT attempt, status FROM trials WHERE eid = ? AND trial_index = ?", [eid, trial_index]
            )
            for row in attempts:
                if row["status"] in (TrialStatus.RUNNING, TrialStatus.FINISHED):
                    raise StoreError(
                        f"trial index {trial_index} of experiment {eid}: is {row['status']} already; only a "
                        "trial that failed or was interrupted can be started again"
                    )
            trial_id = insert(
                database,
                "trials",
                {
                    "eid": eid,
                    "trial_index": trial_index,
                    "attempt": 1 + max((row["attempt"] for row in attempts), default=0),
                    "seed": seed,
                    "jid": jid,
                    "hyperparameters": json.dumps(dict(hyperparameters)),
                    "status": TrialStatus.RUNNING.value,
                    "started_at": utc_now(),
                },
            )
            insert_hyperparameters(database, trial_id, hyperparameters)
            return trial_id

    def record_job(
        self,
        trial_id: int,
        pid: int,
        host: str,
        process_started_at: float | None = None,
        job_path: str | None = None,
    ) -> None:
        """Record which process carries a trial, so that whoever comes after a dead controller can find it.

        The trial begins with it: it may have waited for a machine until now. The disk is not waited for, as in
        ``start_trial``.

        Args:
            process_started_at: seconds since the epoch of Unix as the operating system tells it
            job_path: kept relative where it lies below the folder of results.db, which may be moved

        Raises:
            StoreError: the trial is not running
        """
        with self.writing_for(trial_id, Durability.PROCESS_END) as database:
            database.execute(
                "UPDATE trials SET pid = ?, host = ?, process_started_at = ?, job_path = ?, started_at = ? "
                "WHERE trial_id = ?",
                [pid, host, process_started_at, self._path_to_store(job_path), utc_now(), trial_id],
            )

    def record_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        """Record what a trial runs in; called by the trial's own process."""
        with self.writing_for(trial_id) as database:
            insert_environment(database, trial_id, environment)

    def record_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Record one epoch as it ends; called by the trial's own process.

        Raises:
            StoreError: the trial has ended, or that epoch is recorded already
        """
        with self.writing_for(trial_id) as database:
            insert_epoch(database, trial_id, epoch)

    def record_result(self, trial_id: int, result: TrialResult) -> None:
        """Record what a trial that trained to its end found; its status stays with the controller.

        Raises:
            StoreError: the trial has ended or has its result already, or the score is not finite
        """
        check_finite(trial_id, result.score)
        with self.writing_for(trial_id) as database:
            insert_result(database, trial_id, result)

    def finish_trial(
        self,
        trial_id: int,
        status: TrialStatus,
        score: float | None = None,
        message: str | None = None,
        exit_code: int | None = None,
        signal: int | None = None,
        last_output: str | None = None,
        records: TrialRecords | None = None,
    ) -> None:
        """End a trial, once: how, and with which score or for what cause.

        Args:
            status: any but ``RUNNING``
            score: finite; for ``FINISHED`` only
            last_output: its last 4000 characters are kept
            records: of a trial that ran elsewhere, all that its own process recorded there; they are
                recorded with its end or not at all, in place of its live epochs

        Raises:
            StoreError: the trial has ended already, or score and status contradict each other
        """
        if status is TrialStatus.RUNNING or (status is TrialStatus.FINISHED) != (score is not None):
            raise StoreError(
                f"trial {trial_id}: cannot end as {status.value!r} with score {score}; expected a score with "
                "'finished' and none with any other end"
            )
        if score is not None:
            check_finite(trial_id, score)
        with self.writing_for(trial_id) as database:
            if records is not None:
                insert_records(database, trial_id, records)
            database.execute(
                "UPDATE trials SET status = ?, score = ?, message = ?, exit_code = ?, signal = ?, "
                "last_output = ?, ended_at = ? WHERE trial_id = ?",
                [
                    status.value,
                    score,
                    message,
                    exit_code,
                    signal,
                    None if last_output is None else last_output[-MAX_LAST_OUTPUT:],
                    utc_now(),
                    trial_id,
                ],
            )
        self._executions.pop(trial_id, None)

    def _path_to_store(self, path: str | None) -> str | None:
        if path is None:
            return None
        absolute, results_dir = Path(path).absolute(), self.path.absolute().parent
        return str(absolute.relative_to(results_dir) if absolute.is_relative_to(results_dir) else absolute)


def _check_json(name: str, field: str, text: str) -> None:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        raise StoreError(f"experiment {name!r}: {field} is {text!r:.80}; expected a JSON text") from None
