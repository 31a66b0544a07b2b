"""Trainings one after the other, each a trial in results.db.

A training that finished is not repeated. Ctrl-C ends a training at once, and never a write to results.db.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Self

from harness.errors import StoreError
from harness.store.records import (
    EpochRecord,
    ExperimentRecord,
    ExperimentStatus,
    Hyperparameter,
    TrialStatus,
    last_attempts,
    utc_now,
)
from harness.store.store import ResultsStore
from harness.training.child_process import cause_of, train_in_child
from harness.training.environment import describe_environment
from harness.training.recipe import Outcome, Watch

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class DeferredInterrupts:
    """Ctrl-C and SIGTERM raise ``KeyboardInterrupt`` where that is allowed; elsewhere they are deferred.

    A context manager. Python delivers signals to the main thread, so in any other thread this does nothing.
    """

    def __init__(self) -> None:
        self._is_allowed = False
        self._is_pending = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if exception_type is None:
            self.check()

    def check(self) -> None:
        """Raise a deferred interrupt.

        Raises:
            KeyboardInterrupt: a signal came where it was not allowed to raise
        """
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal raise inside the block."""
        self._is_allowed = True
        try:
            self.check()
            yield
        finally:
            self._is_allowed = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Defer signals to the end of the block; used inside an ``allowed`` block."""
        self._is_allowed = False
        try:
            yield
        finally:
            self._is_allowed = True
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # Kept where it raises too: Python drops what is raised while it frees an object; the next check raises again.
        self._is_pending = True
        if self._is_allowed:
            raise KeyboardInterrupt


class TrainingsView(typing.Protocol):
    """Shows people how the trainings go."""

    def begin(self, num_trainings: int, num_finished: int) -> None:
        """Say how many trainings there are, and how many were finished before."""

    def training(self, title: str, seed: int) -> None:
        """Say that a training begins."""

    def epoch(self, stage: str, epoch: int, max_epochs: int) -> None:
        """Say that an epoch has ended."""

    def ended(self, title: str, seed: int, sentence: str) -> None:
        """Say how a training ended."""


@dataclass(frozen=True)
class PlannedExperiment:
    """One set of hyperparameters on one split, trained with several seeds: one experiment, known by its identity.

    Attributes:
        title: its name in messages
        seeds: by trial index
        train: called with a trial index
        is_apart: whether each training has a process of its own; ``train`` must then be one that can be pickled
    """

    title: str
    record: ExperimentRecord
    hyperparameters: Mapping[str, Hyperparameter]
    seeds: Mapping[int, int]
    train: Callable[[int, Watch], Outcome]
    is_apart: bool = False


@dataclass(frozen=True)
class Execution:
    """The store, the view and the settings that all trainings of one command share.

    Attributes:
        opening_id: of the test evaluation on record; None where the test session stays sealed
        threads: of a training, for the record
    """

    results: ResultsStore
    view: TrainingsView
    threads: int
    opening_id: int | None = None
    interrupts: DeferredInterrupts = field(default_factory=DeferredInterrupts, init=False)


def carry_out(execution: Execution, experiments: Sequence[PlannedExperiment]) -> int:
    """Train every seed that is not finished yet.

    A training that fails is recorded with its cause, and the next begins.

    Returns:
        the number of trainings that failed

    Raises:
        StoreError: the results cannot be written
        KeyboardInterrupt: interrupted; the current training is recorded as stopped
    """
    missing = [_missing_indices(execution, experiment) for experiment in experiments]
    num_trainings = sum(len(experiment.seeds) for experiment in experiments)
    execution.view.begin(num_trainings, num_trainings - sum(map(len, missing)))
    with execution.interrupts:
        pairs = zip(experiments, missing, strict=True)
        return sum(_carry_out_one(execution, experiment, indices) for experiment, indices in pairs if indices)


def _missing_indices(execution: Execution, experiment: PlannedExperiment) -> list[int]:
    found = execution.results.find_experiment(experiment.record.identity)
    trials = [] if found is None else last_attempts(execution.results.trials(found.eid))
    for trial in trials:
        if trial.status is TrialStatus.RUNNING:
            # The caller holds the lock of this kind of experiment, so no process is training it.
            message = "its process ended before the training did"
            execution.results.finish_trial(trial.trial_id, TrialStatus.KILLED, message=message)
    finished = {trial.trial_index for trial in trials if trial.status is TrialStatus.FINISHED}
    return [index for index in experiment.seeds if index not in finished]


def _carry_out_one(execution: Execution, experiment: PlannedExperiment, indices: Sequence[int]) -> int:
    results, record = execution.results, experiment.record
    known = results.find_experiment(record.identity)
    if known is None:
        eid = results.create_experiment(record)
    else:
        eid = known.eid
        results.resume_experiment(eid, max(known.num_samples, record.num_samples), record.settings)
    num_failed = 0
    try:
        for trial_index in indices:
            execution.interrupts.check()
            num_failed += not _train_one(execution, experiment, eid, trial_index)
    except BaseException:
        with suppress(StoreError):
            results.update_experiment(eid, ExperimentStatus.INTERRUPTED, utc_now())
        raise
    status = ExperimentStatus.FAILED if num_failed else ExperimentStatus.FINISHED
    results.update_experiment(eid, status, utc_now())
    return num_failed


def _train_one(execution: Execution, experiment: PlannedExperiment, eid: int, trial_index: int) -> bool:
    """Train with one seed, and return whether it finished."""
    results, view, record = execution.results, execution.view, experiment.record
    seed = experiment.seeds[trial_index]
    trial_id = results.start_trial(eid, trial_index, seed, experiment.hyperparameters)

    def record_epoch(epoch: EpochRecord) -> None:
        with execution.interrupts.held_back():
            results.record_epoch(trial_id, epoch)

    def show(stage: str, epoch: int) -> None:
        view.epoch(stage, epoch, record.max_epochs)

    try:
        results.record_job(trial_id, os.getpid(), platform.node())
        environment = describe_environment(execution.threads, record.corpus_hash, record.protocol_hash)
        results.record_environment(trial_id, environment)
        view.training(experiment.title, seed)
        with execution.interrupts.allowed():
            watch = Watch(record_epoch, show)
            if experiment.is_apart:
                outcome = train_in_child(partial(experiment.train, trial_index), execution.threads, watch)
            else:
                outcome = experiment.train(trial_index, watch)
    except StoreError:
        raise
    except Exception as error:
        status, message = cause_of(error)
        results.finish_trial(trial_id, status, message=message)
        view.ended(experiment.title, seed, f"{status}: {message}")
        return False
    except BaseException:
        results.finish_trial(trial_id, TrialStatus.STOPPED, message="broken off")
        raise
    results.record_result(trial_id, outcome.result)
    for scores in outcome.scores:
        assert execution.opening_id is not None, "a score on the test set without a test evaluation on record"
        results.record_trial_test_scores(trial_id, execution.opening_id, scores)
    results.finish_trial(trial_id, TrialStatus.FINISHED, score=outcome.result.score)
    view.ended(experiment.title, seed, _describe(outcome))
    return True


def _describe(outcome: Outcome) -> str:
    if not outcome.scores:
        return f"{100 * outcome.result.score:.2f} % at epoch {outcome.result.best_epoch}, on validation"
    scores = outcome.scores[0]
    written = f"{100 * scores.weighted_accuracy:.2f} %"
    return written if scores.epoch is None else f"{written} at epoch {scores.epoch}, {scores.kind}"
