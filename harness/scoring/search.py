"""Statistics of a search's trials: the best score to expect from a number of trials, and rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtri

from harness.errors import ShapeError
from harness.scoring.statistics import CONFIDENCE

#: Points of the curve, where there are so many trials.
_MAX_POINTS = 80


@dataclass(frozen=True)
class ExpectedBest:
    """The score of the best of ``num_trials[i]`` trials, on average.

    Attributes:
        num_trials: int64 (num_points,), from 1 to the number of finished trials
        expected: float64 (num_points,), in the unit of the scores
        low, high: 95 % confidence band, likewise, which holds for all points at once; NaN without bounds of the scores
        from_half: what the second half of the trials brought: an improvement is above 0, whatever the target
    """

    num_trials: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    from_half: float


def weigh_order(num_scores: int, num_drawn: np.ndarray) -> np.ndarray:
    """Return how likely the i-th lowest of the scores is to be the highest of some of them.

    Args:
        num_drawn: int64 (num_points,), how many are drawn without putting any back

    Returns:
        float64 (num_points, num_scores); each row sums to 1

    Example:
        >>> weigh_order(3, np.array([1, 2, 3])).round(3).tolist()
        [[0.333, 0.333, 0.333], [0.0, 0.333, 0.667], [0.0, 0.0, 1.0]]
    """
    place = np.arange(1, num_scores + 1, dtype=np.float64)
    drawn = np.asarray(num_drawn, dtype=np.float64)[:, np.newaxis]
    can_be = place >= drawn
    # C(i - 1, m - 1) / C(n, m), by logarithms: the numbers themselves have hundreds of digits.
    below = np.where(can_be, place - drawn, 0.0)
    ways = gammaln(place) - gammaln(drawn) - gammaln(below + 1)
    of_all = gammaln(num_scores + 1.0) - gammaln(drawn + 1) - gammaln(num_scores - drawn + 1)
    return np.asarray(np.where(can_be, np.exp(ways - of_all), 0.0))


def list_halvings(num_trials: int) -> list[int]:
    """Return the number of trials, its half, the half of that, and so on, the least first.

    Example:
        >>> list_halvings(30)
        [1, 3, 7, 15, 30]
    """
    return [num_trials >> power for power in reversed(range(num_trials.bit_length()))]


def estimate_expected_best(
    scores: np.ndarray, target: str, bounds: tuple[float, float] | None = None
) -> ExpectedBest:
    """Estimate the best of m trials for each m up to their number, with a confidence band for the whole curve.

    The mean of the best over all choices of m of the trials, which is unbiased; Dodge et al. put each trial
    back after drawing it, which is biased downwards. The band is that of the distribution that the scores come
    from (Dvoretzky, Kiefer and Wolfowitz, with Massart's constant): the empirical one, moved by
    sqrt(ln(2 / 0.05) / (2 n)) up and down.

    Args:
        scores: float64 (num_trials,), finite, one at least, within ``bounds``
        target: ``"max"`` or ``"min"``
        bounds: the lowest and the highest possible score; None if there are none, so that no band can be drawn: a
            score that was never seen may lie anywhere

    Source:
        Dodge et al., Show Your Work: Improved Reporting of Experimental Results, 2019; Tang et al., Showing
        Your Work Doesn't Always Work, 2020, for the unbiased estimate; Lourie, Cho and He, Show Your Work with
        Confidence: Confidence Bands for Tuning Curves, 2024, for the band. Deviates: theirs is for the median of the
        best, which needs no bounds, ours for its mean; their narrowest band takes continuous scores, and accuracies
        are not, so this is the wider one that holds for any. The tests compare it with their package opda.

    Example:
        >>> found = estimate_expected_best(np.array([0.25, 0.5, 0.75]), "max", bounds=(0.0, 1.0))
        >>> found.expected.round(3).tolist(), found.low.round(3).tolist(), found.high.round(3).tolist()
        ([0.5, 0.667, 0.75], [0.054, 0.096, 0.129], [0.946, 0.988, 0.997])
    """
    sign = 1.0 if target == "max" else -1.0
    ordered = np.sort(sign * scores)
    num_scores = len(ordered)
    half = max(1, num_scores // 2)
    spaced = np.geomspace(1, num_scores, _MAX_POINTS).round().astype(np.int64)
    points = np.union1d(spaced, list_halvings(num_scores))
    if num_scores <= _MAX_POINTS:
        points = np.arange(1, num_scores + 1)
    expected = weigh_order(num_scores, points) @ ordered
    band = np.full((2, len(points)), np.nan)
    if bounds is not None:
        # The lowest first, of negative scores too.
        lowest, highest = np.sort(sign * np.array(bounds))
        band = sign * _confidence_band(np.array([lowest, *ordered, highest]), points)
    at_half = int(np.searchsorted(points, half))
    low, high = np.sort(band, axis=0)
    return ExpectedBest(points, sign * expected, low, high, float(expected[-1] - expected[at_half]))


def _confidence_band(values: np.ndarray, num_drawn: np.ndarray) -> np.ndarray:
    """Return the expected highest of so many draws under the lower and the upper bound of the scores' distribution.

    Args:
        values: float64 (num_scores + 2,): the scores, lowest first, between the bounds of what they can be
        num_drawn: int64 (num_points,)

    Returns:
        float64 (2, num_points), the lower edge first
    """
    num_scores = len(values) - 2
    distance = (np.log(2 / (1 - CONFIDENCE)) / (2 * num_scores)) ** 0.5
    at_most = np.arange(num_scores + 1) / num_scores
    edges = np.clip(np.stack([at_most + distance, at_most - distance]), 0, 1)
    shares = np.concatenate([edges, np.ones((2, 1))], axis=1)[:, np.newaxis] ** num_drawn[:, np.newaxis]
    return np.asarray(np.diff(shares, prepend=0, axis=2) @ values)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation, from -1 to 1, with an approximate interval; NaN where undefined, or a value is."""

    rho: float
    low: float
    high: float
    num_values: int


def mean_ranks(values: Sequence[float]) -> np.ndarray:
    """Return the rank of each value from 1, equals sharing their mean: float64 (num_values,), all NaN if one value is.

    Example:
        >>> mean_ranks([0.5, 0.7, 0.5]).tolist()
        [1.5, 3.0, 1.5]
    """
    # As scipy.stats.rankdata, whose import takes half a second.
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def rank_correlation(values: Sequence[float], scores: Sequence[float]) -> Correlation:
    """Return how far ``scores`` rise with ``values``, whatever the shape; equals share their mean rank.

    Raises:
        ShapeError: the two differ in length

    Source:
        Fieller, Hartley and Pearson, Tests for rank correlation coefficients I, 1957, for the
        interval: the inverse hyperbolic tangent has variance 1.06 / (n - 3).

    Example:
        >>> rank_correlation([1, 2, 3, 4], [1, 4, 9, 16]).rho
        1.0
    """
    num_values = len(values)
    if num_values != len(scores):
        raise ShapeError(f"rank correlation: {num_values} values and {len(scores)} scores; expected as many")
    if num_values < 2 or len(set(values)) == 1 or len(set(scores)) == 1:
        return Correlation(np.nan, np.nan, np.nan, num_values)
    ranks = np.stack([mean_ranks(values), mean_ranks(scores)])
    rho = round(float(np.asarray(np.corrcoef(ranks))[0, 1]), 12)
    if num_values <= 3 or abs(rho) == 1:
        return Correlation(rho, np.nan, np.nan, num_values)
    half = float(ndtri((1 + CONFIDENCE) / 2)) * (1.06 / (num_values - 3)) ** 0.5
    low, high = np.tanh(np.arctanh(rho) + np.array([-half, half]))
    return Correlation(rho, float(low), float(high), num_values)
