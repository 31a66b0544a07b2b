"""Keras's LSTM with a loop over the steps that XLA compiles, and its gradient written out.

The stock layer's loop starts some twenty small operations a step, which cost more than the matrix
products among them. Here a step is one compiled piece, and the weight gradient one product after the
loop. Held equal to the stock layer by `tests/models/test_recurrence.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

#: Compiled loops take a multiple of these steps and utterances: XLA compiles one program for each size, so sizes
#: must be few. Above ``MANY_STEPS``, which short frames of speech have, they take a multiple of more.
STEPS_COMPILED_FOR = 25
MANY_STEPS, MANY_COMPILED_FOR = 200, 100
BATCH_COMPILED_FOR = 16


#: Activations of the gates that the compiled loop knows, and their slope as a function of their value.
SLOPES: Mapping[Any, Callable[[tf.Tensor], tf.Tensor]] = {
    keras.activations.sigmoid: lambda value: value * (1.0 - value),
    keras.activations.hard_sigmoid: lambda value: tf.where((value > 0.0) & (value < 1.0), 1.0 / 6.0, 0.0),
}


@keras.saving.register_keras_serializable(package="harness")
class CompiledLSTM(keras.layers.LSTM):
    """Keras's LSTM, compiled where that pays; an utterance may have no step at all.

    Weights and numbers are the stock layer's. Without a step, the state stays as it was. The compiled
    loop knows tanh, a bias, the gates of ``SLOPES`` and recurrent dropout, but no dropout of its inputs.

    Attributes:
        is_compiled: whether training steps run through XLA, which takes a second before the first of
            each length; not part of the saved layer
    """

    is_compiled = False

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Any, mask: tf.Tensor | None, training: bool = False
    ) -> Any:
        if training and self.is_compiled:
            return self._compiled_loop(sequences, initial_state, mask)
        if mask is None:
            return super().inner_loop(sequences, initial_state, mask, training)
        # The fused kernels refuse an utterance without a step: it gets one, and then zeros.
        has_steps = tf.reduce_any(mask, axis=1)
        mask = tf.concat([mask[:, :1] | ~has_steps[:, None], mask[:, 1:]], axis=1)
        last, outputs, states = super().inner_loop(sequences, initial_state, mask, training)
        last, *states = (tf.where(has_steps[:, None], value, 0.0) for value in (last, *states))
        return last, tf.where(has_steps[:, None, None], outputs, 0.0), states

    def _compiled_loop(self, sequences: tf.Tensor, initial_state: Any, mask: tf.Tensor | None) -> Any:
        if mask is None:
            mask = tf.ones(tf.shape(sequences)[:2], tf.bool)
        if self.go_backwards:
            sequences, mask = tf.reverse(sequences, axis=[1]), tf.reverse(mask, axis=[1])
        num_utterances, num_steps = tf.shape(sequences)[0], tf.shape(sequences)[1]
        from_inputs = tf.transpose(sequences, (1, 0, 2)) @ self.cell.kernel + self.cell.bias
        is_real = tf.cast(tf.transpose(mask)[..., None], tf.float32)
        kept = self.cell.get_recurrent_dropout_mask(initial_state[0])
        hidden, cell = (pad_to_compiled(state, 0) for state in initial_state)
        outputs, hidden, cell = _run(
            pad_to_compiled(from_inputs, 1, 0),
            pad_to_compiled(is_real, 1, 0),
            hidden,
            cell,
            tf.convert_to_tensor(self.cell.recurrent_kernel),
            None if kept is None else [pad_to_compiled(factor, 0) for factor in kept],
            num_steps,
            self.recurrent_activation,
        )
        outputs = tf.transpose(outputs[:num_steps, :num_utterances], (1, 0, 2))
        if self.zero_output_for_mask:
            outputs = tf.where(mask[..., None], outputs, 0.0)
        hidden, cell = hidden[:num_utterances], cell[:num_utterances]
        last = outputs[:, -1] if self.zero_output_for_mask else hidden
        return last, outputs, [hidden, cell]


def _run(
    from_inputs: tf.Tensor,
    is_real: tf.Tensor,
    hidden: tf.Tensor,
    cell: tf.Tensor,
    recurrent: tf.Tensor,
    kept: Sequence[tf.Tensor] | None,
    num_steps: tf.Tensor,
    gate: Any,
) -> Any:
    """Run an LSTM over the steps.

    Args:
        from_inputs: float32 (steps, batch, 4 * units), of the gates input, forget, proposal and output
        is_real: float32 (steps, batch, 1), 0 where the state stays as it is
        hidden, cell: float32 (batch, units), the first state
        recurrent: float32 (units, 4 * units)
        kept: recurrent dropout's factors of the state for each gate, float32 (batch, units); or None
        num_steps: int32, how many of the steps to run
        gate: one of ``SLOPES``

    Returns:
        float32 (steps, batch, units), and the last hidden and cell state, float32 (batch, units)
    """
    factors = () if kept is None else tuple(kept)

    def run(*tensors: tf.Tensor) -> Any:
        known = _compiled_forward(tensors, factors, num_steps, gate)

        def differentiate(*gradients: tf.Tensor) -> Any:
            # Without the inputs of the gates: of long utterances they are the largest of these tensors.
            return _compiled_backward(gradients, known, tensors[1:], factors, num_steps, gate)

        return (known["output"], known["hidden"], known["cell"]), differentiate

    return tf.custom_gradient(run)(from_inputs, is_real, hidden, cell, recurrent)


def _forward(
    tensors: Sequence[tf.Tensor], factors: Sequence[tf.Tensor], num_steps: tf.Tensor, gate: Any
) -> dict[str, tf.Tensor]:
    """Return the output of every step, the last state, and the gates and cells that the gradient needs."""
    from_inputs, is_real, hidden, cell, recurrent = tensors
    units = recurrent.shape[0]
    arrays = {name: tf.TensorArray(tf.float32, tf.shape(from_inputs)[0]) for name in ("output", "gates", "cells")}

    def step(index: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, arrays: dict[str, Any]) -> Any:
        before = from_inputs[index] + _recur(hidden, recurrent, factors)
        real = is_real[index]
        inputs, forget = gate(before[:, :units]), gate(before[:, units : 2 * units])
        proposal, output = tf.tanh(before[:, 2 * units : 3 * units]), gate(before[:, 3 * units :])
        cell = real * (forget * cell + inputs * proposal) + (1.0 - real) * cell
        hidden = real * output * tf.tanh(cell) + (1.0 - real) * hidden
        gates = tf.concat([inputs, forget, proposal, output], axis=-1)
        values = {"output": hidden, "gates": gates, "cells": cell}
        return index + 1, hidden, cell, {name: array.write(index, values[name]) for name, array in arrays.items()}

    _, hidden, cell, arrays = tf.while_loop(
        lambda index, *_: index < num_steps, step, (tf.constant(0), hidden, cell, arrays), parallel_iterations=1
    )
    return {"hidden": hidden, "cell": cell, **{name: array.stack() for name, array in arrays.items()}}


def _backward(
    gradients: Sequence[tf.Tensor],
    known: dict[str, tf.Tensor],
    tensors: Sequence[tf.Tensor],
    factors: Sequence[tf.Tensor],
    num_steps: tf.Tensor,
    gate: Any,
) -> Any:
    """Return the gradients of ``_forward``'s tensors, given those of its output and its last state.

    Args:
        tensors: those of ``_forward`` but for the first
    """
    d_outputs, d_hidden, d_cell = gradients
    is_real, hidden, cell, recurrent = tensors
    slope = SLOPES[gate]
    hidden_before = tf.concat([hidden[None], known["output"][:-1]], axis=0)
    cells_before = tf.concat([cell[None], known["cells"][:-1]], axis=0)
    array = tf.TensorArray(tf.float32, tf.shape(is_real)[0])

    def step(index: tf.Tensor, d_hidden: tf.Tensor, d_cell: tf.Tensor, array: Any) -> Any:
        inputs, forget, proposal, output = tf.split(known["gates"][index], 4, axis=-1)
        real, tanh = is_real[index], tf.tanh(known["cells"][index])
        d_hidden = d_hidden + d_outputs[index]
        d_new_hidden = real * d_hidden
        d_new_cell = real * d_cell + d_new_hidden * output * (1.0 - tanh * tanh)
        d_before = tf.concat(
            [
                d_new_cell * proposal * slope(inputs),
                d_new_cell * cells_before[index] * slope(forget),
                d_new_cell * inputs * (1.0 - proposal * proposal),
                d_new_hidden * tanh * slope(output),
            ],
            axis=-1,
        )
        d_hidden = (1.0 - real) * d_hidden + _recur_back(d_before, recurrent, factors)
        return index - 1, d_hidden, (1.0 - real) * d_cell + d_new_cell * forget, array.write(index, d_before)

    _, d_hidden, d_cell, array = tf.while_loop(
        lambda index, *_: index >= 0, step, (num_steps - 1, d_hidden, d_cell, array), parallel_iterations=1
    )
    d_from_inputs = array.stack()
    d_recurrent = _sum_of_products(hidden_before, d_from_inputs, factors)
    return d_from_inputs, tf.zeros_like(is_real), d_hidden, d_cell, d_recurrent


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)


def _recur(hidden: tf.Tensor, recurrent: tf.Tensor, factors: Sequence[tf.Tensor]) -> tf.Tensor:
    if not factors:
        return hidden @ recurrent
    parts = zip(factors, tf.split(recurrent, 4, axis=1), strict=True)
    return tf.concat([(hidden * factor) @ part for factor, part in parts], axis=-1)


def _recur_back(d_before: tf.Tensor, recurrent: tf.Tensor, factors: Sequence[tf.Tensor]) -> tf.Tensor:
    if not factors:
        return tf.linalg.matmul(d_before, recurrent, transpose_b=True)
    parts = zip(factors, tf.split(d_before, 4, axis=-1), tf.split(recurrent, 4, axis=1), strict=True)
    return tf.add_n([factor * tf.linalg.matmul(d_part, part, transpose_b=True) for factor, d_part, part in parts])


def _sum_of_products(hidden: tf.Tensor, d_before: tf.Tensor, factors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sum the outer products over steps and utterances: the gradient of the recurrent weights."""

    def multiply(rows: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
        rows, gradients = (tf.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (rows, gradients))
        return tf.linalg.matmul(rows, gradients, transpose_a=True)

    if not factors:
        return multiply(hidden, d_before)
    parts = zip(factors, tf.split(d_before, 4, axis=-1), strict=True)
    return tf.concat([multiply(hidden * factor, part) for factor, part in parts], axis=-1)


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
        num_steps = tf.shape(tensor)[steps_axis]
        multiple = tf.where(num_steps > MANY_STEPS, MANY_COMPILED_FOR, STEPS_COMPILED_FOR)
        padding[steps_axis][1] = -num_steps % multiple
    return tf.pad(tensor, padding, constant_values=value)
