import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError
from harness.scoring.calibration import (
    MAX_TEMPERATURE,
    NUM_BINS,
    apply_temperature,
    average_probabilities,
    fit_temperature,
    measure_calibration,
)
from harness.store.records import Prediction
from tests.scored import answer, whole_test_sets


def name(number: int) -> str:
    return f"Ses05F_impro01_F{number:03d}"


def test_calibration_error_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    found = measure_calibration(
        [
            answer(name(0), 0, 0, 0.9),
            answer(name(1), 0, 1, 0.9),
            answer(name(2), 0, 0, 0.6),
            answer(name(3), 0, 0, 0.6),
        ]
    )
    # (0.8, 0.9]: half right at 0.9; (0.5, 0.6]: all right at 0.6: 2/4 * 0.4 + 2/4 * 0.4.
    assert found.expected_calibration_error == pytest.approx(0.4)
    used = {round(found.high, 1): found for found in found.bins if found.num_utterances}
    assert {high: (bin.num_utterances, bin.accuracy) for high, bin in used.items()} == {0.6: (2, 1.0), 0.9: (2, 0.5)}


def test_opposite_errors_within_a_bin_cancel_and_between_bins_do_not() -> None:
    within = [answer(name(0), 0, 0, 0.5), answer(name(1), 0, 1, 0.5)]
    assert measure_calibration(within).expected_calibration_error == pytest.approx(0.0)
    between = [answer(name(0), 0, 0, 0.5), answer(name(1), 0, 1, 0.55)]
    assert measure_calibration(between).expected_calibration_error == pytest.approx((0.5 + 0.55) / 2)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    confidences = [step / 10 for step in range(3, 11)]
    found = measure_calibration([answer(name(step), 0, 0, value) for step, value in enumerate(confidences)])
    assert [bin.num_utterances for bin in found.bins] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    assert len(found.bins) == NUM_BINS and math.isnan(found.bins[0].accuracy)


def test_brier_score_and_likelihood_by_hand() -> None:
    right = Prediction(name(0), CLASSES[0], CLASSES[0], (0.7, 0.1, 0.1, 0.1))
    wrong = Prediction(name(1), CLASSES[1], CLASSES[0], (0.5, 0.25, 0.25, 0.0))
    found = measure_calibration([right, wrong])
    # 0.09 + 3 * 0.01 and 0.25 + 0.5625 + 0.0625.
    assert found.brier_score == pytest.approx((0.12 + 0.875) / 2)
    assert found.mean_negative_log_likelihood == pytest.approx(-(math.log(0.7) + math.log(0.25)) / 2)


def test_the_best_and_the_worst_probabilities() -> None:
    best = measure_calibration([answer(name(0), 2, 2, 1.0)])
    assert (best.expected_calibration_error, best.brier_score) == (0.0, 0.0)
    assert (best.mean_negative_log_likelihood, best.num_impossible) == (0.0, 0)
    worst = measure_calibration([answer(name(0), 2, 1, 1.0)])
    assert (worst.expected_calibration_error, worst.brier_score) == (1.0, 2.0)
    assert (worst.mean_negative_log_likelihood, worst.num_impossible) == (math.inf, 1)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "calibration: probabilities have shape (0,); expected (num_utterances, 4), at least one"),
        (
            [Prediction(name(0), CLASSES[0], CLASSES[0], (0.5, 0.5))],
            "calibration: probabilities have shape (1, 2); expected (num_utterances, 4), at least one",
        ),
        (
            [Prediction(name(0), CLASSES[0], CLASSES[0], (1.5, 0.0, 0.0, -0.5))],
            "calibration: probabilities lie between -0.5 and 1.5; expected numbers from 0 to 1",
        ),
        (
            [Prediction(name(0), CLASSES[0], CLASSES[0], (math.nan, 0.0, 0.0, 0.0))],
            "calibration: probabilities lie between nan and nan; expected numbers from 0 to 1",
        ),
    ],
    ids=["none", "two classes", "above 1", "NaN"],
)
def test_what_are_no_probabilities_is_refused(predictions: list[Prediction], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        measure_calibration(predictions)
    assert str(caught.value) == message


def test_averaged_probabilities_decide_the_answer() -> None:
    sure = Prediction(name(0), CLASSES[1], CLASSES[1], (0.1, 0.9, 0.0, 0.0))
    unsure = Prediction(name(0), CLASSES[1], CLASSES[0], (0.5, 0.3, 0.1, 0.1))
    (found,) = average_probabilities([[sure], [unsure]])
    assert found.predicted is CLASSES[1] and found.emotion is CLASSES[1]
    assert found.probabilities == pytest.approx((0.3, 0.6, 0.05, 0.05))


@pytest.mark.parametrize("other", [[], [answer(name(1), 0, 0)], [answer(name(0), 0, 0)] * 2])
def test_seeds_of_different_utterances_are_not_averaged(other: list[Prediction]) -> None:
    with pytest.raises(ShapeError, match=r"^average over seeds: 2 seeds scored \[1, \d\] utterances; expected"):
        average_probabilities([[answer(name(0), 0, 0)], other])


@settings(max_examples=40, deadline=None)
@given(seeds=whole_test_sets(), others=st.randoms(use_true_random=False))
def test_order_of_utterances_and_of_seeds_changes_nothing(seeds, others) -> None:
    shuffled = [others.sample(of_seed, len(of_seed)) for of_seed in others.sample(seeds, len(seeds))]
    averaged = average_probabilities(seeds)
    assert average_probabilities(shuffled) == averaged
    expected, found = measure_calibration(averaged), measure_calibration(averaged[::-1])
    assert found.expected_calibration_error == pytest.approx(expected.expected_calibration_error, abs=1e-12)
    assert found.brier_score == pytest.approx(expected.brier_score, abs=1e-12)
    assert found.mean_negative_log_likelihood == pytest.approx(expected.mean_negative_log_likelihood)


@settings(max_examples=40, deadline=None)
@given(seeds=whole_test_sets(max_seeds=1))
def test_numbers_lie_within_their_bounds_and_the_bins_hold_every_utterance(seeds) -> None:
    found = measure_calibration(seeds[0])
    assert 0 <= found.expected_calibration_error <= 1 and 0 <= found.brier_score <= 2
    assert found.mean_negative_log_likelihood >= 0
    assert sum(bin.num_utterances for bin in found.bins) == len(seeds[0])
    share_right = sum(one.emotion is one.predicted for one in seeds[0]) / len(seeds[0])
    mean_confidence = sum(max(one.probabilities) for one in seeds[0]) / len(seeds[0])
    assert found.expected_calibration_error >= abs(share_right - mean_confidence) - 1e-12


def probabilities_of(confidence: float, num_utterances: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Answers that are right as often as 0.7, with the same confidence each."""
    emotions = np.arange(num_utterances) % 4
    is_right = np.arange(num_utterances) % 10 < 7
    predicted = np.where(is_right, emotions, (emotions + 1) % 4)
    probabilities = np.full((num_utterances, 4), (1 - confidence) / 3)
    probabilities[np.arange(num_utterances), predicted] = confidence
    return probabilities, emotions


@pytest.mark.parametrize("confidence", [0.5, 0.7, 0.95])
def test_a_temperature_makes_the_confidence_the_share_of_right_answers(confidence: float) -> None:
    probabilities, emotions = probabilities_of(confidence)
    temperature = fit_temperature(probabilities, emotions)
    assert (temperature > 1) == (confidence > 0.7) or abs(temperature - 1) < 0.01
    np.testing.assert_allclose(apply_temperature(probabilities, temperature).max(axis=1), 0.7, atol=0.001)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0, 10.0])
def test_a_temperature_changes_no_answer_not_even_between_neighbouring_numbers(temperature: float) -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.dirichlet([0.1] * 4, 500).astype(np.float32)
    near = np.nextafter(np.float32(0.25), np.float32(1))
    probabilities = np.vstack([probabilities, [[0.25, near, 0.25, 0.25], [0.25] * 4, [0.0, 0.0, 1.0, 0.0]]])
    probabilities = probabilities.astype(np.float32)
    scaled = apply_temperature(probabilities, temperature)
    np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    if temperature >= 0.7:
        np.testing.assert_allclose(apply_temperature(scaled, 1 / temperature), probabilities, atol=1e-6)
    assert apply_temperature(probabilities, None) is probabilities


def test_a_model_that_is_always_right_gets_the_lowest_temperature() -> None:
    probabilities, _ = probabilities_of(0.9)
    assert fit_temperature(probabilities, probabilities.argmax(axis=1)) == pytest.approx(1 / MAX_TEMPERATURE, rel=0.01)
