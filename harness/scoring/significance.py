"""Tests of whether a model is better than another on the same utterances, or only luckier"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtr

from harness.errors import ShapeError
from harness.scoring.metrics import weighted_accuracy_of
from harness.scoring.statistics import (
    MIN_DIALOGUES,
    Interval,
    Metric,
    Units,
    count_units,
    dialogue_of,
    draw_resamples,
    make_interval,
)
from harness.store.records import Prediction

#: Units drawn at a time, so that those of a large corpus take some tens of megabytes.
_MOST_DRAWN = 2_000_000

#: Of the resampling, so that one report says the same twice.
_SEED = 0


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
    num_resamples: int = 10_000,
) -> PairedBootstrap:
    """Compare two models' scores on the same draws of dialogues: what both find hard cancels out.

    Args:
        first, second: one sequence for each seed of that model, all of the same utterances in any order
        metric: as ``bootstrap_interval``; one that is never NaN
        num_resamples: as ``bootstrap_interval``

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
        [_differ(metric(drawn), len(first)) for drawn in draw_resamples(units, num_resamples, _SEED)]
    )
    return PairedBootstrap(
        difference=float(_differ(metric(units.counts.sum(axis=0)[None]), len(first))[0]),
        interval=make_interval(differences, units),
        share_above=float((differences > 0).mean()),
    )


def bootstrap_over_draws(
    first: Sequence[Sequence[Prediction]],
    second: Sequence[Sequence[Prediction]],
    num_resamples: int = 10_000,
) -> PairedBootstrap:
    """Compare the weighted accuracies of two ways to train, each tried on several draws of what is scored.

    Every draw has trainings of its own, so that draws are drawn first, whole trainings with their luck, and then
    dialogues within each draw. One draw says nothing of others: its dialogues alone are drawn, and the interval is
    too narrow.

    Args:
        first, second: one sequence for each draw, those of one draw of the same utterances in any order
        num_resamples: as ``bootstrap_interval``

    Returns:
        the difference over all utterances of all draws

    Raises:
        ShapeError: no draws, not as many of both, or of different utterances

    Source:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (hierarchical data, with
        replacement at both levels).
    """
    if not first or len(first) != len(second):
        raise ShapeError(
            f"bootstrap over draws: found {len(first)} and {len(second)} draws; expected as many, at least one of each"
        )
    num_dialogues = sum(len({dialogue_of(each.utterance_id) for each in of_draw}) for of_draw in first)
    fewest = 1 if num_dialogues >= MIN_DIALOGUES else len(first[0]) + 1
    units = [count_units(pair, fewest) for pair in zip(first, second, strict=True)]
    gains = [_gains_of(each) for each in units]
    generator = np.random.default_rng(_SEED)
    chosen = generator.integers(len(units), size=(num_resamples, len(units)))
    sums = np.zeros((num_resamples, 2))
    for number, of_draw in enumerate(gains):
        # One row for each time that the draw was drawn; its units are drawn anew each time.
        resamples = np.repeat(np.arange(num_resamples), (chosen == number).sum(axis=1))
        for part in np.array_split(resamples, 1 + resamples.size * len(of_draw) // _MOST_DRAWN):
            drawn = generator.integers(len(of_draw), size=(part.size, len(of_draw)))
            np.add.at(sums, part, of_draw[drawn].sum(axis=1))
    differences = np.round(sums[:, 0] / sums[:, 1], 12)
    total = np.concatenate(gains).sum(axis=0)
    interval = make_interval(differences, units[0])
    if len(units) == 1:
        interval = replace(interval, is_too_narrow=True)
    else:
        interval = replace(interval, drawn=f"draws and {interval.drawn}")
    return PairedBootstrap(
        difference=float(np.round(total[0] / total[1], 12)),
        interval=interval,
        share_above=float((differences > 0).mean()),
    )


def _gains_of(units: Units) -> np.ndarray:
    """Return float64 (num_units, 2): utterances that the first has right beyond the second, and utterances."""
    right = np.trace(units.counts, axis1=2, axis2=3)
    return np.stack([right[:, 0] - right[:, 1], units.counts[:, 0].sum(axis=(1, 2))], axis=1).astype(np.float64)


def _differ(scores: np.ndarray, num_first: int) -> np.ndarray:
    # Equal means of other summands may differ in their last bits, which is no difference.
    return np.asarray(np.round(scores[:, :num_first].mean(axis=1) - scores[:, num_first:].mean(axis=1), 12))


def _right_by_name(predictions: Sequence[Prediction]) -> dict[str, bool]:
    return {
        prediction.utterance_id: prediction.emotion == prediction.predicted for prediction in predictions
    }
