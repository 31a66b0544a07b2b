"""Trainings one after the other in this process, each a trial in results.db; none that finished is repeated."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

from harness import __version__
from harness.best_point import BestPoint
from harness.errors import StoreError
from harness.provenance import git_revision, package_versions
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    ExperimentRecord,
    ExperimentRow,
    ExperimentStatus,
    Hyperparameter,
    TrialEnvironment,
    TrialRow,
    TrialStatus,
    utc_now,
)
from harness.store.results import ResultsStore
from harness.tables.experiments import hash_identity
from harness.tables.interrupts import Interrupts
from harness.tables.training import Outcome, Watch, cause_of

_COMMANDS = {ExperimentKind.LEAKS: "leaks", ExperimentKind.REPLICATION: "replicate"}


class TrainingsView(Protocol):
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
class Repeated:
    """One point on one split, trained with several seeds: one experiment, found again by its identity.

    Attributes:
        title: how messages call it
        seeds: by trial index
        train: called with a trial index
    """

    title: str
    record: ExperimentRecord
    point: Mapping[str, Hyperparameter]
    seeds: Mapping[int, int]
    train: Callable[[int, Watch], Outcome]


@dataclass(frozen=True)
class Bench:
    """Where trainings are carried out, and who watches.

    Attributes:
        opening_id: the record that the test session was opened; None where it stays sealed
        threads: of a training, for the record
    """

    results: ResultsStore
    view: TrainingsView
    threads: int
    opening_id: int | None = None
    interrupts: Interrupts = field(default_factory=Interrupts)


def describe_follow_up(
    best: BestPoint, kind: ExperimentKind, title: str, num_samples: int, decides: Mapping[str, Any]
) -> ExperimentRecord:
    """Return the row of an experiment that trains the best point of a search again.

    Args:
        title: what stands before the trial's name, e.g. ``"replication"``
        decides: what changes the outcome besides the point; with all that is known of the point it is the
            experiment's identity and stands in its settings
    """
    experiment, spec = best.experiment, best.spec
    vectors = spec.word_vectors
    parts = {
        "kind": kind.value,
        "version": __version__,
        "searched_eid": experiment.eid,
        "searched_trial": best.trial.trial_index,
        "system": spec.system,
        "hyperparameters": asdict(best.choices),
        "corpus": experiment.corpus_hash,
        **{f"protocol {key}": choice for key, choice in spec.protocol.to_json().items() if key != "name"},
        "max_epochs": spec.max_epochs,
        "patience": spec.patience,
        "word_vectors": None if vectors is None else [vectors.name, vectors.stat().st_size],
        **decides,
    }
    return replace(
        record_of(experiment),
        name=f"{title} of {best.title}",
        identity=hash_identity(parts),
        seed=0,
        num_samples=num_samples,
        target="max",
        script=f"harness {_COMMANDS[kind]}",
        search_space="[]",
        settings=json.dumps(parts, sort_keys=True),
        package_version=__version__,
        created_at=utc_now(),
        status=ExperimentStatus.RUNNING,
        kind=kind,
    )


def record_of(experiment: ExperimentRow) -> ExperimentRecord:
    """Return what an experiment's row was created from."""
    return ExperimentRecord(**{each.name: getattr(experiment, each.name) for each in fields(ExperimentRecord)})


def find_attempts(results: ResultsStore, identity: str) -> dict[int, TrialRow]:
    """Return the latest attempt at each trial index of the experiment of that identity; none where there is none."""
    found = results.find_experiment(identity)
    # Attempts come in order, so that the last of an index stays.
    return {} if found is None else {trial.trial_index: trial for trial in results.trials(found.eid)}


def carry_out(bench: Bench, experiments: Sequence[Repeated]) -> int:
    """Train what is not finished yet.

    A training that fails is recorded with its cause, and the next begins.

    Returns:
        the number of trainings that failed

    Raises:
        StoreError: the results cannot be written
        KeyboardInterrupt: broken off; the training at work is recorded as stopped
    """
    missing = [_missing_indices(bench, experiment) for experiment in experiments]
    num_trainings = sum(len(experiment.seeds) for experiment in experiments)
    bench.view.begin(num_trainings, num_trainings - sum(map(len, missing)))
    with bench.interrupts:
        pairs = zip(experiments, missing, strict=True)
        return sum(_carry_out_one(bench, experiment, indices) for experiment, indices in pairs if indices)


def _missing_indices(bench: Bench, experiment: Repeated) -> list[int]:
    trials = find_attempts(bench.results, experiment.record.identity)
    for trial in trials.values():
        if trial.status is TrialStatus.RUNNING:
            # Whoever calls this holds the lock of this kind of experiment, so nobody is at work on it.
            message = "its process ended before the training did"
            bench.results.finish_trial(trial.trial_id, TrialStatus.KILLED, message=message)
    finished = {index for index, trial in trials.items() if trial.status is TrialStatus.FINISHED}
    return [index for index in experiment.seeds if index not in finished]


def _carry_out_one(bench: Bench, experiment: Repeated, indices: Sequence[int]) -> int:
    results, record = bench.results, experiment.record
    known = results.find_experiment(record.identity)
    if known is None:
        eid = results.create_experiment(record)
    else:
        eid = known.eid
        results.resume_experiment(eid, max(known.num_samples, record.num_samples), record.settings)
    num_failed = 0
    try:
        for trial_index in indices:
            bench.interrupts.check()
            num_failed += not _train_one(bench, experiment, eid, trial_index)
    except BaseException:
        with suppress(StoreError):
            results.update_experiment(eid, ExperimentStatus.INTERRUPTED, utc_now())
        raise
    status = ExperimentStatus.FAILED if num_failed else ExperimentStatus.FINISHED
    results.update_experiment(eid, status, utc_now())
    return num_failed


def _train_one(bench: Bench, experiment: Repeated, eid: int, trial_index: int) -> bool:
    """Train with one seed, and return whether it finished."""
    results, seed = bench.results, experiment.seeds[trial_index]
    trial_id = results.start_trial(eid, trial_index, seed, experiment.point)

    def record_epoch(epoch: EpochRecord) -> None:
        with bench.interrupts.held_back():
            results.record_epoch(trial_id, epoch)

    def show(stage: str, epoch: int) -> None:
        bench.view.epoch(stage, epoch, experiment.record.max_epochs)

    try:
        results.record_job(trial_id, os.getpid(), platform.node())
        results.record_environment(trial_id, _describe_environment(bench, experiment.record))
        bench.view.training(experiment.title, seed)
        with bench.interrupts.allowed():
            outcome = experiment.train(trial_index, Watch(record_epoch, show))
    except StoreError:
        raise
    except Exception as error:
        status, message = cause_of(error)
        results.finish_trial(trial_id, status, message=message)
        bench.view.ended(experiment.title, seed, f"{status}: {message}")
        return False
    except BaseException:
        results.finish_trial(trial_id, TrialStatus.STOPPED, message="broken off")
        raise
    _record(bench, trial_id, outcome)
    bench.view.ended(experiment.title, seed, _describe(outcome))
    return True


def _record(bench: Bench, trial_id: int, outcome: Outcome) -> None:
    bench.results.record_result(trial_id, outcome.result)
    for scores in outcome.scores:
        assert bench.opening_id is not None, "a score on the test set without an opening on record"
        bench.results.record_trial_test_scores(trial_id, bench.opening_id, scores)
    bench.results.finish_trial(trial_id, TrialStatus.FINISHED, score=outcome.result.score)


def _describe(outcome: Outcome) -> str:
    if not outcome.scores:
        return f"{100 * outcome.result.score:.2f} % at epoch {outcome.result.best_epoch}, on validation"
    scores = outcome.scores[0]
    written = f"{100 * scores.weighted_accuracy:.2f} %"
    return written if scores.epoch is None else f"{written} at epoch {scores.epoch}, {scores.kind}"


def _describe_environment(bench: Bench, record: ExperimentRecord) -> TrialEnvironment:
    return TrialEnvironment(
        threads=bench.threads,
        versions=package_versions(),
        git_revision=git_revision(),
        corpus_hash=record.corpus_hash,
        protocol_hash=record.protocol_hash,
        host=platform.node(),
        pid=os.getpid(),
    )
