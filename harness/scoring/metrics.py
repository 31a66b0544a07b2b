"""Scores of predictions: all of them are functions of the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.errors import ShapeError
from harness.store.records import Prediction

NUM_CLASSES = len(CLASSES)


def predicted_classes(predictions: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the raters and what the model said, each int64 (num_utterances,) into ``CLASSES``."""
    emotions = [CLASSES.index(prediction.emotion) for prediction in predictions]
    predicted = [CLASSES.index(prediction.predicted) for prediction in predictions]
    return np.array(emotions, dtype=np.int64), np.array(predicted, dtype=np.int64)


def confusion_matrix(emotions: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Count utterances by what the raters said (rows) and what the model said (columns).

    Args:
        emotions, predicted: integers (num_utterances,), indices into ``CLASSES``

    Returns:
        int64 (4, 4) in the order of ``CLASSES``

    Raises:
        ShapeError: not 1-D, empty, of different lengths, or an index outside ``CLASSES``

    Example:
        >>> confusion_matrix(np.array([0, 0, 3]), np.array([0, 1, 3]))
        array([[1, 1, 0, 0],
               [0, 0, 0, 0],
               [0, 0, 0, 0],
               [0, 0, 0, 1]])
    """
    if emotions.ndim != 1 or emotions.shape != predicted.shape or emotions.size == 0:
        raise ShapeError(
            f"predictions: emotions have shape {emotions.shape} and predictions {predicted.shape}; "
            "expected the same (num_utterances,), at least one"
        )
    for name, classes in (("emotions", emotions), ("predictions", predicted)):
        if classes.dtype.kind not in "iu" or classes.min() < 0 or classes.max() >= NUM_CLASSES:
            raise ShapeError(
                f"predictions: {name} are {classes.dtype} from {classes.min()} to {classes.max()}; "
                f"expected integers from 0 to {NUM_CLASSES - 1}"
            )
    pairs = emotions.astype(np.int64) * NUM_CLASSES + predicted.astype(np.int64)
    return np.bincount(pairs, minlength=NUM_CLASSES**2).reshape(NUM_CLASSES, NUM_CLASSES)


def weighted_accuracy(emotions: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of utterances that are right, from 0 to 1; arguments as ``confusion_matrix``.

    Example:
        >>> weighted_accuracy(np.array([0, 0, 0, 3]), np.array([0, 0, 1, 1]))
        0.5
    """
    return float(weighted_accuracy_of(confusion_matrix(emotions, predicted)))


def unweighted_accuracy(emotions: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean recall over the classes that occur, from 0 to 1; arguments as ``confusion_matrix``.

    Example:
        >>> unweighted_accuracy(np.array([0, 0, 0, 0, 3]), np.array([0, 0, 0, 0, 1]))
        0.5
    """
    return float(unweighted_accuracy_of(confusion_matrix(emotions, predicted)))


def macro_f1(emotions: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean F1 over the classes that occur or were predicted; arguments as ``confusion_matrix``.

    Example:
        >>> macro_f1(np.array([0, 0, 3]), np.array([0, 0, 3]))
        1.0
    """
    return float(macro_f1_of(confusion_matrix(emotions, predicted)))


def weighted_accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Return the weighted accuracy of each matrix of counts (..., 4, 4): float64 (...)."""
    right: np.ndarray = np.trace(confusion, axis1=-2, axis2=-1)
    return np.asarray(right / confusion.sum(axis=(-2, -1)))


def recalls_of(confusion: np.ndarray) -> np.ndarray:
    """Return the recalls of each matrix of counts (..., 4, 4): float64 (..., 4), NaN where a row is empty."""
    return _share(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def precisions_of(confusion: np.ndarray) -> np.ndarray:
    """Return the share that is right of what was predicted as each class, for matrices of counts (..., 4, 4).

    Returns:
        float64 (..., 4), NaN for a class that was never predicted

    Example:
        >>> precisions_of(np.array([[1, 1, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]))
        array([1.  , 0.75,  nan, 1.  ])
    """
    return _share(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2))


def f1s_of(confusion: np.ndarray) -> np.ndarray:
    """Return each class's F1, the harmonic mean of precision and recall, for matrices of counts (..., 4, 4).

    Returns:
        float64 (..., 4), NaN for a class that neither occurs nor was predicted

    Example:
        >>> f1s_of(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]))
        array([0.5, 0.5, nan, 1. ])
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _share(2 * right, confusion.sum(axis=-1) + confusion.sum(axis=-2))


def unweighted_accuracy_of(confusion: np.ndarray) -> np.ndarray:
    """Return the unweighted accuracy of each matrix of counts (..., 4, 4), none empty: float64 (...)."""
    return np.asarray(np.nanmean(recalls_of(confusion), axis=-1))


def macro_f1_of(confusion: np.ndarray) -> np.ndarray:
    """Return the macro F1 of each matrix of counts (..., 4, 4), none empty: float64 (...)."""
    return np.asarray(np.nanmean(f1s_of(confusion), axis=-1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    missing = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=missing, where=whole > 0))


def character_error_rate(texts: Sequence[str], read: Sequence[str]) -> float:
    """Return the edits that turn what was read into the texts, a character of the texts.

    An edit inserts, deletes or replaces one character. Above 1 where much was read that is not there.

    Args:
        texts: what is spoken, with at least one character together
        read: by a recogniser, of each text

    Source:
        Levenshtein, Soviet Physics Doklady 10 (1966), row by row as Wagner and Fischer, Journal of the ACM 21 (1974).

    Example:
        >>> character_error_rate(["kitten", "sun"], ["sitting", "sun"])
        0.3333333333333333
    """
    edits = sum(_count_edits(text, found) for text, found in zip(texts, read, strict=True))
    return edits / sum(map(len, texts))


def _count_edits(text: str, found: str) -> int:
    letters = np.array([ord(letter) for letter in found], dtype=np.int64)
    places = np.arange(len(found) + 1)
    edits = places
    for row, letter in enumerate(text, start=1):
        # Replaced or kept, or deleted from the text; then what is inserted, along the row.
        above = np.concatenate([[row], np.minimum(edits[:-1] + (letters != ord(letter)), edits[1:] + 1)])
        edits = np.minimum.accumulate(above - places) + places
    return int(edits[-1])
