"""Text_Model1 to 3, without their softmax. Source: paper, section 4.2."""

from __future__ import annotations

from dataclasses import replace

import keras
from keras import layers

from harness.models.hyperparameters import (
    FusionHyperparameters,
    Text1Hyperparameters,
    Text2Hyperparameters,
    Text3Hyperparameters,
    WordVectors,
)
from harness.models.inputs import Branch, InputShapes, stacked_lstms, text_input, word_table
from harness.models.layers import FlattenedDense, MaskedSteps
from harness.models.left_padding import left_padded_lstms

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
    branch = _two_lstms(choices, shapes, (choices.textlstm, choices.textlstm2))
    return replace(branch, output=layers.Dense(choices.dense, activation="relu", name="text_dense")(branch.output))


def build_text3(choices: Text3Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model3: as Text_Model2, over (500, 128) word vectors that begin at random."""
    branch = _two_lstms(choices, shapes, (choices.textlstm, choices.textlstm2), choices.random_dimension)
    return replace(branch, output=layers.Dense(choices.dense, activation="relu", name="text_dense")(branch.output))


def build_fused_text(choices: FusionHyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model2 as it stands in a fusion: both LSTMs of one width, then a linear Dense layer."""
    branch = _two_lstms(choices, shapes, (choices.textlstm, choices.textlstm))
    return replace(branch, output=layers.Dense(choices.branch_dense, name="text_dense")(branch.output))


def _two_lstms(
    choices: Text2Hyperparameters | Text3Hyperparameters | FusionHyperparameters,
    shapes: InputShapes,
    units: tuple[int, int],
    random_dimension: int | None = None,
) -> Branch:
    """Word vectors -> two LSTMs, dropout after each; the second one's last state."""
    is_trained = getattr(choices, "word_vectors", None) is not WordVectors.FROZEN
    if shapes.has_masks or choices.dropout or choices.recurrent_dropout:
        branch = text_input(shapes, random_dimension=random_dimension, is_trained=is_trained)
        return replace(branch, output=stacked_lstms(branch, *units, choices, "text"), mask=None)
    text = keras.Input((None,), dtype="int32", name="text")
    table = word_table(shapes, random_dimension, is_trained)
    return Branch({"text": text}, left_padded_lstms(text, table, *units, choices, "text"))
