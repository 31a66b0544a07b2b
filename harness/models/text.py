"""Text_Model1 to 3, without their softmax. Source: paper, section 4.2.

Two LSTMs over words that are padded on the left without a mask run the common padding only once:
until the longest utterance's words begin, all utterances of a batch have the same state. That is
exact where no dropout lies within; held equal to running every row by `tests/models/test_left_padding.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.models.hyperparameters import (
    FusedBranches,
    FusionHyperparameters,
    NetworkHyperparameters,
    Text1Hyperparameters,
    Text2Hyperparameters,
    Text3Hyperparameters,
    TextOutput,
)
from harness.models.inputs import (
    Branch,
    InputShapes,
    lstm,
    stacked_lstms,
    text_input,
    word_table,
)
from harness.models.layers import AttentionPooling, FlattenedDense, MaskedSteps

#: Convolutions of Text_Model1, each with half the filters of the one before: 256, 128, 64, 32.
NUM_CONVOLUTIONS = 4


def build_text1(hyperparameters: Text1Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model1: word vectors (500, 300) -> four convolutions of kernel 3, relu -> Dense 256 relu.

    Padding ``same``, dropout before each relu and after the flattening, as the published notebook has them.
    """
    branch = text_input(shapes, hyperparameters)
    steps = MaskedSteps(name="text_words")(branch.output, branch.mask)
    for number in range(NUM_CONVOLUTIONS):
        filters = hyperparameters.filters >> number
        convolution = layers.Conv1D(filters, 3, padding="same", name=f"text_conv{number + 1}")
        dropped = layers.Dropout(hyperparameters.dropout, name=f"text_dropout{number + 1}")(convolution(steps))
        steps = layers.ReLU()(dropped)
        steps = MaskedSteps(name=f"text_words{number + 1}")(steps, branch.mask)
    steps = layers.Dropout(hyperparameters.dropout, name="text_dropout")(steps)
    dense = FlattenedDense(hyperparameters.dense, shapes.max_words, "relu", name="text_dense")
    return replace(branch, output=dense(steps, branch.mask), mask=None)


def build_text2(hyperparameters: Text2Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model2: word vectors (500, 300) -> LSTM 512, LSTM 256 -> Dense 512 relu.

    Not in the paper: LSTMs in two directions, and attention over the steps of the second in place of its last state.
    """
    if hyperparameters.directions == 2 or hyperparameters.text_output is TextOutput.POOLING:
        branch = _directed_lstms(hyperparameters, shapes)
    else:
        branch = _two_lstms(hyperparameters, shapes, hyperparameters.textlstm, hyperparameters.textlstm2)
    dense = layers.Dense(hyperparameters.dense, activation="relu", name="text_dense")
    return replace(branch, output=dense(branch.output))


def build_text3(hyperparameters: Text3Hyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model3: as Text_Model2, over (500, 128) word vectors that begin at random."""
    widths = (hyperparameters.textlstm, hyperparameters.textlstm2)
    branch = _two_lstms(hyperparameters, shapes, *widths)
    dense = layers.Dense(hyperparameters.dense, activation="relu", name="text_dense")
    return replace(branch, output=dense(branch.output))


def build_fused_text(hyperparameters: FusionHyperparameters, shapes: InputShapes) -> Branch:
    """Text_Model2 as it stands in a fusion, its LSTMs and its last layer as ``FusedBranches`` says."""
    first = hyperparameters.textlstm
    second = first if hyperparameters.branches is FusedBranches.CODE else max(1, first // 2)
    branch = _two_lstms(hyperparameters, shapes, first, second)
    dense = layers.Dense(
        hyperparameters.branch_dense, activation=hyperparameters.branch_activation, name="text_dense"
    )
    return replace(branch, output=dense(branch.output))


def _directed_lstms(hyperparameters: Text2Hyperparameters, shapes: InputShapes) -> Branch:
    branch = text_input(shapes, hyperparameters)
    is_pooled = hyperparameters.text_output is TextOutput.POOLING
    hidden = branch.output
    for number, units in (("", hyperparameters.textlstm), ("2", hyperparameters.textlstm2)):
        layer = lstm(units, hyperparameters, f"text_lstm{number}", steps=is_pooled or not number)
        if hyperparameters.directions == 2:
            layer = layers.Bidirectional(layer, name=f"text_bilstm{number}")
        hidden = layer(hidden, mask=branch.mask)
        if number and is_pooled:
            hidden = AttentionPooling(units, name="text_attention")(hidden, branch.mask)
        hidden = layers.Dropout(hyperparameters.dropout, name=f"text_dropout{number}")(hidden)
    return replace(branch, output=hidden, mask=None)


def _two_lstms(
    hyperparameters: Text2Hyperparameters | Text3Hyperparameters | FusionHyperparameters,
    shapes: InputShapes,
    first: int,
    second: int,
) -> Branch:
    """Word vectors -> two LSTMs, dropout after each; the second one's last state."""
    dropouts = ("dropout", "recurrent_dropout", "word_dropout", "input_dropout")
    has_own_frames = shapes.text_columns is not None
    if shapes.has_masks or has_own_frames or any(getattr(hyperparameters, name) for name in dropouts):
        branch = text_input(shapes, hyperparameters)
        return replace(branch, output=stacked_lstms(branch, first, second, hyperparameters, "text"), mask=None)
    text = keras.Input((None,), dtype="int32", name="text")
    table = word_table(shapes, hyperparameters)
    return Branch({"text": text}, left_padded_lstms(text, table, first, second, hyperparameters, "text"))


def left_padded_lstms(
    word_ids: keras.KerasTensor,
    table: layers.Layer,
    first: int,
    second: int,
    hyperparameters: NetworkHyperparameters,
    name: str,
) -> keras.KerasTensor:
    """Two LSTMs over looked-up word ids, int (batch, words); the last state, float32 (batch, second).

    Args:
        hyperparameters: without dropout, which would give each row a state of its own
    """
    ids, mask, rest_ids = SharedPadding(name=f"{name}_padding")(word_ids)
    shared, rest = table(ids), table(rest_ids)
    for number, units in enumerate((first, second), start=1):
        is_last = number == 2
        suffix = "" if number == 1 else str(number)
        layer = lstm(units, hyperparameters, f"{name}_lstm{suffix}", steps=not is_last, returns_state=True)
        shared, *state = layer(shared, mask=mask)
        begin = [
            EachRow(name=f"{name}_{part}{suffix}")(row, rest_ids)
            for part, row in zip(("hidden", "cell"), state, strict=True)
        ]
        rest, *_ = layer(rest, initial_state=begin)
    return rest


@keras.saving.register_keras_serializable(package="harness")
class SharedPadding(layers.Layer):
    """Parts word ids, padded with 0 on the left, where the first word of any utterance stands.

    Call with int (batch, words). Returns the padding that all share, int (1, padding + 1); its mask,
    bool of that shape, false for the last step, which stands there so that there is always one; and
    the rest, int (batch, words - padding), at least one step.
    """

    def call(self, word_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        has_word = tf.reduce_any(word_ids != 0, axis=0)
        num_words = tf.shape(word_ids)[1]
        first_word = tf.argmax(tf.cast(has_word, tf.int32), output_type=tf.int32)
        num_shared = tf.where(tf.reduce_any(has_word), first_word, num_words - 1)
        mask = tf.range(num_shared + 1)[None] < num_shared
        return tf.zeros_like(mask, word_ids.dtype), mask, word_ids[:, num_shared:]

    def compute_output_spec(self, word_ids: Any) -> tuple[keras.KerasTensor, ...]:
        shared = (1, None)
        return (
            keras.KerasTensor(shared, word_ids.dtype),
            keras.KerasTensor(shared, "bool"),
            keras.KerasTensor((word_ids.shape[0], None), word_ids.dtype),
        )


@keras.saving.register_keras_serializable(package="harness")
class EachRow(layers.Layer):
    """Repeats the one row of a state, float (1, units), for each row of another tensor: (batch, units)."""

    def call(self, state: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        return tf.repeat(state, tf.shape(rows)[0], axis=0)

    def compute_output_spec(self, state: Any, rows: Any) -> keras.KerasTensor:
        return keras.KerasTensor((rows.shape[0], state.shape[1]), state.dtype)
