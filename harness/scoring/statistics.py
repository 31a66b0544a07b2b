"""The uncertainty of a score: its spread over seeds, and bootstrap intervals over what was scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from harness.corpus.utterances import parse_utterance_id
from harness.errors import ShapeError
from harness.scoring.metrics import NUM_CLASSES, predicted_classes, weighted_accuracy_of
from harness.store.records import Prediction

#: Of every interval; sentences and headings say 95 %. A choice: what readers expect.
CONFIDENCE = 0.95

#: Below this many dialogues a bootstrap over them says little; utterances are drawn instead, and it is said.
MIN_DIALOGUES = 10

#: The meaning of a star beside an interval.
TOO_NARROW = f"* Fewer than {MIN_DIALOGUES} dialogues: utterances are drawn instead, so this interval is too narrow."

_CHUNK_OF_RESAMPLES = 1000

#: Above this OpenBLAS multiplies with threads, which cost many times what they bring while a search has the cores.
_MOST_PRODUCTS = 200_000

#: Predictions of a model: one sequence for each seed, all of the same utterances in any order.
Seeds = Sequence[Sequence[Prediction]]

#: From matrices of counts (..., 4, 4) to scores (...).
Metric = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Spread:
    """Several seeds' values of one score.

    Attributes:
        deviation: sample standard deviation (num_values - 1 in the denominator); NaN for one value
        low, high: Student's t interval for the mean; NaN for one value
    """

    mean: float
    deviation: float
    low: float
    high: float
    num_values: int


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval.

    Attributes:
        drawn: what was drawn with replacement: ``"dialogues"`` or ``"utterances"``, or ``"draws and ..."`` where
            several draws of what is scored were drawn first
        is_too_narrow: whether utterances were drawn although those of one dialogue resemble each other, or one draw
            had to stand for all
    """

    low: float
    high: float
    confidence: float
    drawn: str
    is_too_narrow: bool


def mean_and_spread(values: Sequence[float]) -> Spread:
    """Return mean, sample standard deviation and t interval of a score over seeds, float64 in the values' unit.

    A NaN among the values makes all of it NaN.

    Raises:
        ShapeError: no values

    Example:
        >>> spread = mean_and_spread([0.25, 0.75])
        >>> spread.mean, round(spread.deviation, 3)
        (0.5, 0.354)
    """
    if not values:
        raise ShapeError("scores over seeds: found none; expected at least one")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Spread(mean, np.nan, np.nan, np.nan, 1)
    deviation = float(np.std(values, ddof=1))
    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * deviation / len(values) ** 0.5
    return Spread(mean, deviation, mean - half, mean + half, len(values))


def wilson_interval(num_right: int, num_utterances: int) -> tuple[float, float]:
    """Return Wilson's score interval for a share of utterances, as if they were independent.

    Raises:
        ShapeError: not 0 <= num_right <= num_utterances, or no utterance

    Source:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    Example:
        >>> low, high = wilson_interval(780, 1098)
        >>> f"{low:.3f} {high:.3f}"
        '0.683 0.736'
    """
    if not 0 <= num_right <= num_utterances or num_utterances == 0:
        raise ShapeError(
            f"{num_right} of {num_utterances} utterances right: expected a share of at least one"
        )
    z = float(ndtri((1 + CONFIDENCE) / 2))
    share = num_right / num_utterances
    spread = z**2 / num_utterances
    centre = (share + spread / 2) / (1 + spread)
    half = (spread * share * (1 - share) + spread**2 / 4) ** 0.5 / (1 + spread)
    return centre - half, centre + half


@dataclass(frozen=True)
class Units:
    """The units that a bootstrap draws with replacement.

    Attributes:
        counts: int64 (num_units, num_seeds, 4, 4), rows what the raters said
        drawn: ``"dialogues"``, or ``"utterances"`` where there are too few dialogues
    """

    counts: np.ndarray
    drawn: str

    @property
    def is_too_narrow(self) -> bool:
        """True if utterances are drawn although those of one dialogue resemble each other."""
        return self.drawn == "utterances"


def bootstrap_interval(
    predictions: Sequence[Sequence[Prediction]],
    metric: Metric = weighted_accuracy_of,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of a score, averaged over seeds, over the dialogues scored.

    Dialogues are drawn, not utterances: those of one dialogue share their speakers and their scene.

    Args:
        predictions: one sequence for each seed, all of the same utterances in any order
        metric: of ``harness.scoring.metrics``, from matrices of counts (..., 4, 4) to scores (...); resamples in
            which it is NaN, for a class is not in them, are left out
        num_resamples: 10 000 steady the third digit
        seed: of the resampling, so that one report says the same twice

    Returns:
        the interval; NaN where the score is NaN in every resample

    Raises:
        ShapeError: no predictions, or the seeds scored different utterances

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles),
        with clusters as units.
    """
    return bootstrap_intervals(predictions, [metric], num_resamples, seed)[0]


def bootstrap_intervals(
    predictions: Sequence[Sequence[Prediction]],
    metrics: Sequence[Metric],
    num_resamples: int = 10_000,
    seed: int = 0,
) -> list[Interval]:
    """Return the interval of each of several scores, all from the same draws; else as ``bootstrap_interval``."""
    units = count_units(predictions)
    scores: list[list[np.ndarray]] = [[] for _ in metrics]
    for confusions in draw_resamples(units, num_resamples, seed):
        for found, metric in zip(scores, metrics, strict=True):
            found.append(metric(confusions).mean(axis=1))
    return [make_interval(np.concatenate(found), units) for found in scores]


def bootstrap_error(predictions: Sequence[Prediction]) -> tuple[float, str]:
    """Return the standard error of one model's weighted accuracy, from 0 to 1, and over what it was drawn.

    It is the deviation of 2000 bootstrap resamples of dialogues, or of utterances below ``MIN_DIALOGUES`` of them.

    Raises:
        ShapeError: no predictions
    """
    units = count_units([predictions])
    scores = [weighted_accuracy_of(counts)[:, 0] for counts in draw_resamples(units, 2000, seed=0)]
    return float(np.concatenate(scores).std(ddof=1)), units.drawn


def make_interval(values: np.ndarray, units: Units) -> Interval:
    """Return the interval that holds the middle share ``CONFIDENCE`` of resampled values, in their unit.

    Args:
        values: floating (num_resamples,); NaN is left out, and makes the interval NaN where nothing else is there
    """
    known = values[~np.isnan(values)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if known.size else (np.nan, np.nan)
    return Interval(float(low), float(high), CONFIDENCE, units.drawn, units.is_too_narrow)


def draw_resamples(units: Units, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many units as there are, with replacement, again and again, and add their counts up.

    Yields:
        float64 (size, num_seeds, 4, 4), some resamples at a time
    """
    num_units, num_seeds = units.counts.shape[:2]
    flat = units.counts.reshape(num_units, -1).astype(np.float64)
    generator = np.random.default_rng(seed)
    for first in range(0, num_resamples, _CHUNK_OF_RESAMPLES):
        size = min(_CHUNK_OF_RESAMPLES, num_resamples - first)
        drawn = generator.integers(num_units, size=(size, num_units))
        places = (drawn + num_units * np.arange(size)[:, None]).ravel()
        times_drawn = np.bincount(places, minlength=size * num_units).reshape(size, num_units).astype(np.float64)
        num_parts = -(-size * flat.size // _MOST_PRODUCTS)
        sums = [part @ flat for part in np.array_split(times_drawn, num_parts)]
        yield np.concatenate(sums).reshape(size, num_seeds, NUM_CLASSES, NUM_CLASSES)


def count_units(predictions: Sequence[Sequence[Prediction]], min_dialogues: int = MIN_DIALOGUES) -> Units:
    """Count what each dialogue, or below ``min_dialogues`` of them each utterance, adds to the confusions.

    Args:
        predictions: one sequence for each seed, all of the same utterances in any order

    Raises:
        ShapeError: no predictions, or the seeds scored different utterances
    """
    by_utterance = _count_by_utterance(predictions)
    names = sorted(prediction.utterance_id for prediction in predictions[0])
    found, membership = np.unique([dialogue_of(name) for name in names], return_inverse=True)
    if len(found) < min_dialogues:
        return Units(by_utterance, "utterances")
    counts = np.zeros((len(found), *by_utterance.shape[1:]), dtype=np.int64)
    np.add.at(counts, membership, by_utterance)
    return Units(counts, "dialogues")


def dialogue_of(utterance_id: str) -> str:
    """Return the id of an utterance's dialogue."""
    return parse_utterance_id(utterance_id).dialogue_id


def _count_by_utterance(predictions: Sequence[Sequence[Prediction]]) -> np.ndarray:
    """Return counts (num_utterances, num_seeds, 4, 4), utterances by id: a single one in each matrix."""
    if not predictions or not predictions[0]:
        raise ShapeError("bootstrap: found no predictions; expected at least one utterance of one seed")
    ordered = [sorted(of_seed, key=lambda prediction: prediction.utterance_id) for of_seed in predictions]
    names = [prediction.utterance_id for prediction in ordered[0]]
    counts = np.zeros((len(names), len(ordered), NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
    for number, of_seed in enumerate(ordered):
        if [prediction.utterance_id for prediction in of_seed] != names:
            raise ShapeError(
                f"bootstrap: the seeds scored different utterances ({len(names)} and {len(of_seed)}); "
                "expected the same ones"
            )
        emotions, predicted = predicted_classes(of_seed)
        counts[np.arange(len(names)), number, emotions, predicted] = 1
    return counts
