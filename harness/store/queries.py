"""What results.db is asked: experiments, trials, epochs, predictions."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from harness.corpus.utterances import Emotion, Seconds
from harness.errors import StoreError
from harness.store.connection import BUSY_TIMEOUT, connect_readonly, one_sentence
from harness.store.database import Database
from harness.store.records import (
    PROBABILITY_COLUMNS,
    EpochRecord,
    ExperimentKind,
    ExperimentRow,
    ExperimentStatus,
    Prediction,
    TrialEnvironment,
    TrialRow,
    TrialStatus,
)
from harness.store.scores import best_of

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
