"""The attention decoder of the published code: one step a frame, each a softmax over the units.

Keras has no such layer. Automatic differentiation of the plain loop keeps every step's tanh over
all encoded steps, and adds up every weight gradient step by step. Here the gradient is written out:
the backward loop computes the tanh anew, and most weight gradients are one matrix product each, after
the loop. XLA may compile both loops, which then take ``BATCH_COMPILED_FOR`` utterances at a time: what a
step reads of them stays in the processor's cache. Held equal to the plain loop by
`tests/models/test_decoding.py`, and to plain Keras by `tests/models/test_published_code.py`.

A tensor's leading axes are (directions, batch), with steps in front of them where every step is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.models.recurrence import BATCH_COMPILED_FOR, pad_to_compiled

#: At this value tanh is 1 in float32, and the square of its exponential is still finite.
SATURATED = 40.0

#: Added to the score of a step that is not there.
BLOCKED = -1e9

#: The values of each step of the forward loop that the backward loop needs.
KEPT = ("output", "state", "query", "attention", "context", "gates")


@keras.saving.register_keras_serializable(package="harness")
class AttentionDecoder(layers.Layer):
    """Bahdanau's attention decoder over an encoded sequence, emitting as many steps as it reads.

    Every step attends to all encoded steps from its last state, mixes the context into a gated
    recurrent update, and emits a softmax over its units, computed from the *previous* state and
    output. With ``is_linear`` it emits the softmax's inputs, and reads the softmax in the next step all the same.
    Several directions run as one batch.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns float
    (batch, steps, directions * units), zeros at masked steps. The second direction decodes the
    real steps reversed, and is turned back.

    Attributes:
        is_compiled: whether training steps run through XLA, which takes some seconds before the
            first of each length; not part of the saved layer

    Source: Bahdanau et al. 2015, appendix A.1; the paper's Speech_Model3 and 4, by its published
    code. Deviates: masked steps are neither attended to nor emitted.
    """

    def __init__(self, units: int, directions: int = 1, is_linear: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units
        self.directions = directions
        self.is_linear = is_linear
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
            is_linear=self.is_linear,
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
        own = {"units": self.units, "directions": self.directions, "is_linear": self.is_linear}
        return {**super().get_config(), **own}


def _reverse(steps: tf.Tensor, lengths: tf.Tensor | None) -> tf.Tensor:
    if lengths is None:
        return tf.reverse(steps, axis=[1])
    return tf.reverse_sequence(steps, lengths, seq_axis=1, batch_axis=0)


def decode(
    encoded: tf.Tensor,
    keys: tf.Tensor,
    state: tf.Tensor,
    blocked: tf.Tensor,
    weights: Sequence[tf.Tensor],
    *,
    is_training: bool,
    is_compiled: bool,
    is_linear: bool = False,
) -> tf.Tensor:
    """Run the decoder, emitting as many steps as were encoded.

    With state ``s`` and output ``y`` of the step before, a step computes, for every encoded step ``j``,

        attention_j = softmax_j(score . tanh(s W_a + keys_j) + blocked_j),  context = sum_j attention_j encoded_j
        reset, update = sigmoid(y W + context C + b + s U),  proposal = tanh(y W + context C + b + (reset * s) U)
        output = softmax(y W + context C + b + s U),  state = (1 - update) * s + update * proposal

    where W, C, b and U have a part for each gate.

    Args:
        encoded: float32 (directions, batch, steps, columns)
        keys: float32 (directions, batch, steps, units), the encoded steps as the attention sees them
        state: float32 (directions, batch, units), the first one
        blocked: float32 (batch, steps), 0, or ``BLOCKED`` for a step that is not there
        weights: score (directions, 1, units); W (directions, units, 4 * units), gates reset, update,
            proposal and output; W_a and U but for the proposal, (directions, units, 4 * units), the
            query and gates reset, update and output; U of the proposal (directions, units, units);
            C (directions, columns, 4 * units); b (directions, 1, 4 * units)
        is_training: keep what the gradient needs; without, the gradient computes it anew
        is_compiled: by XLA
        is_linear: emit the inputs of the softmax in its place

    Returns:
        float32 (steps, directions, batch, units)

    Source: Bahdanau et al. 2015, appendix A.1, by the paper's published code. Deviates: tanh is
    computed as 1 - 2 / (1 + exp(2 x)), whose exponential parts into the product of two, made once;
    each is of a number cut to between -``SATURATED`` and ``SATURATED``.
    """
    num_steps, num_utterances = tf.shape(encoded)[2], tf.shape(encoded)[1]
    forward: Any = _compiled_forward if is_compiled else _forward
    backward: Any = _compiled_backward if is_compiled else _backward
    emits = "emission" if is_linear else "output"

    def run_parts(tensors: Sequence[tf.Tensor], keeps: bool) -> Any:
        return tf.map_fn(
            lambda part: forward((*part, *tensors[4:]), num_steps, keeps, is_linear),
            tuple(tensors[:4]),
            fn_output_signature=dict.fromkeys({emits, *(KEPT if keeps else ())}, tf.float32),
        )

    def run(*tensors: tf.Tensor) -> Any:
        kept = run_parts(tensors, is_training)

        def differentiate(gradient: tf.Tensor) -> Any:
            gradients = tf.map_fn(
                lambda part: backward(part[0], part[1], (*part[2], *tensors[4:]), num_steps, is_linear),
                (gradient, kept if is_training else run_parts(tensors, True), tuple(tensors[:4])),
                fn_output_signature=(tf.float32,) * len(tensors),
            )
            return [*gradients[:4], *(tf.reduce_sum(of_weights, axis=0) for of_weights in gradients[4:])]

        return kept[emits], differentiate

    if is_compiled:
        encoded, keys = (pad_to_compiled(tensor, 1, 2) for tensor in (encoded, keys))
        state = pad_to_compiled(state, 1)
        blocked = pad_to_compiled(blocked, 0, 1, BLOCKED)
    part_size = BATCH_COMPILED_FOR if is_compiled and encoded.shape[1] != 1 else tf.shape(encoded)[1]
    parts = [_split(each, axis, part_size) for each, axis in ((encoded, 1), (keys, 1), (state, 1), (blocked, 0))]
    emitted = _join(tf.custom_gradient(run)(*parts, *weights), 2)
    return emitted[:num_steps, :, :num_utterances]


def _split(tensor: tf.Tensor, axis: int, size: int | tf.Tensor) -> tf.Tensor:
    """Split an axis into parts of ``size``, whose number becomes the first axis."""
    shape = tf.shape(tensor)
    parts = tf.reshape(tensor, tf.concat([shape[:axis], [-1, size], shape[axis + 1 :]], axis=0))
    return tf.transpose(parts, (axis, *range(axis), *range(axis + 1, tensor.shape.rank + 1)))


def _join(parts: tf.Tensor, axis: int) -> tf.Tensor:
    """Join what ``_split`` split."""
    together = tf.transpose(parts, (*range(1, axis + 1), 0, *range(axis + 1, parts.shape.rank)))
    shape = tf.shape(together)
    return tf.reshape(together, tf.concat([shape[:axis], [-1], shape[axis + 2 :]], axis=0))


def _forward(
    tensors: Sequence[tf.Tensor], num_steps: tf.Tensor, keeps: bool, is_linear: bool
) -> dict[str, tf.Tensor]:
    """Return the output of every step, or with ``is_linear`` its ``emission``; with ``keeps`` all of ``KEPT`` too."""
    encoded, keys, state, blocked = tensors[:4]
    score, from_output, from_state, proposal_from_state, from_context, bias = tensors[4:]
    units = score.shape[-1]
    exponentials = _exponential(keys)
    names = {"emission" if is_linear else "output", *(KEPT if keeps else ())}
    arrays = {name: tf.TensorArray(tf.float32, tf.shape(keys)[2]) for name in sorted(names)}

    def step(index: tf.Tensor, state: tf.Tensor, output: tf.Tensor, arrays: dict[str, Any]) -> Any:
        recurrent = state @ from_state
        query = recurrent[..., :units]
        attention = tf.nn.softmax(tf.linalg.matvec(_half_tanh(query, exponentials), -2.0 * score) + blocked)
        context = tf.linalg.matmul(attention[:, :, None], encoded)[:, :, 0]
        shared = output @ from_output + context @ from_context + bias
        reset_update = tf.sigmoid(shared[..., : 2 * units] + recurrent[..., units : 3 * units])
        reset, update = reset_update[..., :units], reset_update[..., units:]
        proposal = tf.tanh(shared[..., 2 * units : 3 * units] + (reset * state) @ proposal_from_state)
        emission = shared[..., 3 * units :] + recurrent[..., 3 * units :]
        output = tf.nn.softmax(emission)
        values = {
            "emission": emission,
            "output": output,
            "state": state,
            "query": query,
            "attention": attention,
            "context": context,
            "gates": tf.concat([reset_update, proposal], axis=-1),
        }
        written = {name: array.write(index, values[name]) for name, array in arrays.items()}
        return index + 1, (1.0 - update) * state + update * proposal, output, written

    _, _, _, arrays = tf.while_loop(
        lambda index, *_: index < num_steps,
        step,
        (tf.constant(0), state, tf.zeros_like(state), arrays),
        parallel_iterations=1,
    )
    return {name: array.stack() for name, array in arrays.items()}


def _backward(
    gradient: tf.Tensor,
    kept: dict[str, tf.Tensor],
    tensors: Sequence[tf.Tensor],
    num_steps: tf.Tensor,
    is_linear: bool,
) -> Sequence[tf.Tensor]:
    """Return the gradients of ``_forward``'s tensors, given that of its output, or with ``is_linear`` its emission."""
    encoded, keys, state, blocked = tensors[:4]
    score, from_output, from_state, proposal_from_state, from_context, _ = tensors[4:]
    units = score.shape[-1]
    exponentials = _exponential(keys)
    transpose = tf.linalg.matrix_transpose
    to_output_and_context = transpose(tf.concat([from_output, from_context], axis=1))
    to_state, to_reset_state = transpose(from_state), transpose(proposal_from_state)
    arrays = {name: tf.TensorArray(tf.float32, tf.shape(keys)[2]) for name in ("gates", "context", "query")}

    def step(
        index: tf.Tensor,
        d_state: tf.Tensor,
        d_output: tf.Tensor,
        d_keys: tf.Tensor,
        d_score: tf.Tensor,
        arrays: dict[str, Any],
    ) -> Any:
        state, attention, output = (kept[name][index] for name in ("state", "attention", "output"))
        reset, update, proposal = tf.split(kept["gates"][index], 3, axis=-1)
        if not is_linear:
            d_output = d_output + gradient[index]
        d_emission = output * (d_output - tf.reduce_sum(d_output * output, axis=-1, keepdims=True))
        if is_linear:
            d_emission = d_emission + gradient[index]
        d_update = d_state * (proposal - state) * update * (1.0 - update)
        d_proposal = d_state * update * (1.0 - proposal * proposal)
        d_reset_state = d_proposal @ to_reset_state
        d_reset = d_reset_state * state * reset * (1.0 - reset)
        d_gates = tf.concat([d_reset, d_update, d_proposal, d_emission], axis=-1)
        d_output_and_context = d_gates @ to_output_and_context
        d_context = d_output_and_context[..., units:]
        d_attention = tf.linalg.matvec(encoded, d_context)
        d_scores = attention * (d_attention - tf.reduce_sum(attention * d_attention, axis=-1, keepdims=True))
        half_tanh = _half_tanh(kept["query"][index], exponentials)
        slope = half_tanh - half_tanh * half_tanh
        row = d_scores[:, :, None]
        d_query = 4.0 * score * tf.linalg.matmul(row, slope)[:, :, 0]
        d_recurrent = tf.concat([d_query, d_reset, d_update, d_emission], axis=-1)
        d_state = d_state * (1.0 - update) + d_reset_state * reset + d_recurrent @ to_state
        values = {"gates": d_gates, "context": d_context, "query": d_query}
        return (
            index - 1,
            d_state,
            d_output_and_context[..., :units],
            d_keys + d_scores[..., None] * slope,
            d_score + tf.linalg.matmul(row, half_tanh)[:, :, 0],
            {name: array.write(index, values[name]) for name, array in arrays.items()},
        )

    nothing = tf.zeros_like(state)
    _, d_state, _, d_keys, d_score, arrays = tf.while_loop(
        lambda index, *_: index >= 0,
        step,
        (num_steps - 1, nothing, nothing, tf.zeros_like(keys), nothing, arrays),
        parallel_iterations=1,
    )
    d_gates, d_context, d_query = (arrays[name].stack() for name in ("gates", "context", "query"))
    d_recurrent = tf.concat([d_query, d_gates[..., : 2 * units], d_gates[..., 3 * units :]], axis=-1)
    outputs_before = tf.concat([tf.zeros_like(kept["output"][:1]), kept["output"][:-1]], axis=0)
    reset_states = kept["gates"][..., :units] * kept["state"]
    return (
        tf.einsum("tdbj,tdbc->dbjc", kept["attention"], d_context),
        4.0 * score[:, :, None] * d_keys,
        d_state,
        tf.zeros_like(blocked),
        -2.0 * tf.reduce_sum(d_score, axis=1, keepdims=True),
        _sum_of_products(outputs_before, d_gates),
        _sum_of_products(kept["state"], d_recurrent),
        _sum_of_products(reset_states, d_gates[..., 2 * units : 3 * units]),
        _sum_of_products(kept["context"], d_gates),
        tf.reduce_sum(d_gates, axis=(0, 2))[:, None],
    )


_compiled_forward = tf.function(_forward, jit_compile=True, autograph=False)
_compiled_backward = tf.function(_backward, jit_compile=True, autograph=False)


def _exponential(values: tf.Tensor) -> tf.Tensor:
    return tf.exp(2.0 * tf.clip_by_value(values, -SATURATED, SATURATED))


def _half_tanh(query: tf.Tensor, exponentials: tf.Tensor) -> tf.Tensor:
    """(1 - tanh(query + keys)) / 2 of every encoded step: (directions, batch, steps, units).

    The score of a step is the sum of ``score * tanh``. The 1 adds the same to every step, so it
    cancels in the softmax, and in the gradient, whose sum over the steps is 0.
    """
    return 1.0 / (1.0 + _exponential(query)[:, :, None] * exponentials)


def _sum_of_products(rows: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """Sum the outer products of (steps, directions, batch, ...) over steps and utterances, for each direction."""
    rows, gradients = (tf.transpose(tensor, (1, 0, 2, 3)) for tensor in (rows, gradients))
    directions = rows.shape[0]
    rows, gradients = (tf.reshape(tensor, (directions, -1, tensor.shape[-1])) for tensor in (rows, gradients))
    return tf.linalg.matmul(rows, gradients, transpose_a=True)
