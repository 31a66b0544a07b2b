import numpy as np
import pytest

from harness.errors import ShapeError
from harness.models.out_of_fold import predict_out_of_fold

FOLDS = np.array([1, 1, 2, 2, 3, 4, 4])
IS_TRAINED_ON = np.array([True, False, True, True, True, False, False])


def test_no_model_answers_for_a_fold_that_it_was_trained_on():
    trained = {}

    def fit(rows):
        def predict(asked):
            trained.update(dict.fromkeys(asked.tolist(), rows.tolist()))
            return np.tile(asked[:, None], (1, 4)).astype(float)

        return predict

    answers = predict_out_of_fold(fit, {"session": FOLDS}, IS_TRAINED_ON)
    assert answers[:, 0].tolist() == list(range(7))
    assert trained == {
        **dict.fromkeys((0, 1), [2, 3, 4]),
        **dict.fromkeys((2, 3), [0, 4]),
        4: [0, 2, 3],
        **dict.fromkeys((5, 6), [0, 2, 3, 4]),
    }


def test_no_model_answers_for_a_session_or_a_scene_that_it_was_trained_on():
    folds = {"session": np.array([1, 1, 2, 2, 1]), "scene": np.array([0, 1, 0, 1, 1])}
    trained = {}

    def fit(rows):
        return lambda asked: trained.update({tuple(asked): rows.tolist()}) or np.zeros((len(asked), 4))

    predict_out_of_fold(fit, folds, np.array([True, True, True, True, False]))
    assert trained == {(0,): [3], (1, 4): [2], (2,): [1], (3,): [0]}


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (
            {"session": np.ones(7, int)},
            "out-of-fold probabilities: found training turns of 1 session; expected at least 2",
        ),
        (
            {"session": np.array([1, 1, 2, 2, 3, 3, 3]), "group of scenes": np.array([0, 0, 0, 0, 1, 0, 0])},
            "out-of-fold probabilities: each of the 4 training turns shares session or group of scenes with the turns "
            "of session 3 and group of scenes 0; expected some that share neither; use a larger corpus",
        ),
    ],
    ids=["one fold", "nothing left"],
)
def test_folds_that_part_nothing_are_refused(folds, message):
    with pytest.raises(ShapeError) as caught:
        predict_out_of_fold(lambda rows: pytest.fail("fitted"), folds, IS_TRAINED_ON)
    assert str(caught.value) == message
