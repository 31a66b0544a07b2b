"""The sizes that XLA compiles programs for: one program for each, so they must be few."""

from __future__ import annotations

import tensorflow as tf

#: Compiled loops see so many steps or a multiple, utterances likewise.
STEPS_COMPILED_FOR = 25
BATCH_COMPILED_FOR = 16


def pad_to_compiled(
    tensor: tf.Tensor, batch_axis: int, steps_axis: int | None = None, value: float = 0.0
) -> tf.Tensor:
    """Pad a tensor's utterances, and its steps where it has any, with ``value`` to a size compiled for.

    A batch that is always of one utterance stays so.
    """
    padding: list[list[tf.Tensor | int]] = [[0, 0] for _ in tensor.shape]
    if tensor.shape[batch_axis] != 1:
        padding[batch_axis][1] = -tf.shape(tensor)[batch_axis] % BATCH_COMPILED_FOR
    if steps_axis is not None:
        padding[steps_axis][1] = -tf.shape(tensor)[steps_axis] % STEPS_COMPILED_FOR
    return tf.pad(tensor, padding, constant_values=value)
