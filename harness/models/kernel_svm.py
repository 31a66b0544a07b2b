"""A support vector machine with a radial basis function, as plain arrays, and its probabilities. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from harness.corpus.utterances import CLASSES
from harness.models.class_weights import balance_classes
from harness.splits.protocol import ClassWeights

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: The pairs of classes, each with a machine of its own.
PAIRS = tuple(combinations(range(len(CLASSES)), 2))
#: float64 (num_pairs, 4): 1 for the first class of a pair and -1 for the second one.
SIGNS = np.array([np.eye(len(CLASSES))[first] - np.eye(len(CLASSES))[second] for first, second in PAIRS])
#: The largest margin that counts for a class. Ours: in a sum of whole margins, two classes that are both wrong can
#: decide. On real speech (EmoDB, Sessions 1 to 4, two speakers left out at a time) this is as good as voting, and 1 to
#: 5 points better than whole margins, the more the wider the function is.
MOST_MARGIN = 0.5
#: The score of a class that was never trained on: its probability is 0.
NEVER = -1e6
#: Parts of the training utterances, each answered by a machine that has not read it.
NUM_PARTS = 4
#: C of the baseline's machine, from which training utterances choose. Ours: on real speech the best lies inside.
SVM_COSTS = (0.3, 1.0, 3.0, 10.0)
#: Factors on the scores, from which training utterances choose the one of the highest likelihood. Ours.
_SHARPNESS: tuple[float, ...] = tuple(np.geomspace(0.05, 20.0, 61).tolist())


def standardise(vectors: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the deviation of each number; the deviation of one that is the same for all is 1.

    Args:
        vectors: float64 (num_utterances, width)
    """
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    # A number that is the same for all has the deviation of its rounding errors.
    deviation[deviation <= 1e-5 * np.abs(mean)] = 1.0
    return mean, deviation


def rbf_kernel(vectors: Floats, known: Floats, width: float) -> Floats:
    """Return exp(-width * distance^2) of every pair, float64 (num_vectors, num_known)."""
    # A product in place of differences: with those, 5000 utterances would need gigabytes.
    squares = (vectors**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)
    return np.asarray(np.exp(-width * np.maximum(squares - 2.0 * vectors @ known.T, 0.0)))


def fit_machine(kernel: Floats, emotions: Rows, weights: Floats, cost: float) -> tuple[Floats, Floats]:
    """Fit a machine for each pair of classes, which is linear in the kernel.

    Args:
        kernel: float64 (num_vectors, num_vectors)
        emotions: int64 (num_vectors,), indices into ``CLASSES``
        weights: float64 (num_vectors,), of the utterances, mean 1
        cost: C: the larger, the closer training utterances are met

    Returns:
        float64 (num_vectors, num_pairs) and (num_pairs,): a kernel's rows times the first, plus the second, are
        margins, positive for the first class of a pair; 0 where a class of the pair does not occur
    """
    # Imported here: the other systems do without it.
    from sklearn.svm import SVC

    readout, bias = np.zeros((len(kernel), len(PAIRS))), np.zeros(len(PAIRS))
    for number, (first, second) in enumerate(PAIRS):
        rows = np.flatnonzero((emotions == first) | (emotions == second))
        if len(np.unique(emotions[rows])) < 2:
            continue
        machine = SVC(C=cost, kernel="precomputed")
        machine.fit(kernel[np.ix_(rows, rows)], emotions[rows] == first, sample_weight=weights[rows])
        readout[rows[machine.support_], number] = machine.dual_coef_[0]
        bias[number] = machine.intercept_[0]
    return readout, bias


def offsets_of(emotions: Rows) -> Floats:
    """Return what is added to the scores, float64 (4,): 0 of a class that was trained on, and ``NEVER`` of another."""
    return np.where(np.isin(np.arange(len(CLASSES)), emotions), 0.0, NEVER)


def score_margins(margins: Floats) -> Floats:
    """Return the score of each class, float64 (num_vectors, 4): the sum of its margins, each at most ``MOST_MARGIN``.

    Args:
        margins: float64 (num_vectors, num_pairs)
    """
    return np.asarray(np.clip(margins, -MOST_MARGIN, MOST_MARGIN) @ SIGNS)


def score_out_of_part(kernel: Floats, emotions: Rows, weights: Floats, cost: float, parts: Rows) -> Floats:
    """Score each training utterance by a machine that is fitted without its part: float64 (num_vectors, 4).

    Args:
        parts: int64 (num_vectors,), the part of each; at least two of them
    """
    scores = np.zeros((len(kernel), len(CLASSES)))
    for part in np.unique(parts):
        is_here = parts == part
        rows = np.flatnonzero(~is_here)
        readout, bias = fit_machine(kernel[np.ix_(rows, rows)], emotions[rows], weights[rows], cost)
        margins = kernel[np.ix_(is_here, ~is_here)] @ readout + bias
        scores[is_here] = score_margins(margins) + offsets_of(emotions[rows])
    return scores


def cut_parts(num_vectors: int) -> Rows:
    """Cut utterances into ``NUM_PARTS`` parts in their order, which is that of dialogues and sessions."""
    return np.arange(num_vectors) * NUM_PARTS // max(num_vectors, 1)


def probabilities_of(scores: Floats, sharpness: float) -> Floats:
    """Return the softmax of ``sharpness * scores``, float64 (num_utterances, 4); it keeps the order of the scores."""
    return np.asarray(softmax(sharpness * scores, axis=1))


def find_sharpness(scores: Floats, emotions: Rows, weights: Floats) -> float:
    """Return the factor with which the softmax of scores has the highest likelihood.

    Args:
        scores: float64 (num_utterances, 4), of utterances that their machine has not read
    """
    right = np.arange(len(scores)), emotions

    def loss(sharpness: float) -> float:
        # A class that a part of the training lacks must not decide.
        return float(-(weights * np.log(np.maximum(probabilities_of(scores, sharpness)[right], 1e-6))).sum())

    return min(_SHARPNESS, key=loss)


@dataclass(frozen=True)
class FittedSvm:
    """A machine over standardised vectors.

    Attributes:
        mean, deviation: float64 (width,), of the training utterances
        known: float64 (num_training, width), their standardised vectors
        readout, bias: float64 (num_training, num_pairs) and (num_pairs,), as ``fit_machine`` returns them
        sharpness: the factor that makes logits of scores
        offsets: float64 (4,), as ``offsets_of`` returns them
        cost: C
    """

    mean: Floats
    deviation: Floats
    known: Floats
    readout: Floats
    bias: Floats
    sharpness: float
    offsets: Floats
    cost: float


def fit_svm(
    vectors: Floats, emotions: Rows, weights: Floats, width: float, costs: Sequence[float], parts: Rows
) -> FittedSvm:
    """Standardise vectors, choose C and the sharpness on parts that their machine has not read, and fit on all.

    Args:
        vectors: float64 (num_training, width)
        emotions: int64 (num_training,), indices into ``CLASSES``
        weights: float64 (num_training,), of the utterances, in the loss and in the accuracy that chooses
        width: of the radial basis function
        costs: the values of C, of which the one with the highest accuracy is chosen; of equals the first
        parts: int64 (num_training,); of a single part the first cost and a sharpness of 1 are taken
    """
    mean, deviation = standardise(vectors)
    known = (vectors - mean) / deviation
    kernel = rbf_kernel(known, known, width)
    cost, sharpness = costs[0], 1.0
    if len(np.unique(parts)) > 1:
        scores = {each: score_out_of_part(kernel, emotions, weights, each, parts) for each in costs}
        cost = max(costs, key=lambda each: float(weights @ (scores[each].argmax(axis=1) == emotions)))
        sharpness = find_sharpness(scores[cost], emotions, weights)
    readout, bias = fit_machine(kernel, emotions, weights, cost)
    return FittedSvm(mean, deviation, known, readout, bias, sharpness, offsets_of(emotions), cost)


@dataclass
class SessionSvm:
    """A classifier of vectors as scikit-learn has them: standardised, its C chosen on sessions of the training.

    Args:
        sessions: int (num_training,), of the training utterances: each session is scored by a machine of the others;
            of one session, parts in the order of the utterances are
        class_weights: of the loss, and of the accuracy that chooses
    """

    sessions: Rows
    class_weights: ClassWeights = ClassWeights.NONE

    def fit(self, vectors: Floats, emotions: Rows) -> None:
        """Fit it on float64 (num_training, width) and the classes' indices; nothing is drawn."""
        self._classes = np.unique(emotions)
        weights = np.ones(len(emotions))
        if self.class_weights is ClassWeights.BALANCED:
            weights = balance_classes(emotions)[emotions].astype(np.float64)
        parts = self.sessions if len(np.unique(self.sessions)) > 1 else cut_parts(len(emotions))
        self._width = 1.0 / vectors.shape[1]
        self._svm = fit_svm(vectors, emotions, weights, self._width, SVM_COSTS, parts)
        self.cost = self._svm.cost

    def predict_proba(self, vectors: Floats) -> Floats:
        """Return float64 (num_utterances, num_classes) of the classes that were trained on, in their order."""
        svm = self._svm
        kernel = rbf_kernel((vectors - svm.mean) / svm.deviation, svm.known, self._width)
        scores = score_margins(kernel @ svm.readout + svm.bias) + svm.offsets
        return probabilities_of(scores, svm.sharpness)[:, self._classes]
