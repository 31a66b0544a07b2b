import numpy as np
import pytest

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError
from harness.scoring.metrics import (
    character_error_rate,
    confusion_matrix,
    macro_f1,
    macro_f1_of,
    predicted_classes,
    recalls_of,
    unweighted_accuracy,
    unweighted_accuracy_of,
    weighted_accuracy,
    weighted_accuracy_of,
)
from harness.store.records import Prediction

EMOTIONS = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3])
PREDICTED = np.array([0, 0, 1, 2, 1, 0, 2, 2, 2, 0])


def test_rows_are_what_the_raters_said_and_columns_what_the_model_said() -> None:
    assert confusion_matrix(EMOTIONS, PREDICTED).tolist() == [
        [2, 1, 1, 0],
        [1, 1, 0, 0],
        [0, 0, 3, 0],
        [1, 0, 0, 0],
    ]


def test_scores_agree_with_a_computation_by_hand() -> None:
    assert weighted_accuracy(EMOTIONS, PREDICTED) == 6 / 10
    assert recalls_of(confusion_matrix(EMOTIONS, PREDICTED)).tolist() == [0.5, 0.5, 1.0, 0.0]
    assert unweighted_accuracy(EMOTIONS, PREDICTED) == 0.5
    assert macro_f1(EMOTIONS, PREDICTED) == pytest.approx((4 / 8 + 2 / 4 + 6 / 7 + 0) / 4)


def test_class_that_does_not_occur_has_no_recall_and_does_not_count() -> None:
    emotions, predicted = np.array([0, 0, 1]), np.array([0, 2, 1])
    assert np.isnan(recalls_of(confusion_matrix(emotions, predicted))).tolist() == [False, False, True, True]
    assert unweighted_accuracy(emotions, predicted) == 0.75


def test_class_that_was_only_predicted_counts_in_macro_f1() -> None:
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 2, 1])) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_many_matrices_are_scored_at_once() -> None:
    one = confusion_matrix(EMOTIONS, PREDICTED)
    stack = np.stack([one, 3 * one]).reshape(2, 1, 4, 4)
    for score in (weighted_accuracy_of, unweighted_accuracy_of, macro_f1_of):
        assert score(stack).shape == (2, 1)
        assert np.array_equal(score(stack), np.full((2, 1), score(one)))


def test_predictions_become_indices_in_the_order_of_the_classes() -> None:
    predictions = [
        Prediction(f"Ses01F_impro01_F{number:03d}", emotion, CLASSES[0], (1.0, 0.0, 0.0, 0.0))
        for number, emotion in enumerate(CLASSES)
    ]
    emotions, predicted = predicted_classes(predictions)
    assert (emotions.tolist(), predicted.tolist()) == ([0, 1, 2, 3], [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("emotions", "predicted", "message"),
    [
        (
            np.array([0, 1]),
            np.array([0]),
            "predictions: emotions have shape (2,) and predictions (1,); expected the same "
            "(num_utterances,), at least one",
        ),
        (
            np.array([], dtype=int),
            np.array([], dtype=int),
            "predictions: emotions have shape (0,) and predictions (0,); expected the same "
            "(num_utterances,), at least one",
        ),
        (
            np.array([0, 4]),
            np.array([0, 1]),
            "predictions: emotions are int64 from 0 to 4; expected integers from 0 to 3",
        ),
        (
            np.array([0, 1]),
            np.array([0.0, 1.0]),
            "predictions: predictions are float64 from 0.0 to 1.0; expected integers from 0 to 3",
        ),
    ],
    ids=["different lengths", "empty", "fifth class", "probabilities"],
)
def test_what_cannot_be_scored_is_refused(emotions: np.ndarray, predicted: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        weighted_accuracy(emotions, predicted)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "read", "edits"),
    [
        ("ab", "ab", 0),
        ("ab", "", 2),
        ("ab", "xaby", 2),
        ("abc", "acb", 2),
        ("sunday", "saturday", 3),
        ("a", "bbb", 3),
        ("intention", "execution", 5),
    ],
)
def test_the_character_error_rate_counts_the_fewest_edits(text: str, read: str, edits: int) -> None:
    assert character_error_rate([text], [read]) == edits / len(text)
    assert character_error_rate([text, "xyz"], [read, "xyz"]) == edits / (len(text) + 3)
