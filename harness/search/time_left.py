"""How long a trial and a search will still take, if what is to come takes as long as what has been."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.corpus.utterances import Seconds
from harness.store.records import EpochRecord, TrialRow, TrialStatus


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
