"""Models in context: a chain or a network over the turns of dialogues, and how each is trained and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.corpus.utterances import CLASSES
from harness.features.context import Context
from harness.features.fitted import FittedFeatures
from harness.features.store import Features
from harness.models.build import build_optimizer
from harness.models.chain import Chain, fit_chain
from harness.models.context_networks import NOT_SCORED, build_context
from harness.models.hyperparameters import ChainHyperparameters, DialogueHyperparameters
from harness.splits.protocol import Protocol
from harness.training.dialogues import DialogueInputs, FittedDialogues, fit_dialogues, is_fitted_on_dialogues
from harness.training.loop import (
    Learner,
    Scorer,
    TrainedModel,
    Trainer,
    check_loss,
    like_length_batches,
    mean_cross_entropy,
    seed_everything,
)
from harness.training.objective import EMOTION, make_objective
from harness.training.turn_network import TurnTraining

#: Dialogues scored at once.
_SCORED_TOGETHER = 32


@dataclass(frozen=True)
class TrainedContext:
    """A model in context with what was fitted for its inputs."""

    model: Chain | keras.Model
    fitted: FittedDialogues

    def predict(self, features: Features) -> np.ndarray:
        """Return the probabilities of utterances, float32 (num_utterances, 4), from all turns of their dialogues."""
        inputs = self.fitted.prepare(features)
        if isinstance(self.model, Chain):
            return ChainLearner(self.model, self.fitted.context).score(inputs)
        return ContextScorer(self.model).score(inputs)


def load_chain(path: Path, fitted_dir: Path) -> TrainedContext:
    """Load a chain and what was fitted for its inputs.

    Raises:
        ModelError, FeatureError: a file is missing or damaged
    """
    return TrainedContext(Chain.read(path), FittedDialogues.load(fitted_dir))


def load_fitted(network: keras.Model, fitted_dir: Path) -> TrainedModel | TrainedContext:
    """Load what was fitted for the inputs of a network, over dialogues or of single utterances.

    Raises:
        FeatureError, ModelError: a file is missing or damaged
    """
    if is_fitted_on_dialogues(fitted_dir):
        return TrainedContext(network, FittedDialogues.load(fitted_dir))
    return TrainedModel(network, FittedFeatures.load(fitted_dir))


def begin_training(
    hyperparameters: DialogueHyperparameters,
    train: Features,
    protocol: Protocol,
    seed: int,
    turn_training: TurnTraining | None = None,
) -> tuple[TrainedContext, Learner, DialogueInputs]:
    """Fit what a model in context reads, and build the model; a chain is estimated at once.

    Returns:
        the model, which the learner trains; the learner; and the training dialogues
    """
    fitted, inputs = fit_dialogues(hyperparameters, train, protocol, seed, turn_training)
    if isinstance(hyperparameters, ChainHyperparameters):
        chain = fit_chain(inputs.dialogues, inputs.emotions, protocol.class_weights)
        return TrainedContext(chain, fitted), ChainLearner(chain, fitted.context), inputs
    # The same numbers follow, whether the turns' own network was trained just now or before.
    seed_everything(seed)
    model = build_context(hyperparameters, inputs.vectors.shape[1], fitted.context)
    objective = make_objective(hyperparameters, protocol.class_weights, train)
    optimizer = build_optimizer(hyperparameters, is_averaged=protocol.averages_weights)
    trainer = ContextTrainer(model, optimizer, objective)
    return TrainedContext(model, fitted), trainer, inputs


class ContextScorer(Scorer):
    """A network over dialogues and the traced function that scores it."""

    def feed(self, inputs: Any, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the network reads of some dialogues.

        Args:
            inputs: ``DialogueInputs``
            rows: numbers of dialogues
        """
        lengths = inputs.dialogues.lengths[rows].astype(np.int32)
        return {"turns": inputs.dialogues.pad(inputs.vectors, rows), "dialogue_lengths": lengths}

    def score(self, inputs: Any) -> np.ndarray:
        """Return the probabilities of every utterance of ``DialogueInputs``, float32 (num_utterances, 4)."""
        dialogues = inputs.dialogues
        probabilities = np.zeros((len(dialogues), len(CLASSES)), np.float32)
        order = np.argsort(dialogues.lengths, kind="stable")
        for start in range(0, len(order), _SCORED_TOGETHER):
            numbers = order[start : start + _SCORED_TOGETHER]
            dialogues.unpad(self._score(self.feed(inputs, numbers)).numpy(), numbers, probabilities)
        return np.asarray(probabilities[inputs.rows])


class ContextTrainer(ContextScorer, Trainer):
    """A network over dialogues with its optimiser; a batch is of dialogues.

    Turns that are not scored, and padding, have no part in the loss: their emotion is ``NOT_SCORED``.
    """

    @property
    def target_signature(self) -> dict[str, tf.TensorSpec]:
        """Each part of the targets, with the turns of a dialogue behind the batch."""
        return {
            name: tf.TensorSpec((None, *spec.shape), spec.dtype) for name, spec in self.objective.signature.items()
        }

    def _loss_of(self, inputs: Mapping[str, tf.Tensor], targets: Any) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = self.model(inputs, training=True)
        return self.objective.scored_cross_entropy(targets, probabilities), probabilities

    def expect_steps(self, num_steps: int) -> None:
        """Compile nothing: dialogues have too many lengths."""

    def train_epoch(
        self, inputs: Any, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Take one pass over the dialogues of ``DialogueInputs``; else as ``Trainer.train_epoch``."""
        dialogues, of_turns = inputs.dialogues, {}
        for name, values in self.targets(inputs.features).items():
            of_turns[name] = np.full((len(dialogues), *values.shape[1:]), NOT_SCORED, values.dtype)
            of_turns[name][inputs.rows] = values
        probabilities = np.zeros((len(dialogues), len(CLASSES)), np.float32)
        total = 0.0
        for numbers in like_length_batches(dialogues.lengths, batch_size, generator):
            targets = {name: dialogues.pad(values, numbers, NOT_SCORED) for name, values in of_turns.items()}
            loss, outputs = self._step(self.feed(inputs, numbers), targets)
            dialogues.unpad(outputs.numpy(), numbers, probabilities)
            total += check_loss(float(loss)) * int((targets[EMOTION] != NOT_SCORED).sum())
        return total / len(inputs.features), probabilities[inputs.rows]


class ChainLearner:
    """A chain, whose training is over when it is estimated: every epoch of it is the same one."""

    def __init__(self, chain: Chain, context: Context) -> None:
        self._chain = chain
        self._context = context

    def expect_steps(self, num_steps: int) -> None:
        """There is no step."""

    def train_epoch(
        self, inputs: DialogueInputs, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Return the mean loss of the training utterances and their probabilities."""
        probabilities = self.score(inputs)
        return check_loss(mean_cross_entropy(probabilities, inputs.features.emotions)), probabilities

    def score(self, inputs: DialogueInputs) -> np.ndarray:
        """Return the probabilities of every utterance, float32 (num_utterances, 4)."""
        answers = self._chain.smooth(inputs.dialogues, inputs.probabilities, self._context)
        return answers[inputs.rows].astype(np.float32)

    def get_weights(self) -> list[np.ndarray]:
        """There is nothing that later epochs change."""
        return []

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """There is nothing to return to."""
