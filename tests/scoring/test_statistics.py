import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ShapeError
from harness.scoring.metrics import macro_f1_of, recalls_of, weighted_accuracy_of
from harness.scoring.statistics import (
    bootstrap_error,
    bootstrap_interval,
    bootstrap_intervals,
    mean_and_spread,
    wilson_interval,
)
from tests.scored import answer_dialogues as predict
from tests.scored import whole_test_sets


def test_spread_over_seeds_is_the_sample_deviation_with_students_interval() -> None:
    spread = mean_and_spread([0.6, 0.62, 0.64])
    assert spread.mean == pytest.approx(0.62) and spread.deviation == pytest.approx(0.02)
    # Student's t at 0.975 with 2 degrees of freedom is 4.302653.
    assert spread.high - spread.mean == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-6)
    assert spread.mean - spread.low == pytest.approx(spread.high - spread.mean)
    assert spread.num_values == 3


def test_one_seed_has_no_spread() -> None:
    spread = mean_and_spread([0.6])
    assert (spread.mean, spread.num_values) == (0.6, 1)
    assert all(math.isnan(value) for value in (spread.deviation, spread.low, spread.high))


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        mean_and_spread([])
    assert str(caught.value) == "scores over seeds: found none; expected at least one"


def test_published_accuracy_has_its_wilson_interval() -> None:
    low, high = wilson_interval(780, 1098)
    assert (round(100 * low, 1), round(100 * high, 1)) == (68.3, 73.6)


@pytest.mark.parametrize("num_right", [0, 5], ids=["none right", "all right"])
def test_wilson_interval_stays_inside_zero_and_one(num_right: int) -> None:
    low, high = wilson_interval(num_right, 5)
    assert -1e-12 <= low < high <= 1 + 1e-12


@pytest.mark.parametrize(("num_right", "num_utterances"), [(6, 5), (-1, 5), (0, 0)])
def test_share_that_is_none_is_refused(num_right: int, num_utterances: int) -> None:
    with pytest.raises(ShapeError) as caught:
        wilson_interval(num_right, num_utterances)
    assert str(caught.value) == (
        f"{num_right} of {num_utterances} utterances right: expected a share of at least one"
    )


def test_bootstrap_over_dialogues_is_wider_where_dialogues_differ() -> None:
    same = predict([[True, False] * 10] * 20)
    different = predict([[True] * 20] * 10 + [[False] * 20] * 10)
    narrow, wide = bootstrap_interval([same]), bootstrap_interval([different])
    assert narrow.low == narrow.high == 0.5
    # Ten of twenty dialogues are wholly right: a binomial's 95 % of 20 draws.
    assert (wide.low, wide.high) == pytest.approx((0.3, 0.7), abs=0.06)
    assert (wide.drawn, wide.is_too_narrow) == ("dialogues", False)


def test_the_error_over_dialogues_is_that_of_utterances_only_where_each_is_a_dialogue() -> None:
    alone = predict([[number < 60] for number in range(100)])
    error, drawn = bootstrap_error(alone)
    assert drawn == "dialogues" and error == pytest.approx((0.6 * 0.4 / 100) ** 0.5, rel=0.05)
    # Twenty dialogues of five utterances that are all right or all wrong: as if there were twenty utterances.
    alike = predict([[number < 12] * 5 for number in range(20)])
    error, _ = bootstrap_error(alike)
    assert error == pytest.approx((0.6 * 0.4 / 20) ** 0.5, rel=0.05)
    assert bootstrap_error(alike[:20])[1] == "utterances"


def test_below_ten_dialogues_utterances_are_drawn_and_it_is_said() -> None:
    interval = bootstrap_interval([predict([[True] * 20] * 5 + [[False] * 20] * 4)])
    assert (interval.drawn, interval.is_too_narrow) == ("utterances", True)
    low, high = wilson_interval(100, 180)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)


def test_interval_covers_the_mean_over_seeds() -> None:
    good, bad = predict([[True] * 8] * 12), predict([[False] * 8] * 12)
    interval = bootstrap_interval([good, bad])
    assert interval.low == interval.high == 0.5


def test_order_of_the_predictions_does_not_matter_and_the_seed_does() -> None:
    generator = np.random.default_rng(1)
    predictions = predict((generator.random((15, 12)) < 0.6).tolist())
    first = bootstrap_interval([predictions], metric=macro_f1_of)
    assert bootstrap_interval([predictions[::-1]], metric=macro_f1_of) == first
    assert bootstrap_interval([predictions], metric=macro_f1_of, seed=1) != first


def test_coverage_is_near_what_it_claims() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        chances = generator.choice([0.4, 0.8], size=30)
        interval = bootstrap_interval(
            [predict((generator.random((30, 10)) < chances[:, None]).tolist())], num_resamples=1000
        )
        covered += interval.low <= 0.6 <= interval.high
    assert 180 <= covered <= 198


def test_several_scores_share_their_draws() -> None:
    generator = np.random.default_rng(5)
    seeds = [predict((generator.random((12, 8)) < 0.6).tolist()) for _ in range(2)]
    both = bootstrap_intervals(seeds, [weighted_accuracy_of, macro_f1_of])
    assert both == [bootstrap_interval(seeds), bootstrap_interval(seeds, macro_f1_of)]


def test_draws_without_the_class_are_left_out_of_its_recall() -> None:
    # Anger is in one of twelve dialogues alone, so that a third of the draws holds none of it.
    predictions = predict([[True] * 4] + [[False, True]] * 11)
    of_one = [found for found in predictions if found.emotion != "ang" or "impro00" in found.utterance_id]
    found = bootstrap_interval([of_one], lambda counts: recalls_of(counts)[..., 0])
    assert (found.low, found.high) == (1.0, 1.0)


def test_a_class_that_never_occurs_has_no_interval() -> None:
    never = bootstrap_interval([predict([[True]] * 12)], lambda counts: recalls_of(counts)[..., 3])
    assert math.isnan(never.low) and math.isnan(never.high)


@settings(max_examples=25, deadline=None)
@given(seeds=whole_test_sets(), others=st.randoms(use_true_random=False))
def test_order_of_utterances_and_of_seeds_changes_no_interval(seeds, others) -> None:
    shuffled = [others.sample(of_seed, len(of_seed)) for of_seed in others.sample(seeds, len(seeds))]
    expected, found = (bootstrap_interval(some, macro_f1_of, num_resamples=200) for some in (seeds, shuffled))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_seeds_that_scored_different_utterances_are_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        bootstrap_interval([predict([[True, True]]), predict([[True]])])
    assert str(caught.value) == (
        "bootstrap: the seeds scored different utterances (2 and 1); expected the same ones"
    )


def test_no_predictions_are_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        bootstrap_interval([[]])
    assert str(caught.value) == "bootstrap: found no predictions; expected at least one utterance of one seed"
