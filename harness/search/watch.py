"""Looking at a running search: results.db in a moment, its lock, and the processes of this machine."""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from harness.errors import StoreError
from harness.search.job_process import private_memory, process_memory
from harness.search.lock import Holder, find_holder, lock_path, read_holder
from harness.search.orphans import is_same_process
from harness.search.time_left import (
    TrialTime,
    estimate_search,
    estimate_trial,
    list_durations,
    measure_epoch,
    seconds_between,
)
from harness.search.watched import Controller, RunningTrial, Watched, WatchState, has_failed
from harness.store.connection import creation_lock_path, read_version
from harness.store.queries import ResultsReader
from harness.store.records import EpochRecord, ExperimentRow, ExperimentStatus, TrialRow, TrialStatus, utc_now
from harness.store.schema import SCHEMA_VERSION
from harness.store.scores import best_of

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
    last = {trial.trial_index: trial for trial in attempts}
    failed = sorted(filter(has_failed, attempts), key=lambda trial: -trial.trial_id)
    watched = Watched(
        results=str(results_dir),
        state=WatchState.ENDED,
        experiment=experiment,
        attempts=tuple(last[index] for index in sorted(last)),
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
