"""What there is to see of a running search, and the same as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.view import Ending, SearchReport, name_measure
from harness.store.records import (
    ExperimentRow,
    ExperimentStatus,
    Hyperparameter,
    TrialRow,
    TrialStatus,
    utc_now,
)

#: Version of what ``to_json`` returns: a new one wherever a name or its meaning changes.
JSON_SCHEMA = 1

_NO_FAILURES = (TrialStatus.FINISHED, TrialStatus.RUNNING, TrialStatus.STOPPED)
_ENDINGS = {
    ExperimentStatus.FINISHED: Ending.DONE,
    ExperimentStatus.FAILED: Ending.TOO_MANY_FAILURES,
    ExperimentStatus.INTERRUPTED: Ending.INTERRUPTED,
    # Nobody runs it any more, and nobody has said so.
    ExperimentStatus.RUNNING: Ending.INTERRUPTED,
}


class WatchState(StrEnum):
    """Whether there is something to watch."""

    WAITING = "waiting"  # no search has begun, or one is preparing its corpus
    RUNNING = "running"
    ABANDONED = "abandoned"  # its controller was killed
    ENDED = "ended"


@dataclass(frozen=True)
class Controller:
    """The process that runs the experiment.

    Attributes:
        pid, host, since: None where it has only just begun
        memory_bytes: private; None on another machine
    """

    pid: int | None
    host: str | None
    since: str | None
    memory_bytes: int | None


@dataclass(frozen=True)
class RunningTrial:
    """One running trial.

    Attributes:
        validation_accuracies: of its epochs so far, from 0 to 1; None for one that is no number
        seconds_per_epoch: the median, so that the first epoch's compilation does not count
        seconds_left: at most, as an early end cannot be foreseen; None before the first epoch
        memory_bytes: private, of its whole process group; None on another machine
    """

    trial_index: int
    attempt: int
    point: Mapping[str, Hyperparameter]
    pid: int | None
    host: str | None
    started_at: str
    seconds_so_far: Seconds
    num_epochs: int
    max_epochs: int | None
    validation_accuracy: float | None
    best_validation_accuracy: float | None
    validation_accuracies: tuple[float | None, ...]
    seconds_per_epoch: Seconds | None
    seconds_left: Seconds | None
    memory_bytes: int | None


@dataclass(frozen=True)
class Watched:
    """What there is to see of a search.

    Attributes:
        message: what there is to wait for; None once a search has begun
        attempts: the last one at each trial, by trial index
        running: none of them where nobody runs the experiment
        failures: the latest failed attempts, latest first
        trials_per_hour: ended by this controller; None before the first end
        seconds_left: for the whole search, if trials keep taking as long; None before there is a measure
    """

    results: str
    state: WatchState
    read_at: str = field(default_factory=utc_now)
    message: str | None = None
    experiment: ExperimentRow | None = None
    controller: Controller | None = None
    attempts: tuple[TrialRow, ...] = ()
    running: tuple[RunningTrial, ...] = ()
    best: TrialRow | None = None
    failures: tuple[TrialRow, ...] = ()
    trials_per_hour: float | None = None
    seconds_left: Seconds | None = None

    @property
    def num_trials(self) -> int:
        """Trials in all."""
        return max(len(self.attempts), self.experiment.num_samples if self.experiment else 0)

    @property
    def num_finished(self) -> int:
        """Trials that have a score."""
        return sum(trial.status is TrialStatus.FINISHED for trial in self.attempts)

    @property
    def num_running(self) -> int:
        """Trials that run; what a dead controller has left counts among those that are left to do."""
        is_abandoned = self.state is WatchState.ABANDONED
        return 0 if is_abandoned else sum(trial.status is TrialStatus.RUNNING for trial in self.attempts)

    @property
    def num_failed(self) -> int:
        """Trials whose last attempt failed."""
        return sum(has_failed(trial) for trial in self.attempts)

    @property
    def num_left(self) -> int:
        """Trials that have not begun, or run again when the search goes on."""
        return self.num_trials - self.num_finished - self.num_running - self.num_failed

    @property
    def scores(self) -> tuple[float, ...]:
        """The finished trials' scores, in the order in which they ended."""
        finished = [trial for trial in self.attempts if trial.score is not None]
        return tuple(trial.score or 0.0 for trial in sorted(finished, key=lambda trial: trial.ended_at or ""))

    def report(self) -> SearchReport:
        """Return the search's end as `aup` sums it up; only where there is an experiment.

        What a dead controller left running has not ended, and is not counted.
        """
        assert self.experiment is not None
        statuses = Counter(
            trial.status
            for trial in self.attempts
            if self.state is not WatchState.ABANDONED or trial.status is not TrialStatus.RUNNING
        )
        ending = _ENDINGS[self.experiment.status]
        return SearchReport(self.experiment, ending, self.num_trials, statuses, self.best, max_failures=0)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; ``docs/watch.md`` says what each name means."""
        return {
            "schema": JSON_SCHEMA,
            "results": self.results,
            "read_at": self.read_at,
            "state": self.state.value,
            "message": self.message,
            "experiment": None if self.experiment is None else _experiment_json(self.experiment),
            "controller": None if self.controller is None else asdict(self.controller),
            "trials": {
                "total": self.num_trials,
                "finished": self.num_finished,
                "running": self.num_running,
                "failed": self.num_failed,
                "left": self.num_left,
            },
            "trials_per_hour": self.trials_per_hour,
            "seconds_left": self.seconds_left,
            "best": None if self.best is None else _best_json(self.best),
            "running": [asdict(trial) for trial in self.running],
            "failures": [_failure_json(trial) for trial in self.failures],
        }


def has_failed(trial: TrialRow) -> bool:
    """Whether an attempt has ended by a failure of its own."""
    return trial.status not in _NO_FAILURES


def _experiment_json(experiment: ExperimentRow) -> dict[str, Any]:
    return {
        "eid": experiment.eid,
        "name": experiment.name,
        "kind": experiment.kind.value,
        "system": experiment.system,
        "protocol": experiment.protocol_name,
        "is_synthetic": experiment.is_synthetic,
        "shortened": experiment.shortened,
        "status": experiment.status.value,
        "target": experiment.target,
        "measure": name_measure(experiment),
        "created_at": experiment.created_at,
        "ended_at": experiment.ended_at,
    }


def _best_json(trial: TrialRow) -> dict[str, Any]:
    return {
        "trial_index": trial.trial_index,
        "score": trial.score,
        "best_epoch": trial.best_epoch,
        "point": dict(trial.hyperparameters),
    }


def _failure_json(trial: TrialRow) -> dict[str, Any]:
    return {
        "trial_index": trial.trial_index,
        "attempt": trial.attempt,
        "status": trial.status.value,
        "message": trial.message,
        "ended_at": trial.ended_at,
    }
