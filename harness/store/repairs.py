"""Repairs of results.db from the trials' own records, after a copy of it has been made."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.store.connection import is_damage, one_sentence, open_unwritten
from harness.store.database import Database
from harness.store.findings import Finding, FindingKind
from harness.store.records import ExperimentKind, ExperimentStatus, TrialStatus, utc_now
from harness.store.results import ResultsStore
from harness.store.writing import Durability, insert_hyperparameters

#: Why what is not repaired is not, and what can be done instead.
REASONS: Mapping[FindingKind, str] = {
    FindingKind.DAMAGED_DATABASE: "restore a copy, or move the file away to start anew",
    FindingKind.MISSING_PARENT: "nothing tells what they belonged to; they are read by nobody, and stay",
    FindingKind.UNREADABLE_JSON: "the text is recorded nowhere else; restore a copy",
    FindingKind.MISSING_HYPERPARAMETERS: "the trial's own record of its point cannot be read either",
    FindingKind.WRONG_MEASUREMENT: "nothing tells which of them is wrong; do not trust this trial",
    FindingKind.UNKNOWN_TRIAL_STATUS: "it has a score, and nothing tells how it ended; do not trust this trial",
    FindingKind.MISSING_RESULT: "it was recorded nowhere else; do not trust this trial",
    FindingKind.MISSING_EPOCHS: "they were recorded nowhere else; the score does not depend on them",
    FindingKind.RUN_TWICE: "both attempts stay; the finished one counts",
    FindingKind.CHANGED_ATTEMPT: "nothing tells which of them is right; do not trust this trial",
    FindingKind.UNFINISHED_OPENING: "a score on the test set is never made up, and the opening stays recorded",
    FindingKind.WRONG_TEST_SCORE: "a score on the test set is never replaced; do not trust it",
    FindingKind.MISSING_TRIAL_FILE: "the trial's score stays; it cannot be trained again by `harness retrain-best`",
    FindingKind.MISSING_MODEL: "`harness retrain-best` trains it again where its folder is gone",
}

_ENDED = tuple(status.value for status in TrialStatus if status is not TrialStatus.RUNNING)


def back_up(path: Path) -> Path:
    """Copy a database beside itself as it stands, whole or not at all, and return the copy's path.

    Raises:
        StoreError: the database could not be read, or SQLite could not write the copy
        OSError: the copy could not be kept
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    copy = path.with_name(f"{path.stem}.before-repair-{moment}.db")
    partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
    with one_sentence(path):
        source = open_unwritten(path)
    try:
        with closing(source.conn), one_sentence(copy), closing(sqlite3.connect(partial)) as target:
            try:
                source.conn.backup(target)
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    # What SQLite calls damaged is what it read, not what it wrote.
                    with one_sentence(path):
                        raise
                raise
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy


class ResultsRepairer(ResultsStore):
    """A writing connection that changes final rows, where what the trials recorded says what they must be.

    Attributes:
        on_first_change: called once, before anything is changed
    """

    on_first_change: Callable[[], None] | None = None

    def prepare_change(self) -> None:
        """Do what must be done before the first change, of the database or of what is beside it."""
        prepare, self.on_first_change = self.on_first_change, None
        if prepare is not None:
            prepare()

    @contextmanager
    def writing(self, durability: Durability = Durability.POWER_LOSS) -> Iterator[Database]:
        """One short transaction, as every store's."""
        self.prepare_change()
        with super().writing(durability) as database:
            yield database

    def repair(self, finding: Finding) -> str | None:
        """Repair one thing, in one transaction.

        Args:
            finding: as it stands now, of an experiment that nobody is at work on

        Returns:
            what was done, in words; None where the records do not say what is right
        """
        repairs: Mapping[FindingKind, Callable[[Finding], str | None]] = {
            FindingKind.DAMAGED_INDEX: self._rebuild_indexes,
            FindingKind.MISSING_HYPERPARAMETERS: self._write_hyperparameters,
            FindingKind.WRONG_RESULT: self._correct_result,
            FindingKind.NOBODY_RUNS_TRIAL: self._end_trial,
            FindingKind.UNKNOWN_TRIAL_STATUS: self._end_trial,
            FindingKind.SCORE_OF_FAILED_TRIAL: self._remove_score,
            FindingKind.WRONG_SCORE: self._correct_score,
            FindingKind.NOBODY_RUNS_EXPERIMENT: self._interrupt_experiment,
            FindingKind.UNKNOWN_EXPERIMENT_STATUS: self._interrupt_experiment,
            FindingKind.MISSING_TRIALS: self._interrupt_experiment,
            FindingKind.WRONG_ENDING: self._end_experiment,
            FindingKind.UNFINISHED_OPENING: self._complete_opening,
        }
        return repairs[finding.kind](finding) if finding.kind in repairs else None

    def _rebuild_indexes(self, finding: Finding) -> str | None:
        self.prepare_change()
        with one_sentence(self.path):
            self._database.execute("REINDEX")
        return "every index was built anew from its table"

    def _write_hyperparameters(self, finding: Finding) -> str | None:
        assert finding.row_id is not None
        (row,) = self._query("SELECT hyperparameters FROM trials WHERE trial_id = ?", [finding.row_id])
        try:
            point = json.loads(row["hyperparameters"])
        except ValueError:
            return None
        with self.writing() as database:
            insert_hyperparameters(database, finding.row_id, point)
        return "the row was written from the trial's own record"

    def _correct_result(self, finding: Finding) -> str | None:
        self._execute("UPDATE trial_results SET score = ? WHERE trial_id = ?", finding.value, finding.row_id)
        return f"the result is now {finding.value}"

    def _correct_score(self, finding: Finding) -> str | None:
        self._execute("UPDATE trials SET score = ? WHERE trial_id = ?", finding.value, finding.row_id)
        return f"the score is now {finding.value}"

    def _remove_score(self, finding: Finding) -> str | None:
        self._execute("UPDATE trials SET score = NULL WHERE trial_id = ?", finding.row_id)
        return "the score was removed"

    def _end_trial(self, finding: Finding) -> str | None:
        (row,) = self._query(
            "SELECT kind, trials.status, trials.score AS known_score, trial_results.score, "
            "(SELECT count(*) FROM trials AS other WHERE other.eid = trials.eid "
            "AND other.trial_index = trials.trial_index AND other.trial_id <> trials.trial_id "
            "AND other.status IN ('running', 'finished')) AS num_others "
            "FROM trials JOIN experiments USING (eid) LEFT JOIN trial_results USING (trial_id) WHERE trial_id = ?",
            [finding.row_id],
        )
        if row["status"] in _ENDED:
            # By `account_for_running`, which saw what its job printed too.
            cause = "the result was recorded" if row["status"] == TrialStatus.FINISHED else "no result was recorded"
            return f"it is marked {row['status']} now: {cause}"
        if row["status"] != TrialStatus.RUNNING and row["known_score"] is not None:
            return None
        # What a training of `tables` leaves on the test set may not be whole: it is trained again.
        has_finished = row["score"] is not None and row["kind"] == ExperimentKind.SEARCH and not row["num_others"]
        status = TrialStatus.FINISHED if has_finished else TrialStatus.KILLED
        cause = "the result was recorded" if has_finished else "no result was recorded"
        self._execute(
            "UPDATE trials SET status = ?, score = ?, message = ?, ended_at = ? WHERE trial_id = ?",
            status.value,
            row["score"] if has_finished else None,
            f"nobody was left to see how it ended; {cause}",
            utc_now(),
            finding.row_id,
        )
        return f"it is marked {status.value} now: {cause}"

    def _interrupt_experiment(self, finding: Finding) -> str | None:
        status = ExperimentStatus.INTERRUPTED.value
        self._execute(
            "UPDATE experiments SET status = ?, ended_at = ? WHERE eid = ?", status, utc_now(), finding.row_id
        )
        return f"it is marked {status} now; the command that began it goes on with it"

    def _end_experiment(self, finding: Finding) -> str | None:
        self._execute(
            "UPDATE experiments SET ended_at = coalesce((SELECT max(ended_at) FROM trials "
            "WHERE trials.eid = experiments.eid), created_at) WHERE eid = ?",
            finding.row_id,
        )
        return "its end is the one of its last trial now"

    def _complete_opening(self, finding: Finding) -> str | None:
        (row,) = self._query("SELECT completed_at FROM test_openings WHERE opening_id = ?", [finding.row_id])
        if row["completed_at"] is not None:
            return None
        with self.writing() as database:
            database.execute(
                "UPDATE test_openings SET completed_at = (SELECT max(recorded_at) FROM test_scores "
                "WHERE test_scores.opening_id = test_openings.opening_id) "
                "WHERE opening_id = ? AND completed_at IS NULL",
                [finding.row_id],
            )
        return "it is marked complete now, at the time of its last score"

    def _execute(self, statement: str, *parameters: object) -> None:
        with self.writing() as database:
            database.execute(statement, list(parameters))
