"""The attributes of experiments and trials, and the values of hyperparameters, as the tools of others keep them."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

from harness.errors import HarnessError
from harness.store.records import ExperimentRow, TrialRow


def require_packages(option: str, extra: str, *packages: str) -> None:
    """Check that what an option of `harness export` needs is installed.

    Raises:
        HarnessError: a package is not
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise HarnessError(f"{option} needs the package {package}; run: pip install 'harness-iemocap[{extra}]'")


def describe_experiment(experiment: ExperimentRow) -> dict[str, Any]:
    """Return the experiment's system, protocol, hashes and kind, by name."""
    return {
        "system": experiment.system,
        "protocol": experiment.protocol_name,
        "protocol_hash": experiment.protocol_hash,
        "corpus_hash": experiment.corpus_hash,
        "kind": str(experiment.kind),
        "is_synthetic": experiment.is_synthetic,
    }


def describe_trial(trial: TrialRow) -> dict[str, Any]:
    """Return what is known of an attempt at a trial besides its hyperparameters, its score and its times."""
    attributes = {
        "trial_index": trial.trial_index,
        "attempt": trial.attempt,
        "seed": trial.seed,
        "status": str(trial.status),
        "message": trial.message,
        "best_epoch": trial.best_epoch,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def to_scalar(value: Any) -> Any:
    """Return a hyperparameter's value as one that other tools can store: a list or an object as its JSON.

    Example:
        >>> to_scalar(0.5), to_scalar(None), to_scalar([3, 5])
        (0.5, None, '[3, 5]')
    """
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
