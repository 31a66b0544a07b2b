"""The trainings of the tables, one after the other in this process; what is finished is never trained again."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import StoreError
from harness.features.store import FeatureStore
from harness.provenance import git_revision, package_versions, user_name
from harness.store.records import (
    EpochRecord,
    ExperimentStatus,
    TestOpening,
    TrialEnvironment,
    TrialStatus,
    utc_now,
)
from harness.store.results import ResultsStore
from harness.tables.experiments import (
    CorpusFacts,
    TableExperiment,
    TablesSettings,
    describe_experiment,
    find_trials,
    hyperparameters_of,
)
from harness.tables.interrupts import Interrupts
from harness.tables.splits import make_parts
from harness.tables.training import Outcome, Training, cause_of, train


class TablesView(Protocol):
    """What people see of the trainings."""

    def begin(self, num_trainings: int, num_finished: int) -> None:
        """Say how many trainings there are, and how many were finished before."""

    def training(self, title: str, seed: int) -> None:
        """Say that a training begins."""

    def epoch(self, stage: str, epoch: int, max_epochs: int) -> None:
        """Say that an epoch has ended."""

    def ended(self, title: str, seed: int, sentence: str) -> None:
        """Say what a training came to."""


@dataclass(frozen=True)
class Work:
    """What every training of one invocation shares.

    Attributes:
        opening_id: the record that the test session was opened
        threads: of a training, for the record
    """

    settings: TablesSettings
    corpus: CorpusFacts
    store: FeatureStore
    results: ResultsStore
    view: TablesView
    opening_id: int
    threads: int
    interrupts: Interrupts = field(default_factory=Interrupts)


def record_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
    """
    return results.record_opening(
        TestOpening(
            eid=None,
            command=command,
            protocol=settings.protocol,
            corpus_hash=corpus.corpus_hash,
            seeds=settings.seeds,
            host=platform.node(),
            user=user_name(),
        )
    )


def carry_out(work: Work, experiments: Sequence[TableExperiment]) -> int:
    """Train what is not finished yet.

    A training that fails is recorded with its cause, and the next begins.

    Returns:
        the number of trainings that failed

    Raises:
        StoreError: the results cannot be written
        KeyboardInterrupt: broken off; the training at work is recorded as stopped
    """
    missing = {experiment: _missing_seeds(work, experiment) for experiment in experiments}
    num_missing = sum(len(seeds) for seeds in missing.values())
    num_trainings = len(experiments) * len(work.settings.seeds)
    work.view.begin(num_trainings, num_trainings - num_missing)
    with work.interrupts:
        return sum(_carry_out_one(work, experiment, seeds) for experiment, seeds in missing.items() if seeds)


def _missing_seeds(work: Work, experiment: TableExperiment) -> list[int]:
    trials = find_trials(work.results, experiment, work.settings, work.corpus.corpus_hash)
    for trial in trials.values():
        if trial.status is TrialStatus.RUNNING:
            # This process alone trains for these results, so nobody is at work on it.
            message = "its process ended before the training did"
            work.results.finish_trial(trial.trial_id, TrialStatus.KILLED, message=message)
    finished = {seed for seed, trial in trials.items() if trial.status is TrialStatus.FINISHED}
    return [seed for seed in work.settings.seeds if seed not in finished]


def _carry_out_one(work: Work, experiment: TableExperiment, seeds: Sequence[int]) -> int:
    record = describe_experiment(experiment, work.settings, work.corpus)
    known = work.results.find_experiment(record.identity)
    eid = work.results.create_experiment(record) if known is None else known.eid
    work.results.update_experiment(eid, ExperimentStatus.RUNNING)
    num_failed = 0
    try:
        for seed in seeds:
            work.interrupts.check()
            num_failed += not _train_one(work, experiment, eid, seed)
    except BaseException:
        with suppress(StoreError):
            work.results.update_experiment(eid, ExperimentStatus.INTERRUPTED, utc_now())
        raise
    status = ExperimentStatus.FAILED if num_failed else ExperimentStatus.FINISHED
    work.results.update_experiment(eid, status, utc_now())
    return num_failed


def _train_one(work: Work, experiment: TableExperiment, eid: int, seed: int) -> bool:
    """Train one seed, and return whether it finished."""
    results = work.results
    trial_id = results.start_trial(eid, seed, seed, hyperparameters_of(experiment))

    def record_epoch(epoch: EpochRecord) -> None:
        with work.interrupts.held_back():
            results.record_epoch(trial_id, epoch)

    def show(stage: str, epoch: int) -> None:
        work.view.epoch(stage, epoch, work.settings.max_epochs)

    try:
        results.record_job(trial_id, os.getpid(), platform.node())
        results.record_environment(trial_id, _describe_environment(work, experiment))
        work.view.training(experiment.title, seed)
        training = Training(experiment, work.settings, seed, record_epoch, show)
        with work.interrupts.allowed():
            parts = make_parts(experiment.split, experiment.protocol, work.store)
            outcome = train(training, work.store, parts)
    except StoreError:
        raise
    except Exception as error:
        status, message = cause_of(error)
        results.finish_trial(trial_id, status, message=message)
        work.view.ended(experiment.title, seed, f"{status}: {message}")
        return False
    except BaseException:
        results.finish_trial(trial_id, TrialStatus.STOPPED, message="broken off")
        raise
    _record(work, trial_id, outcome)
    work.view.ended(experiment.title, seed, _describe(outcome))
    return True


def _record(work: Work, trial_id: int, outcome: Outcome) -> None:
    work.results.record_result(trial_id, outcome.result)
    for scores in outcome.scores:
        work.results.record_trial_test_scores(trial_id, work.opening_id, scores)
    work.results.finish_trial(trial_id, TrialStatus.FINISHED, score=outcome.result.score)


def _describe(outcome: Outcome) -> str:
    scores = outcome.scores[0]
    written = f"{100 * scores.weighted_accuracy:.2f} %"
    return written if scores.epoch is None else f"{written} at epoch {scores.epoch}, {scores.kind}"


def _describe_environment(work: Work, experiment: TableExperiment) -> TrialEnvironment:
    return TrialEnvironment(
        threads=work.threads,
        versions=package_versions(),
        git_revision=git_revision(),
        corpus_hash=work.corpus.corpus_hash,
        protocol_hash=experiment.protocol.protocol_hash,
        host=platform.node(),
        pid=os.getpid(),
    )
