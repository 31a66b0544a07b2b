"""The attention decoder of the published code: one step a frame, each a softmax over the units."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="harness")
class AttentionDecoder(layers.Layer):
    """Bahdanau's attention decoder over an encoded sequence, emitting as many steps as it reads.

    Every step attends to all encoded steps from its last state, mixes the context into a gated
    recurrent update, and emits a softmax over its units, computed from the *previous* state and
    output. Several directions run as one batch. ``W_a`` is multiplied in before the sum over
    encoded steps is broadcast, which changes no number.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns float
    (batch, steps, directions * units), zeros at masked steps. The second direction decodes the
    real steps reversed, and is turned back.

    Source: Bahdanau et al. 2015, appendix A.1; the paper's Speech_Model3 and 4, by its published
    code. Deviates: masked steps are neither attended to nor emitted.
    """

    def __init__(self, units: int, directions: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units
        self.directions = directions

    def build(self, inputs_shape: Any, steps_mask_shape: Any = None) -> None:
        columns, units = inputs_shape[-1], self.units
        glorot, orthogonal = keras.initializers.GlorotUniform, keras.initializers.Orthogonal
        self.attend_state = self._weight("W_a", units, units, glorot)
        self.attend_input = self._weight("U_a", columns, units, glorot)
        self.attend_bias = self._weight("b_a", 1, units, keras.initializers.Zeros)
        self.attend_score = self._weight("V_a", units, 1, glorot)
        self.initial_state = self._weight("W_s", columns, units, orthogonal)
        # Gates side by side: reset, update, proposal, output.
        self.from_output = self._weight("W", units, units, orthogonal, gates=4)
        self.from_state = self._weight("U", units, units, orthogonal, gates=4)
        self.from_context = self._weight("C", columns, units, orthogonal, gates=4)
        self.bias = self._weight("b", 1, units, keras.initializers.Zeros, gates=4)

    def _weight(self, name: str, rows: int, columns: int, initializer: Any, gates: int = 1) -> Any:
        """A weight (directions, rows, gates * columns); each direction's and gate's matrix is its own draw."""

        def draw(shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
            draws = [
                tf.concat([initializer()((rows, columns), dtype=dtype) for _ in range(gates)], axis=1)
                for _ in range(self.directions)
            ]
            return tf.stack(draws)

        return self.add_weight(shape=(self.directions, rows, gates * columns), initializer=draw, name=name)

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        num_steps = tf.shape(inputs)[1]
        lengths = None if steps_mask is None else tf.reduce_sum(tf.cast(steps_mask, tf.int32), axis=1)
        encoded = tf.stack(
            [inputs] if self.directions == 1 else [inputs, _reverse(inputs, lengths)]
        )  # (directions, batch, steps, columns)
        projected = tf.einsum("dbtc,dcu->dbtu", encoded, self.attend_input) + self.attend_bias[:, None]
        blocked = 0.0 if steps_mask is None else tf.where(steps_mask, 0.0, -1e9)[None]
        state = tf.tanh(encoded[:, :, 0] @ self.initial_state)
        emitted = tf.TensorArray(tf.float32, num_steps, element_shape=(self.directions, None, self.units))

        def step(
            index: tf.Tensor, state: tf.Tensor, output: tf.Tensor, emitted: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
            hidden = tf.tanh((state @ self.attend_state)[:, :, None] + projected)
            scores = tf.einsum("dbtu,du->dbt", hidden, self.attend_score[..., 0])
            context = tf.einsum("dbt,dbtc->dbc", tf.nn.softmax(scores + blocked), encoded)
            state, output = self._update(state, output, context)
            return index + 1, state, output, emitted.write(index, output)

        _, _, _, emitted = tf.while_loop(
            lambda index, *_: index < num_steps,
            step,
            (tf.constant(0), state, tf.zeros_like(state), emitted),
            parallel_iterations=1,
        )
        outputs = tf.transpose(emitted.stack(), (1, 2, 0, 3))  # (directions, batch, steps, units)
        if self.directions == 2:
            outputs = tf.concat([outputs[0], _reverse(outputs[1], lengths)], axis=-1)
        else:
            outputs = outputs[0]
        return outputs if steps_mask is None else tf.where(steps_mask[..., None], outputs, 0.0)

    def _update(
        self, state: tf.Tensor, output: tf.Tensor, context: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        units = self.units
        shared = output @ self.from_output + context @ self.from_context + self.bias
        recurrent = self.from_state
        gates = tf.sigmoid(shared[..., : 2 * units] + state @ recurrent[..., : 2 * units])
        reset, update = gates[..., :units], gates[..., units:]
        proposal = tf.tanh(
            shared[..., 2 * units : 3 * units] + (reset * state) @ recurrent[..., 2 * units : 3 * units]
        )
        emitted = tf.nn.softmax(shared[..., 3 * units :] + state @ recurrent[..., 3 * units :])
        return (1.0 - update) * state + update * proposal, emitted

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:2], self.directions * self.units), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "directions": self.directions}


def _reverse(steps: tf.Tensor, lengths: tf.Tensor | None) -> tf.Tensor:
    if lengths is None:
        return tf.reverse(steps, axis=[1])
    return tf.reverse_sequence(steps, lengths, seq_axis=1, batch_axis=0)
