"""What makes two searches the same: everything that changes their outcome, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness.provenance import hash_word_vectors
from harness.search.corpus_choice import PreparedCorpus
from harness.search.experiment_file import ExperimentSettings


def identity_of(settings: ExperimentSettings, prepared: PreparedCorpus | None) -> dict[str, Any]:
    """Return everything that changes an experiment's outcome, by the experiment file's keys.

    How many trials, how many at once and when they are given up is no part of it: ``n_samples`` may be
    raised, and the search goes on. Reads the whole file of word vectors, wherever it lies.
    """
    parts: dict[str, Any] = {
        "script": settings.script.text,
        "target": settings.target,
        "proposer": settings.proposer,
        "random_seed": settings.seed,
    }
    if settings.proposer == "hyperopt":
        parts["engine"] = settings.file.get("engine", "tpe")
    parts |= {f"parameter_config {entry['name']!r}": entry for entry in settings.searched}
    # Drawn in the file's order.
    parts["parameter_config order"] = [entry["name"] for entry in settings.searched]
    if settings.training is not None and prepared is not None:
        parts |= {
            "system": settings.training.system.name,
            "corpus": prepared.corpus_hash,
            "max_epochs": prepared.max_epochs,
            "patience": prepared.patience,
            "speech_features": settings.training.speech_features,
            "word_vectors": hash_word_vectors(settings.training.word_vectors),
        }
        choices = settings.training.protocol.to_json().items()
        parts |= {f"protocol {key}": choice for key, choice in choices if key != "name"}
    return parts


def hash_identity(parts: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits over an identity."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def describe_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what differs between two identities.

    Example:
        >>> describe_differences({"random_seed": 1, "target": "max"}, {"random_seed": 2, "target": "max"})
        'random_seed was 1 and is 2'
    """
    missing = "not there"
    return ", ".join(
        f"{key} was {_shown(before.get(key, missing))} and is {_shown(now.get(key, missing))}"
        for key in [*before, *(key for key in now if key not in before)]
        if before.get(key, missing) != now.get(key, missing)
    )


def _shown(value: object) -> str:
    return value if value == "not there" else f"{json.dumps(value):.120}"
