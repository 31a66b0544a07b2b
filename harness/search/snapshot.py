"""Looking at a running search: results.db in a moment, its lock, and the processes of this machine.

What there is to see of a running search, and the same as JSON.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from harness.corpus.utterances import Seconds
from harness.errors import StoreError
from harness.search.jobs import is_same_process
from harness.search.lock import Holder, find_holder, lock_path, read_holder
from harness.search.process import private_memory, process_memory
from harness.search.view import (
    Ending,
    SearchReport,
    TrialTime,
    estimate_search,
    estimate_trial,
    list_durations,
    measure_epoch,
    name_measure,
    seconds_between,
)
from harness.store.connection import creation_lock_path, read_version
from harness.store.records import (
    EpochRecord,
    ExperimentRow,
    ExperimentStatus,
    Hyperparameter,
    TrialRow,
    TrialStatus,
    best_of,
    last_attempts,
    utc_now,
)
from harness.store.schema import SCHEMA_VERSION
from harness.store.store import ResultsReader

#: Version of what ``to_json`` returns: a new one wherever a name or its meaning changes.
JSON_SCHEMA = 1

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
        return sum(trial.status.is_failure for trial in self.attempts)

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


#: Failed attempts that are told of, latest first.
_MAX_FAILURES = 5


def watch_search(results_dir: Path, eid: int | None) -> Watched:
    """Look at a search once, and change no result: no lock is kept, no transaction stays open.

    Where a killed process left its log behind, SQLite folds it into results.db as it closes.

    Args:
        eid: the experiment; None for the latest search

    Raises:
        StoreError: results.db cannot be read, has no such experiment, is of an earlier version, or is written on
            another machine
    """
    _refuse_other_machines(results_dir)
    path = results_dir / "results.db"
    version = read_version(path)
    if 0 < version < SCHEMA_VERSION and find_holder(creation_lock_path(path)) is None:
        # Nobody is making it, step by step: what is still of an earlier version now was so before.
        version = read_version(path)
        if version < SCHEMA_VERSION:
            raise StoreError(
                f"results database '{path}': written by an earlier harness (schema {version}, this one's is "
                f"{SCHEMA_VERSION}); watching changes nothing: let its search end, and run harness report once"
            )
    if version < SCHEMA_VERSION:
        return _waiting(results_dir, _find_preparing(results_dir, ()))
    with ResultsReader.open_readonly(path) as reader:
        watched = _read(reader, results_dir, eid)
        if watched.state is WatchState.ABANDONED:
            # It may have ended between two of our looks; what is still so now has been so before.
            watched = _read(reader, results_dir, eid)
    return watched


def _refuse_other_machines(results_dir: Path) -> None:
    """Refuse a database that another machine may be writing: SQLite's log has its index in one machine's memory."""
    for path in sorted([*results_dir.glob("*.lock"), *(results_dir / "experiments").glob("*.lock")]):
        holder = read_holder(path)
        if holder.host not in (None, platform.node()):
            raise StoreError(
                f"results folder '{results_dir}': process {holder.pid} on {holder.host} took it at {holder.since}, and "
                f"its database can be read on that machine alone; run harness watch on {holder.host}, or, where that "
                "process was killed, go on with the search first"
            )


def _read(reader: ResultsReader, results_dir: Path, eid: int | None) -> Watched:
    holders = _find_holders(results_dir, reader.experiments())
    with reader.snapshot():
        chosen = max(holders, default=None) if eid is None else eid
        experiment = reader.latest_experiment() if chosen is None else reader.experiment(chosen)
        if experiment is None:
            return _waiting(results_dir, _find_preparing(results_dir, ()))
        attempts = reader.trials(experiment.eid)
        epochs = {trial.trial_id: reader.epochs(trial.trial_id) for trial in attempts if _runs(trial)}
    failed = sorted((trial for trial in attempts if trial.status.is_failure), key=lambda trial: -trial.trial_id)
    watched = Watched(
        results=str(results_dir),
        state=WatchState.ENDED,
        experiment=experiment,
        attempts=tuple(last_attempts(attempts)),
        best=best_of(attempts, experiment.target),
        failures=tuple(failed[:_MAX_FAILURES]),
    )
    if experiment.status is not ExperimentStatus.RUNNING:
        preparing = _find_preparing(results_dir, holders.values()) if eid is None else None
        return watched if preparing is None else _waiting(results_dir, preparing)
    holder = find_holder(lock_path(results_dir, experiment.name, experiment.kind))
    if holder is None:
        return replace(watched, state=WatchState.ABANDONED)
    running = _describe_running(experiment, [trial for trial in attempts if _runs(trial)], epochs)
    return replace(
        watched,
        state=WatchState.RUNNING,
        controller=_describe_controller(holder),
        running=running,
        trials_per_hour=_measure_rate(attempts, holder.since),
        seconds_left=estimate_search(
            list_durations(watched.attempts),
            [TrialTime(trial.seconds_so_far, trial.seconds_left) for trial in running],
            num_waiting=replace(watched, state=WatchState.RUNNING).num_left,
            num_at_once=len(running),
        ),
    )


def _waiting(results_dir: Path, holder: Holder | None) -> Watched:
    message = f"No search has begun in '{results_dir}' yet."
    controller = None
    if holder is not None:
        controller = _describe_controller(holder)
        who = "A process" if holder.pid is None else f"Process {holder.pid} on {holder.host}"
        message = f"{who} prepares a search in '{results_dir}'."
    return Watched(str(results_dir), WatchState.WAITING, message=message, controller=controller)


def _find_holders(results_dir: Path, experiments: Sequence[ExperimentRow]) -> dict[int, Path]:
    """Find the running experiments that a living process holds: their locks by eid."""
    running = [experiment for experiment in experiments if experiment.status is ExperimentStatus.RUNNING]
    locks = {experiment.eid: lock_path(results_dir, experiment.name, experiment.kind) for experiment in running}
    return {eid: path for eid, path in locks.items() if find_holder(path) is not None}


def _find_preparing(results_dir: Path, at_work: Collection[Path]) -> Holder | None:
    """Find a controller that has taken its lock and has not yet begun with its experiment.

    Args:
        at_work: locks of the experiments that run already
    """
    for path in sorted((results_dir / "experiments").glob("*.lock")):
        if path not in at_work and (holder := find_holder(path)) is not None:
            return holder
    return None


def _describe_controller(holder: Holder) -> Controller:
    memory_bytes = None
    if holder.pid is not None and holder.host == platform.node():
        try:
            memory_bytes = process_memory(psutil.Process(holder.pid))
        except (psutil.Error, OSError):
            memory_bytes = None
    return Controller(holder.pid, holder.host, holder.since, memory_bytes)


def _runs(trial: TrialRow) -> bool:
    return trial.status is TrialStatus.RUNNING


def _describe_running(
    experiment: ExperimentRow, trials: Sequence[TrialRow], epochs: Mapping[int, Sequence[EpochRecord]]
) -> tuple[RunningTrial, ...]:
    here = [trial.pid for trial in trials if trial.pid is not None and is_same_process(trial)]
    used = private_memory(here) if here else {}
    return tuple(
        _describe_trial(trial, experiment.max_epochs or None, epochs[trial.trial_id], used.get(trial.pid or 0))
        for trial in trials
    )


def _describe_trial(
    trial: TrialRow, max_epochs: int | None, epochs: Sequence[EpochRecord], memory_bytes: int | None
) -> RunningTrial:
    accuracies = tuple(_number(epoch.validation_accuracy) for epoch in epochs)
    return RunningTrial(
        trial_index=trial.trial_index,
        attempt=trial.attempt,
        point=trial.hyperparameters,
        pid=trial.pid,
        host=trial.host,
        started_at=trial.started_at,
        seconds_so_far=seconds_between(trial.started_at, utc_now()),
        num_epochs=len(epochs),
        max_epochs=max_epochs,
        validation_accuracy=accuracies[-1] if accuracies else None,
        best_validation_accuracy=trial.best_validation_accuracy,
        validation_accuracies=accuracies,
        seconds_per_epoch=measure_epoch(epochs),
        seconds_left=estimate_trial(epochs, max_epochs),
        # A process that has ended meanwhile has none.
        memory_bytes=memory_bytes or None,
    )


def _measure_rate(attempts: Sequence[TrialRow], since: str | None) -> float | None:
    """Count the trials that ended in an hour, from the first one that this controller began."""
    begun = [trial for trial in attempts if since is not None and trial.started_at >= since]
    ended = {trial.trial_index for trial in begun if trial.ended_at is not None}
    if not ended:
        return None
    seconds = seconds_between(min(trial.started_at for trial in begun), utc_now())
    return len(ended) / seconds * 3600 if seconds > 0 else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
