"""What a search tells whoever watches it.

How long a trial and a search will still take, if what is to come takes as long as what has been.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.store.records import EpochRecord, ExperimentRow, TrialRow, TrialStatus, are_accuracies

if TYPE_CHECKING:
    from harness.search.outcome import TrialJob, TrialOutcome
    from harness.store.store import ResultsStore


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


@dataclass(frozen=True)
class TrialTime:
    """How long a running trial has run, and at most still runs; the latter None before its first epoch."""

    seconds_so_far: Seconds
    seconds_left: Seconds | None


def measure_epoch(epochs: Sequence[EpochRecord]) -> Seconds | None:
    """Return the median epoch's time, so that the first one's compilation does not count; None before any."""
    durations = [epoch.seconds for epoch in epochs if math.isfinite(epoch.seconds)]
    return statistics.median(durations) if durations else None


def estimate_trial(epochs: Sequence[EpochRecord], max_epochs: int | None) -> Seconds | None:
    """Estimate what a trial takes at most, as an early end cannot be foreseen; None where nothing is known.

    Args:
        epochs: those that it has done
        max_epochs: None where there is no such number
    """
    each = measure_epoch(epochs)
    return None if each is None or max_epochs is None else each * max(0, max_epochs - len(epochs))


def estimate_search(
    took: Sequence[Seconds], running: Sequence[TrialTime], num_waiting: int, num_at_once: int
) -> Seconds | None:
    """Share what is left among as many trials at once; each as long as the finished ones took.

    Args:
        took: of the finished trials; where there is none, the running ones are all that is known
        num_waiting: trials that have not begun

    Example:
        >>> estimate_search([60.0], [TrialTime(20.0, 30.0)], num_waiting=3, num_at_once=2)
        110.0
    """
    foreseen = [trial.seconds_so_far + trial.seconds_left for trial in running if trial.seconds_left is not None]
    if not (took or foreseen):
        return None
    usual = statistics.fmean(took or foreseen)
    left = [
        usual - trial.seconds_so_far if usual > trial.seconds_so_far else trial.seconds_left or 0.0 for trial in running
    ]
    return max([*left, (usual * num_waiting + sum(left)) / max(1, num_at_once)])


def list_durations(attempts: Sequence[TrialRow]) -> list[Seconds]:
    """Return how long each finished trial took, from its start to its end."""
    return [
        seconds_between(trial.started_at, trial.ended_at)
        for trial in attempts
        if trial.status is TrialStatus.FINISHED and trial.ended_at is not None
    ]


def seconds_between(start: str, end: str) -> Seconds:
    """Return the seconds between two times as results.db has them; 0 where a clock was set back between."""
    return max(0.0, (_parse_time(end) - _parse_time(start)).total_seconds())


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
