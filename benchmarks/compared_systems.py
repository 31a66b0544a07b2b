"""How `benchmarks.trial` trains a model: its trainer, the utterances that it reads, and what it learns of them."""

from __future__ import annotations

import numpy as np

from benchmarks.measured_models import MeasuredModel
from harness.features.fitted import Inputs
from harness.models.build import FusedAdam, build_network, build_optimizer
from harness.models.decision import levels_of
from harness.models.hyperparameters import AcnnHyperparameters, AsrTransferHyperparameters
from harness.models.inputs import InputShapes
from harness.models.recogniser import build_recogniser, encode_letters, transfer_weights
from harness.training.loop import HasFeatures, Trainer
from harness.training.recogniser import LARGEST_NORM, RecogniserTrainer, SpelledTurns
from harness.training.single import LikelihoodTrainer


def make_trainer(measured: MeasuredModel, shapes: InputShapes) -> Trainer:
    """Build a model with its optimiser; the recogniser below a classifier has random weights."""
    choices = measured.choices
    if measured.trains_recogniser:
        return RecogniserTrainer(build_recogniser(choices, shapes), FusedAdam(global_clipnorm=LARGEST_NORM))
    network = build_network(measured.system, choices, shapes)
    if isinstance(choices, AsrTransferHyperparameters):
        transfer_weights(build_recogniser(choices, shapes), network.model, choices.transfer)
    if network.likelihoods is None and network.decision is None:
        return Trainer(network.model, build_optimizer(choices))
    return LikelihoodTrainer(network, build_optimizer(choices))


def pick_training(measured: MeasuredModel, inputs: Inputs) -> Inputs | SpelledTurns:
    """Return the utterances that are trained on: of a recogniser, those whose spelling fits into their frames."""
    if not measured.trains_recogniser:
        return inputs
    return SpelledTurns.find(inputs.features, inputs.fitted, trains=True)


def read_targets(measured: MeasuredModel, train: HasFeatures, rows: np.ndarray) -> np.ndarray:
    """Return what some utterances teach, int64 (rows,): classes.

    Of a network of several views (rows, 3), the levels behind the class; of a recogniser (rows, characters), as
    ``encode_letters`` has them.
    """
    if isinstance(train, SpelledTurns):
        return encode_letters([train.texts[row] for row in rows])
    features = train.features
    if isinstance(measured.choices, AcnnHyperparameters):
        levels = (levels_of(features.activation[rows]), levels_of(features.valence[rows]))
        return np.column_stack([features.emotions[rows], *levels])
    return features.emotions[rows]
