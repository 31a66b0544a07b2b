"""The vectors of one utterance, one a modality, and a support vector machine over them: no turn before or after.

Source: Poria et al., ACL 2017: the unimodal features of section 3.1, and uni-SVM of section 3.2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.layout import MocapStream
from harness.corpus.utterances import CLASSES
from harness.features.functionals import NUM_FUNCTIONALS, QUANTILES
from harness.models.decision import LinearSvm, Network
from harness.models.hyperparameters import UniSvmHyperparameters
from harness.models.inputs import Branch, InputShapes, mocap_steps, speech_input, text_input
from harness.models.layers import EveryNth, FirstSteps, FlattenedDense, MaskedSteps
from harness.models.mocap import convolve

#: Words of an utterance that are read. Source: section 3.1.1.
WINDOW = 50
#: Words that each of the first convolutions spans, and the second. Source: section 3.1.1.
FIRST_WIDTHS, SECOND_WIDTH = (3, 4), 2


@keras.saving.register_keras_serializable(package="harness")
class Functionals(layers.Layer):
    """The statistics of each number of a frame over an utterance's real frames.

    Call with float (batch, steps, columns) and a bool mask (batch, steps), true first, or None; returns float
    (batch, 7 * columns): mean, deviation, the three ``QUANTILES``, and mean and deviation of the differences between
    neighbouring frames. Zeros where no frame is real; differences are 0 where one is.

    Source:
        Ours, in place of openSMILE's 6373 functionals, section 3.1.2. ``functionals.compute_functionals`` gives the
        same numbers without a network.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, frames: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        is_real = tf.ones_like(frames[..., 0], tf.bool) if steps_mask is None else steps_mask
        last = tf.maximum(tf.reduce_sum(tf.cast(is_real, frames.dtype), axis=1) - 1.0, 0.0)
        is_real = is_real[..., None]
        # Frames that are not real come last.
        ordered = tf.sort(tf.where(is_real, frames, frames.dtype.max), axis=1)
        place = last[:, None] * tf.constant(QUANTILES, frames.dtype)
        floor, ceiling = tf.floor(place), tf.math.ceil(place)
        below, above = (tf.gather(ordered, tf.cast(each, tf.int32), batch_dims=1) for each in (floor, ceiling))
        quantiles = below + (place - floor)[..., None] * (above - below)
        quantiles = tf.reshape(quantiles, (-1, len(QUANTILES) * frames.shape[-1]))
        differences = _mean_and_deviation(frames[:, 1:] - frames[:, :-1], is_real[:, 1:])
        found = tf.concat([*_mean_and_deviation(frames, is_real), quantiles, *differences], axis=-1)
        return tf.where(tf.reduce_any(is_real, axis=1), found, 0.0)

    def compute_output_spec(self, frames: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((frames.shape[0], NUM_FUNCTIONALS * frames.shape[-1]), frames.dtype)


def _mean_and_deviation(values: tf.Tensor, is_real: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    count = tf.maximum(tf.reduce_sum(tf.cast(is_real, values.dtype), axis=1), 1.0)
    mean = tf.reduce_sum(tf.where(is_real, values, 0.0), axis=1) / count
    squares = tf.where(is_real, (values - mean[:, None]) ** 2, 0.0)
    return mean, tf.sqrt(tf.reduce_sum(squares, axis=1) / count)


@keras.saving.register_keras_serializable(package="harness")
class ZerosIfAbsent(layers.Layer):
    """Zeros in place of the vector of an utterance without a real step.

    Call with float (batch, width) and a bool mask (batch, steps) or None; returns float (batch, width).
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, vectors: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        return vectors if steps_mask is None else tf.where(tf.reduce_any(steps_mask, axis=1)[:, None], vectors, 0.0)

    def compute_output_spec(self, vectors: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(vectors.shape, vectors.dtype)


def build_uni_svm(hyperparameters: UniSvmHyperparameters, shapes: InputShapes) -> Network:
    """Build the vectors of the modalities that ``vectors`` names, and the machine over all of them.

    Each network of words or motion is trained by a softmax of its own: they share no weight, so that the sum of their
    losses trains each as it would be trained alone. The statistics of speech have nothing to train.

    Source:
        ACL 2017, sections 3.1 and 3.2.3. Choices of ours: the machine is fitted after every epoch, and validation
        chooses the epoch of all vectors together; its margins become probabilities by a softmax, which keeps their
        order; the vector of a modality that an utterance lacks is zeros.
    """
    inputs: dict[str, keras.KerasTensor] = {}
    vectors, likelihoods = [], []
    for modality in hyperparameters.vectors.modalities:
        branch = _VECTORS[modality](hyperparameters, shapes)
        inputs |= branch.inputs
        vectors.append(branch.output)
        if modality != "speech":
            softmax = layers.Dense(len(CLASSES), activation="log_softmax", name=f"{modality}_emotion")
            likelihoods.append(softmax(branch.output))
    joined = vectors[0] if len(vectors) == 1 else layers.Concatenate(name="vectors")(vectors)
    margins = LinearSvm(hyperparameters.svm_cost, name="svm")(joined)
    model = keras.Model(inputs, layers.Softmax(name="emotion")(margins), name="uni_svm")
    if not likelihoods:
        return Network(model)
    total = likelihoods[0] if len(likelihoods) == 1 else layers.Add(name="likelihoods")(likelihoods)
    return Network(model, keras.Model(inputs, total))


def _text_vector(hyperparameters: UniSvmHyperparameters, shapes: InputShapes) -> Branch:
    """(50, 300) -> 50 maps of width 3 and 50 of width 4 -> (25, 100) -> 100 maps of width 2 -> (13, 100) -> 500, relu.

    Ours: padding ``same``, so that maps of both widths stand side by side; and the first 50 words.
    """
    branch = text_input(shapes, hyperparameters)
    num_words = min(WINDOW, shapes.max_words)
    if branch.mask is None:
        # Words are padded on the left to the full length: of a longer utterance these are the last ones.
        steps, mask = layers.Cropping1D((shapes.max_words - num_words, 0), name="text_window")(branch.output), None
    else:
        cut = FirstSteps(num_words, name="text_window")
        steps, mask = cut(branch.output), cut(branch.mask)
    steps = MaskedSteps(name="text_words")(steps, mask)
    maps = [
        layers.Conv1D(hyperparameters.filters, width, padding="same", activation="relu", name=f"text_conv1_{width}")
        for width in FIRST_WIDTHS
    ]
    steps = layers.Concatenate(name="text_maps")([convolution(steps) for convolution in maps])
    steps, mask, num_steps = _pool(steps, mask, num_words, "text_pool1")
    second = layers.Conv1D(
        hyperparameters.filters2, SECOND_WIDTH, padding="same", activation="relu", name="text_conv2"
    )
    steps, mask, num_steps = _pool(second(steps), mask, num_steps, "text_pool2")
    steps = layers.Dropout(hyperparameters.dropout, name="text_dropout")(steps)
    vector = FlattenedDense(hyperparameters.dense, num_steps, "relu", name="text_dense")(steps, mask)
    return Branch(branch.inputs, ZerosIfAbsent(name="text_vector")(vector, mask))


def _pool(
    steps: keras.KerasTensor, mask: keras.KerasTensor | None, num_steps: int, name: str
) -> tuple[keras.KerasTensor, keras.KerasTensor | None, int]:
    """The larger of two neighbouring steps, which are at least 0; the last one alone where their number is odd."""
    steps = MaskedSteps(name=f"{name}_words")(steps, mask)
    pooled = layers.MaxPooling1D(2, padding="same", name=name)(steps)
    kept = None if mask is None else EveryNth(2, name=f"{name}_mask")(mask)
    return pooled, kept, (num_steps + 1) // 2


def _speech_vector(hyperparameters: UniSvmHyperparameters, shapes: InputShapes) -> Branch:
    branch = speech_input(shapes, hyperparameters)
    return Branch(branch.inputs, Functionals(name="speech_vector")(branch.output, branch.mask))


def _mocap_vector(hyperparameters: UniSvmHyperparameters, shapes: InputShapes) -> Branch:
    """The Dense layer of Mocap_Model1, in place of a convolutional network over video."""
    branch = mocap_steps(shapes, tuple(MocapStream), hyperparameters)
    flat = convolve(branch.output, hyperparameters)
    vector = layers.Dense(hyperparameters.mocap_dense, activation="relu", name="mocap_dense")(flat)
    return Branch(branch.inputs, ZerosIfAbsent(name="mocap_vector")(vector, branch.mask))


_VECTORS: Mapping[str, Callable[[UniSvmHyperparameters, InputShapes], Branch]] = {
    "text": _text_vector,
    "speech": _speech_vector,
    "mocap": _mocap_vector,
}
