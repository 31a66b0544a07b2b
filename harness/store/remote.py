"""Trials that run on other machines: their records come by wire, and only the controller writes them."""

from __future__ import annotations

from dataclasses import dataclass
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
        execution: tells one execution of the trial from another; None where nothing was executed
    """

    environment: TrialEnvironment | None
    epochs: tuple[EpochRecord, ...]
    result: TrialResult | None
    execution: str | None = None


class RemoteTrialsStore(OpeningsStore):
    """The part of the store that a controller writes for trials which cannot reach it themselves."""

    def __init__(self, path: Path, database: Database) -> None:
        super().__init__(path, database)
        self._executions: dict[int, str] = {}

    def record_live_epoch(self, trial_id: int, execution: str, epoch: EpochRecord) -> None:
        """Record one epoch of a trial that runs elsewhere, as word of it comes.

        An epoch may come twice. A trial whose machine was lost begins again: its new epochs replace those of
        the execution before. The disk is not waited for: the trial's end is committed after them.

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


def insert_records(
    database: Database, trial_id: int, records: TrialRecords, has_live_epochs: bool
) -> None:
    """Insert all of a trial's records, in the caller's transaction.

    Args:
        has_live_epochs: whether live epochs are of the same execution: they stay, and the others are replaced

    Raises:
        StoreError: the result's score is not finite
    """
    if not has_live_epochs:
        database.execute("DELETE FROM epochs WHERE trial_id = ?", [trial_id])
    recorded = {epoch for (epoch,) in database.execute("SELECT epoch FROM epochs WHERE trial_id = ?", [trial_id])}
    if records.environment is not None:
        insert_environment(database, trial_id, records.environment)
    for epoch in records.epochs:
        if epoch.epoch not in recorded:
            insert_epoch(database, trial_id, epoch)
    if records.result is not None:
        insert_result(database, trial_id, records.result)
