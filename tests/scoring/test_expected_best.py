from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

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
    "draw",
    [
        lambda generator, size: generator.normal(size=size),
        lambda generator, size: generator.uniform(size=size),
        lambda generator, size: generator.beta(5, 2, size=size),
    ],
    ids=["bell", "flat", "leaning, as accuracies do"],
)
@pytest.mark.parametrize("num_trials", [16, 30, 100])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray], num_trials: int
) -> None:
    generator = np.random.default_rng(0)
    found = [estimate_expected_best(draw(generator, (num_trials,)), "max") for _ in range(300)]
    known = ~np.isnan(found[0].low)
    assert found[0].num_trials[known].max() == num_trials // 4
    for place in np.flatnonzero(known):
        truth = draw(generator, (20_000, int(found[0].num_trials[place]))).max(axis=1).mean()
        share = np.mean([one.low[place] <= truth <= one.high[place] for one in found])
        assert share >= 0.87, (num_trials, place)


@pytest.mark.parametrize("target", ["max", "min"])
def test_the_interval_holds_the_estimate_and_ends_where_too_few_trials_decide(target: str) -> None:
    found = estimate_expected_best(np.random.default_rng(0).normal(size=30), target)
    known = ~np.isnan(found.low)
    assert found.num_trials[known].tolist() == list(range(1, 8))
    assert (np.isnan(found.high) == np.isnan(found.low)).all()
    assert (found.low <= found.expected)[known].all() and (found.expected <= found.high)[known].all()


def test_few_trials_have_no_interval() -> None:
    assert np.isnan(estimate_expected_best(np.arange(15.0), "max").low).all()


def test_the_error_is_that_of_leaving_out_each_score() -> None:
    scores = np.sort(np.random.default_rng(0).normal(size=20))
    left_out = [estimate_expected_best(np.delete(scores, place), "max").expected[2] for place in range(20)]
    error = (19 / 20 * np.sum((left_out - np.mean(left_out)) ** 2)) ** 0.5
    found = estimate_expected_best(scores, "max")
    # Student's t with 19 degrees of freedom.
    assert found.high[2] - found.expected[2] == pytest.approx(2.093 * error, rel=1e-4)
