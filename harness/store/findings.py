"""What can be wrong with a results folder, and what was found wrong with one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class FindingKind(StrEnum):
    """What contradicts what; in the order in which they are repaired, for one repair may settle another."""

    DAMAGED_INDEX = "damaged index"
    DAMAGED_DATABASE = "damaged database"
    MISSING_PARENT = "row without the row it belongs to"
    UNREADABLE_JSON = "text that is no JSON"
    MISSING_HYPERPARAMETERS = "missing hyperparameters"
    WRONG_RESULT = "result against its own epochs and predictions"
    WRONG_MEASUREMENT = "epoch or predictions against the result"
    NOBODY_RUNS_TRIAL = "trial that nobody runs"
    UNKNOWN_TRIAL_STATUS = "unknown status of a trial"
    SCORE_OF_FAILED_TRIAL = "failed trial with a score"
    WRONG_SCORE = "score against the result"
    MISSING_RESULT = "finished trial without a result"
    MISSING_EPOCHS = "missing epochs"
    RUN_TWICE = "trial run twice"
    CHANGED_ATTEMPT = "attempts that are not the same trial"
    NOBODY_RUNS_EXPERIMENT = "experiment that nobody runs"
    UNKNOWN_EXPERIMENT_STATUS = "unknown status of an experiment"
    MISSING_TRIALS = "finished experiment that lacks trials"
    WRONG_ENDING = "end of an experiment against its status"
    UNFINISHED_OPENING = "opening of the test set against its scores"
    WRONG_TEST_SCORE = "score on the test set against its predictions"
    OPEN_BOOKS = "books that were left open"
    DAMAGED_BOOKS = "damaged books"
    LEFT_FILE = "half-written file"
    MISSING_TRIAL_FILE = "missing file of a trial"
    MISSING_MODEL = "missing model"

    @property
    def is_damage(self) -> bool:
        """Whether the file is broken, so that whatever else it says means little."""
        return self in (FindingKind.DAMAGED_INDEX, FindingKind.DAMAGED_DATABASE)


@dataclass(frozen=True)
class Finding:
    """One thing in a results folder that contradicts another, or itself.

    Attributes:
        subject: the thing, by the names that a reader knows it by
        row_id: what its row is found by (an eid, a trial_id, an opening_id); None where it has none
        value: what it must be, where its own records say so
        path: the file or folder that it is about
    """

    kind: FindingKind
    subject: str
    found: str
    expected: str
    row_id: int | None = None
    value: float | None = None
    path: Path | None = None

    @property
    def sentence(self) -> str:
        """The finding in words, without a full stop.

        Example:
            >>> Finding(FindingKind.MISSING_EPOCHS, "trial 3", "lacks epoch 2 of 5", "all of them").sentence
            'trial 3: lacks epoch 2 of 5; expected all of them'
        """
        return f"{self.subject}: {self.found}; expected {self.expected}"
