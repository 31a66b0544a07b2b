"""The answers of a saved model: of one network, of a seed, of a whole model, and of an ensemble with its members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.errors import ModelError
from harness.features.store import Features
from harness.final.saved_model import ModelRecord, check_digests, load_seed, seed_dir
from harness.models.turns import TurnClassifier
from harness.scoring.calibration import apply_temperature


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
    """Return the probabilities of a whole model: the mean over its seeds, and its linear part where it has one.

    Args:
        group: as ``predict_networks``

    Returns:
        floating (num_utterances, 4)

    Raises:
        ModelError, FeatureError: a file is missing or damaged
    """
    mean = np.mean(predict_networks(model_dir, record, features, group), axis=0)
    if not record.linear_weight:
        return np.asarray(mean)
    groups = record.group_numbers if group is None else (group,)
    linear = np.mean([load_linear(model_dir, number).answer(features)[0] for number in groups], axis=0)
    check_probabilities(linear, f"model {str(model_dir)!r}: its linear model")
    return mix_linear(mean, linear, record.linear_weight)


def mix_linear(mean: np.ndarray, linear: np.ndarray, weight: float) -> np.ndarray:
    """Return the answer of an ensemble: the mean of its networks, and the linear model with its weight."""
    return (1.0 - weight) * mean + weight * linear


def linear_dir(model_dir: Path, group: int | None = None) -> Path:
    """Return the folder of an ensemble's linear model; with scenes disjoint there is one for each group."""
    return model_dir / ("tfidf" if group is None else f"tfidf-scenes-{group}")


def load_linear(model_dir: Path, group: int | None = None) -> TurnClassifier:
    """Load the linear model of an ensemble.

    Raises:
        ModelError: a file is missing, or has changed since it was saved
        FeatureError: a file is damaged
    """
    folder = linear_dir(model_dir, group)
    check_digests(folder)
    return TurnClassifier.load(folder)


def read_members(model_dir: Path, record: ModelRecord) -> list[tuple[Path, ModelRecord]]:
    """Return the folder and the record of each member of an ensemble, with the ensemble's seeds alone.

    Raises:
        ModelError: a member is missing or damaged
    """
    found = []
    for member in record.members:
        folder = model_dir.parent / member.model
        try:
            found.append((folder, replace(ModelRecord.read(folder), seeds=member.seeds)))
        except ModelError as error:
            raise ModelError(
                f"ensemble {str(model_dir)!r}: {error}; expected the folders of all its members beside it"
            ) from None
    return found


def answer(
    model_dir: Path, seed: int, features: Features, group: int | None, temperature: float | None
) -> np.ndarray:
    """Return the probabilities of one network for utterances, floating (num_utterances, 4).

    Raises:
        ModelError: a file is missing or damaged
    """
    answers = apply_temperature(load_seed(model_dir, seed, group).predict(features), temperature)
    check_probabilities(answers, f"model '{seed_dir(model_dir, seed, group)}'")
    return answers


#: By how much the probabilities of one answer may miss 1: networks compute in single precision.
_SUM_TOLERANCE = 1e-3


def check_probabilities(answers: np.ndarray, whose: str) -> None:
    """Check that each row is a distribution over the classes.

    Args:
        answers: floating (num_utterances, 4)
        whose: begins the error, e.g. ``"model 'models/a'"``

    Raises:
        ModelError: a row has something that is not finite or not from 0 to 1, or does not sum to 1

    Example:
        >>> check_probabilities(np.array([[0.25, 0.25, 0.5, np.nan]]), "model 'a'")
        Traceback (most recent call last):
        harness.errors.ModelError: model 'a': answers 0.25, 0.25, 0.5, nan; expected probabilities from 0 to 1 that sum to 1; the model is damaged, or its training diverged: train it again with `harness retrain-best`
    """  # noqa: E501
    # NaN fails every comparison.
    is_right = ((answers >= 0) & (answers <= 1)).all(axis=1) & (abs(answers.sum(axis=1) - 1) <= _SUM_TOLERANCE)
    if not is_right.all():
        row = answers[int(np.argmin(is_right))]
        raise ModelError(
            f"{whose}: answers {', '.join(f'{value:.4g}' for value in row)}; expected probabilities from 0 to 1 that "
            "sum to 1; the model is damaged, or its training diverged: train it again with `harness retrain-best`"
        )
