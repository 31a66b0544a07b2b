"""The best point of a search trained again, in an experiment with an identity of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from harness import __version__
from harness.files import hash_json
from harness.final.best_point import COMMANDS, BestPoint
from harness.provenance import hash_word_vectors
from harness.store.records import ExperimentKind, ExperimentRecord, ExperimentRow, ExperimentStatus, utc_now
from harness.training.recipe import Training, Watch


def describe_follow_up(
    best: BestPoint,
    kind: ExperimentKind,
    title: str,
    num_samples: int,
    decides: Mapping[str, Any],
    seed: int = 0,
) -> ExperimentRecord:
    """Return the row of an experiment that trains the best point of a search again.

    Args:
        title: what stands before the trial's name, e.g. ``"replication"``
        decides: what changes the outcome besides the point; with all that is known of the point it is the
            experiment's identity and stands in its settings
        seed: from which the trainings' seeds follow; 0 where they follow from none
    """
    experiment, spec = best.experiment, best.spec
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
        "word_vectors": hash_word_vectors(spec.word_vectors),
        **decides,
    }
    return replace(
        _record_of(experiment),
        name=f"{title} of {best.title}",
        identity=hash_json(parts),
        seed=seed,
        num_samples=num_samples,
        target="max",
        script=f"harness {COMMANDS[kind]}",
        search_space="[]",
        settings=json.dumps(parts, sort_keys=True),
        package_version=__version__,
        created_at=utc_now(),
        status=ExperimentStatus.RUNNING,
        kind=kind,
    )


def plan_training(best: BestPoint, seed: int, watch: Watch) -> Training:
    """Return what trains the best point again as the search trained it, but for the seed."""
    spec = best.spec
    return Training(
        system=best.system,
        choices=best.choices,
        protocol=spec.protocol,
        seed=seed,
        max_epochs=spec.max_epochs,
        patience=spec.patience,
        word_vectors=spec.word_vectors,
        watch=watch,
    )


def _record_of(experiment: ExperimentRow) -> ExperimentRecord:
    return ExperimentRecord(**{each.name: getattr(experiment, each.name) for each in fields(ExperimentRecord)})
