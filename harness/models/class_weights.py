"""The weight of each class in a loss, and the classes' shares of what is trained on under such weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.splits.protocol import ClassWeights

#: As scikit-learn names them.
CLASS_WEIGHT = {ClassWeights.NONE: None, ClassWeights.BALANCED: "balanced"}


def balance_classes(emotions: npt.NDArray[np.int64], power: float = 1.0) -> npt.NDArray[np.float32]:
    """Return weights of the classes by inverse frequency, with which every class that occurs weighs the same.

    Args:
        emotions: int64 (num_utterances,), indices into ``CLASSES``, of the training utterances
        power: of the inverse frequency; below 1 frequent classes keep part of their weight, 0 keeps all of it

    Returns:
        float32 (4,), whose mean over the utterances is 1; 0 for a class that does not occur

    Example:
        >>> balance_classes(np.array([0, 0, 0, 2])).round(1).astype(str).tolist()
        ['0.7', '0.0', '2.0', '0.0']
        >>> balance_classes(np.array([0, 0, 0, 0, 2]), power=0.5).round(1).astype(str).tolist()
        ['0.8', '0.0', '1.7', '0.0']
    """
    counts = np.bincount(emotions, minlength=len(CLASSES))
    is_present = counts > 0
    inverse = (len(emotions) / counts[is_present]) ** power
    weights = np.zeros(len(counts), np.float32)
    weights[is_present] = inverse * (len(emotions) / (inverse @ counts[is_present]))
    return weights


def share_classes(class_weights: ClassWeights, emotions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the shares of the classes in a loss, float64 (4,): equal for those that occur where they are balanced.

    Example:
        >>> share_classes(ClassWeights.BALANCED, np.array([0, 0, 0, 2])).tolist()
        [0.5, 0.0, 0.5, 0.0]
    """
    counts = np.bincount(emotions, minlength=len(CLASSES))
    if class_weights is ClassWeights.BALANCED:
        counts = (counts > 0).astype(np.int64)
    return np.asarray(counts / counts.sum())
