"""Fitting a model: batches of like length, one traced step, every epoch validated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from harness.corpus.utterances import CLASSES
from harness.errors import Diverged
from harness.features.fitted import FittedFeatures
from harness.features.store import Features
from harness.models.decoder import AttentionDecoder
from harness.models.recurrence import CompiledLSTM
from harness.scoring.metrics import unweighted_accuracy, weighted_accuracy
from harness.splits.protocol import KeptWeights
from harness.store.records import EpochRecord
from harness.training.objective import Objective, Targets
from harness.training.weights import WeightsKeeper

#: Batches that are sorted by length together. More of them waste less on padding and mix less.
BATCHES_SORTED_TOGETHER = 16

#: Training steps from which compiling the recurrent loops costs less than it saves. Compiling took up to 12 s in
#: all for the four lengths that occur: the first epoch against the others in `python -m benchmarks.trial`.
STEPS_WORTH_COMPILING = 200

#: Utterances scored at once: more than a training batch, because no gradient is kept.
SCORED_TOGETHER = 256
#: Steps scored at once, padding counted; only short frames reach them: 256 utterances of 7 s would need 2.6 GB.
STEPS_SCORED_TOGETHER = SCORED_TOGETHER * 200


@dataclass(frozen=True)
class History:
    """The course of a training.

    Attributes:
        epochs: one record an epoch, in order
        best_epoch: the epoch, from 1, whose weights are kept
        best_probabilities: float32 (num_validation, 4), of that epoch; the model holds its weights
    """

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    best_probabilities: np.ndarray


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and Keras's generators."""
    keras.utils.set_random_seed(seed % 2**32)


def like_length_batches(
    lengths: np.ndarray, batch_size: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield every row once an epoch, in random batches of utterances of like length.

    Rows are shuffled, sorted by length within groups of ``BATCHES_SORTED_TOGETHER`` batches, cut
    into batches, and the batches shuffled. The sizes of any two batches differ by one row at most: a remainder of few
    rows would hold the longest utterances, and each would weigh many times what another one weighs.

    Args:
        lengths: int64 (num_utterances,)
        batch_size: most rows of a batch

    Yields:
        int64 (rows,), indices into ``lengths``; ``num_batches`` of them
    """
    parts = np.array_split(generator.permutation(len(lengths)), num_batches(len(lengths), batch_size))
    batches = []
    for start in range(0, len(parts), BATCHES_SORTED_TOGETHER):
        group = parts[start : start + BATCHES_SORTED_TOGETHER]
        rows = np.concatenate(group)
        batches += np.array_split(rows[np.argsort(lengths[rows], kind="stable")], len(group))
    for number in generator.permutation(len(batches)):
        yield batches[number]


def num_batches(num_rows: int, batch_size: int) -> int:
    """Return how many batches, and so training steps, one pass over some rows takes."""
    return math.ceil(num_rows / batch_size)


class HasFeatures(Protocol):
    """Inputs of a model, of any form; they know the utterances that are trained on or scored."""

    @property
    def features(self) -> Features: ...


class ModelInputs(HasFeatures, Protocol):
    """The inputs that a model is trained and scored on: utterances, and batches of them."""

    @property
    def lengths(self) -> Mapping[str, np.ndarray]:
        """Steps of each utterance by modality, int (num_utterances,)."""

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's inputs of some utterances by name, padded to the longest of them."""


def num_steps(inputs: ModelInputs) -> np.ndarray:
    """Steps that an utterance costs, frames and words together: int64 (num_utterances,); 0 for motion alone."""
    steps = np.zeros(len(inputs.features), np.int64)
    for lengths in inputs.lengths.values():
        steps += lengths
    return steps


class Learner(Protocol):
    """What ``fit`` and ``train_for`` train."""

    def expect_steps(self, num_steps: int) -> None:
        """Prepare for this number of training steps."""

    def train_epoch(
        self, inputs: Any, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Take one pass over the utterances, and return what ``Trainer.train_epoch`` does."""

    def score(self, inputs: Any) -> np.ndarray:
        """Return the probabilities of every utterance, float32 (num_utterances, 4)."""

    def get_weights(self) -> list[np.ndarray]:
        """Copy the weights."""

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Return to weights that ``get_weights`` has copied."""


class Scorer:
    """A model and the traced function that scores it."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.signature = {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs}
        self._score = tf.function(
            lambda inputs: model(inputs, training=False), input_signature=[self.signature], autograph=False
        )

    def feed(self, inputs: ModelInputs, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the inputs that the model reads of some utterances."""
        batch = inputs.batch(rows)
        return {name: batch[name] for name in self.signature}

    def outputs(self, inputs: ModelInputs, rows: np.ndarray) -> np.ndarray:
        """Return the model's output, of any shape, for some utterances, without dropout."""
        outputs: np.ndarray = self._score(self.feed(inputs, rows)).numpy()
        return outputs

    def score(self, inputs: ModelInputs) -> np.ndarray:
        """Return the model's output for every utterance, without dropout.

        Returns:
            float32 (num_utterances, units): probabilities (num_utterances, 4) for a whole model
        """
        outputs = np.zeros((len(inputs.features), self.model.output.shape[-1]), np.float32)
        steps = num_steps(inputs)
        order = np.argsort(steps, kind="stable")
        while len(order):
            longest = int(steps[order[:SCORED_TOGETHER]].max())
            rows, order = np.split(order, [max(1, min(SCORED_TOGETHER, STEPS_SCORED_TOGETHER // max(longest, 1)))])
            outputs[rows] = self.outputs(inputs, rows)
        return outputs


@dataclass(frozen=True)
class TrainedModel:
    """A model with what was fitted for its inputs."""

    model: keras.Model
    fitted: FittedFeatures

    def predict(self, features: Features) -> np.ndarray:
        """Return the probabilities of utterances, float32 (num_utterances, 4)."""
        return Scorer(self.model).score(self.fitted.prepare(features))


class Trainer(Scorer):
    """A model with its optimiser, and the traced functions that step and score it.

    Attributes:
        objective: the loss
        trained: the model whose weights a step changes; the one that answers, unless another is given
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective | None = None,
        trained: keras.Model | None = None,
    ) -> None:
        super().__init__(model)
        self.optimizer = optimizer
        self.objective = Objective() if objective is None else objective
        self.trained = model if trained is None else trained
        optimizer.build(self.trained.trainable_variables)
        self._step = tf.function(
            self._train_step,
            input_signature=[self.signature, self.target_signature],
            autograph=False,
        )

    def expect_steps(self, num_steps: int) -> None:
        """Choose whether to compile for this number of training steps. Call before the first step.

        With a GPU that TensorFlow sees nothing is compiled: there, Keras has fused kernels.
        """
        is_compiled = num_steps >= STEPS_WORTH_COMPILING and not tf.config.list_logical_devices("GPU")
        for layer in self.model.layers:
            is_both = isinstance(layer, keras.layers.Bidirectional)
            for part in (layer.forward_layer, layer.backward_layer) if is_both else (layer,):
                if isinstance(part, AttentionDecoder | CompiledLSTM):
                    part.is_compiled = is_compiled

    def get_weights(self) -> list[np.ndarray]:
        """Copy the model's weights."""
        return list(self.model.get_weights())

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Return to weights that ``get_weights`` has copied."""
        self.model.set_weights(weights)

    @property
    def target_signature(self) -> Any:
        """The targets of a batch, as ``targets`` gives them."""
        return self.objective.signature

    def targets(self, features: Features) -> Targets:
        """Return what each utterance is trained towards, by part."""
        return self.objective.targets(features)

    def _loss_of(self, inputs: Mapping[str, tf.Tensor], targets: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the loss of a batch, with dropout, and the probabilities that the model then answers with."""
        probabilities = self.model(inputs, training=True)
        return self.objective.cross_entropy(targets, probabilities), probabilities

    def _train_step(self, inputs: Mapping[str, tf.Tensor], targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, probabilities = self._loss_of(inputs, targets)
        variables = self.trained.trainable_variables
        gradients = tape.gradient(loss, variables)
        if self.optimizer.global_clipnorm:
            # A word that occurs twice has two rows in the gradient of its vector: only their sum has a length.
            gradients = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
        self.optimizer.apply(gradients, variables)
        return loss, probabilities

    def fit_decision(self, inputs: ModelInputs) -> None:
        """Fit what answers in a network's place to the weights that it has; as a rule the network answers itself."""

    def train_epoch(
        self, inputs: ModelInputs, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Take one pass over the utterances.

        Returns:
            the mean loss, weighted as the objective says, and float32 (num_utterances, 4): each utterance's
            probabilities when it was trained on, with dropout, as Keras reports training accuracy

        Raises:
            Diverged: the loss became NaN or infinite
        """
        targets, num_utterances = self.targets(inputs.features), len(inputs.features)
        probabilities = np.zeros((num_utterances, len(CLASSES)), np.float32)
        total = 0.0
        for rows in like_length_batches(num_steps(inputs), batch_size, generator):
            loss, outputs = self._step(
                self.feed(inputs, rows), {name: values[rows] for name, values in targets.items()}
            )
            probabilities[rows] = outputs.numpy()
            total += check_loss(float(loss)) * len(rows)
        return total / num_utterances, probabilities


class AveragedTrainer:
    """A trainer whose model answers with the moving average of its weights, and trains on with the weights themselves.

    The optimiser of the trainer has the average: it is built with ``is_averaged``.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._own: list[np.ndarray] | None = None

    def expect_steps(self, num_steps: int) -> None:
        """Expect steps as ``Trainer.expect_steps`` does."""
        self._trainer.expect_steps(num_steps)

    def train_epoch(
        self, inputs: Any, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Train an epoch as ``Trainer.train_epoch`` does; then the model has the averaged weights."""
        trained = self._trainer.trained
        if self._own is not None:
            trained.set_weights(self._own)
        outcome = self._trainer.train_epoch(inputs, batch_size, generator)
        self._own = trained.get_weights()
        self._trainer.optimizer.finalize_variable_values(trained.trainable_variables)
        self._trainer.fit_decision(inputs)
        return outcome

    def score(self, inputs: Any) -> np.ndarray:
        """Return the probabilities of the averaged weights for every utterance, float32 (num_utterances, 4)."""
        return self._trainer.score(inputs)

    def get_weights(self) -> list[np.ndarray]:
        """Copy the averaged weights."""
        return self._trainer.get_weights()

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Return to weights that ``get_weights`` has copied; no epoch may follow."""
        self._trainer.set_weights(weights)


def check_loss(loss: float) -> float:
    """Return the loss of a batch.

    Raises:
        Diverged: it is NaN or infinite
    """
    if not math.isfinite(loss):
        raise Diverged(
            f"training diverged: the loss of a batch is {loss}; expected a finite number; "
            "a lower learning rate may help"
        )
    return loss


def mean_cross_entropy(probabilities: np.ndarray, emotions: np.ndarray) -> float:
    """Mean negative logarithm of the right class's probability, cut off at Keras's 1e-7."""
    right = probabilities[np.arange(len(emotions)), emotions]
    return float(-np.log(np.clip(right, 1e-7, 1.0)).mean())


def fit(
    trainer: Learner,
    train: HasFeatures,
    validation: HasFeatures,
    *,
    batch_size: int,
    max_epochs: int,
    patience: int | None,
    seed: int,
    on_epoch: Callable[[EpochRecord], None],
    kept_weights: KeptWeights = KeptWeights.BEST_EPOCH,
) -> History:
    """Train until ``max_epochs``, or until ``patience`` epochs have brought none that is better to keep.

    The model ends with the weights of the epoch that is kept.

    Args:
        patience: epochs to wait for a better one; None waits until ``max_epochs``
        on_epoch: called with each epoch's record as soon as it is known
        kept_weights: the rule by which an epoch is better; ``AVERAGE`` needs an ``AveragedTrainer``

    Raises:
        Diverged: a loss became NaN or infinite
    """
    trainer.expect_steps(max_epochs * num_batches(len(train.features), batch_size))
    generator = np.random.default_rng(seed)
    epochs: list[EpochRecord] = []
    keeper = WeightsKeeper(kept_weights)
    for number in range(1, max_epochs + 1):
        began = time.perf_counter()
        train_loss, train_probabilities = trainer.train_epoch(train, batch_size, generator)
        probabilities = trainer.score(validation)
        epoch = _describe(number, train_loss, train, train_probabilities, validation, probabilities, began)
        epochs.append(epoch)
        on_epoch(epoch)
        keeper.add(epoch, probabilities, trainer.get_weights)
        if patience is not None and keeper.best is not None and number - keeper.best.number >= patience:
            break
    if keeper.best is None:
        raise ValueError(f"max_epochs is {max_epochs}; expected at least 1")
    trainer.set_weights(keeper.best.weights)
    _forget_gradients()
    return History(tuple(epochs), keeper.best.number, keeper.best.probabilities)


def train_for(
    trainer: Learner,
    train: HasFeatures,
    *,
    batch_size: int,
    num_epochs: int,
    seed: int,
    on_epoch: Callable[[int], None] = lambda number: None,
    num_later_steps: int = 0,
) -> None:
    """Train for a number of epochs that was chosen beforehand.

    Args:
        num_later_steps: training steps that follow with the same trainer, which is compiled for all of them or for none
        on_epoch: called after each epoch with its number, from 1

    Raises:
        Diverged: a loss became NaN or infinite
    """
    trainer.expect_steps(num_epochs * num_batches(len(train.features), batch_size) + num_later_steps)
    generator = np.random.default_rng(seed)
    for number in range(1, num_epochs + 1):
        trainer.train_epoch(train, batch_size, generator)
        on_epoch(number)
    _forget_gradients()


def _forget_gradients() -> None:
    """Remove the gradients that TensorFlow has registered for the networks traced so far.

    A training that has ended needs them no more. TensorFlow gives every traced ``tf.custom_gradient`` a name of its
    own and keeps it, and with it the graph and the weights of its network, as long as the process lives. It has no
    public function that removes them.
    """
    # Of a TensorFlow that keeps them elsewhere nothing is removed, and a test fails.
    registered = getattr(ops.gradient_registry, "_registry", {})
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


def _describe(
    number: int,
    train_loss: float,
    train: HasFeatures,
    train_probabilities: np.ndarray,
    validation: HasFeatures,
    probabilities: np.ndarray,
    began: float,
) -> EpochRecord:
    validation_loss = mean_cross_entropy(probabilities, validation.features.emotions)
    if not math.isfinite(validation_loss):
        raise Diverged(
            f"training diverged: the validation loss of epoch {number} is {validation_loss}; expected a finite number"
        )
    train_predicted, predicted = train_probabilities.argmax(axis=1), probabilities.argmax(axis=1)
    return EpochRecord(
        epoch=number,
        train_loss=train_loss,
        train_accuracy=weighted_accuracy(train.features.emotions, train_predicted),
        train_unweighted_accuracy=unweighted_accuracy(train.features.emotions, train_predicted),
        validation_loss=validation_loss,
        validation_accuracy=weighted_accuracy(validation.features.emotions, predicted),
        validation_unweighted_accuracy=unweighted_accuracy(validation.features.emotions, predicted),
        seconds=time.perf_counter() - began,
    )
