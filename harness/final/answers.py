"""The answers of a saved model: of one network, of a seed, of a whole model, of an ensemble and what is added to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.errors import HarnessError, ModelError
from harness.features.store import Features
from harness.final.saved_model import (
    RESTORE,
    AddedKind,
    AddedModel,
    ModelRecord,
    check_digests,
    check_probabilities,
    load_seed,
    load_trained,
    seed_dir,
)
from harness.models.own import describe_failure
from harness.models.turns import TurnClassifier
from harness.scoring.calibration import apply_temperature
from harness.training.recipe import Trained


def refuse_own_features(model_dir: Path, record: ModelRecord, place: str) -> None:
    """Refuse a model of a user's own features where nothing but their extractor could give it any.

    Args:
        place: what they cannot be computed from or for, e.g. ``"from a recording"``

    Raises:
        ModelError: it is one
    """
    if record.own_features:
        raise ModelError(
            f"model {str(model_dir)!r}: needs {' and '.join(record.own_features)}, from whatever wrote that, and "
            f"harness cannot compute them {place}; expected a model that was trained on features of harness's own"
        )


def predict_seed(model_dir: Path, record: ModelRecord, seed: int, features: Features) -> np.ndarray:
    """Return the probabilities of utterances that none of a seed's networks has trained on.

    Where there is a network for each group of scenes, their mean.

    Returns:
        floating (num_utterances, 4)

    Raises:
        ModelError: a file is missing or damaged
    """
    answers = [answer(model_dir, seed, features, group, record.temperature) for group in record.group_numbers]
    return answers[0] if len(answers) == 1 else np.mean(answers, axis=0)


def predict_networks(
    model_dir: Path, record: ModelRecord, features: Features, group: int | None = None
) -> list[np.ndarray]:
    """Return the probabilities of utterances by each seed, of an ensemble by each seed of its members.

    Args:
        group: of scenes, whose networks answer alone; None for all that a seed has

    Returns:
        floating (num_utterances, 4) each

    Raises:
        ModelError: a file is missing or damaged
    """
    if record.members:
        members = read_members(model_dir, record)
        return [found for folder, member in members for found in predict_networks(folder, member, features, group)]
    if group is None:
        return [predict_seed(model_dir, record, seed, features) for seed in record.seeds]
    return [answer(model_dir, seed, features, group, record.temperature) for seed in record.seeds]


def predict_mean(
    model_dir: Path, record: ModelRecord, features: Features, group: int | None = None
) -> np.ndarray:
    """Return the probabilities of a whole model: the mean over its seeds, and the models added to them.

    Args:
        group: as ``predict_networks``

    Returns:
        floating (num_utterances, 4)

    Raises:
        ModelError, FeatureError: a file is missing or damaged
    """
    mean = np.mean(predict_networks(model_dir, record, features, group), axis=0)
    groups = record.group_numbers if group is None else (group,)
    return mix(
        mean,
        {
            added: np.mean([answer_added(model_dir, added.kind, features, number) for number in groups], axis=0)
            for added in record.added
            if added.weight
        },
    )


def mix(mean: np.ndarray, of_added: Mapping[AddedModel, np.ndarray]) -> np.ndarray:
    """Return the answer of an ensemble: the mean of its networks, and each added model with its weight.

    Args:
        mean: floating (num_utterances, 4), as are the answers of the added models
    """
    share = max(0.0, 1.0 - sum(added.weight for added in of_added))
    return np.asarray(share * mean + sum(added.weight * answers for added, answers in of_added.items()))


def added_dir(model_dir: Path, kind: AddedKind, group: int | None = None) -> Path:
    """Return the folder of an ensemble's added model; with scenes disjoint there is one for each group."""
    return model_dir / (kind.value if group is None else f"{kind}-scenes-{group}")


def answer_added(model_dir: Path, kind: AddedKind, features: Features, group: int | None = None) -> np.ndarray:
    """Return the probabilities of an ensemble's added model, floating (num_utterances, 4).

    Raises:
        ModelError: a file is missing, or has changed since it was saved
        FeatureError: a file is damaged
    """
    if not features:
        return np.zeros((0, len(CLASSES)))
    folder = added_dir(model_dir, kind, group)
    if kind is AddedKind.TFIDF:
        check_digests(folder)
        answers = ask_added(TurnClassifier.load(folder), features)
    else:
        answers = ask_added(load_trained(folder), features)
    check_probabilities(answers, f"model '{folder}'")
    return answers


def ask_added(fitted: TurnClassifier | Trained, features: Features) -> np.ndarray:
    """Return the probabilities of an added model that is in memory, floating (num_utterances, 4)."""
    return fitted.answer(features)[0] if isinstance(fitted, TurnClassifier) else fitted.predict(features)


def read_members(model_dir: Path, record: ModelRecord) -> list[tuple[Path, ModelRecord]]:
    """Return the folder and the record of each member of an ensemble, with the ensemble's seeds alone.

    Raises:
        ModelError: a member is missing or damaged
    """
    found = []
    for member in record.members:
        folder = model_dir.parent / member.model
        try:
            record_of_member = ModelRecord.read(folder)
        except ModelError as error:
            raise ModelError(
                f"ensemble {str(model_dir)!r}: {error}; expected the folders of all its members beside it"
            ) from None
        if record_of_member.members:
            raise ModelError(
                f"ensemble {str(model_dir)!r}: its member {member.model!r} is an ensemble too; expected models of one "
                "trial; " + RESTORE
            )
        found.append((folder, replace(record_of_member, seeds=member.seeds)))
    return found


def answer(
    model_dir: Path, seed: int, features: Features, group: int | None, temperature: float | None
) -> np.ndarray:
    """Return the probabilities of one network for utterances, floating (num_utterances, 4).

    Raises:
        ModelError: a file is missing or damaged
    """
    trained, whose = load_seed(model_dir, seed, group), f"model '{seed_dir(model_dir, seed, group)}'"
    try:
        answers = trained.predict(features)
    except (HarnessError, MemoryError):
        raise
    # The exceptions of Keras and TensorFlow for a network that is not the one of these inputs are no closed list.
    except Exception as error:
        raise ModelError(
            f"{whose}: its network cannot answer ({describe_failure(error)}); expected the one that was trained with "
            f"the files beside it; {RESTORE}"
        ) from error
    # Before, for their shape; after, for a temperature so small that nothing finite is left.
    check_probabilities(answers, whose)
    answers = apply_temperature(answers, temperature)
    check_probabilities(answers, whose)
    return answers
