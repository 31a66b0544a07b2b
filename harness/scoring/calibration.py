"""Calibration of probabilities: of utterances answered at 70 %, are 70 % right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError
from harness.scoring.metrics import NUM_CLASSES
from harness.store.records import Prediction

#: Equal in width; with some 1100 utterances, 10 leave most bins that are used a hundred of them.
NUM_BINS = 10

#: A probability may lie so far above 1, by the rounding of float32.
_ROUNDING = 1e-6

#: The highest temperature that is fitted, and one over the lowest. Ours: a model beyond it needs more than one number.
MAX_TEMPERATURE = 10.0
#: Where the logarithm of a probability is cut off, as Keras's cross-entropy does.
_LOWEST = 1e-7


@dataclass(frozen=True)
class ReliabilityBin:
    """The utterances answered with a confidence above ``low`` and up to ``high``.

    Attributes:
        mean_confidence, accuracy: from 0 to 1; NaN where no utterance is
    """

    low: float
    high: float
    num_utterances: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Measures of how far one set of probabilities can be believed.

    Attributes:
        expected_calibration_error: mean distance of confidence and accuracy over the bins, from 0 to 1
        brier_score: mean squared distance of the probabilities from the truth, from 0 to 2
        mean_negative_log_likelihood: in nats; infinite where ``num_impossible`` is not 0
        num_impossible: utterances whose true class had the probability 0
        bins: ``NUM_BINS`` of them, from the lowest confidence to the highest
    """

    expected_calibration_error: float
    brier_score: float
    mean_negative_log_likelihood: float
    num_impossible: int
    bins: tuple[ReliabilityBin, ...]


def measure_calibration(predictions: Sequence[Prediction]) -> Calibration:
    """Compare one model's probabilities with what was true.

    The confidence of an answer is the largest of its four probabilities, so it is never below 0.25.

    Raises:
        ShapeError: no predictions, or probabilities that are not four numbers from 0 to 1

    Source:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, equation 3, for
        the expected calibration error over bins of equal width. Deviates: 10 bins, not 15, for the test
        session has some 1100 utterances. Brier, Verification of forecasts expressed in terms of
        probability, 1950, for the score as a sum over the classes.
    """
    probabilities = np.array([prediction.probabilities for prediction in predictions], dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != NUM_CLASSES:
        raise ShapeError(
            f"calibration: probabilities have shape {probabilities.shape}; expected (num_utterances, "
            f"{NUM_CLASSES}), at least one"
        )
    if not ((probabilities >= 0) & (probabilities <= 1 + _ROUNDING)).all():
        raise ShapeError(
            f"calibration: probabilities lie between {probabilities.min()} and {probabilities.max()}; expected "
            "numbers from 0 to 1"
        )
    emotions = np.array([CLASSES.index(prediction.emotion) for prediction in predictions])
    is_right = np.array([prediction.emotion == prediction.predicted for prediction in predictions])
    truth = np.eye(NUM_CLASSES)[emotions]
    bins = _fill_bins(probabilities.max(axis=1), is_right)
    used = [found for found in bins if found.num_utterances]
    gaps = [found.num_utterances * abs(found.accuracy - found.mean_confidence) for found in used]
    of_truth = probabilities[np.arange(len(emotions)), emotions]
    with np.errstate(divide="ignore"):
        mean_negative_log_likelihood = float(-np.log(of_truth).mean())
    return Calibration(
        expected_calibration_error=float(sum(gaps) / len(predictions)),
        brier_score=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        mean_negative_log_likelihood=mean_negative_log_likelihood,
        num_impossible=int((of_truth == 0).sum()),
        bins=bins,
    )


def fit_temperature(probabilities: np.ndarray, emotions: np.ndarray) -> float:
    """Return the temperature by which a model's probabilities say most nearly how often they are right.

    Args:
        probabilities: floating (num_utterances, 4), of utterances that the model was not trained on
        emotions: int64 (num_utterances,)

    Returns:
        the number between ``1 / MAX_TEMPERATURE`` and ``MAX_TEMPERATURE`` of the lowest mean negative log likelihood;
        above 1 where the model is too sure of its answers

    Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, 2017, section 4.2.
    """
    rows = np.arange(len(emotions))

    def cost(log_temperature: float) -> float:
        of_truth = apply_temperature(probabilities, float(np.exp(log_temperature)))[rows, emotions]
        return float(-np.log(np.maximum(of_truth, _LOWEST)).mean())

    limit = float(np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(cost, bounds=(-limit, limit), method="bounded").x))


def apply_temperature(probabilities: np.ndarray, temperature: float | None) -> np.ndarray:
    """Divide the logarithms of probabilities by a temperature, and let them add up to 1 again.

    The order of an utterance's probabilities stays, and so does every accuracy.

    Args:
        probabilities: floating (num_utterances, 4)
        temperature: above 0; None changes nothing

    Returns:
        float64 (num_utterances, 4); the same array where nothing changes

    Example:
        >>> apply_temperature(np.array([[0.8, 0.2, 0.0, 0.0]]), 2.0).round(4)
        array([[0.6667, 0.3333, 0.    , 0.    ]])
    """
    if temperature is None or not len(probabilities):
        return probabilities
    # In double precision: two numbers that differ as float32 differ afterwards too.
    exact = probabilities.astype(np.float64)
    scaled = (exact / exact.max(axis=1, keepdims=True)) ** (1.0 / temperature)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def scale_predictions(predictions: Sequence[Prediction], temperature: float) -> tuple[Prediction, ...]:
    """Return the same predictions with ``apply_temperature``; the inverse of a temperature undoes it."""
    scaled = apply_temperature(np.array([found.probabilities for found in predictions]), temperature)
    return tuple(
        replace(found, probabilities=tuple(map(float, row))) for found, row in zip(predictions, scaled, strict=True)
    )


def _fill_bins(confidences: np.ndarray, is_right: np.ndarray) -> tuple[ReliabilityBin, ...]:
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    places = np.digitize(confidences, edges[1:-1], right=True)
    bins = []
    for number in range(NUM_BINS):
        is_here = places == number
        num_utterances = int(is_here.sum())
        bins.append(
            ReliabilityBin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                num_utterances=num_utterances,
                mean_confidence=float(confidences[is_here].mean()) if num_utterances else np.nan,
                accuracy=float(is_right[is_here].mean()) if num_utterances else np.nan,
            )
        )
    return tuple(bins)


def average_probabilities(predictions: Sequence[Sequence[Prediction]]) -> tuple[Prediction, ...]:
    """Answer each utterance with the mean of the seeds' probabilities, as ``harness predict`` does.

    Args:
        predictions: one sequence for each seed, all of the same utterances in any order

    Returns:
        sorted by utterance id

    Raises:
        ShapeError: no predictions, or the seeds scored different utterances
    """
    ordered = [sorted(of_seed, key=lambda prediction: prediction.utterance_id) for of_seed in predictions]
    names = [[prediction.utterance_id for prediction in of_seed] for of_seed in ordered]
    if not names or not names[0] or any(other != names[0] for other in names):
        raise ShapeError(
            f"average over seeds: {len(names)} seeds scored {[len(of_seed) for of_seed in names]} utterances; "
            "expected the same ones of each, at least one"
        )
    # Sorted first, so that the order of the seeds changes no last bit.
    stacked = np.sort([[prediction.probabilities for prediction in of_seed] for of_seed in ordered], axis=0)
    means = stacked.mean(axis=0)
    return tuple(
        Prediction(known.utterance_id, known.emotion, CLASSES[int(mean.argmax())], tuple(map(float, mean)))
        for known, mean in zip(ordered[0], means, strict=True)
    )
