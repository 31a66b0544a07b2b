"""The attention decoder of the published code: one step a frame, each a softmax over the units."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.models.decoding import BLOCKED, decode


@keras.saving.register_keras_serializable(package="harness")
class AttentionDecoder(layers.Layer):
    """Bahdanau's attention decoder over an encoded sequence, emitting as many steps as it reads.

    Every step attends to all encoded steps from its last state, mixes the context into a gated
    recurrent update, and emits a softmax over its units, computed from the *previous* state and
    output. Several directions run as one batch.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns float
    (batch, steps, directions * units), zeros at masked steps. The second direction decodes the
    real steps reversed, and is turned back.

    Attributes:
        is_compiled: whether training steps run through XLA, which takes some seconds before the
            first of each length; not part of the saved layer

    Source: Bahdanau et al. 2015, appendix A.1; the paper's Speech_Model3 and 4, by its published
    code. Deviates: masked steps are neither attended to nor emitted.
    """

    def __init__(self, units: int, directions: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units
        self.directions = directions
        self.is_compiled = False

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

    def call(
        self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        lengths = None if steps_mask is None else tf.reduce_sum(tf.cast(steps_mask, tf.int32), axis=1)
        encoded = tf.stack(
            [inputs] if self.directions == 1 else [inputs, _reverse(inputs, lengths)]
        )  # (directions, batch, steps, columns)
        if steps_mask is None:
            blocked = tf.zeros(tf.shape(inputs)[:2])
        else:
            blocked = tf.where(steps_mask, 0.0, BLOCKED)
        from_reset_and_update, from_proposal, from_emission = tf.split(
            self.from_state, [2 * self.units, self.units, self.units], axis=-1
        )
        emitted = decode(
            encoded,
            tf.einsum("dbtc,dcu->dbtu", encoded, self.attend_input) + self.attend_bias[:, None],
            tf.tanh(encoded[:, :, 0] @ self.initial_state),
            blocked,
            (
                tf.linalg.matrix_transpose(self.attend_score),
                tf.convert_to_tensor(self.from_output),
                tf.concat([self.attend_state, from_reset_and_update, from_emission], axis=-1),
                from_proposal,
                tf.convert_to_tensor(self.from_context),
                tf.convert_to_tensor(self.bias),
            ),
            is_training=bool(training),
            is_compiled=bool(training) and self.is_compiled,
        )
        outputs = tf.transpose(emitted, (1, 2, 0, 3))  # (directions, batch, steps, units)
        if self.directions == 2:
            outputs = tf.concat([outputs[0], _reverse(outputs[1], lengths)], axis=-1)
        else:
            outputs = outputs[0]
        return outputs if steps_mask is None else tf.where(steps_mask[..., None], outputs, 0.0)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:2], self.directions * self.units), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "directions": self.directions}


def _reverse(steps: tf.Tensor, lengths: tf.Tensor | None) -> tf.Tensor:
    if lengths is None:
        return tf.reverse(steps, axis=[1])
    return tf.reverse_sequence(steps, lengths, seq_axis=1, batch_axis=0)
