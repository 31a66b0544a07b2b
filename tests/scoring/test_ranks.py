import math

import numpy as np
import pytest

from harness.errors import ShapeError
from harness.scoring.search import mean_ranks, rank_correlation


def test_rank_correlation_is_spearmans_with_ties() -> None:
    found = rank_correlation([1, 2, 2, 4, 5, 6, 7, 8], [2, 1, 4, 3, 6, 5, 8, 7])
    # By hand: ranks of the ties are 2.5, and Pearson's correlation of the ranks is 36.5 / sqrt(41.5 * 42).
    assert found.rho == pytest.approx(36.5 / math.sqrt(41.5 * 42))
    assert found.low < found.rho < found.high < 1 and found.num_values == 8
    # Source: Fieller, Hartley and Pearson 1957, by hand: a deviation of sqrt(1.06 / 5) on the scale of the tangent.
    middle, half = math.atanh(found.rho), 1.959964 * math.sqrt(1.06 / 5)
    assert (found.low, found.high) == pytest.approx((math.tanh(middle - half), math.tanh(middle + half)))


def test_rank_correlation_of_chance_holds_zero() -> None:
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        found = rank_correlation(list(generator.random(30)), list(generator.random(30)))
        held += found.low <= 0 <= found.high
    assert 275 <= held <= 296


@pytest.mark.parametrize(
    ("values", "scores"),
    [([1.0], [1.0]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([], [])],
    ids=["one", "constant", "none"],
)
def test_rank_correlation_of_what_does_not_vary_is_nan(values: list[float], scores: list[float]) -> None:
    assert math.isnan(rank_correlation(values, scores).rho)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "rho"), [([1, 2, 3, 5], 1), ([4, 3, 2, 1], -1), ([2, 1, 3], 0.5)])
def test_a_perfect_rank_correlation_and_one_of_three_have_no_interval(values: list[float], rho: float) -> None:
    found = rank_correlation(values, [1, 4, 9, 16][: len(values)])
    assert found.rho == rho and math.isnan(found.low) and math.isnan(found.high)


def test_rank_correlation_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        rank_correlation([1, 2], [1])
    assert str(caught.value) == "rank correlation: 2 values and 1 scores; expected as many"


def test_ranks_of_what_is_no_number_are_none() -> None:
    assert np.isnan(mean_ranks([1, math.nan, 2])).all()
    found = rank_correlation([1, 2, 3, 4, math.nan], [1, 2, 3, 4, 5])
    assert math.isnan(found.rho) and math.isnan(found.low) and math.isnan(found.high)
    assert found.num_values == 5
