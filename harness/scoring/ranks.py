"""How far one number rises with another, whatever the shape: by their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from harness.errors import ShapeError
from harness.scoring.statistics import CONFIDENCE


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
