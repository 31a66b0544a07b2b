"""Which keys an experiment file and a search space may have, and the sentence for any other."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from harness.errors import ExperimentFileError

#: What only this package's own trials read.
TRIAL_KEYS = ("corpus", "protocol", "max_epochs", "patience", "word_vectors", "speech_features")
EXPERIMENT_KEYS = (
    *("name", "description", "script", "resource", "target", "proposer", "parameter_config", "n_samples"),
    *("random_seed", "n_parallel", "workingdir", "job_failure", "resource_args", "runtime_args", "engine"),
    *("cwd", "system", "search_space", "timeout_seconds", "memory_limit", "max_failures", "cluster", *TRIAL_KEYS),
)
JOB_FAILURE_KEYS = ("ignore_fail", "job_retries")
SEARCH_SPACE_KEYS = ("system", "description", "parameter_config")
#: ``interval`` and ``n`` are those of Auptimizer's proposer ``sequence``.
PARAMETER_KEYS = ("name", "range", "type", "log", "step", "interval", "n")


def check_keys(keys: Collection[str], known: Collection[str], origin: str) -> None:
    """Refuse every key that nothing would read.

    Raises:
        ExperimentFileError: e.g. ``seed`` where ``random_seed`` is meant
    """
    for key in keys:
        if key not in known:
            near = _nearest(key, known)
            expected = f"{near!r}, or another of {sorted(known)}" if near else f"one of {sorted(known)}"
            raise ExperimentFileError(f"{origin}: unknown key {key!r}; expected {expected}")


def check_near_misses(keys: Collection[str], known: Collection[str], origin: str) -> None:
    """Refuse a key that is a misspelt known one; any other unknown key stays, as Auptimizer keeps it.

    Raises:
        ExperimentFileError: e.g. ``n_sample`` beside the known ``n_samples``
    """
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
            if near:
                raise ExperimentFileError(
                    f"{origin}: unknown key {key!r}; expected {near[0]!r}, or a name unlike it"
                )


def _nearest(key: str, known: Collection[str]) -> str | None:
    """Find the known key that is a misspelling of ``key``, or has it among its words.

    Example:
        >>> _nearest("seed", ["name", "random_seed"])
        'random_seed'
    """
    misspelt = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    longer = [name for name in known if key in name.split("_")]
    return next(iter([*misspelt, *longer]), None)
