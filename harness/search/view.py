"""The interface between a controller and the display of its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from harness.corpus.utterances import Seconds
from harness.store.records import ExperimentRow, TrialRow, TrialStatus

if TYPE_CHECKING:
    from harness.store.store import ResultsStore


class Ending(StrEnum):
    """The reason why a search ended."""

    DONE = "done"
    TOO_MANY_FAILURES = "too many failures"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class SearchPlan:
    """The work before a controller.

    Attributes:
        num_trials: in all, those of earlier controllers included
        num_done: trials that have ended already, finished or failed
        num_interrupted: trials that an earlier controller began and that run again
        threads: processor threads of one trial; None where each worker of a cluster has its own number
    """

    experiment: ExperimentRow
    num_trials: int
    num_done: int
    num_interrupted: int
    num_parallel: int
    threads: int | None


@dataclass(frozen=True)
class SearchReport:
    """The outcome of a search.

    Attributes:
        num_by_status: trials by how their last attempt ended
        num_failed: failed trials, as they count against ``max_failures``
        best: None where no trial has finished
        max_failures: failed trials beyond which the search counts as failed
    """

    experiment: ExperimentRow
    ending: Ending
    num_by_status: Mapping[TrialStatus, int]
    num_failed: int
    best: TrialRow | None
    max_failures: int


@dataclass(frozen=True)
class FoldOutcome:
    """The outcome of one fold's search.

    Attributes:
        num_finished: trials with a score
        best: None where no trial has finished
    """

    experiment: ExperimentRow
    num_finished: int
    best: TrialRow | None


class SearchView(Protocol):
    """Shows a search to its user. It reads the trials from results.db; no method may fail for want of a reader."""

    def note(self, sentence: str) -> None:
        """Show a sentence that the user should know."""

    def progress(self, doing: str, done: int, total: int) -> None:
        """Show how much of the corpus is prepared."""

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """Show the plan; the first trial is about to start."""

    def look(self) -> Seconds | None:
        """Show the trials as results.db has them; return when to look again, None for not before a job ends."""

    def end(self, report: SearchReport) -> None:
        """Show the outcome; nothing runs any more, but for the searches of further folds."""

    def end_folds(self, outcomes: Sequence[FoldOutcome]) -> None:
        """Show the outcome of every fold of an experiment."""
