"""The baseline of every system with context: a logistic regression over a dialogue's class probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES
from harness.features.context import Context
from harness.features.dialogues import SPEAKERS, Dialogues
from harness.models.class_weights import balance_classes, share_classes
from harness.models.out_of_fold import Folds, part_folds
from harness.models.turns import SMALLEST, Regression
from harness.splits.protocol import ClassWeights

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

NUM_CLASSES = len(CLASSES)
#: The decays that cross-validation chooses from: 0 reads each speaker's nearest turn alone, 1 all alike. Ours.
DECAYS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, eq=False)
class ContextBaseline:
    """A multinomial logistic regression over the probabilities of a turn and of the turns around it.

    Attributes:
        decay: the weight of each further turn of a speaker, a factor
        regression: its prior, the classes' shares of the loss, stands for turns that are not there
    """

    context: Context
    decay: float
    regression: Regression

    def predict(self, dialogues: Dialogues, probabilities: Floats) -> Floats:
        """Return the probabilities of each turn's class; no label is read.

        Args:
            probabilities: float64 (num_turns, 4), the system's own

        Returns:
            float64 (num_turns, 4); 0 for a class never trained on
        """
        inputs = read_context(dialogues, probabilities, self.context, self.decay, self.regression.prior)
        return _answer(self.regression, inputs)

    def to_array(self) -> Floats:
        """Return the regression's numbers, float64 (num_inputs + 2, 4): weights, bias and prior."""
        return np.vstack([self.regression.weights, self.regression.bias, self.regression.prior])

    @classmethod
    def from_array(cls, context: Context, decay: float, numbers: Floats) -> ContextBaseline:
        """Return the baseline of what ``to_array`` returned."""
        return cls(context, decay, Regression(prior=numbers[-1], weights=numbers[:-2], bias=numbers[-2]))


def fit_context_baseline(
    dialogues: Dialogues,
    probabilities: Floats,
    emotions: Numbers,
    folds: Folds,
    context: Context,
    class_weights: ClassWeights = ClassWeights.NONE,
) -> ContextBaseline:
    """Fit the regression; the decay is the one of the least log loss in cross-validation over the folds.

    Args:
        probabilities: float64 (num_turns, 4), of training turns, out of fold
        emotions: int64 (num_turns,), indices into ``CLASSES``; -1 where there is no label to train on
        folds: of the turns, such as the session: a dialogue is in one fold
    """
    is_known = emotions >= 0
    prior = share_classes(class_weights, emotions[is_known])
    inputs = [read_context(dialogues, probabilities, context, decay, prior)[is_known] for decay in DECAYS]
    labels, parts = emotions[is_known], {name: numbers[is_known] for name, numbers in folds.items()}
    losses = [_cross_validate(values, labels, prior, parts, class_weights) for values in inputs]
    chosen = int(np.argmin(losses))
    return ContextBaseline(context, DECAYS[chosen], _fit(inputs[chosen], labels, prior, class_weights))


def read_context(
    dialogues: Dialogues, probabilities: Floats, context: Context, decay: float, prior: Floats
) -> Floats:
    """Lay out what the regression reads of each turn, as logarithms.

    Returns:
        float64 (num_turns, 4 * num_groups): the turn's own probabilities; under ``PAST`` also the decayed means over
        the same speaker's turns before it, and over the other's; under ``DIALOGUE`` also those over the turns after it
    """
    dialogues.check(probabilities)
    groups = [probabilities]
    if context is not Context.NONE:
        groups += _decayed_means(dialogues, probabilities, decay, prior, step=1)
    if context is Context.DIALOGUE:
        groups += _decayed_means(dialogues, probabilities, decay, prior, step=-1)
    return np.log(np.maximum(np.concatenate(groups, axis=1), SMALLEST))


def _decayed_means(
    dialogues: Dialogues, probabilities: Floats, decay: float, prior: Floats, step: int
) -> list[Floats]:
    """Return the means over the same speaker's turns so far and over the other's, each float64 (num_turns, 4).

    Args:
        step: 1 to go through a dialogue from its beginning, -1 from its end
    """
    own, other = np.empty((2, *probabilities.shape))
    for rows in dialogues:
        means = np.tile(prior, (len(SPEAKERS), 1))
        weights = np.zeros(len(SPEAKERS))
        for row in range(rows.start, rows.stop)[::step]:
            speaker = dialogues.speakers[row]
            own[row], other[row] = means[speaker], means[1 - speaker]
            weights[speaker] = decay * weights[speaker] + 1.0
            means[speaker] += (probabilities[row] - means[speaker]) / weights[speaker]
    return [own, other]


def _cross_validate(
    inputs: Floats, labels: Numbers, prior: Floats, folds: Folds, class_weights: ClassWeights
) -> float:
    loss = 0.0
    weights = balance_classes(labels) if class_weights is ClassWeights.BALANCED else np.ones(NUM_CLASSES)
    for held_out, others in part_folds(folds, np.ones(len(labels), dtype=bool)):
        regression = _fit(inputs[others], labels[others], prior, class_weights)
        answers = np.maximum(_answer(regression, inputs[held_out]), SMALLEST)
        right = labels[held_out]
        loss -= (weights[right] * np.log(answers[np.arange(len(answers)), right])).sum()
    return float(loss)


def _fit(inputs: Floats, labels: Numbers, prior: Floats, class_weights: ClassWeights) -> Regression:
    return Regression.fit(inputs, labels, prior, 0, class_weights, solver="newton-cholesky")


def _answer(regression: Regression, inputs: Floats) -> Floats:
    # Not BLAS, whose sums of one row may depend on how many rows there are.
    return regression.answer(np.einsum("tf,fc->tc", inputs, regression.weights))
