import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ShapeError
from harness.scoring.significance import bootstrap_over_draws, exact_p_value, mcnemar_test, paired_bootstrap
from harness.store.records import Prediction
from tests.scored import answer_dialogues, whole_test_sets


def by_hand(num_first_only: int, num_second_only: int) -> Fraction:
    """Both tails of a fair coin, in whole numbers."""
    num_pairs = num_first_only + num_second_only
    tail = sum(math.comb(num_pairs, few) for few in range(min(num_first_only, num_second_only) + 1))
    return min(Fraction(1), Fraction(2 * tail, 2**num_pairs))


@pytest.mark.parametrize(
    ("num_first_only", "num_second_only", "p_value"),
    [
        (9, 1, 22 / 1024),
        (1, 9, 22 / 1024),
        (0, 6, 2 / 64),
        (5, 5, 1.0),
        (3, 4, 1.0),
        (0, 0, 1.0),
        (1, 0, 1.0),
    ],
)
def test_p_value_is_both_tails_of_a_fair_coin(
    num_first_only: int, num_second_only: int, p_value: float
) -> None:
    assert exact_p_value(num_first_only, num_second_only) == pytest.approx(p_value, rel=1e-12)


@pytest.mark.parametrize("pairs", [(86, 150), (40, 60), (500, 430), (300, 310)])
def test_p_value_of_many_pairs_is_as_exact(pairs: tuple[int, int]) -> None:
    assert exact_p_value(*pairs) == pytest.approx(float(by_hand(*pairs)), rel=1e-9)


def test_many_pairs_agree_with_chi_squared() -> None:
    # McNemar's chi-squared with continuity correction, of 86 and 150 pairs: (64 - 1) ** 2 / 236.
    corrected = math.erfc(math.sqrt((64 - 1) ** 2 / 236 / 2))
    assert exact_p_value(86, 150) == pytest.approx(corrected, rel=0.1)


def test_only_utterances_that_one_alone_has_right_count() -> None:
    first = answer_dialogues([[True, True, True, False, False]])
    second = answer_dialogues([[True, False, False, True, False]])
    found = mcnemar_test(first, second[::-1])
    assert (found.num_first_only, found.num_second_only, found.p_value) == (2, 1, 1.0)


@pytest.mark.parametrize("second", [[], answer_dialogues([[True]]), answer_dialogues([[True], [True]])])
def test_mcnemar_of_different_utterances_is_refused(second: list) -> None:
    with pytest.raises(ShapeError) as caught:
        mcnemar_test(answer_dialogues([[True, True]]), second)
    assert str(caught.value) == (
        f"McNemar's test: the first scored 2 utterances, the second {len(second)}; expected the same ones, "
        "at least one"
    )


def test_mcnemar_holds_its_level_and_finds_what_is_there() -> None:
    # Of equally good classifiers an exact test rejects at most 5 %; of 30 to 10 pairs hardly any doubt is left.
    rejected = sum(
        math.comb(20, wins) for wins in range(21) if exact_p_value(wins, 20 - wins) <= 0.05
    ) / 2**20
    assert 0.02 < rejected <= 0.05
    assert exact_p_value(30, 10) < 0.01


def test_difference_that_every_dialogue_shows_has_no_width() -> None:
    better = answer_dialogues([[True, True, True, False]] * 12)
    worse = answer_dialogues([[False, True, False, False]] * 12)
    found = paired_bootstrap([better], [worse])
    assert (found.difference, found.interval.low, found.interval.high) == (0.5, 0.5, 0.5)
    assert (found.share_above, found.interval.drawn) == (1.0, "dialogues")


def test_difference_over_dialogues_is_a_coins() -> None:
    """Of 20 dialogues the first has ten right, the second the others: a draw's difference is (2 x - 20) / 20."""
    first = answer_dialogues([[True] * 4] * 10 + [[False] * 4] * 10)
    second = answer_dialogues([[False] * 4] * 10 + [[True] * 4] * 10)
    found = paired_bootstrap([first], [second])
    assert found.difference == 0
    assert (found.interval.low, found.interval.high) == pytest.approx((-0.4, 0.4), abs=0.1)
    # x > 10 of a binomial with 20 draws.
    above = sum(math.comb(20, wins) for wins in range(11, 21)) / 2**20
    assert found.share_above == pytest.approx(above, abs=0.015)


def test_pairing_takes_out_what_both_find_hard() -> None:
    hard = [[True] * 8] * 10 + [[False] * 8] * 10
    first = [[*found[:-1], True] for found in hard]
    found = paired_bootstrap([answer_dialogues(first)], [answer_dialogues(hard)])
    # The first is better by one of eight utterances in half of the dialogues.
    assert found.difference == pytest.approx(1 / 16)
    assert found.interval.high - found.interval.low < 0.07 and found.share_above == 1.0


def test_each_model_is_averaged_over_its_own_seeds() -> None:
    right, wrong = answer_dialogues([[True] * 3] * 11), answer_dialogues([[False] * 3] * 11)
    assert paired_bootstrap([right, wrong], [wrong]).difference == 0.5
    assert paired_bootstrap([right], [wrong, wrong, right]).difference == pytest.approx(2 / 3)


def test_below_ten_dialogues_utterances_are_drawn_and_it_is_said() -> None:
    found = paired_bootstrap([answer_dialogues([[True]] * 9)], [answer_dialogues([[False]] * 9)])
    assert (found.interval.drawn, found.interval.is_too_narrow) == ("utterances", True)


def test_a_model_without_a_seed_is_refused() -> None:
    with pytest.raises(ShapeError) as caught:
        paired_bootstrap([], [answer_dialogues([[True]])])
    assert str(caught.value) == "paired bootstrap: found 0 and 1 seeds; expected at least one of each"


@settings(max_examples=25, deadline=None)
@given(seeds=whole_test_sets(), others=st.randoms(use_true_random=False))
def test_order_of_utterances_and_of_seeds_changes_nothing(seeds, others) -> None:
    first, second = seeds, [seeds[0]]
    shuffled = [others.sample(of_seed, len(of_seed)) for of_seed in others.sample(first, len(first))]
    expected = paired_bootstrap(first, second, num_resamples=200)
    found = paired_bootstrap(shuffled, [second[0][::-1]], num_resamples=200)
    assert found.difference == pytest.approx(expected.difference, abs=1e-12)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (expected.interval.low, expected.interval.high), abs=1e-9
    )
    assert found.share_above == expected.share_above
    assert mcnemar_test(first[0], first[-1]) == mcnemar_test(first[0][::-1], first[-1])


@settings(max_examples=25, deadline=None)
@given(seeds=whole_test_sets(max_seeds=2))
def test_a_model_is_never_better_than_itself(seeds) -> None:
    found = paired_bootstrap(seeds, seeds, num_resamples=100)
    assert (found.difference, found.interval.low, found.interval.high, found.share_above) == (0, 0, 0, 0)
    assert mcnemar_test(seeds[0], seeds[0]).p_value == 1.0
    over_draws = bootstrap_over_draws(seeds, seeds, num_resamples=100)
    assert (over_draws.difference, over_draws.share_above) == (0, 0)


def draw_of(number: int, right: list[list[bool]]) -> list[Prediction]:
    """The dialogues of one draw, of a speaker of its own."""
    return [
        replace(each, utterance_id=each.utterance_id.replace("Ses05", f"Ses0{1 + number % 5}"))
        for each in answer_dialogues(right)
    ]


def test_the_difference_over_draws_is_that_of_all_utterances() -> None:
    sizes = (6, 12)
    first = [draw_of(number, [[True, True]] * size) for number, size in enumerate(sizes)]
    second = [draw_of(0, [[True, False]] * 6), draw_of(1, [[True, True]] * 12)]
    found = bootstrap_over_draws(first, second)
    assert found.difference == pytest.approx(6 / 36)
    # Two draws of half and of none: each resample takes the first never, once or twice.
    assert (found.interval.low, found.interval.high) == pytest.approx((0.0, 0.5))
    assert (found.interval.drawn, found.interval.is_too_narrow) == ("draws and dialogues", False)


def test_draws_that_agree_within_and_differ_between_widen_the_interval_that_dialogues_alone_give() -> None:
    first = [draw_of(number, [[is_right] * 2] * 8) for number, is_right in enumerate([True, True, True, False])]
    second = [draw_of(number, [[not is_right] * 2] * 8) for number, is_right in enumerate([True, True, True, False])]
    over_dialogues = paired_bootstrap([sum(first, [])], [sum(second, [])]).interval
    over_draws = bootstrap_over_draws(first, second).interval
    assert over_dialogues.low > 0.1 and over_draws.low <= -0.5


def test_one_draw_is_too_narrow_and_few_dialogues_are_drawn_by_utterance() -> None:
    one = bootstrap_over_draws([draw_of(0, [[True]] * 12)], [draw_of(0, [[False]] * 12)]).interval
    assert (one.drawn, one.is_too_narrow) == ("dialogues", True)
    few = [[draw_of(number, [[is_right, True]] * 2) for number in range(2)] for is_right in (True, False)]
    found = bootstrap_over_draws(*few).interval
    assert (found.drawn, found.is_too_narrow) == ("draws and utterances", True)


def test_unequal_numbers_of_draws_are_refused() -> None:
    for first, second in (([], []), ([draw_of(0, [[True]])], [])):
        with pytest.raises(ShapeError, match="^bootstrap over draws: found "):
            bootstrap_over_draws(first, second)


def test_the_interval_over_draws_misses_no_gain_about_as_often_as_it_says() -> None:
    """Two ways that are equally good, each draw with its own luck: an interval over dialogues alone misses 0 often."""
    generator = np.random.default_rng(5)
    missed = {"draws": 0, "dialogues": 0}
    for _ in range(200):
        pairs = []
        for number in range(6):
            luck = generator.normal(0, 0.08, size=2)
            pairs.append([draw_of(number, (generator.random((8, 6)) < 0.6 + of_way).tolist()) for of_way in luck])
        first, second = ([pair[way] for pair in pairs] for way in (0, 1))
        over_draws = bootstrap_over_draws(first, second, num_resamples=400).interval
        pooled = [[each for of_draw in way for each in of_draw] for way in (first, second)]
        over_dialogues = paired_bootstrap([pooled[0]], [pooled[1]], num_resamples=400).interval
        missed["draws"] += not over_draws.low <= 0 <= over_draws.high
        missed["dialogues"] += not over_dialogues.low <= 0 <= over_dialogues.high
    assert missed["draws"] <= 0.08 * 200 < missed["dialogues"], missed
