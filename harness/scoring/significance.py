"""Whether one model is better than another on the same utterances, or was luckier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr

from harness.errors import ShapeError
from harness.scoring.metrics import weighted_accuracy_of
from harness.scoring.statistics import Interval, Metric, count_units, draw_resamples, make_interval
from harness.store.records import Prediction


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two classifiers on the same utterances.

    Attributes:
        num_first_only: utterances that the first alone has right
        num_second_only: utterances that the second alone has right
        p_value: of the exact test, two-sided: how often equally good classifiers would differ at least so
            much, were utterances independent; 1 where neither has anything over the other
    """

    num_first_only: int
    num_second_only: int
    p_value: float


@dataclass(frozen=True)
class PairedBootstrap:
    """The difference of two models' scores, each averaged over its seeds, on the same utterances.

    Attributes:
        difference: the first's score minus the second's
        interval: of the difference
        share_above: share of the resamples in which the difference is above 0, from 0 to 1
    """

    difference: float
    interval: Interval
    share_above: float


def mcnemar_test(first: Sequence[Prediction], second: Sequence[Prediction]) -> McNemar:
    """Test whether two classifiers err equally often, by the utterances that only one of them has right.

    The exact binomial form, whatever their number: chi-squared is an approximation to it for many.

    Args:
        first, second: of the same utterances, in any order

    Raises:
        ShapeError: no predictions, or of different utterances

    Source:
        McNemar, Note on the sampling error of the difference between correlated proportions or
        percentages, 1947. Deviates: exact, as Fagerland, Lydersen and Laake, The McNemar test for
        binary matched-pairs data, 2013, section 2, write it.
    """
    is_right = [_right_by_name(predictions) for predictions in (first, second)]
    if is_right[0].keys() != is_right[1].keys() or not is_right[0]:
        raise ShapeError(
            f"McNemar's test: the first scored {len(first)} utterances, the second {len(second)}; expected the "
            "same ones, at least one"
        )
    pairs = [(is_right[0][name], is_right[1][name]) for name in is_right[0]]
    num_first_only = sum(one and not other for one, other in pairs)
    num_second_only = sum(other and not one for one, other in pairs)
    return McNemar(num_first_only, num_second_only, exact_p_value(num_first_only, num_second_only))


def exact_p_value(num_first_only: int, num_second_only: int) -> float:
    """Return the two-sided p-value of a fair coin that fell so often on one side and on the other.

    Example:
        >>> exact_p_value(0, 5), exact_p_value(2, 2), exact_p_value(0, 0)
        (0.0625, 1.0, 1.0)
    """
    fewer, num_pairs = min(num_first_only, num_second_only), num_first_only + num_second_only
    return min(1.0, 2 * float(bdtr(fewer, num_pairs, 0.5)))


def paired_bootstrap(
    first: Sequence[Sequence[Prediction]],
    second: Sequence[Sequence[Prediction]],
    metric: Metric = weighted_accuracy_of,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> PairedBootstrap:
    """Compare two models on the same draws of dialogues, so that what both find hard cancels out.

    Args:
        first, second: one sequence for each seed of that model, all of the same utterances in any order
        metric, num_resamples, seed: as ``bootstrap_interval``

    Raises:
        ShapeError: no predictions, or of different utterances

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles), with
        clusters as units, drawn for both models at once.
    """
    if not first or not second:
        raise ShapeError(
            f"paired bootstrap: found {len(first)} and {len(second)} seeds; expected at least one of each"
        )
    units = count_units([*first, *second])
    differences = np.concatenate(
        [_differ(metric(drawn), len(first)) for drawn in draw_resamples(units, num_resamples, seed)]
    )
    return PairedBootstrap(
        difference=float(_differ(metric(units.counts.sum(axis=0)[None]), len(first))[0]),
        interval=make_interval(differences, confidence, units),
        share_above=float((differences > 0).mean()),
    )


def _differ(scores: np.ndarray, num_first: int) -> np.ndarray:
    # Equal means of other summands may differ in their last bits, which is no difference.
    return np.asarray(np.round(scores[:, :num_first].mean(axis=1) - scores[:, num_first:].mean(axis=1), 12))


def _right_by_name(predictions: Sequence[Prediction]) -> dict[str, bool]:
    return {
        prediction.utterance_id: prediction.emotion == prediction.predicted for prediction in predictions
    }
