"""Words that are padded on the left without a mask: what all utterances of a batch share is computed once.

Until the longest utterance's words begin, every utterance reads the same padding and has the same
state, so one row is run that far, and all go on from its state. Exact where no dropout lies within;
held equal to running every row by `tests/models/test_left_padding.py`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.models.hyperparameters import Hyperparameters
from harness.models.inputs import lstm


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


def left_padded_lstms(
    word_ids: keras.KerasTensor, table: layers.Embedding, first: int, second: int, choices: Hyperparameters, name: str
) -> keras.KerasTensor:
    """Two LSTMs over looked-up word ids, int (batch, words); the last state, float32 (batch, second).

    Args:
        choices: without dropout, which would part the rows
    """
    ids, mask, rest_ids = SharedPadding(name=f"{name}_padding")(word_ids)
    shared, rest = table(ids), table(rest_ids)
    for number, units in enumerate((first, second), start=1):
        is_last = number == 2
        suffix = "" if number == 1 else str(number)
        layer = lstm(units, choices, f"{name}_lstm{suffix}", steps=not is_last, returns_state=True)
        shared, *state = layer(shared, mask=mask)
        begin = [
            EachRow(name=f"{name}_{part}{suffix}")(row, rest_ids)
            for part, row in zip(("hidden", "cell"), state, strict=True)
        ]
        rest, *_ = layer(rest, initial_state=begin)
    return rest
