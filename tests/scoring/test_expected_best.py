from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.scoring.search import estimate_expected_best, weigh_order


@pytest.mark.parametrize("target", ["max", "min"])
def test_estimate_is_the_mean_over_all_choices_of_so_many_trials(target: str) -> None:
    scores = np.random.default_rng(0).normal(size=7)
    best = max if target == "max" else min
    found = estimate_expected_best(scores, target)
    assert found.num_trials.tolist() == list(range(1, 8))
    for count, expected in zip(found.num_trials, found.expected, strict=True):
        means = [best(chosen) for chosen in combinations(scores, count)]
        assert expected == pytest.approx(np.mean(means))
    assert found.from_half == pytest.approx(abs(found.expected[-1] - found.expected[2]))


def test_estimate_does_not_lean_to_one_side() -> None:
    generator = np.random.default_rng(0)
    truth = np.mean(generator.normal(size=(20_000, 10)).max(axis=1))
    found = [estimate_expected_best(generator.normal(size=20), "max").expected[9] for _ in range(400)]
    assert abs(np.mean(found) - truth) < 3 * np.std(found) / 20


@pytest.mark.parametrize("num_scores", [1, 1000, 5000])
def test_weights_of_thousands_of_trials_are_numbers(num_scores: int) -> None:
    weights = weigh_order(num_scores, np.array(sorted({1, num_scores // 2 or 1, num_scores})))
    assert np.isfinite(weights).all() and weights.sum(axis=1) == pytest.approx(1)
    assert weights[-1].argmax() == num_scores - 1 and weights[-1, -1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("drawn_from", "scale"),
    [(stats.beta(5, 2), 1), (stats.uniform(), 1), (stats.binom(10, 0.7), 10)],
    ids=["leaning, as accuracies do", "flat", "of few values"],
)
@pytest.mark.parametrize("target", ["max", "min"])
@pytest.mark.parametrize("num_trials", [3, 16, 100])
def test_the_band_holds_the_whole_true_curve_at_least_as_often_as_it_says(
    drawn_from: Any, scale: int, target: str, num_trials: int
) -> None:
    generator = np.random.default_rng(0)
    draws = drawn_from.rvs((300, num_trials), random_state=generator) / scale
    found = [estimate_expected_best(scores, target, bounds=(0.0, 1.0)) for scores in draws]
    at_most = drawn_from.cdf((np.arange(2000) + 0.5) / 2000 * scale)
    each = found[0].num_trials[:, np.newaxis]
    # The integral of how likely the best is to be above a value.
    truth = np.mean(1 - at_most**each if target == "max" else (1 - at_most) ** each, axis=1)
    held = [((one.low - 1e-4 <= truth) & (truth <= one.high + 1e-4)).all() for one in found]
    # Three standard errors of 300 searches.
    assert np.mean(held) >= 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5


@pytest.mark.parametrize("target", ["max", "min"])
@pytest.mark.parametrize("num_trials", [1, 2, 30, 300])
def test_the_band_holds_the_estimate_over_the_whole_curve(target: str, num_trials: int) -> None:
    scores = np.random.default_rng(0).beta(5, 2, num_trials)
    found = estimate_expected_best(scores, target, bounds=(0.0, 1.0))
    assert found.num_trials[-1] == num_trials
    assert (found.low <= found.expected).all() and (found.expected <= found.high).all()
    assert (found.low >= 0).all() and (found.high <= 1).all()


def test_scores_without_bounds_have_no_band() -> None:
    found = estimate_expected_best(np.arange(100.0), "max")
    assert np.isnan(found.low).all() and np.isnan(found.high).all()
