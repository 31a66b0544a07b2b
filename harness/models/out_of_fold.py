"""Out-of-fold answers: each training turn's from a model that trained on nothing of its folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError

Rows = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]

#: From rows to probabilities, float64 (num_rows, 4).
Predict = Callable[[Rows], Probabilities]
#: The fold of each turn, int64 (num_turns,), by what parts the turns, such as the session.
Folds = Mapping[str, Rows]
_WHAT = "out-of-fold probabilities"


def predict_out_of_fold(
    fit: Callable[[Rows], Predict], folds: Folds, is_trained_on: npt.NDArray[np.bool_]
) -> Probabilities:
    """Return the probabilities of every turn, from models that have trained on no turn of any of its folds.

    A second model that trains on them meets at the test what it has trained on: probabilities of turns that
    were new to the first model.

    Args:
        fit: trains a model on some rows and returns its answers
        folds: of all turns
        is_trained_on: bool (num_turns,), the turns of a fold whose labels train; the fold's others are answered only

    Returns:
        float64 (num_turns, 4)

    Raises:
        ShapeError: as ``part_folds``
    """
    answers = np.full((len(is_trained_on), len(CLASSES)), np.nan)
    for asked, trained in part_folds(folds, is_trained_on):
        answers[asked] = fit(trained)(asked)
    return answers


def part_folds(folds: Folds, is_trained_on: npt.NDArray[np.bool_]) -> list[tuple[Rows, Rows]]:
    """Return the rows that have all folds in common, and with them the training rows that have none in common.

    Raises:
        ShapeError: all training turns have the same fold, or no training row is left
    """
    trained = np.flatnonzero(is_trained_on)
    for name, numbers in folds.items():
        if (num_folds := len(np.unique(numbers[trained]))) < 2:
            raise ShapeError(f"{_WHAT}: found training turns of {num_folds} {name}; expected at least 2")
    parts = []
    places = np.stack(list(folds.values()), axis=1)
    for place in np.unique(places, axis=0):
        others = trained[(places[trained] != place).all(axis=1)]
        if not len(others):
            where = " and ".join(f"{name} {number}" for name, number in zip(folds, place, strict=True))
            raise ShapeError(
                f"{_WHAT}: each of the {len(trained)} training turns shares {' or '.join(folds)} with the turns of "
                f"{where}; expected some that share neither; use a larger corpus"
            )
        parts.append((np.flatnonzero((places == place).all(axis=1)), others))
    return parts
