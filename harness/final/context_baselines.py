"""The baselines of a system that reads the dialogue: the same without context, and the context baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from harness.features.store import Features
from harness.models.baselines import FittedBaseline
from harness.models.context_baseline import fit_context_baseline
from harness.models.hyperparameters import DialogueHyperparameters
from harness.store.records import ScoreKind
from harness.training.context import DialogueInputs, fit_dialogues

Probabilities = npt.NDArray[np.float64]


def fit_context_baselines(
    hyperparameters: DialogueHyperparameters, trained_on: Features
) -> Mapping[ScoreKind, FittedBaseline]:
    """Fit both on the inputs of a system: its turns' own classifier, and its turns of the dialogue.

    Args:
        trained_on: train and validation utterances, as the system is trained on

    Returns:
        the turns' own classifier; and the context baseline with the same ``context``, whose turns are answered out of
        fold in training

    Raises:
        FeatureError, ShapeError: as ``fit_dialogues``
    """
    fitted, train = fit_dialogues(hyperparameters, trained_on, seed=0)
    regression = fit_context_baseline(
        train.dialogues, train.probabilities, train.emotions, train.sessions, hyperparameters.context
    )

    def as_baseline(answer: Callable[[DialogueInputs], Probabilities]) -> FittedBaseline:
        return FittedBaseline(
            prior=fitted.classifier.prior,
            has_input=lambda features: np.ones(len(features), dtype=bool),
            classify=lambda features, rows: _answer_utterances(answer, fitted.prepare(features))[rows],
        )

    return {
        ScoreKind.BASELINE_OWN_TURN: as_baseline(lambda inputs: inputs.probabilities),
        ScoreKind.BASELINE_CONTEXT: as_baseline(
            lambda inputs: regression.predict(inputs.dialogues, inputs.probabilities)
        ),
    }


def _answer_utterances(
    answer: Callable[[DialogueInputs], Probabilities], inputs: DialogueInputs
) -> Probabilities:
    return answer(inputs)[inputs.rows]
