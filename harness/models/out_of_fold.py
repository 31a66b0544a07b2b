"""Out-of-fold probabilities: each training turn's from a model that did not train on its fold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError

Rows = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

#: From rows to probabilities, float64 (num_rows, 4).
Predict = Callable[[Rows], Probabilities]
#: The fold of a turn that no model trains on: the model of all training turns answers it.
NO_FOLD = -1
_WHAT = "out-of-fold probabilities"


def predict_out_of_fold(
    fit: Callable[[Rows], Predict], folds: npt.NDArray[np.int64], is_trained_on: npt.NDArray[np.bool_]
) -> Probabilities:
    """Return the probabilities of every turn, from models that have not trained on its fold.

    A second model that trains on them meets at the test what it has trained on: probabilities of turns that
    were new to the first model.

    Args:
        fit: trains a model on some rows and returns its answers
        folds: int (num_turns,), such as the session; ``NO_FOLD`` for turns that are not trained on
        is_trained_on: bool (num_turns,), the turns of a fold whose labels train; the fold's others are answered only

    Returns:
        float64 (num_turns, 4)

    Raises:
        ShapeError: a training turn has no fold, or all have the same one
    """
    trained = np.flatnonzero(is_trained_on)
    if num_without := int((folds[trained] == NO_FOLD).sum()):
        raise ShapeError(f"{_WHAT}: {num_without} training turns have no fold; expected one for each")
    if (num_folds := len(np.unique(folds[trained]))) < 2:
        raise ShapeError(f"{_WHAT}: found training turns of {num_folds} fold; expected at least 2")
    answers = np.full((len(folds), len(CLASSES)), np.nan)
    for fold in np.unique(folds):
        asked = np.flatnonzero(folds == fold)
        answers[asked] = fit(trained[folds[trained] != fold])(asked)
    return answers
