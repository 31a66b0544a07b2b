"""Out-of-fold answers: each training turn's from a model that trained on nothing of its folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

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
#: The fold of a turn that no model trains on: it excludes no training turn.
NO_FOLD = -1
_WHAT = "out-of-fold probabilities"


def predict_out_of_fold(
    fit: Callable[[Rows], Predict], folds: Folds, is_trained_on: npt.NDArray[np.bool_]
) -> Probabilities:
    """Return the probabilities of every turn, from models that have trained on no turn of any of its folds.

    A second model that trains on them meets at the test what it has trained on: probabilities of turns that
    were new to the first model.

    Args:
        fit: trains a model on some rows and returns its answers
        folds: ``NO_FOLD`` for turns that are not trained on
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


def part_folds(folds: Folds, is_trained_on: npt.NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows that have all folds in common, and the training rows that have none in common with them.

    Raises:
        ShapeError: a training turn has no fold, all have the same one, or no training row is left
    """
    trained = np.flatnonzero(is_trained_on)
    for name, numbers in folds.items():
        if num_without := int((numbers[trained] == NO_FOLD).sum()):
            raise ShapeError(f"{_WHAT}: {num_without} training turns have no {name}; expected one for each")
        if (num_folds := len(np.unique(numbers[trained]))) < 2:
            raise ShapeError(f"{_WHAT}: found training turns of {num_folds} {name}; expected at least 2")
    places = np.stack(list(folds.values()), axis=1)
    for place in np.unique(places, axis=0):
        others = trained[(places[trained] != place).all(axis=1)]
        if not len(others):
            where = " and ".join(f"{name} {number}" for name, number in zip(folds, place, strict=True))
            raise ShapeError(
                f"{_WHAT}: each of the {len(trained)} training turns shares {' or '.join(folds)} with the turns of "
                f"{where}; expected some that share neither; use a larger corpus"
            )
        yield np.flatnonzero((places == place).all(axis=1)), others
