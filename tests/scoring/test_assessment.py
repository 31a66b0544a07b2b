import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError
from harness.scoring.assessment import assess, leading_score, name_baseline
from harness.scoring.breakdown import IMPROVISED, LISTENER, MARKED, NOT_SEEN, SEEN
from harness.store.records import ScoreKind
from tests.scored import answer, answer_dialogues, whole_test_sets

CHOSEN, MAJORITY = ScoreKind.VALIDATION_CHOSEN, ScoreKind.BASELINE_MAJORITY

#: Twelve dialogues of four turns, one of each class; the second seed has the last turn wrong.
FIRST = answer_dialogues([[True, True, True, True]] * 12)
SECOND = answer_dialogues([[True, True, True, False]] * 12, confidence=0.6)


def test_scores_are_means_over_the_seeds_beside_their_spread() -> None:
    found = assess(CHOSEN, {CHOSEN: [FIRST, SECOND]}, {})
    weighted, unweighted, macro_f1 = found.scores
    assert (weighted.name, weighted.values, weighted.spread.mean) == ("weighted accuracy", (1.0, 0.75), 0.875)
    assert weighted.spread.deviation == pytest.approx(0.25 / math.sqrt(2))
    assert unweighted.values == (1.0, 0.75)
    # Of the second seed: anger is predicted in 24 of 48, 12 of them right, and sadness never.
    assert macro_f1.values == pytest.approx((1.0, (2 / 3 + 1 + 1 + 0) / 4))
    # The first seed is surer, so that the average answers as it does.
    assert weighted.averaged == 1.0
    assert (found.num_seeds, found.num_utterances, found.num_dialogues) == (2, 48, 12)


def test_a_class_that_one_seed_never_predicts_has_its_precision_from_the_other() -> None:
    found = assess(CHOSEN, {CHOSEN: [FIRST, SECOND]}, {})
    anger, *_, sadness = found.classes
    assert (sadness.emotion, sadness.num_utterances) == ("sad", 12)
    assert (sadness.precision.mean, sadness.precision.num_values) == (1.0, 1)
    assert (sadness.recall.mean, sadness.recall.num_values, sadness.f1.mean) == (0.5, 2, 0.5)
    assert anger.precision.mean == 0.75 and anger.recall.mean == 1.0
    assert (sadness.recall_interval.low, sadness.recall_interval.high) == (0.5, 0.5)


@pytest.mark.filterwarnings("error")
def test_a_class_that_does_not_occur_has_no_numbers() -> None:
    predictions = [answer(f"Ses05F_impro{dialogue:02d}_F000", 0, 0) for dialogue in range(12)]
    sadness = assess(CHOSEN, {CHOSEN: [predictions]}, {}).classes[3]
    assert sadness.num_utterances == 0
    assert all(math.isnan(spread.mean) for spread in (sadness.precision, sadness.recall, sadness.f1))
    assert sadness.recall.num_values == 0
    assert math.isnan(sadness.recall_interval.low)


def test_confusion_is_the_mean_of_the_seeds_counts() -> None:
    found = assess(CHOSEN, {CHOSEN: [FIRST, SECOND]}, {})
    expected = np.diag([12.0, 12.0, 12.0, 6.0])
    expected[3, 0] = 6.0
    assert np.array_equal(found.confusion, expected)


def test_groups_come_with_the_interval_of_their_own_dialogues() -> None:
    is_seen = {prediction.utterance_id: number % 2 == 0 for number, prediction in enumerate(FIRST)}
    is_seen[FIRST[0].utterance_id] = None
    found = assess(CHOSEN, {CHOSEN: [SECOND]}, is_seen)
    groups = {score.group: (score, interval) for score, interval in found.groups}
    # Odd turns are M's, who is the listener in a dialogue named F; every fourth turn, M's, is wrong.
    assert groups[MARKED][0].weighted_accuracy.mean == 1.0
    assert groups[LISTENER][0].weighted_accuracy.mean == 0.5
    assert (groups[LISTENER][1].low, groups[LISTENER][1].drawn) == (0.5, "dialogues")
    assert groups[SEEN][0].num_utterances == 23 and groups[NOT_SEEN][0].num_utterances == 24
    assert groups[IMPROVISED][0].num_utterances == 48
    assert found.num_without_words == 1


def test_a_group_of_few_dialogues_says_that_its_interval_is_too_narrow() -> None:
    is_seen = {prediction.utterance_id: "impro00" in prediction.utterance_id for prediction in FIRST}
    found = assess(CHOSEN, {CHOSEN: [SECOND]}, is_seen)
    narrow = {score.group: interval.is_too_narrow for score, interval in found.groups}
    assert narrow[SEEN] and not narrow[NOT_SEEN]


def test_an_opening_that_recorded_no_transcripts_has_no_such_groups() -> None:
    found = assess(CHOSEN, {CHOSEN: [FIRST]}, {})
    assert not {SEEN, NOT_SEEN} & {score.group for score, _ in found.groups}


def test_baselines_stand_beside_the_model() -> None:
    neutral = [answer(found.utterance_id, number % 4, 2, 0.4) for number, found in enumerate(FIRST)]
    found = assess(CHOSEN, {MAJORITY: [neutral], CHOSEN: [FIRST, SECOND], ScoreKind.TEST_MAXIMUM: [FIRST]}, {})
    (comparison,) = found.comparisons
    assert (comparison.kind, name_baseline(comparison.kind)) == (MAJORITY, "majority class")
    assert comparison.weighted_accuracy.mean == 0.25 and comparison.paired["weighted accuracy"].difference == 0.625
    assert comparison.paired["weighted accuracy"].interval.low == 0.625
    assert comparison.paired["weighted accuracy"].share_above == 1.0
    # By averaged probabilities the model has all 48 right.
    assert (comparison.mcnemar.num_first_only, comparison.mcnemar.num_second_only) == (36, 0)
    assert [calibrated.name for calibrated in found.calibrations] == ["the model", "majority class"]
    assert len(found.seed_calibrations) == 2


def test_unweighted_accuracy_leads_where_scenes_are_disjoint() -> None:
    assert leading_score({"scenes": "shared"}) == leading_score({}) == "weighted accuracy"
    leading = leading_score({"scenes": "disjoint"})
    # Of twelve dialogues the last turn, sadness, stands in six alone: the two scores differ.
    some = [found for number, found in enumerate(SECOND) if number % 8 != 7]
    neutral = [answer(found.utterance_id, CLASSES.index(found.emotion), 2, 0.4) for found in some]
    scored = {CHOSEN: [some], MAJORITY: [neutral]}
    shared, disjoint = assess(CHOSEN, scored, {}), assess(CHOSEN, scored, {}, leading)
    assert [score.name for score in disjoint.leading_first][0] == "unweighted accuracy"
    assert [score.name for score in shared.leading_first] == [score.name for score in shared.scores]
    (comparison,) = shared.comparisons
    assert disjoint.comparisons == shared.comparisons
    for score in shared.scores[:2]:
        baseline = getattr(comparison, score.name.replace(" ", "_"))
        assert comparison.paired[score.name].difference == pytest.approx(score.spread.mean - baseline.mean)
    assert len({better.difference for better in comparison.paired.values()}) == 2
    assert shared.groups[0][1] != disjoint.groups[0][1]


def test_a_baseline_of_other_utterances_is_refused() -> None:
    with pytest.raises(ShapeError):
        assess(CHOSEN, {CHOSEN: [FIRST], MAJORITY: [FIRST[1:]]}, {})


@settings(max_examples=10, deadline=None)
@given(seeds=whole_test_sets(), others=st.randoms(use_true_random=False))
def test_order_of_utterances_and_of_seeds_changes_nothing(seeds, others) -> None:
    shuffled = [others.sample(of_seed, len(of_seed)) for of_seed in others.sample(seeds, len(seeds))]
    expected, found = (assess(CHOSEN, {CHOSEN: some, MAJORITY: [some[0]]}, {}) for some in (seeds, shuffled))
    for name in ("classes", "groups"):
        for one, other in zip(getattr(expected, name), getattr(found, name), strict=True):
            assert _numbers(one) == pytest.approx(_numbers(other), abs=1e-9, nan_ok=True)
    for one, other in zip(expected.scores, found.scores, strict=True):
        assert sorted(one.values) == sorted(other.values)
        rest = [_numbers([score.spread, score.interval, score.averaged]) for score in (one, other)]
        assert rest[0] == pytest.approx(rest[1], abs=1e-9, nan_ok=True)
    assert np.allclose(expected.confusion, found.confusion)


def _numbers(value) -> list[float]:
    """Every number in a record, in the order of its fields."""
    if isinstance(value, tuple | list):
        return [number for part in value for number in _numbers(part)]
    if hasattr(value, "__dataclass_fields__"):
        return _numbers(list(asdict(value).values()))
    if isinstance(value, dict):
        return _numbers(list(value.values()))
    return [float(value)] if isinstance(value, int | float) else []
