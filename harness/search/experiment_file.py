"""experiment.json becomes a frozen record here, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.errors import ExperimentFileError, HarnessError
from harness.features.speech import DEFAULT_SPEECH_VARIANT, SPEECH_VARIANTS
from harness.models.systems import System, find_system
from harness.search.auptimizer import MAX_PARALLEL
from harness.search.dask.settings import ClusterSettings, read_cluster
from harness.search.experiment_keys import ExperimentKeys, read_json_object
from harness.search.job_script import JobScript, find_script
from harness.search.known_keys import (
    EXPERIMENT_KEYS,
    JOB_FAILURE_KEYS,
    SEARCH_SPACE_KEYS,
    TRIAL_KEYS,
    check_keys,
    check_near_misses,
)
from harness.search.proposer import PROPOSERS, check_installed
from harness.search.running_jobs import JobLimits
from harness.search.space import SearchSpace
from harness.search.space_file import check_extremes, check_grid, read_search_space
from harness.splits import SEALED_SESSION, Protocol, read_protocol

#: Source: the authors' experiment.
DEFAULT_MAX_EPOCHS = 30
#: A choice, far beyond what a search can run: a list of them is held in memory.
MAX_TRIALS = 1_000_000
#: Auptimizer's, where ``job_failure`` does not say.
DEFAULT_JOB_RETRIES = 3
#: Auptimizer's, allowed where they are switched off.
_FOREIGN_RESOURCE_ARGS = ("early_stop", "save_model", "one_shot")


class Resource(StrEnum):
    """What a job runs on: the machine's processors, its graphics cards, or a Dask cluster."""

    CPU = "cpu"
    GPU = "gpu"
    DASK = "dask"


@dataclass(frozen=True)
class TrainingSettings:
    """What a trial of this package's own is told besides its point.

    Attributes:
        corpus: as it was given; None where the file names none
        patience: epochs without a better one before a trial stops; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        speech_features: a name of ``SPEECH_VARIANTS``
    """

    system: System
    protocol: Protocol
    corpus: Path | None
    max_epochs: int
    patience: int | None
    word_vectors: Path | None
    speech_features: str = DEFAULT_SPEECH_VARIANT


@dataclass(frozen=True)
class ExperimentSettings:
    """One experiment file, complete and checked.

    Attributes:
        space: what is searched
        parameter_config: the same as the file has it, with what Auptimizer's own proposers read
        num_samples: trials to run; None for ``sequence``, which walks its whole grid
        max_failures: failed trials beyond which the search ends and counts as failed; None for the half
        training: None for a script that knows nothing of this package
        job_environment: ``runtime_args.env``, which is never stored
        file: the file as it was read, without what may hold secrets
        cluster: None unless the resource is Dask
    """

    path: Path
    name: str
    script: JobScript
    resource: Resource
    target: str
    proposer: str
    space: SearchSpace
    parameter_config: tuple[Mapping[str, Any], ...]
    num_samples: int | None
    seed: int
    num_parallel: int
    limits: JobLimits
    max_failures: int | None
    training: TrainingSettings | None
    job_environment: Mapping[str, str]
    file: Mapping[str, Any]
    cluster: ClusterSettings | None = None

    @property
    def results_dir(self) -> Path:
        """The folder of everything that the experiment leaves behind."""
        return self.path.parent / "results"

    @property
    def searched(self) -> list[dict[str, Any]]:
        """What decides the points that are proposed, as plain values."""
        searched = self.space.to_json()
        if self.proposer == "sequence":
            for entry, given in zip(searched, self.parameter_config, strict=True):
                entry |= {key: given[key] for key in ("interval", "n") if key in given}
        return searched


def read_experiment_file(path: Path) -> ExperimentSettings:
    """Read and check an experiment file; what it names relatively lies beside it.

    Raises:
        ExperimentFileError: one sentence that names the key, what was found and what is allowed
    """
    path = path.absolute()
    keys = ExperimentKeys(path, read_json_object(path, f"experiment file '{path.name}'"))
    _refuse_unsupported(keys)
    # What nothing reads is said first: a misspelt key would else be reported as missing.
    check = check_keys if "system" in keys.values else check_near_misses
    check(keys.values, EXPERIMENT_KEYS, keys.origin)

    name = keys.text("name")
    resource = Resource(keys.one_of("resource", [kind.value for kind in Resource]))
    cluster = read_cluster(keys, is_wanted=resource is Resource.DASK)
    script = _read_script(keys)
    system = _read_system(keys, script)
    training = None
    if system is not None:
        _check_for_own_trials(keys)
        training = _read_training(keys, system)
    space, entries = _read_space(keys, training)
    proposer = _read_proposer(keys, space, entries)
    limits, max_failures = _read_limits(keys)
    return ExperimentSettings(
        path=path,
        name=name,
        script=script,
        resource=resource,
        target=keys.one_of("target", ["max", "min"]),
        proposer=proposer,
        space=space,
        parameter_config=entries,
        num_samples=None if proposer == "sequence" else keys.whole_number("n_samples", 1, MAX_TRIALS),
        seed=keys.whole_number("random_seed", low=0, default=0),
        num_parallel=keys.whole_number("n_parallel", 1, MAX_PARALLEL, 1 if cluster is None else cluster.num_workers),
        limits=limits,
        max_failures=max_failures,
        training=training,
        job_environment=keys.environment(),
        file=keys.without_environment(),
        cluster=cluster,
    )


def _refuse_unsupported(keys: ExperimentKeys) -> None:
    if "compression" in keys.values:
        raise keys.error("compression", "is given", "no such key: models are searched here, not compressed")
    for key in _FOREIGN_RESOURCE_ARGS:
        if keys.section("resource_args").get(key):
            raise keys.error(f"resource_args.{key}", "is given", "no such key: jobs run to their own end")


def _check_for_own_trials(keys: ExperimentKeys) -> None:
    """Refuse what Auptimizer would keep or allow, and this package's own trials make no sense of."""
    check_keys(keys.values, EXPERIMENT_KEYS, keys.origin)
    check_keys(keys.section("job_failure"), JOB_FAILURE_KEYS, f"{keys.origin}: job_failure")
    for key in keys.section("resource_args"):
        if key not in _FOREIGN_RESOURCE_ARGS:
            raise keys.error(f"resource_args.{key}", "is given", "no such key: nothing reads it")
    if keys.values.get("target") == "min":
        raise keys.error("target", "is 'min'", "'max': the score of harness's own trials is an accuracy")


def _read_script(keys: ExperimentKeys) -> JobScript:
    working_dir = keys.path_of("workingdir", default=Path("."))
    assert working_dir is not None
    if not os.path.isdir(working_dir):
        raise keys.error("workingdir", f"is '{str(working_dir):.300}'", "a folder that exists")
    try:
        return find_script(keys.text("script"), working_dir)
    except ExperimentFileError as error:
        raise ExperimentFileError(f"{keys.origin}: {error}") from error


def _read_system(keys: ExperimentKeys, script: JobScript) -> System | None:
    if "system" not in keys.values and not script.is_harness_trial:
        for key in TRIAL_KEYS:
            if key in keys.values:
                found = f"is given, and script '{script.path.name}' is not harness's own"
                raise keys.error(key, found, "a system beside it")
        return None
    return keys.wrapped("system", find_system, keys.text("system", default="fusion"))


def _read_space(
    keys: ExperimentKeys, training: TrainingSettings | None
) -> tuple[SearchSpace, tuple[Mapping[str, Any], ...]]:
    system = None if training is None else training.system
    check = check_near_misses if system is None else check_keys
    if keys.values.get("search_space") is None:
        expected = "a list of hyperparameters, or a search_space in its place"
        entries = keys.required("parameter_config", expected)
        origin = keys.origin
    elif "parameter_config" in keys.values:
        raise keys.error("search_space", "is given beside parameter_config", "one of the two")
    else:
        path = keys.path_of("search_space")
        assert path is not None
        if path.parent == keys.path.parent and not os.path.exists(path):
            path = path.parent / "search_spaces" / path.name
        origin = f"search space '{keys.values['search_space']}'"
        held = read_json_object(path, origin)
        check(held, SEARCH_SPACE_KEYS, origin)
        named = held.get("system")
        if named is not None and named != (None if system is None else system.name):
            found = "has none" if system is None else f"is of system {system.name!r}"
            raise ExperimentFileError(
                f"{origin}: system is {named!r}, and the experiment {found}; expected the same in both"
            )
        entries = held.get("parameter_config")
    space = read_search_space(entries, origin, system)
    if training is not None:
        check_extremes(space, origin, training.system, training.protocol)
    return space, tuple(dict(entry) for entry in entries)


def _read_proposer(keys: ExperimentKeys, space: SearchSpace, entries: tuple[Mapping[str, Any], ...]) -> str:
    proposer = keys.one_of("proposer", list(PROPOSERS), folds_case=True)
    keys.wrapped("proposer", check_installed, proposer)
    for parameter in space.parameters:
        if proposer != "random" and (parameter.is_log or parameter.step is not None):
            key = "log" if parameter.is_log else "step"
            instead = "; for a grid use interval or n" if proposer == "sequence" else ""
            raise ExperimentFileError(
                f"{keys.origin}: parameter {parameter.name!r}: {key} is given, which proposer {proposer!r} "
                f"does not know; expected it with 'random' only{instead}"
            )
    if proposer == "sequence":
        for parameter, entry in zip(space.parameters, entries, strict=True):
            check_grid(parameter, entry, f"{keys.origin}: parameter {parameter.name!r}")
    return proposer


def _read_limits(keys: ExperimentKeys) -> tuple[JobLimits, int | None]:
    failure = keys.section("job_failure")
    retries = DEFAULT_JOB_RETRIES if failure else 0
    if "job_retries" in failure:
        retries = keys.whole_number("job_failure.job_retries", low=0)
    max_failures = None
    if "max_failures" in keys.values:
        max_failures = keys.whole_number("max_failures", low=0)
    elif failure and not keys.true_or_false("job_failure.ignore_fail", default=False):
        # Auptimizer's meaning: the first failed job ends the experiment.
        max_failures = 0
    limits = JobLimits(keys.positive("timeout_seconds"), keys.memory("memory_limit"), retries)
    return limits, max_failures


def _read_training(keys: ExperimentKeys, system: System) -> TrainingSettings:
    vectors = keys.path_of("word_vectors")
    if vectors is not None and not os.path.isfile(vectors):
        raise keys.error("word_vectors", f"is '{vectors}'", "a GloVe or word2vec text file")
    try:
        protocol = read_protocol(keys.values.get("protocol", "paper"))
    except HarnessError as error:
        raise ExperimentFileError(f"{keys.origin}: {error}") from error
    if protocol.test_session != SEALED_SESSION:
        raise keys.error(
            "protocol",
            f"tests Session {protocol.test_session}, so that a search would train on Session {SEALED_SESSION}",
            f"test_session {SEALED_SESSION}; the others are for `harness tables --leave-one-session-out`",
        )
    return TrainingSettings(
        system=system,
        protocol=protocol,
        corpus=keys.path_of("corpus"),
        max_epochs=keys.whole_number("max_epochs", low=1, default=DEFAULT_MAX_EPOCHS),
        patience=keys.whole_number("patience", low=1) if keys.values.get("patience") is not None else None,
        word_vectors=vectors,
        speech_features=keys.one_of("speech_features", sorted(SPEECH_VARIANTS), default=DEFAULT_SPEECH_VARIANT),
    )
