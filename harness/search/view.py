"""What a search tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.store.records import ExperimentRow, TrialRow, TrialStatus
from harness.store.scores import are_accuracies

if TYPE_CHECKING:
    from harness.search.trial_job import TrialJob
    from harness.search.trial_outcome import TrialOutcome
    from harness.store.results import ResultsStore


class Ending(StrEnum):
    """Why a search ended."""

    DONE = "done"
    TOO_MANY_FAILURES = "too many failures"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class SearchPlan:
    """What a controller is about to do.

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
    """What a search came to.

    Attributes:
        num_trials: in all
        num_by_status: trials by how their last attempt ended
        best: None where no trial has finished
        max_failures: failed trials beyond which the search counts as failed
    """

    experiment: ExperimentRow
    ending: Ending
    num_trials: int
    num_by_status: Mapping[TrialStatus, int]
    best: TrialRow | None
    max_failures: int


def sum_up(report: SearchReport) -> list[str]:
    """Say how many trials ended how, and which one is best."""
    statuses = sorted(report.num_by_status.items())
    counts = ", ".join(f"{count} {status.value}" for status, count in statuses) or "none started"
    said = [f"{sum(report.num_by_status.values())} of {report.num_trials} trials: {counts}."]
    if report.best is not None:
        said.append(
            f"Best trial {report.best.trial_index}: {name_measure(report.experiment)} {report.best.score:.4f} at "
            f"{format_point(report.best.hyperparameters)}"
        )
    return said


def name_measure(experiment: ExperimentRow) -> str:
    """Say what the scores of an experiment's trials are."""
    return "validation accuracy" if are_accuracies(experiment) else "score"


def format_point(point: Mapping[str, Any]) -> str:
    """Show a point on one line.

    Example:
        >>> format_point({"textlstm": 238, "dropout": 0.1533766075303111})
        'textlstm=238, dropout=0.1534'
    """
    return ", ".join(
        f"{one_line(name)}={value:.4g}" if isinstance(value, float) else one_line(f"{name}={value}")
        for name, value in point.items()
    )


class SearchView(Protocol):
    """Who watches a search; no method may fail because nobody is there to read."""

    def note(self, sentence: str) -> None:
        """Something that the user should know."""

    def progress(self, doing: str, done: int, total: int) -> None:
        """How far the corpus is prepared."""

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """The first trial is about to start."""

    def trial_started(self, trial: TrialJob) -> None:
        """A job is about to run."""

    def trial_ended(self, trial: TrialJob, outcome: TrialOutcome) -> None:
        """A job has ended, and is recorded."""

    def look(self) -> Seconds | None:
        """Show how things stand; returns when to be asked again, None for not before a job ends."""

    def end(self, report: SearchReport) -> None:
        """Nothing runs any more."""
