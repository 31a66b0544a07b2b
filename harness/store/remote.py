"""Trials that run on other machines: their records come by wire, and only the controller writes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from harness.store.database import Database
from harness.store.openings import OpeningsStore
from harness.store.records import EpochRecord, TrialEnvironment, TrialResult
from harness.store.writing import Durability, insert_environment, insert_epoch, insert_result


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
