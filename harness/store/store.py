"""results.db as one class: experiments, trials with their epochs and records, final models, and test evaluations."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from enum import Enum
from pathlib import Path
from typing import Any, Self

from harness.corpus.utterances import Seconds, parse_utterance_id
from harness.errors import StoreError, unknown_name
from harness.store.connection import BUSY_TIMEOUT, connect, connect_readonly, has_database, translate_error
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    ExperimentRecord,
    ExperimentRow,
    ExperimentStatus,
    FinalModel,
    FoldedExperiment,
    FoldedExperimentRow,
    Hyperparameter,
    Prediction,
    ScoreKind,
    TestOpening,
    TestOpeningRow,
    TestScores,
    TrialEnvironment,
    TrialRecords,
    TrialResult,
    TrialRow,
    TrialStatus,
    best_of,
    utc_now,
)
from harness.store.rows import (
    insert,
    insert_hyperparameters,
    insert_predictions,
    measured,
    read_environment,
    read_epoch,
    read_experiment,
    read_folded,
    read_is_seen,
    read_opening,
    read_prediction,
    read_scores,
    read_trial,
    require_columns,
)
from harness.store.schema import Database

_TRIALS = """
    SELECT trials.*, trial_results.score AS result_score, best_epoch, duration_seconds, peak_memory_bytes,
        embedding_source, temperature, seed_scores,
        coalesce(so_far.num_epochs, 0) AS num_epochs, best_validation_accuracy
    FROM trials
        LEFT JOIN trial_results USING (trial_id)
        LEFT JOIN (
            SELECT trial_id, count(*) AS num_epochs, max(validation_accuracy) AS best_validation_accuracy
            FROM epochs JOIN trials USING (trial_id) WHERE {scope} GROUP BY trial_id
        ) AS so_far USING (trial_id)
    WHERE {scope}
    ORDER BY trial_index, attempt
"""

#: The name of the results database in its folder.
DATABASE = "results.db"
#: The last of a job's output that is kept, in characters.
MAX_LAST_OUTPUT = 4000


class Durability(Enum):
    """The failures that a transaction survives, as the value of SQLite's ``synchronous`` in WAL mode."""

    POWER_LOSS = "FULL"
    #: The end of every process; a power loss too, once a later transaction of ``POWER_LOSS`` is committed.
    PROCESS_END = "NORMAL"


class ResultsStore:
    """One connection to results.db, in one thread; any number of processes have their own.

    The controller starts and finishes trials. The trial's own process or, for a trial on another machine,
    the controller records its environment, its epochs and its result, only while the trial is running: a
    trial that has ended records nothing more.
    Each row has one writer, each transaction is short, and what is final never changes.

    Every method may raise ``StoreError``: SQLite's error about the file, in one sentence.

    Attributes:
        path: of results.db
        database: the connection, for the SQL of this folder's other files
        openings_begun: the ids of the test evaluations that were recorded through this connection

    Example:
        >>> import tempfile
        >>> with ResultsStore.open(Path(tempfile.mkdtemp()) / "results.db") as store:
        ...     print(store.latest_experiment())
        None
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path = path
        self.database = database
        self.openings_begun: list[int] = []
        self._executions: dict[int, str] = {}

    @classmethod
    def open(cls, path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Self:
        """Open the database, created and brought up to date where needed; many processes may at once.

        Args:
            path: of results.db; its folder is made
            busy_timeout: seconds to wait for another process's lock

        Raises:
            StoreError: damaged, read-only, locked, another program's, or another version's
        """
        return cls(path, connect(path, busy_timeout))

    @staticmethod
    def exists(path: Path) -> bool:
        """Return whether there is a file to open; it may still be damaged.

        Raises:
            StoreError: as ``has_database``
        """
        return has_database(path)

    @classmethod
    def open_readonly(cls, path: Path, busy_timeout: Seconds = BUSY_TIMEOUT) -> Self:
        """Open an existing database so that SQLite refuses every write.

        Raises:
            StoreError: there is none, or it is damaged, another program's or another version's
        """
        return cls(path, connect_readonly(path, busy_timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the last one to close also folds SQLite's side files in."""
        with translate_error(self.path):
            self.database.close()

    # Transactions.

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let every read inside the block see one moment, however much is written meanwhile."""
        with translate_error(self.path):
            self.database.execute("BEGIN")
            try:
                yield
            finally:
                self.database.rollback()

    @contextmanager
    def writing(self, durability: Durability = Durability.POWER_LOSS) -> Iterator[Database]:
        """One short transaction that holds the write lock from its beginning; whole or not at all."""
        with translate_error(self.path):
            # Between transactions: SQLite ignores it inside one.
            self.database.execute(f"PRAGMA synchronous = {durability.value}")
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield self.database
                self.database.commit()
            except BaseException:
                self.database.rollback()
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
            rows = self.query("SELECT status FROM trials WHERE trial_id = ?", [trial_id])
            if not rows:
                raise self._no_trial(trial_id)
            status = rows[0]["status"]
            if status != TrialStatus.RUNNING:
                raise StoreError(
                    f"trial {trial_id}: has ended ({status}) in '{self.path}'; expected a trial that is "
                    "running"
                )
            yield database

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Return the rows of a SELECT, by column name."""
        with translate_error(self.path):
            return list(self.database.query(sql, list(parameters)))

    # Experiments.

    def create_experiment(self, experiment: ExperimentRecord) -> int:
        """Record a new experiment, and return its ``eid``.

        Raises:
            StoreError: ``target`` is neither ``"max"`` nor ``"min"``, a JSON text is none, or the database has no room
                for more hyperparameters
        """
        if experiment.target not in ("max", "min"):
            raise StoreError(
                f"experiment {experiment.name!r}: target {experiment.target!r}; "
                "expected one of ['max', 'min']"
            )
        for field in ("protocol", "search_space", "settings"):
            _check_json(experiment.name, field, getattr(experiment, field))
        with self.writing() as database:
            require_columns(database, experiment)
            return insert(database, "experiments", asdict(experiment))

    def update_experiment(
        self, eid: int, status: ExperimentStatus | str, ended_at: str | None = None
    ) -> None:
        """Change an experiment's status.

        Args:
            ended_at: None clears it, for an experiment that goes on

        Raises:
            StoreError: no such ``eid``
            UnknownNameError: no such status
        """
        if status not in list(ExperimentStatus):
            raise unknown_name("experiment status", str(status), [known.value for known in ExperimentStatus])
        self._change_experiment(eid, {"status": str(status), "ended_at": ended_at})

    def resume_experiment(self, eid: int, num_samples: int, settings: str) -> None:
        """Mark an experiment as running again, with perhaps more trials than it was begun with.

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
        return self._experiments("ORDER BY eid")

    def find_experiment(self, identity: str) -> ExperimentRow | None:
        """Return the latest experiment of that identity, or None."""
        rows = self._experiments("WHERE identity = ? ORDER BY eid DESC LIMIT 1", [identity])
        return rows[0] if rows else None

    def create_folded(self, folded: FoldedExperiment) -> int:
        """Record a new experiment of several folds, and return its ``folded_id``; its searches come later."""
        with self.writing() as database:
            return insert(database, "folded_experiments", {**asdict(folded), "folds": json.dumps(list(folded.folds))})

    def folded_experiments(self) -> list[FoldedExperimentRow]:
        """Return every experiment of several folds, oldest first."""
        return [read_folded(row) for row in self.query("SELECT * FROM folded_experiments ORDER BY folded_id")]

    def folded(self, experiment: ExperimentRow) -> FoldedExperimentRow | None:
        """Return the experiment of several folds that a search is one of; None where it is a whole one."""
        found = [each for each in self.folded_experiments() if each.folded_id == experiment.folded_id]
        return found[0] if found else None

    def searches_of(self, folded_id: int) -> dict[str, ExperimentRow]:
        """Return the search of each fold that has begun, by the fold's name, oldest first."""
        rows = self._experiments("WHERE folded_id = ? ORDER BY eid", [folded_id])
        return {experiment.fold: experiment for experiment in rows if experiment.fold is not None}

    def _experiments(self, clause: str, parameters: Sequence[object] = ()) -> list[ExperimentRow]:
        return [read_experiment(row) for row in self.query(f"SELECT * FROM experiments {clause}", parameters)]

    # Trials, written by the controller.

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
            StoreError: no such ``eid``, the trial index is running, finished or pruned already, or a
                hyperparameter's name cannot be a column
        """
        with self.writing(Durability.PROCESS_END) as database:
            self.experiment(eid)
            attempts = self.query(
                "SELECT attempt, status FROM trials WHERE eid = ? AND trial_index = ?", [eid, trial_index]
            )
            for row in attempts:
                if row["status"] in (TrialStatus.RUNNING, TrialStatus.FINISHED, TrialStatus.PRUNED):
                    raise StoreError(
                        f"trial index {trial_index} of experiment {eid}: is {row['status']} already; expected "
                        "one that failed or was interrupted"
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
        """Record which process carries a trial, so that the next controller finds it if this one is killed.

        The trial begins with it: it may have waited for a machine until now. The disk is not waited for, as in
        ``start_trial``.

        Args:
            process_started_at: seconds since the epoch of Unix, by the operating system
            job_path: kept relative where it lies below the folder of results.db, which may be moved

        Raises:
            StoreError: the trial is not running
        """
        if job_path is not None:
            absolute, results_dir = Path(job_path).absolute(), self._results_dir
            job_path = str(absolute.relative_to(results_dir) if absolute.is_relative_to(results_dir) else absolute)
        with self.writing_for(trial_id, Durability.PROCESS_END) as database:
            database.execute(
                "UPDATE trials SET pid = ?, host = ?, process_started_at = ?, job_path = ?, started_at = ? "
                "WHERE trial_id = ?",
                [pid, host, process_started_at, job_path, utc_now(), trial_id],
            )

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
            records: of a trial that ran elsewhere, everything that its own process recorded there; the part that is
                not there as live epochs of the same execution is recorded with its end, whole or not at all

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
                self._insert_records(trial_id, records)
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

    def trials(self, eid: int) -> list[TrialRow]:
        """Return every attempt of every trial, by trial index and attempt."""
        return self._trials("trials.eid = ?", eid)

    def trial(self, trial_id: int) -> TrialRow:
        """Return one attempt at one trial.

        Raises:
            StoreError: no such ``trial_id``
        """
        rows = self._trials("trials.trial_id = ?", trial_id)
        if not rows:
            raise self._no_trial(trial_id)
        return rows[0]

    def running_trials(self, eid: int) -> list[TrialRow]:
        """Return the trials that have no end yet, alive or left behind by a dead controller."""
        return self._trials("trials.eid = ? AND status = 'running'", eid)

    def best_trial(self, eid: int) -> TrialRow | None:
        """Return the finished trial with the best score, of equals the first by index; None without any."""
        target = self.experiment(eid).target
        return best_of(self._trials("trials.eid = ? AND status = 'finished'", eid), target)

    def _trials(self, scope: str, key: int) -> list[TrialRow]:
        rows = self.query(_TRIALS.format(scope=scope), [key, key])
        return [read_trial(row, self._results_dir) for row in rows]

    @property
    def _results_dir(self) -> Path:
        return self.path.absolute().parent

    def _no_trial(self, trial_id: int) -> StoreError:
        return StoreError(f"trial {trial_id}: not in '{self.path}'; expected one that start_trial returned")

    # A trial's own records, written by the trial's own process; what a foreign script prints, by the controller.

    def record_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        """Record the environment of a trial; called by the trial's own process."""
        with self.writing_for(trial_id):
            self._insert_environment(trial_id, environment)

    def record_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Record one epoch as it ends; called by the trial's own process, or by the controller for a foreign script.

        Raises:
            StoreError: the trial has ended, or that epoch is recorded already
        """
        with self.writing_for(trial_id):
            self._insert_epoch(trial_id, epoch)

    def record_result(self, trial_id: int, result: TrialResult) -> None:
        """Record the result of a trial that trained to its end; the controller still sets its status.

        Raises:
            StoreError: the trial has ended or has its result already, or the score is not finite
        """
        with self.writing_for(trial_id):
            self._insert_result(trial_id, result)

    def record_live_epoch(self, trial_id: int, execution: str, epoch: EpochRecord) -> None:
        """Record one epoch of a trial that runs on another machine, as its message arrives.

        A message may arrive twice. A trial whose machine was lost begins again: the epochs of its first execution
        are replaced by those of the new one. The disk is not waited for: the trial's end is committed after them.

        Args:
            execution: distinguishes one execution of the trial from another

        Raises:
            StoreError: the trial has ended
        """
        with self.writing_for(trial_id, Durability.PROCESS_END) as database:
            if self._executions.get(trial_id) == execution:
                database.execute("DELETE FROM epochs WHERE trial_id = ? AND epoch = ?", [trial_id, epoch.epoch])
            else:
                database.execute("DELETE FROM epochs WHERE trial_id = ?", [trial_id])
            self._insert_epoch(trial_id, epoch)
        self._executions[trial_id] = execution

    def _insert_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        row = asdict(environment)
        for name in ("versions", "scene_groups", "validated_scenes"):
            row[name] = json.dumps(row[name], sort_keys=True)
        insert(self.database, "trial_environments", {**row, "trial_id": trial_id, "recorded_at": utc_now()})

    def _insert_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        insert(self.database, "epochs", {"trial_id": trial_id, **asdict(epoch), "recorded_at": utc_now()})

    def _insert_result(self, trial_id: int, result: TrialResult) -> None:
        check_finite(trial_id, result.score)
        row = {field.name: getattr(result, field.name) for field in fields(result) if field.name != "predictions"}
        row["seed_scores"] = json.dumps(list(result.seed_scores))
        insert(self.database, "trial_results", {"trial_id": trial_id, **row, "recorded_at": utc_now()})
        insert_predictions(self.database, "validation_predictions", {"trial_id": trial_id}, result.predictions)

    def _insert_records(self, trial_id: int, records: TrialRecords) -> None:
        # An end without a report says nothing of the epochs that are recorded.
        if records.execution is not None and self._executions.get(trial_id) != records.execution:
            self.database.execute("DELETE FROM epochs WHERE trial_id = ?", [trial_id])
        recorded = {row["epoch"] for row in self.query("SELECT epoch FROM epochs WHERE trial_id = ?", [trial_id])}
        if records.environment is not None:
            self._insert_environment(trial_id, records.environment)
        for epoch in records.epochs:
            if epoch.epoch not in recorded:
                self._insert_epoch(trial_id, epoch)
        if records.result is not None:
            self._insert_result(trial_id, records.result)

    def environment(self, trial_id: int) -> TrialEnvironment | None:
        """Return the environment of a trial; None where its process has recorded none."""
        rows = self.query("SELECT * FROM trial_environments WHERE trial_id = ?", [trial_id])
        return read_environment(rows[0]) if rows else None

    def epochs(self, trial_id: int) -> list[EpochRecord]:
        """Return the epochs that a trial has recorded, in order."""
        rows = self.query("SELECT * FROM epochs WHERE trial_id = ? ORDER BY epoch", [trial_id])
        return [read_epoch(row) for row in rows]

    def epochs_of(self, eid: int) -> dict[int, list[EpochRecord]]:
        """Return the epochs of every trial of an experiment that has any, in order, by trial_id."""
        rows = self.query(
            "SELECT epochs.* FROM epochs JOIN trials USING (trial_id) WHERE eid = ? ORDER BY trial_id, epoch",
            [eid],
        )
        by_trial: dict[int, list[EpochRecord]] = defaultdict(list)
        for row in rows:
            by_trial[row["trial_id"]].append(read_epoch(row))
        return dict(by_trial)

    def validation_predictions(self, trial_id: int) -> list[Prediction]:
        """Return a trial's predictions of its best epoch on validation, by utterance id."""
        rows = self.query("SELECT * FROM validation_predictions WHERE trial_id = ? ORDER BY utterance_id", [trial_id])
        return [read_prediction(row) for row in rows]

    # Final models and test evaluations.

    def record_final_training(self, model: FinalModel) -> int:
        """Record a model trained on train + validation, and return its id."""
        with self.writing() as database:
            return insert(database, "final_models", asdict(model))

    def record_opening(self, opening: TestOpening) -> int:
        """Record that the test session is about to be scored; call this before its files are touched.

        Returns:
            the test evaluation's id, for ``record_test_scores``
        """
        row = {**asdict(opening), "seeds": json.dumps(list(opening.seeds))}
        with self.writing() as database:
            opening_id = insert(database, "test_openings", row)
        self.openings_begun.append(opening_id)
        return opening_id

    def record_test_scores(self, opening_id: int, *scores: TestScores) -> None:
        """Record scores with their predictions, whole or not at all; with the model's last seed it is complete.

        Raises:
            StoreError: no such test evaluation, a seed that it did not name, or scores recorded before
        """
        with self.writing() as database:
            opening = self._opening(opening_id)
            recorded = {(known.seed, known.kind) for known in opening.scores}
            for score in scores:
                if score.seed not in opening.seeds:
                    raise StoreError(
                        f"test evaluation {opening_id}: scored seed {score.seed}; expected one of "
                        f"{list(opening.seeds)}"
                    )
                if (score.seed, score.kind) in recorded:
                    raise StoreError(
                        f"test evaluation {opening_id}: seed {score.seed} ({score.kind}) has its score already; "
                        "expected none, for a score on the test set is never replaced"
                    )
                recorded.add((score.seed, score.kind))
                key = {"opening_id": opening_id, "seed": score.seed, "kind": score.kind.value}
                row = {**key, **measured(score), "model": score.model, "recorded_at": utc_now()}
                insert(database, "test_scores", row)
                insert_predictions(database, "test_predictions", key, score.predictions)
            if {seed for seed, kind in recorded if kind.is_of_model} >= set(opening.seeds):
                self._mark_complete(opening_id)

    def record_test_utterances(self, opening_id: int, is_seen: Mapping[str, bool | None]) -> None:
        """Record each scored utterance: its scene, and whether training had read its transcript, word for word.

        Args:
            is_seen: by utterance id; None where no word was said

        Raises:
            StoreError: no such test evaluation, or its utterances are recorded already
            CorpusError: an id does not have the corpus's form
        """
        scenes = {name: parse_utterance_id(name).scene for name in sorted(is_seen)}
        with self.writing() as database:
            self._opening(opening_id)
            if self.query("SELECT 1 FROM test_utterances WHERE opening_id = ? LIMIT 1", [opening_id]):
                raise StoreError(f"test evaluation {opening_id}: its utterances are recorded already; expected none")
            database.conn.executemany(
                "INSERT INTO test_utterances (opening_id, utterance_id, scene, is_transcript_seen) VALUES (?, ?, ?, ?)",
                [(opening_id, name, scene, is_seen[name]) for name, scene in scenes.items()],
            )

    def test_utterances(self, opening_id: int) -> dict[str, bool | None]:
        """Return of each scored utterance whether training had read its transcript; empty before it is recorded."""
        of_this = "SELECT * FROM test_utterances WHERE opening_id = ? ORDER BY utterance_id"
        return read_is_seen(self.query(of_this, [opening_id]))

    def complete_opening(self, opening_id: int) -> None:
        """Record that every trial of `tables` or `leaks` in a test evaluation is scored.

        Raises:
            StoreError: no such test evaluation
        """
        with self.writing():
            self._opening(opening_id)
            self._mark_complete(opening_id)

    def record_trial_test_scores(self, trial_id: int, opening_id: int, scores: TestScores) -> None:
        """Record what a trial of `tables` or `leaks` scored on the test set, with its predictions.

        Raises:
            StoreError: the trial has ended, there is no such test evaluation, or scores of that kind are recorded
        """
        with self.writing_for(trial_id) as database:
            self._opening(opening_id)
            key = {"trial_id": trial_id, "kind": scores.kind.value}
            row = {**key, "opening_id": opening_id, **measured(scores), "recorded_at": utc_now()}
            insert(database, "trial_test_scores", row)
            insert_predictions(database, "trial_test_predictions", key, scores.predictions)

    def trial_test_scores(self, trial_id: int) -> dict[ScoreKind, TestScores]:
        """Return what a trial scored on the test set, with its predictions by utterance id."""
        rows = self.query(
            "SELECT trial_test_scores.*, seed FROM trial_test_scores JOIN trials USING (trial_id) "
            "WHERE trial_id = ? ORDER BY kind DESC",
            [trial_id],
        )
        predictions = "SELECT * FROM trial_test_predictions WHERE trial_id = ? AND kind = ? ORDER BY utterance_id"
        return {
            ScoreKind(row["kind"]): read_scores(
                row, tuple(read_prediction(found) for found in self.query(predictions, [trial_id, row["kind"]]))
            )
            for row in rows
        }

    def test_predictions(self, opening_id: int, seed: int, kind: ScoreKind) -> list[Prediction]:
        """Return one seed's predictions on the test session, by utterance id."""
        rows = self.query(
            "SELECT * FROM test_predictions WHERE opening_id = ? AND seed = ? AND kind = ? ORDER BY utterance_id",
            [opening_id, seed, kind.value],
        )
        return [read_prediction(row) for row in rows]

    def openings(self) -> list[TestOpeningRow]:
        """Return every test evaluation that was ever begun, oldest first."""
        return self._openings("", [])

    def _opening(self, opening_id: int) -> TestOpeningRow:
        openings = self._openings("WHERE opening_id = ?", [opening_id])
        if not openings:
            raise StoreError(
                f"test evaluation {opening_id}: not in '{self.path}'; expected one that record_opening returned"
            )
        return openings[0]

    def _openings(self, clause: str, parameters: Sequence[object]) -> list[TestOpeningRow]:
        scores: dict[int, list[TestScores]] = defaultdict(list)
        for row in self.query(f"SELECT * FROM test_scores {clause} ORDER BY seed, kind DESC", parameters):
            scores[row["opening_id"]].append(read_scores(row))
        # One of `tables` has many experiments; whether it is synthetic is a property of the corpus.
        rows = self.query(
            "SELECT *, (SELECT max(is_synthetic) FROM experiments WHERE experiments.eid = test_openings.eid "
            "OR (test_openings.eid IS NULL AND experiments.corpus_hash = test_openings.corpus_hash)) "
            f"AS is_synthetic FROM test_openings {clause} ORDER BY opening_id",
            parameters,
        )
        return [read_opening(row, tuple(scores[row["opening_id"]])) for row in rows]

    def _mark_complete(self, opening_id: int) -> None:
        self.database.execute(
            "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?", [utc_now(), opening_id]
        )


def check_finite(trial_id: int, score: float) -> None:
    if not math.isfinite(score):
        raise StoreError(f"trial {trial_id}: score {score}; expected a finite number")


def _check_json(name: str, field: str, text: str) -> None:
    try:
        json.loads(text)
    except (TypeError, ValueError):
        raise StoreError(f"experiment {name!r}: {field} is {text!r:.80}; expected a JSON text") from None
