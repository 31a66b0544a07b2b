"""Models of single utterances: how each is built, and trained by what is not its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from harness.corpus.utterances import CLASSES
from harness.errors import Diverged, FeatureError
from harness.features.fitted import fit_features
from harness.features.lexica import lexicon_of
from harness.features.store import Features
from harness.models.build import build_network, build_optimizer
from harness.models.decision import NUM_LEVELS, Network, levels_of
from harness.models.hyperparameters import (
    AsrTransferHyperparameters,
    Centring,
    FunctionalsHyperparameters,
    TextTermsHyperparameters,
    TrainingHyperparameters,
)
from harness.models.inputs import input_shapes
from harness.models.recogniser import transfer_weights
from harness.models.systems import System, modalities_of
from harness.splits.protocol import Protocol
from harness.training.loop import (
    HasFeatures,
    ModelInputs,
    Scorer,
    TrainedModel,
    Trainer,
    check_loss,
    mean_cross_entropy,
    seed_everything,
)
from harness.training.objective import EMOTION, Objective, Targets, make_objective
from harness.training.recogniser import NO_RECOGNISER, Recogniser, fit_recogniser


@dataclass(frozen=True)
class TransferredModel(TrainedModel):
    """A classifier over the layers of a recogniser.

    Attributes:
        recogniser: that it has taken its first weights from; None where they began at random
    """

    recogniser: Recogniser | None

    def describe_source(self, validation: Features) -> str:
        """Say what was taken over, and how well the recogniser reads utterances that it was not trained on."""
        if self.recogniser is None:
            return self.fitted.embedding_source
        return f"{self.fitted.embedding_source}; {self.recogniser.describe_errors(validation)}"


def begin_training(
    system: System,
    hyperparameters: TrainingHyperparameters,
    train: Features,
    protocol: Protocol,
    word_vectors: Path | None,
    seed: int,
    vocabulary_extra: Features | None,
    known: Features,
) -> tuple[TrainedModel, Trainer, HasFeatures]:
    """Fit the features of a system, and build its model.

    Args:
        word_vectors, vocabulary_extra: as ``fit_features`` takes them
        known: the utterances that the features are fitted on: those of ``train``, or more

    Returns:
        the model, which the learner trains; the learner; and the training utterances

    Raises:
        FeatureError: as ``fit_features`` and ``make_objective``; or no training utterance has a rating that the network
            learns
    """
    fitted = fit_features(
        known,
        modalities_of(system, hyperparameters),
        protocol,
        word_vectors,
        getattr(hyperparameters, "embedding_dimension", None),
        seed,
        vocabulary_extra=vocabulary_extra,
        reads_terms=isinstance(hyperparameters, TextTermsHyperparameters),
        lexicon=lexicon_of(hyperparameters),
        centres_functionals=(
            isinstance(hyperparameters, FunctionalsHyperparameters) and hyperparameters.centring is Centring.SPEAKER
        ),
    )
    recogniser = None
    if isinstance(hyperparameters, AsrTransferHyperparameters):
        recogniser = fit_recogniser(hyperparameters, train, fitted)
        fitted = replace(fitted, embedding_source=NO_RECOGNISER if recogniser is None else recogniser.describe())
        # The same numbers follow, whether the recogniser was trained just now or before.
        seed_everything(seed)
    network = build_network(system, hyperparameters, input_shapes(fitted, protocol, len(train)))
    trained = TrainedModel(network.model, fitted)
    if isinstance(hyperparameters, AsrTransferHyperparameters):
        trained = TransferredModel(network.model, fitted, recogniser)
        if recogniser is not None:
            transfer_weights(recogniser.network, network.model, hyperparameters.transfer)
    if network.likelihoods is None and network.decision is None:
        trainer = make_trainer(network.model, hyperparameters, protocol, train)
    else:
        for view in network.views:
            if np.isnan(getattr(train, view)).all():
                raise FeatureError(
                    f"system {system.name!r}: none of the {len(train)} training utterances has a rating of {view}; "
                    'expected ratings in the corpus, or "views": "single", which needs none'
                )
        optimizer = build_optimizer(hyperparameters, is_averaged=protocol.averages_weights)
        trainer = LikelihoodTrainer(network, optimizer, make_objective(hyperparameters, protocol.class_weights, train))
    return trained, trainer, fitted.prepare(train)


def make_trainer(
    model: keras.Model, hyperparameters: TrainingHyperparameters, protocol: Protocol, train: Features
) -> Trainer:
    """Return what trains a model by its answers, with the optimiser and the loss that the hyperparameters name.

    Raises:
        FeatureError: as ``make_objective``
    """
    optimizer = build_optimizer(hyperparameters, is_averaged=protocol.averages_weights)
    return Trainer(model, optimizer, make_objective(hyperparameters, protocol.class_weights, train))


class LikelihoodTrainer(Trainer):
    """A network that is trained by the likelihood of the right label, with its optimiser.

    The loss of each view is added with its weight; of a batch, it is the mean over the utterances that have the rating.
    Only the emotion's targets are smoothed, and only its loss weighs classes and scenes.
    Where a ``Decision`` answers, it is fitted after every epoch on the training utterances, without dropout. A decision
    over vectors that nothing trains is fitted, and there is no step.
    """

    def __init__(
        self, network: Network, optimizer: keras.optimizers.Optimizer, objective: Objective | None = None
    ) -> None:
        self._decision, self._views = network.decision, network.views
        self._has_steps = network.likelihoods is not None
        inputs, answers, trained = network.model.inputs, network.model.output, None
        if network.likelihoods is not None:
            likelihoods = network.likelihoods.output
            if self._decision is not None:
                # Its answers are of the epoch before, and of a kernel machine they cost more than all else.
                answers = keras.layers.Softmax()(likelihoods)
            trained = keras.Model(inputs, [likelihoods, answers])
        if self._decision is not None:
            self._vectors = Scorer(keras.Model(inputs, self._decision.input))
        super().__init__(network.model, optimizer, objective, trained)

    @property
    def target_signature(self) -> dict[str, tf.TensorSpec]:
        """That of the emotion, and of each view the level of every utterance, int64 (batch,), -1 where it has none."""
        return self.objective.signature | {view: tf.TensorSpec((None,), tf.int64) for view in self._views}

    def targets(self, features: Features) -> Targets:
        levels = {view: levels_of(getattr(features, view)) for view in self._views}
        return {**self.objective.targets(features), **levels}

    def _likelihood_loss(self, likelihoods: tf.Tensor, targets: Mapping[str, tf.Tensor]) -> tf.Tensor:
        of_classes, smoothing = likelihoods[:, : len(CLASSES)], self.objective.label_smoothing
        wanted = self.objective.distributions(targets)
        if wanted is None:
            losses = -tf.gather(likelihoods, targets[EMOTION], batch_dims=1)
        else:
            losses = -tf.reduce_sum(wanted * of_classes, axis=1)
        if smoothing:
            losses = (1.0 - smoothing) * losses - smoothing * tf.reduce_mean(of_classes, axis=1)
        loss = self.objective.reduce(targets, losses)
        for number, (view, weight) in enumerate(self._views.items()):
            levels = targets[view]
            is_rated = levels >= 0
            columns = len(CLASSES) + NUM_LEVELS * number + tf.maximum(levels, 0)
            losses = tf.where(is_rated, -tf.gather(likelihoods, columns, batch_dims=1), 0.0)
            num_rated = tf.math.count_nonzero(is_rated, dtype=losses.dtype)
            loss += weight * tf.reduce_sum(losses) / tf.maximum(num_rated, 1.0)
        return loss

    def _loss_of(self, inputs: Mapping[str, tf.Tensor], targets: Any) -> tuple[tf.Tensor, tf.Tensor]:
        likelihoods, probabilities = self.trained(inputs, training=True)
        return self._likelihood_loss(likelihoods, targets), probabilities

    def fit_decision(self, inputs: ModelInputs) -> None:
        """Fit the decision, where there is one, on the training utterances without dropout.

        Raises:
            Diverged: an activation is not finite
        """
        if self._decision is None:
            return
        emotions = inputs.features.emotions
        weights = np.ones(4) if self.objective.class_weights is None else self.objective.class_weights
        vectors = self._vectors.score(inputs)
        if not np.isfinite(vectors).all():
            raise Diverged("training diverged: an activation is not finite; a lower learning rate may help")
        self._decision.fit(vectors, emotions, np.asarray(weights, np.float64)[emotions])

    def train_epoch(
        self, inputs: ModelInputs, batch_size: int, generator: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """As ``Trainer.train_epoch``; a decision is fitted at the end."""
        emotions = inputs.features.emotions
        if self._has_steps:
            loss, probabilities = super().train_epoch(inputs, batch_size, generator)
        self.fit_decision(inputs)
        if not self._has_steps:
            probabilities = self.score(inputs)
            loss = check_loss(mean_cross_entropy(probabilities, emotions))
        return loss, probabilities
