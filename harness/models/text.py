"""Text_Model1 to 3, without their softmax. Source: paper, section 4.2."""

from __future__ import annotations

from dataclasses import replace

from keras import layers

from harness.models.hyperparameters import (
    FusionHyperparameters,
    Text1Hyperparameters,
    Text2Hyperparameters,
    Text3Hyperparameters,
    WordVectors,
)
from harness.models.inputs import Branch, InputShapes, stacked_lstms, text_input
from harness.models.layers import FlattenedDense, MaskedSteps

#: Convolutions of Text_Model1, each with half the filters of the one before: 256, 128, 64, 32.
NUM_CONVOLUTIONS = 4


def build_text1(choices: Text1Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model1: word vectors (500, 300) -> four convolutions of kernel 3, relu -> Dense 256 relu.

    Padding ``same``, dropout before each relu and after the flattening, as the published notebook has them.
    """
    branch = text_input(
        shapes, random_dimension=None, is_trained=choices.word_vectors is WordVectors.TRAINED
    )
    steps = MaskedSteps(name="text_words")(branch.output, branch.mask)
    for number in range(NUM_CONVOLUTIONS):
        convolution = layers.Conv1D(choices.filters >> number, 3, padding="same", name=f"text_conv{number + 1}")
        dropped = layers.Dropout(choices.dropout, name=f"text_dropout{number + 1}")(convolution(steps))
        steps = layers.ReLU()(dropped)
        steps = MaskedSteps(name=f"text_words{number + 1}")(steps, branch.mask)
    steps = layers.Dropout(choices.dropout, name="text_dropout")(steps)
    dense = FlattenedDense(choices.dense, shapes.max_words, "relu", name="text_dense")
    return replace(branch, output=dense(steps, branch.mask), mask=None)


def build_text2(choices: Text2Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model2: word vectors (500, 300) -> LSTM 512, LSTM 256 -> Dense 512 relu."""
    branch = text_input(
        shapes, random_dimension=None, is_trained=choices.word_vectors is WordVectors.TRAINED
    )
    last = stacked_lstms(branch, choices.textlstm, choices.textlstm2, choices, "text")
    output = layers.Dense(choices.dense, activation="relu", name="text_dense")(last)
    return replace(branch, output=output, mask=None)


def build_text3(choices: Text3Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model3: as Text_Model2, over (500, 128) word vectors that begin at random."""
    branch = text_input(shapes, random_dimension=choices.random_dimension)
    last = stacked_lstms(branch, choices.textlstm, choices.textlstm2, choices, "text")
    output = layers.Dense(choices.dense, activation="relu", name="text_dense")(last)
    return replace(branch, output=output, mask=None)


def build_fused_text(choices: FusionHyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model2 as it stands in a fusion: both LSTMs of one width, then a linear Dense layer."""
    branch = text_input(
        shapes, random_dimension=None, is_trained=choices.word_vectors is WordVectors.TRAINED
    )
    last = stacked_lstms(branch, choices.textlstm, choices.textlstm, choices, "text")
    return replace(branch, output=layers.Dense(choices.branch_dense, name="text_dense")(last), mask=None)
