"""One moment of a search, read from results.db: a running search of this process or of another one, or an ended one.

Includes the estimate of the time that is left, and the same snapshot as JSON for scripts.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from harness.corpus.utterances import Seconds
from harness.errors import StoreError
from harness.search.jobs import is_same_process
from harness.search.lock import Holder, find_holder, lock_path, read_holder
from harness.search.process import private_memory, process_memory
from harness.store.connection import has_tables
from harness.store.records import (
    EpochRecord,
    ExperimentRow,
    ExperimentStatus,
    Hyperparameter,
    TrialRow,
    TrialStatus,
    are_accuracies,
    best_of,
    last_attempts,
    utc_now,
)
from harness.store.store import DATABASE, ResultsStore

#: Version of what ``to_json`` returns: a new one wherever a name or its meaning changes.
JSON_SCHEMA = 1
#: Failed attempts of a snapshot, latest first.
_MAX_FAILURES = 5


class SearchState(StrEnum):
    """The state of a search."""

    WAITING = "waiting"  # no search has begun, or one is preparing its corpus
    RUNNING = "running"
    ABANDONED = "abandoned"  # its controller was killed
    ENDED = "ended"


@dataclass(frozen=True)
class Controller:
    """The process that runs the experiment.

    Attributes:
        pid, host, since: None where it has only just begun
        memory_bytes: private; None on another machine, or where it was not measured
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
        memory_bytes: private, of its whole process group; None on another machine, or where it was not measured
    """

    trial_index: int
    attempt: int
    point: dict[str, Hyperparameter]
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
class SearchSnapshot:
    """One moment of a search.

    Attributes:
        message: the reason for waiting; None once a search has begun
        attempts: every attempt of every trial, by trial index and attempt
        running: empty where no process runs the experiment
        trials_per_hour: ended by this controller; None before the first end
        seconds_left: for the whole search, if trials keep taking as long; None before there is a measure
    """

    results: str
    state: SearchState
    read_at: str = field(default_factory=utc_now)
    message: str | None = None
    experiment: ExperimentRow | None = None
    controller: Controller | None = None
    attempts: tuple[TrialRow, ...] = ()
    running: tuple[RunningTrial, ...] = ()
    best: TrialRow | None = None
    trials_per_hour: float | None = None
    seconds_left: Seconds | None = None

    @cached_property
    def trials(self) -> tuple[TrialRow, ...]:
        """The last attempt of each trial, by trial index."""
        return tuple(last_attempts(self.attempts))

    @property
    def num_trials(self) -> int:
        """Trials in all."""
        return max(len(self.trials), self.experiment.num_samples if self.experiment else 0)

    @property
    def num_finished(self) -> int:
        """Trials that have a score."""
        return sum(trial.status is TrialStatus.FINISHED for trial in self.trials)

    @property
    def num_running(self) -> int:
        """Running trials; what a dead controller has left counts among those that are left to do."""
        is_abandoned = self.state is SearchState.ABANDONED
        return 0 if is_abandoned else sum(trial.status is TrialStatus.RUNNING for trial in self.trials)

    @property
    def num_failed(self) -> int:
        """Trials whose last attempt failed; a killed trial counts as failed until it runs again."""
        return sum(trial.status.is_failure for trial in self.trials)

    @property
    def num_pruned(self) -> int:
        """Trials that early stopping ended."""
        return sum(trial.status is TrialStatus.PRUNED for trial in self.trials)

    @property
    def num_left(self) -> int:
        """Trials that have not begun, or were stopped; a killed trial counts as failed until it runs again."""
        num_ended = sum(trial.status.counts_as_ended for trial in self.trials)
        return self.num_trials - self.num_running - num_ended

    @property
    def failures(self) -> tuple[TrialRow, ...]:
        """The latest failed attempts, latest first."""
        failed = [trial for trial in self.attempts if trial.status.is_failure]
        return tuple(sorted(failed, key=lambda trial: -trial.trial_id)[:_MAX_FAILURES])

    @property
    def scores(self) -> tuple[float, ...]:
        """The finished trials' scores, in the order in which they ended."""
        finished = sorted(self.trials, key=lambda trial: trial.ended_at or "")
        return tuple(trial.score for trial in finished if trial.score is not None)

    @property
    def measure(self) -> str:
        """The name of the scores."""
        assert self.experiment is not None
        return "validation accuracy" if are_accuracies(self.experiment) else "score"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values; ``docs/watch.md`` explains each name."""
        return {
            "schema": JSON_SCHEMA,
            "results": self.results,
            "read_at": self.read_at,
            "state": self.state.value,
            "message": self.message,
            "experiment": None if self.experiment is None else self._experiment_json(self.experiment),
            "controller": None if self.controller is None else asdict(self.controller),
            "trials": {
                "total": self.num_trials,
                "finished": self.num_finished,
                "pruned": self.num_pruned,
                "running": self.num_running,
                "failed": self.num_failed,
                "left": self.num_left,
            },
            "trials_per_hour": self.trials_per_hour,
            "seconds_left": self.seconds_left,
            "best": None if self.best is None else _best_json(self.best),
            "running": [asdict(trial) for trial in self.running],
            "failures": [
                {
                    "trial_index": trial.trial_index,
                    "attempt": trial.attempt,
                    "status": trial.status.value,
                    "message": trial.message,
                    "ended_at": trial.ended_at,
                }
                for trial in self.failures
            ],
        }

    def _experiment_json(self, experiment: ExperimentRow) -> dict[str, Any]:
        return {
            "eid": experiment.eid,
            "name": experiment.name,
            "fold": experiment.fold,
            "kind": experiment.kind.value,
            "system": experiment.system,
            "protocol": experiment.protocol_name,
            "is_synthetic": experiment.is_synthetic,
            "shortened": experiment.shortened,
            "status": experiment.status.value,
            "target": experiment.target,
            "measure": self.measure,
            "created_at": experiment.created_at,
            "ended_at": experiment.ended_at,
        }


def _best_json(trial: TrialRow) -> dict[str, Any]:
    return {
        "trial_index": trial.trial_index,
        "score": trial.score,
        "seed_scores": list(trial.seed_scores),
        "best_epoch": trial.best_epoch,
        "point": dict(trial.hyperparameters),
    }


def watch_search(results_dir: Path, eid: int | None) -> SearchSnapshot:
    """Take a snapshot of any search, and change no result: no lock is kept, no transaction stays open.

    Where a killed process left its log behind, SQLite folds it into results.db as it closes.

    Args:
        eid: the experiment; None for the running one, or else the latest

    Raises:
        StoreError: results.db cannot be read, has no such experiment, is of another version, or is written on
            another machine
    """
    path = results_dir / DATABASE
    # Before its locks are looked for: what cannot be reached is refused by the judgement of every command.
    ResultsStore.exists(path)
    _refuse_other_machines(results_dir)
    if not has_tables(path):
        return _waiting(results_dir, _find_preparing(results_dir, ()))
    with ResultsStore.open_readonly(path) as reader:
        snapshot = _watch(reader, results_dir, eid)
        # The search may have ended between reading its row and its lock: a second look decides.
        return snapshot if snapshot.state is not SearchState.ABANDONED else _watch(reader, results_dir, eid)


def read_search(
    reader: ResultsStore, results_dir: Path, eid: int, holder: Holder | None, measure_memory: bool = True
) -> SearchSnapshot:
    """Read one experiment as it stands.

    Args:
        holder: the process that runs it; None where none does
        measure_memory: of the controller and the running trials, which walks over all processes of this machine
    """
    with reader.snapshot():
        experiment = reader.experiment(eid)
        attempts = reader.trials(eid)
        is_running = experiment.status is ExperimentStatus.RUNNING and holder is not None
        running = [trial for trial in attempts if is_running and trial.status is TrialStatus.RUNNING]
        epochs = [reader.epochs(trial.trial_id) for trial in running]
        last_epochs = reader.query(
            "SELECT trial_id, max(recorded_at) AS recorded_at FROM epochs JOIN trials USING (trial_id) "
            "WHERE eid = ? AND status = 'running' GROUP BY trial_id",
            [eid],
        )
    state = SearchState.ENDED if experiment.status is not ExperimentStatus.RUNNING else SearchState.ABANDONED
    snapshot = SearchSnapshot(
        results=str(results_dir),
        state=SearchState.RUNNING if is_running else state,
        experiment=experiment,
        attempts=tuple(attempts),
        best=best_of(attempts, experiment.target),
    )
    if holder is None or not is_running:
        return snapshot
    here = [trial.pid for trial in running if measure_memory and trial.pid is not None and is_same_process(trial)]
    memory = private_memory(here) if here else {}
    num_seeds = json.loads(experiment.settings).get("seeds_per_trial", 1)
    last_epochs_at = {row["trial_id"]: row["recorded_at"] for row in last_epochs}
    described = tuple(
        _describe_trial(
            trial,
            recorded,
            last_epochs_at.get(trial.trial_id),
            experiment.max_epochs or None,
            num_seeds,
            memory.get(trial.pid or 0),
        )
        for trial, recorded in zip(running, epochs, strict=True)
    )
    # Pruned ones too: as many of those that are left may be.
    ended = [each for each in snapshot.trials if each.status in (TrialStatus.FINISHED, TrialStatus.PRUNED)]
    return replace(
        snapshot,
        controller=_describe_controller(holder, measure_memory),
        running=described,
        trials_per_hour=_measure_rate(attempts, holder.since),
        seconds_left=estimate_search(
            [seconds_between(trial.started_at, trial.ended_at) for trial in ended if trial.ended_at],
            [(trial.seconds_so_far, trial.seconds_left) for trial in described],
            num_waiting=snapshot.num_left,
            num_at_once=len(described),
        ),
    )


def _watch(reader: ResultsStore, results_dir: Path, eid: int | None) -> SearchSnapshot:
    running = [each for each in reader.experiments() if each.status is ExperimentStatus.RUNNING]
    locks = {each.eid: lock_path(results_dir, each.name, each.kind) for each in running}
    holders = {number: holder for number, path in locks.items() if (holder := find_holder(path)) is not None}
    chosen = max(holders, default=None) if eid is None else eid
    if chosen is None:
        latest = reader.latest_experiment()
        if latest is None:
            return _waiting(results_dir, _find_preparing(results_dir, ()))
        chosen = latest.eid
    snapshot = read_search(reader, results_dir, chosen, holders.get(chosen))
    if eid is None and snapshot.state is SearchState.ENDED:
        preparing = _find_preparing(results_dir, [locks[number] for number in holders])
        return snapshot if preparing is None else _waiting(results_dir, preparing)
    return snapshot


def _refuse_other_machines(results_dir: Path) -> None:
    """Refuse a database that another machine may be writing: SQLite's log has its index in one machine's memory."""
    for path in sorted([*results_dir.glob("*.lock"), *(results_dir / "experiments").glob("*.lock")]):
        holder = read_holder(path)
        if holder.host not in (None, platform.node()):
            raise StoreError(
                f"results folder '{results_dir}': process {holder.pid} on {holder.host} has used it since "
                f"{holder.since}, and its database can be read on that machine alone; run harness watch on "
                f"{holder.host}, or, if that process was killed, resume the search first"
            )


def _waiting(results_dir: Path, holder: Holder | None) -> SearchSnapshot:
    message = f"No search has begun in '{results_dir}' yet."
    controller = None
    if holder is not None:
        controller = _describe_controller(holder, measure_memory=True)
        who = "A process" if holder.pid is None else f"Process {holder.pid} on {holder.host}"
        message = f"{who} is preparing a search in '{results_dir}'."
    return SearchSnapshot(str(results_dir), SearchState.WAITING, message=message, controller=controller)


def _find_preparing(results_dir: Path, at_work: Collection[Path]) -> Holder | None:
    """Find a controller that has taken its lock and has not yet begun its experiment.

    Args:
        at_work: locks of the experiments that run already
    """
    for path in sorted((results_dir / "experiments").glob("*.lock")):
        if path not in at_work and (holder := find_holder(path)) is not None:
            return holder
    return None


def _describe_controller(holder: Holder, measure_memory: bool) -> Controller:
    memory_bytes = None
    if measure_memory and holder.pid is not None and holder.host == platform.node():
        try:
            memory_bytes = process_memory(psutil.Process(holder.pid))
        except (psutil.Error, OSError):  # it has just ended
            memory_bytes = None
    return Controller(holder.pid, holder.host, holder.since, memory_bytes)


def _describe_trial(
    trial: TrialRow,
    epochs: Sequence[EpochRecord],
    last_epoch_at: str | None,
    max_epochs: int | None,
    num_seeds: int,
    memory_bytes: int | None,
) -> RunningTrial:
    now = utc_now()
    seconds_since = 0.0 if last_epoch_at is None else seconds_between(last_epoch_at, now)
    accuracies = tuple(
        epoch.validation_accuracy if math.isfinite(epoch.validation_accuracy) else None for epoch in epochs
    )
    return RunningTrial(
        trial_index=trial.trial_index,
        attempt=trial.attempt,
        point=dict(trial.hyperparameters),
        pid=trial.pid,
        host=trial.host,
        started_at=trial.started_at,
        seconds_so_far=seconds_between(trial.started_at, now),
        num_epochs=len(epochs),
        max_epochs=max_epochs,
        validation_accuracy=accuracies[-1] if accuracies else None,
        best_validation_accuracy=trial.best_validation_accuracy,
        validation_accuracies=accuracies,
        seconds_per_epoch=measure_epoch(epochs),
        seconds_left=estimate_trial(epochs, max_epochs, num_seeds, seconds_since),
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


def measure_epoch(epochs: Sequence[EpochRecord]) -> Seconds | None:
    """Return the median epoch's time, so that the first one's compilation does not count; None before any."""
    durations = [epoch.seconds for epoch in epochs if math.isfinite(epoch.seconds)]
    return statistics.median(durations) if durations else None


def estimate_trial(
    epochs: Sequence[EpochRecord], max_epochs: int | None, num_seeds: int = 1, seconds_since: Seconds = 0.0
) -> Seconds | None:
    """Estimate the longest that a trial still takes, as an early end cannot be foreseen; None where nothing is known.

    Only the first seed's epochs are on record, so the time since the last of them counts as time of the other seeds.
    The first seed may wait in it for another trial: its own epochs are always left.

    Args:
        epochs: those that its first seed has done
        max_epochs: of each seed; None where there is no such number
        num_seeds: trainings of the trial, one after the other
        seconds_since: since the last of ``epochs`` was recorded
    """
    each = measure_epoch(epochs)
    if each is None or max_epochs is None:
        return None
    of_first = each * max(0, max_epochs - len(epochs))
    return max(of_first, of_first + each * max_epochs * (num_seeds - 1) - seconds_since)


def estimate_search(
    took: Sequence[Seconds], running: Sequence[tuple[Seconds, Seconds | None]], num_waiting: int, num_at_once: int
) -> Seconds | None:
    """Share what is left among as many trials at once; each takes as long as the ended ones took.

    Args:
        took: by each finished or pruned trial; where there is none, the running ones are all that is known
        running: seconds so far of each running trial, and seconds left at most, None before its first epoch
        num_waiting: trials that have not begun

    Example:
        >>> estimate_search([60.0], [(20.0, 30.0)], num_waiting=3, num_at_once=2)
        110.0
    """
    foreseen = [so_far + left for so_far, left in running if left is not None]
    if not (took or foreseen):
        return None
    usual = statistics.fmean(took or foreseen)
    each_left = [usual - so_far if usual > so_far else left or 0.0 for so_far, left in running]
    return max([*each_left, (usual * num_waiting + sum(each_left)) / max(1, num_at_once)])


def seconds_between(start: str, end: str) -> Seconds:
    """Return the seconds between two times as results.db has them; 0 where a clock was set back between."""
    return max(0.0, (_parse_time(end) - _parse_time(start)).total_seconds())


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
