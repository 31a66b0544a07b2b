"""The layers that Keras does not have: masks from lengths, the two attentions, a flattening Dense."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.features.text import PADDING_ID, UNKNOWN_ID


@keras.saving.register_keras_serializable(package="harness")
class LengthMask(layers.Layer):
    """From steps and lengths to the mask of the real steps.

    Call with float (batch, steps, columns) and int (batch,); returns bool (batch, steps).
    """

    def call(self, inputs: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.sequence_mask(lengths, tf.shape(inputs)[1])

    def compute_output_spec(self, inputs: Any, lengths: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape[:2], "bool")


@keras.saving.register_keras_serializable(package="harness")
class WordMask(layers.Layer):
    """From word ids, int (batch, words) with 0 for padding, to bool (batch, words)."""

    def call(self, word_ids: tf.Tensor) -> tf.Tensor:
        return tf.not_equal(word_ids, 0)

    def compute_output_spec(self, word_ids: Any) -> keras.KerasTensor:
        return keras.KerasTensor(word_ids.shape, "bool")


@keras.saving.register_keras_serializable(package="harness")
class WordDropout(layers.Layer):
    """Replaces a share of the words by the unknown word in training, int (batch, words) with 0 for padding."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, word_ids: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return word_ids
        draws = tf.random.stateless_uniform(tf.shape(word_ids), _next_seed(self.seed_generator))
        return tf.where((draws < self.rate) & (word_ids != PADDING_ID), UNKNOWN_ID, word_ids)

    def compute_output_spec(self, word_ids: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(word_ids.shape, word_ids.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


def _next_seed(generator: keras.random.SeedGenerator) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(generator.next()), tf.int32)


#: The widest span that ``TimeMasks`` hides, as a share of an utterance. Source: Park et al. 2019, the policies for
#: conversations of table 1.
WIDEST_MASK = 0.2


@keras.saving.register_keras_serializable(package="harness")
class TimeMasks(layers.Layer):
    """Replaces random spans of each utterance's steps by zeros in training.

    A span's width is uniform from 0 to ``WIDEST_MASK`` of the utterance, its place uniform among those within it; spans
    may overlap. Call with float (batch, steps, columns) and a bool mask (batch, steps) of the utterance's steps, or
    None, where padding counts as steps too; returns the same shape.

    Source: Park et al. 2019, SpecAugment, section 2: time masking, without their warping and frequency masks.
    """

    def __init__(self, num_masks: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_masks = num_masks
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None, training: bool | None = None) -> tf.Tensor:
        if not training:
            return inputs
        is_real = tf.ones_like(inputs[..., 0], tf.bool) if steps_mask is None else steps_mask
        lengths = tf.reduce_sum(tf.cast(is_real, tf.float32), axis=1, keepdims=True)
        shape = (2, tf.shape(inputs)[0], self.num_masks)
        draws = tf.random.stateless_uniform(shape, _next_seed(self.seed_generator))
        widths = draws[0] * WIDEST_MASK * lengths
        starts = draws[1] * (lengths - widths)
        # Hidden is a step whose middle is in the span.
        steps = tf.cast(tf.range(tf.shape(inputs)[1]), tf.float32) + 0.5
        is_hidden = (steps >= starts[..., None]) & (steps < (starts + widths)[..., None])
        return tf.where(tf.reduce_any(is_hidden, axis=1)[..., None], 0.0, inputs)

    def compute_output_spec(
        self, inputs: Any, steps_mask: Any = None, training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_masks": self.num_masks, "seed": self.seed}


@keras.saving.register_keras_serializable(package="harness")
class TermFrequencies(layers.Layer):
    """TF-IDF of each utterance's term ids: 1 + ln(count), times the term's weight, divided by the vector's length.

    Call with int (batch, terms), 0 for padding; returns float32 (batch, num_ids), zeros where no term has a weight.
    Nothing trains the weights, float32 (num_ids, 1).

    Source: scikit-learn's ``TfidfVectorizer`` with ``sublinear_tf``.
    """

    def __init__(self, num_ids: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_ids = num_ids
        self.inverse_frequencies = self.add_weight(
            shape=(num_ids, 1), initializer="zeros", trainable=False, name="inverse_frequencies"
        )
        self.built = True

    def call(self, term_ids: tf.Tensor) -> tf.Tensor:
        counts = tf.math.bincount(
            term_ids, minlength=self.num_ids, maxlength=self.num_ids, axis=-1, dtype=tf.float32
        )
        weights = tf.where(counts > 0.0, 1.0 + tf.math.log(tf.maximum(counts, 1.0)), 0.0)
        return tf.math.l2_normalize(weights * self.inverse_frequencies[:, 0], axis=-1)

    def compute_output_spec(self, term_ids: Any) -> keras.KerasTensor:
        return keras.KerasTensor((term_ids.shape[0], self.num_ids), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_ids": self.num_ids}


@keras.saving.register_keras_serializable(package="harness")
class WordTable(layers.Layer):
    """The vectors of word ids, of which the last ones are never trained.

    A step costs what Keras's embedding of the trained ids costs: the others are looked up on their own, and have
    neither a gradient nor a state of the optimiser. Call with int (batch, words); returns float32 (batch, words,
    dimension).

    Args:
        num_trained: ids from 0 on whose vectors are trained
        num_fixed: ids after them
    """

    def __init__(self, num_trained: int, num_fixed: int, dimension: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_trained = num_trained
        self.num_fixed = num_fixed
        self.dimension = dimension

    def build(self, ids_shape: Any) -> None:
        self.embeddings = self.add_weight(
            shape=(self.num_trained, self.dimension), initializer="zeros", name="embeddings"
        )
        self.fixed = self.add_weight(
            shape=(self.num_fixed, self.dimension), initializer="zeros", trainable=False, name="fixed"
        )
        self.built = True

    def call(self, word_ids: tf.Tensor) -> tf.Tensor:
        is_trained = word_ids < self.num_trained
        trained = tf.gather(self.embeddings.value, tf.where(is_trained, word_ids, 0))
        fixed = tf.gather(self.fixed.value, tf.where(is_trained, 0, word_ids - self.num_trained))
        return tf.where(is_trained[..., None], trained, fixed)

    def compute_output_spec(self, word_ids: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*word_ids.shape, self.dimension), "float32")

    def get_config(self) -> dict[str, Any]:
        sizes = {"num_trained": self.num_trained, "num_fixed": self.num_fixed, "dimension": self.dimension}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable(package="harness")
class AttentionPooling(layers.Layer):
    """The attention-weighted mean of the real steps.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns
    float (batch, columns), zero where no step is real.

    Source: Bahdanau et al. 2015, section 3.1, its alignment model with no decoder's state.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units

    def build(self, inputs_shape: Any, steps_mask_shape: Any = None) -> None:
        self.project = self.add_weight(shape=(inputs_shape[-1], self.units), name="project")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self.score = self.add_weight(shape=(self.units, 1), name="score")

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        scores = tf.tanh(inputs @ self.project + self.bias) @ self.score
        weights = masked_softmax(scores[..., 0], steps_mask)
        return tf.einsum("bt,btc->bc", weights, inputs)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], inputs.shape[-1]), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Softmax over the last axis of the unmasked values; zeros where all are masked."""
    if mask is None:
        return tf.nn.softmax(scores)
    lowest = tf.reduce_max(tf.where(mask, scores, scores.dtype.min), axis=-1, keepdims=True)
    exponentials = tf.where(mask, tf.exp(tf.where(mask, scores - lowest, 0.0)), 0.0)
    return exponentials / tf.maximum(tf.reduce_sum(exponentials, axis=-1, keepdims=True), 1e-30)


@keras.saving.register_keras_serializable(package="harness")
class FlattenedDense(layers.Layer):
    """A Dense layer over all steps flattened, for fewer steps than its weights were made for.

    The steps that are not there count as zeros, so that a batch of short utterances need not be
    padded to ``max_steps``. Call with float (batch, steps <= max_steps, columns) and a bool mask
    (batch, steps) or None; returns float (batch, units).
    """

    def __init__(self, units: int, max_steps: int, activation: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units
        self.max_steps = max_steps
        self.activation = keras.activations.get(activation)

    def build(self, inputs_shape: Any, steps_mask_shape: Any = None) -> None:
        self.columns = inputs_shape[-1]
        self.kernel = self.add_weight(shape=(self.max_steps * self.columns, self.units), name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        if steps_mask is not None:
            inputs = tf.where(steps_mask[..., None], inputs, 0.0)
        width = tf.shape(inputs)[1] * self.columns
        flat = tf.reshape(inputs, (-1, width))
        return self.activation(flat @ self.kernel[:width] + self.bias)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], self.units), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "max_steps": self.max_steps,
            "activation": keras.activations.serialize(self.activation),
        }


@keras.saving.register_keras_serializable(package="harness")
class MaskedSteps(layers.Layer):
    """Zeros in place of the steps that are not real, so that a convolution reads no padding.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns the same shape.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        return inputs if steps_mask is None else tf.where(steps_mask[..., None], inputs, 0.0)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)


@keras.saving.register_keras_serializable(package="harness")
class MeanOfSteps(layers.Layer):
    """The mean of the real steps.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns float (batch, columns), zero
    where no step is real.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        return mean_of_steps(inputs, steps_mask)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], inputs.shape[-1]), inputs.dtype)


def mean_of_steps(inputs: tf.Tensor, steps_mask: tf.Tensor | None) -> tf.Tensor:
    """Return what ``MeanOfSteps`` returns."""
    if steps_mask is None:
        return tf.reduce_mean(inputs, axis=1)
    count = tf.maximum(tf.reduce_sum(tf.cast(steps_mask, inputs.dtype), axis=1, keepdims=True), 1.0)
    return tf.reduce_sum(tf.where(steps_mask[..., None], inputs, 0.0), axis=1) / count


#: Levels of the share that is dropped: 32 random bits an activation.
DROPOUT_LEVELS = 1 << 32


def draw_kept(shape: tf.Tensor, rate: float, seed: tf.Tensor) -> tuple[tf.Tensor, float]:
    """Draw which activations dropout keeps.

    Bits are a hash of the activation's number and a hash of the seed. XLA makes them where they are used, in one
    pass over the activations; TensorFlow's own generator cannot be joined so, and takes longer than the rest. The
    seed is hashed first: added to the number as it is, two seeds would draw shifted copies of one mask.

    Args:
        shape: int32 (axes,)
        rate: share to drop, from 0 to below 1; taken to the nearest of ``DROPOUT_LEVELS``
        seed: int32 (2,)

    Returns:
        bool of ``shape``, and the factor of the kept ones: one over the share that is kept

    Source: Wellons 2018, "Prospecting for Hash Functions"; two rounds, one for each key of the seed.
    """
    halves = tf.bitcast(seed, tf.uint32)
    first_key = _mix(halves[0])
    second_key = _mix(first_key + halves[1])
    numbers = tf.reshape(tf.cast(tf.range(tf.reduce_prod(shape)), tf.uint32), shape)
    bits = _mix(_mix(numbers + first_key) + second_key)
    return bits >= tf.constant(_num_dropped(rate), tf.uint32), _scale(rate)


def _num_dropped(rate: float) -> int:
    return min(round(rate * DROPOUT_LEVELS), DROPOUT_LEVELS - 1)


def _scale(rate: float) -> float:
    return DROPOUT_LEVELS / (DROPOUT_LEVELS - _num_dropped(rate))


def _mix(bits: tf.Tensor) -> tf.Tensor:
    for shift, factor in ((16, 0x21F0AAAD), (15, 0xD35A2D97)):
        bits = _shift_into(bits, shift) * tf.constant(factor, tf.uint32)
    return _shift_into(bits, 15)


def _shift_into(bits: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint32)))


def _drop_relu(activations: tf.Tensor, seed: tf.Tensor, rate: float) -> tf.Tensor:
    kept, scale = draw_kept(tf.shape(activations), rate, seed)
    return tf.nn.relu(activations) * (tf.cast(kept, tf.float32) * scale)


_compiled_drop_relu = tf.function(_drop_relu, jit_compile=True, autograph=False)


@keras.saving.register_keras_serializable(package="harness")
class DropoutRelu(layers.Layer):
    """Dropout and then relu, for activations by the million, in one pass that XLA compiles on a CPU.

    Keras's two layers make several passes, and keep the mask for the gradient; here it is read off the
    output: what is above 0 was kept. Held equal by `tests/models/test_layers.py`.

    Call with float32 of any shape; returns the same shape.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate > 0 else None
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training or self.seed_generator is None:
            return tf.nn.relu(inputs)
        seed = tf.cast(tf.convert_to_tensor(self.seed_generator.next()), tf.int32)
        run = _drop_relu if tf.config.list_logical_devices("GPU") else _compiled_drop_relu

        def drop(activations: tf.Tensor) -> Any:
            outputs = run(activations, seed, self.rate)
            scale = _scale(self.rate)
            return outputs, lambda gradient: tf.raw_ops.ReluGrad(gradients=gradient, features=outputs) * scale

        return tf.custom_gradient(drop)(inputs)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="harness")
class Columns(layers.Layer):
    """The columns from ``first`` to before ``last`` of float (batch, steps, columns)."""

    def __init__(self, first: int, last: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = first
        self.last = last

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[..., self.first : self.last]

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:-1], self.last - self.first), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "first": self.first, "last": self.last}


@keras.saving.register_keras_serializable(package="harness")
class FirstSteps(layers.Layer):
    """The first ``num_steps`` steps of float (batch, steps, columns), or of a bool mask (batch, steps)."""

    def __init__(self, num_steps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_steps = num_steps

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[:, : self.num_steps]

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        steps = None if inputs.shape[1] is None else min(inputs.shape[1], self.num_steps)
        return keras.KerasTensor((inputs.shape[0], steps, *inputs.shape[2:]), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_steps": self.num_steps}


@keras.saving.register_keras_serializable(package="harness")
class EveryNth(layers.Layer):
    """Every ``stride``-th step, from the first on, of a bool mask (batch, steps)."""

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs[:, :: self.stride]

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        steps = None if inputs.shape[1] is None else -(-inputs.shape[1] // self.stride)
        return keras.KerasTensor((inputs.shape[0], steps), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride}
