from itertools import combinations

import numpy as np
import pytest

from harness.scoring.expected_best import estimate_expected_best, weigh_order


@pytest.mark.parametrize("target", ["max", "min"])
def test_estimate_is_the_mean_over_all_choices_of_so_many_trials(target: str) -> None:
    scores = np.random.default_rng(0).normal(size=7)
    best = max if target == "max" else min
    found = estimate_expected_best(scores, target)
    assert found.num_trials.tolist() == list(range(1, 8))
    for count, expected in zip(found.num_trials, found.expected, strict=True):
        means = [best(chosen) for chosen in combinations(scores, count)]
        assert expected == pytest.approx(np.mean(means))
    assert (found.low <= found.expected + 1e-12).all() and (found.expected <= found.high + 1e-12).all()
    assert found.from_half == pytest.approx(abs(found.expected[-1] - found.expected[2]))
    assert found.from_half_low <= found.from_half <= found.from_half_high


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
