"""The turns of dialogues as a model in context reads them, each answered by its own classifier, out of fold.

The labels of utterances that train are read to train. No label of another turn is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES, parse_utterance_id
from harness.errors import FeatureError, one_line
from harness.features.context import Context, ContextTurns
from harness.features.dialogues import Dialogues
from harness.features.speech import SpeechSettings
from harness.features.store import Features
from harness.files import read_npy, read_object, write_json, write_then_rename
from harness.models.context_baseline import ContextBaseline, fit_context_baseline
from harness.models.context_networks import NOT_SCORED
from harness.models.hyperparameters import (
    ChainHyperparameters,
    ContextHyperparameters,
    DialogueHyperparameters,
    Residual,
)
from harness.models.out_of_fold import Folds, predict_out_of_fold
from harness.models.turns import SMALLEST, TurnClassifier, TurnInputs
from harness.splits.protocol import ClassWeights, Protocol, Scenes
from harness.splits.scenes import NUM_GROUPS, find_group, group_scenes
from harness.training.turn_network import TurnNetwork, TurnTraining, fit_turn_network

Floats = npt.NDArray[np.float64]

_RECORD_NAME, _BASELINE_NAME = "dialogues.json", "baseline.npy"
#: Groups of the training scenes, where scenes are disjoint: as many as the protocol's groups that are left to train.
_NUM_SCENE_FOLDS = NUM_GROUPS - 1


@dataclass(frozen=True, eq=False)
class DialogueInputs:
    """The turns of whole dialogues, as a model in context reads them.

    Attributes:
        features: the utterances that are trained on or scored
        dialogues: their dialogues
        probabilities: float64 (num_turns, 4), of each turn's own classifier
        description: float64 (num_turns, width), the other numbers of each turn's vector
        folds: of training turns, of which nothing trained the classifiers that answered them; empty for scored ones
        in_context: float64 (num_turns, 4), the context baseline's probabilities, under ``Residual.BASELINE``
    """

    features: Features
    dialogues: Dialogues
    probabilities: Floats
    description: Floats
    folds: Folds = field(default_factory=dict)
    in_context: Floats | None = None

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """The turn of each of the utterances, int64 (num_utterances,)."""
        return _rows_of(self.features, self.dialogues)

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """What a network reads, float32 (num_turns, 4 + width), or 4 more: the logarithms of probabilities come first.

        Those of the context baseline stand before the turn's own.
        """
        answers = [self.probabilities] if self.in_context is None else [self.in_context, self.probabilities]
        logarithms = [np.log(np.maximum(each, SMALLEST)) for each in answers]
        return np.concatenate([*logarithms, self.description], axis=1).astype(np.float32)

    @cached_property
    def emotions(self) -> npt.NDArray[np.int64]:
        """int64 (num_turns,), the classes of the utterances; ``NOT_SCORED`` for the others, whatever their label."""
        return _emotions_of(self.features, self.dialogues)


@dataclass(frozen=True, eq=False)
class FittedDialogues:
    """What turns utterances into the inputs of a model in context, fitted on training alone.

    Attributes:
        classifier: a turn's own, of all training utterances: a regression, or the network of a turn model
        context: the turns that an answer depends on
        turns: that a dialogue consists of
        speech_settings: how the frames were made
        baseline: under ``Residual.BASELINE``, the regression over the dialogue at whose answers a network begins
    """

    classifier: TurnClassifier | TurnNetwork
    context: Context
    turns: ContextTurns
    speech_settings: SpeechSettings
    baseline: ContextBaseline | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that are read."""
        return self.classifier.modalities

    @property
    def embedding_source(self) -> str:
        """The origin of the numbers that stand for words, in one sentence."""
        return self.classifier.embedding_source

    def prepare(self, features: Features) -> DialogueInputs:
        """Read the dialogues of some utterances; their labels decide nothing here.

        Raises:
            FeatureError: the frames were made in another way than those that were fitted, or cannot be read
        """
        if "speech" in self.modalities and features.speech_settings != self.speech_settings:
            raise FeatureError(
                f"speech features: were made with {json.dumps(features.speech_settings.to_json())}; expected "
                f"{json.dumps(self.speech_settings.to_json())}, on which the turns' classifier was fitted"
            )
        dialogues, turns = _arrange(features, self.turns)
        probabilities, description = self.classifier.answer(turns)
        in_context = None if self.baseline is None else self.baseline.predict(dialogues, probabilities)
        return DialogueInputs(features, dialogues, probabilities, description, in_context=in_context)

    def save(self, directory: Path) -> None:
        """Write JSON and ``.npy`` files into ``directory``, which is made where it does not exist."""
        self.classifier.save(directory)
        record: dict[str, Any] = {"context": self.context, "turns": self.turns}
        record["speech_settings"] = self.speech_settings.to_json()
        if self.baseline is not None:
            with write_then_rename(directory / _BASELINE_NAME) as stream:
                np.save(stream, self.baseline.to_array(), allow_pickle=False)
            record["decay"] = self.baseline.decay
        write_json(directory / _RECORD_NAME, record)

    @classmethod
    def load(cls, directory: Path) -> FittedDialogues:
        """Read the files that ``save`` wrote.

        Raises:
            FeatureError, ModelError: a file is missing or damaged
        """
        has_network = TurnNetwork.is_saved_in(directory)
        classifier = TurnNetwork.load(directory) if has_network else TurnClassifier.load(directory)
        try:
            record = read_object(directory / _RECORD_NAME)
            settings = SpeechSettings.from_json(record["speech_settings"])
            context, turns, baseline = Context(record["context"]), ContextTurns(record["turns"]), None
            if "decay" in record:
                numbers = read_npy(directory / _BASELINE_NAME)
                if numbers.dtype != np.float64 or numbers.ndim != 2 or numbers.shape[1] != len(CLASSES):
                    raise ValueError(f"{_BASELINE_NAME} is {numbers.dtype.str} {numbers.shape}")
                baseline = ContextBaseline.from_array(context, float(record["decay"]), numbers)
            return cls(classifier, context, turns, settings, baseline)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise FeatureError(
                f"fitted dialogues {str(directory)!r}: cannot be read ({one_line(error)}); train the model again"
            ) from error


def is_fitted_on_dialogues(directory: Path) -> bool:
    """Return whether ``FittedDialogues.save`` wrote a folder."""
    return (directory / _RECORD_NAME).is_file()


def fit_dialogues(
    hyperparameters: DialogueHyperparameters,
    train: Features,
    protocol: Protocol,
    seed: int,
    turn_training: TurnTraining | None = None,
) -> tuple[FittedDialogues, DialogueInputs]:
    """Fit the turns' own classifier, and read the training dialogues.

    Args:
        seed: of a regression
        turn_training: of the turns' own network; None for a regression on what ``hyperparameters.vectors`` names

    Returns:
        what was fitted; and the training dialogues, whose turns are answered by classifiers that have not trained on
        their session, as those of a new session are. Where scenes are disjoint, nor have they on their group of scenes.
        The baseline at whose answers a network begins reads those, and has been fitted on these turns itself: a choice,
        for its twenty numbers an emotion change little with some thousand turns

    Raises:
        FeatureError: there is no training utterance, or none has what the classifier reads
        ShapeError: all training utterances are of one session, or some share session or scenes with all others
        Diverged: the loss of a turn's own network became NaN or infinite
    """
    if not len(train):
        raise FeatureError("there are no training utterances; expected at least one to fit features on")
    dialogues, turns = _arrange(train, hyperparameters.turns)
    folds = _folds_of(train, dialogues, protocol.scenes)
    classifier: TurnClassifier | TurnNetwork
    if turn_training is not None:
        found = fit_turn_network(turn_training, train, turns, dialogues.is_scored, folds)
        classifier, probabilities, description = found
    else:
        emotions = _emotions_of(train, dialogues)
        classifier, probabilities, description = _fit_classifier(
            hyperparameters, turns, emotions, folds, seed, protocol.class_weights
        )
    inputs = DialogueInputs(train, dialogues, probabilities, description, folds)
    baseline = None
    if getattr(hyperparameters, "residual", None) is Residual.BASELINE:
        context, weights = hyperparameters.context, protocol.class_weights
        baseline = fit_context_baseline(dialogues, probabilities, inputs.emotions, folds, context, weights)
        inputs = replace(inputs, in_context=baseline.predict(dialogues, probabilities))
    fitted = FittedDialogues(
        classifier, hyperparameters.context, hyperparameters.turns, train.speech_settings, baseline
    )
    return fitted, inputs


def _fit_classifier(
    hyperparameters: DialogueHyperparameters,
    turns: Features,
    emotions: npt.NDArray[np.int64],
    folds: Folds,
    seed: int,
    weights: ClassWeights,
) -> tuple[TurnClassifier, Floats, Floats]:
    """Fit a regression on the training turns, and answer them out of fold."""
    assert isinstance(hyperparameters, ChainHyperparameters | ContextHyperparameters)
    inputs = TurnInputs.read(turns, hyperparameters.vectors)
    trained = np.flatnonzero(emotions != NOT_SCORED)
    dimension = hyperparameters.svd_dimension if isinstance(hyperparameters, ContextHyperparameters) else 0
    classifier = TurnClassifier.fit(inputs.take(trained), emotions[trained], dimension, seed, weights)

    def fit_on(some: npt.NDArray[np.int64]) -> Callable[[npt.NDArray[np.int64]], Floats]:
        of_fold = TurnClassifier.fit(inputs.take(some), emotions[some], seed=seed, class_weights=weights)
        return lambda asked: of_fold.read(inputs.take(asked))[0]

    probabilities = predict_out_of_fold(fit_on, folds, emotions != NOT_SCORED)
    return classifier, probabilities, classifier.read(inputs)[1]


def _arrange(features: Features, which: ContextTurns) -> tuple[Dialogues, Features]:
    """Return the dialogues of some utterances, and their turns in the same order."""
    turns = features.all_turns
    dialogues = Dialogues.arrange(turns.utterances, features.utterance_ids, which)
    return dialogues, turns.select(dialogues.utterance_ids)


def _rows_of(features: Features, dialogues: Dialogues) -> npt.NDArray[np.int64]:
    row_of = {name: row for row, name in enumerate(dialogues.utterance_ids)}
    return np.array([row_of[name] for name in features.utterance_ids], dtype=np.int64)


def _emotions_of(features: Features, dialogues: Dialogues) -> npt.NDArray[np.int64]:
    emotions = np.full(len(dialogues), NOT_SCORED, dtype=np.int64)
    emotions[_rows_of(features, dialogues)] = features.emotions
    return emotions


def _folds_of(train: Features, dialogues: Dialogues, scenes: Scenes) -> Folds:
    names = [parse_utterance_id(name) for name in dialogues.utterance_ids]
    folds = {"session": np.array([name.session for name in names], dtype=np.int64)}
    if scenes is Scenes.DISJOINT:
        classes = zip(train.utterance_ids, train.emotions, strict=True)
        groups = group_scenes({name: CLASSES[emotion] for name, emotion in classes}, _NUM_SCENE_FOLDS)
        folds["group of scenes"] = np.array([find_group(groups, name.scene) for name in names], dtype=np.int64)
    return folds
