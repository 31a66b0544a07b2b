"""Networks whose answer is not what they are trained by, and the classifiers that answer in their place.

A ``Decision`` is a classifier at the end of a network. It is not trained by steps, but fitted anew after every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.models.hyperparameters import Decider, DeciderHyperparameters
from harness.models.layers import MeanOfSteps, mean_of_steps

Floats = npt.NDArray[np.float64]

#: Low, medium and high.
NUM_LEVELS = 3


@dataclass(frozen=True)
class Network:
    """A network, and what it is trained by.

    Attributes:
        model: answers with probabilities, float32 (batch, 4)
        likelihoods: of a network that is not trained by its answer; it has the same inputs and shares its layers. Its
            output, float32 (batch, 4 + 3 * num_views), is the logarithm of each label's likelihood, and behind them of
            each view's levels; training raises those of the right ones. A network with a decision and without
            likelihoods has nothing to train by steps
        views: the weight of each further loss, by the ``Features`` attribute whose level is learnt, in the order of
            their columns
    """

    model: keras.Model
    likelihoods: keras.Model | None = None
    views: Mapping[str, float] = field(default_factory=dict)

    @property
    def decision(self) -> Decision | None:
        """The classifier that is fitted after every epoch; None where the network answers by itself."""
        return next((layer for layer in self.model.layers if isinstance(layer, Decision)), None)


class Decision(layers.Layer):
    """A classifier over one vector an utterance, float32 (batch, width) -> scores, float32 (batch, 4).

    No gradient reaches its weights: ``fit`` sets them. Until then every score is 0.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "trainable": False})

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        """Fit the classifier on training utterances.

        Args:
            vectors: float64 (num_utterances, width)
            emotions: int64 (num_utterances,), indices into ``CLASSES``
            weights: float64 (num_utterances,), of the utterances, mean 1
        """
        raise NotImplementedError

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], len(CLASSES)), inputs.dtype)


def targets_of(emotions: npt.NDArray[np.int64]) -> Floats:
    """Return float64 (num_utterances, 4), 1 for each utterance's class and 0 elsewhere."""
    return np.eye(len(CLASSES))[emotions]


def levels_of(ratings: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the level of each rating from 1 to 5: 0 for low, 1 for medium, 2 for high, -1 for NaN.

    Source: Neumann and Vu 2017, section 2.3: [1, 2], (2, 4) and [4, 5].

    Example:
        >>> levels_of(np.array([2.0, 2.5, 4.0, np.nan], dtype=np.float32))
        array([ 0,  1,  2, -1])
    """
    return np.where(np.isnan(ratings), -1, (ratings > 2.0).astype(np.int64) + (ratings >= 4.0))


@keras.saving.register_keras_serializable(package="harness")
class ExtremeLearningMachine(Decision):
    """Random sigmoid units and the least-squares answer to what they say.

    Args:
        units: random units

    Source:
        Huang, Zhu and Siew 2006, as Han, Yu and Tashev 2014 use it in section 3.4: weights uniform in [-1, 1], no bias,
        no regularisation.
    """

    def __init__(self, units: int = 120, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, inputs_shape: Any) -> None:
        uniform = keras.initializers.RandomUniform(-1.0, 1.0)
        self.random = self.add_weight(shape=(inputs_shape[-1], self.units), initializer=uniform, name="random")
        self.readout = self.add_weight(shape=(self.units, len(CLASSES)), initializer="zeros", name="readout")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(inputs @ self.random) @ self.readout

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        hidden = 1.0 / (1.0 + np.exp(-vectors @ np.asarray(self.random, np.float64)))
        root = np.sqrt(weights)[:, None]
        self.readout.assign(np.linalg.lstsq(root * hidden, root * targets_of(emotions))[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="harness")
class KernelMachine(Decision):
    """The kernel form of the extreme learning machine, with a radial basis function: every training vector is a unit.

    Args:
        num_vectors: training utterances that ``fit`` will be given
        regularisation: the larger, the closer the training targets are met
        width: g of exp(-g distance^2)

    Source:
        Huang, Zhou, Ding and Zhang 2012, equation 38: f(x) = k(x)' (I / C + Omega)^-1 T; with weights, Zong, Huang and
        Chen 2013.
    """

    def __init__(self, num_vectors: int, regularisation: float = 1.0, width: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_vectors = num_vectors
        self.regularisation = regularisation
        self.width = width

    def build(self, inputs_shape: Any) -> None:
        shape = (self.num_vectors, inputs_shape[-1])
        self.known = self.add_weight(shape=shape, initializer="zeros", name="known")
        self.readout = self.add_weight(shape=(self.num_vectors, len(CLASSES)), initializer="zeros", name="readout")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        known = tf.convert_to_tensor(self.known)
        squares = tf.reduce_sum(inputs**2, axis=1)[:, None] + tf.reduce_sum(known**2, axis=1)
        distances = tf.maximum(squares - 2.0 * tf.matmul(inputs, known, transpose_b=True), 0.0)
        return tf.exp(-self.width * distances) @ self.readout

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        # A product in place of differences: with those, 5000 utterances would need gigabytes.
        squares = (vectors**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares - 2.0 * vectors @ vectors.T, 0.0)
        kernel = np.exp(-self.width * distances)
        kernel[np.diag_indices(len(vectors))] += 1.0 / (self.regularisation * weights)
        self.known.assign(vectors)
        self.readout.assign(np.linalg.solve(kernel, targets_of(emotions)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_vectors": self.num_vectors,
            "regularisation": self.regularisation,
            "width": self.width,
        }


@keras.saving.register_keras_serializable(package="harness")
class LinearSvm(Decision):
    """A linear support vector machine for each class against the rest; a score is the margin, not about 0 and 1.

    Every number of the vectors is first given the mean 0 and the deviation 1 over the training utterances.

    Args:
        cost: C of the machine: the larger, the closer training utterances are met

    Source:
        scikit-learn's LinearSVC (Fan et al. 2008), squared hinge loss, in its primal form, which draws nothing.
    """

    def __init__(self, cost: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cost = cost

    def build(self, inputs_shape: Any) -> None:
        shape = (inputs_shape[-1], len(CLASSES))
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=shape[1:], initializer="zeros", name="bias")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs @ self.kernel + self.bias

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        # Imported here: the other systems do without it.
        from sklearn.svm import LinearSVC

        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        # A number that is the same for all has the deviation of its rounding errors.
        deviation[deviation <= 1e-5 * np.abs(mean)] = 1.0
        scaled = (vectors - mean) / deviation
        kernel, bias = np.zeros(self.kernel.shape), np.zeros(len(CLASSES))
        for emotion in range(len(CLASSES)):
            is_own = emotions == emotion
            if is_own.all() or not is_own.any():
                bias[emotion] = 1.0 if is_own.any() else -1.0
                continue
            machine = LinearSVC(C=self.cost, dual=False).fit(scaled, is_own, sample_weight=weights)
            kernel[:, emotion] = machine.coef_[0] / deviation
            bias[emotion] = machine.intercept_[0] - mean @ kernel[:, emotion]
        self.kernel.assign(kernel)
        self.bias.assign(bias)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cost": self.cost}


@keras.saving.register_keras_serializable(package="harness")
class Shares(layers.Layer):
    """From scores about 0 and 1, float32 (batch, 4), to probabilities: cut off below a millionth, then of sum 1."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        scores = tf.maximum(inputs, 1e-6)
        return scores / tf.reduce_sum(scores, axis=-1, keepdims=True)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def decide(decision: Decision, vectors: keras.KerasTensor) -> keras.KerasTensor:
    """Answer with a decision over one vector an utterance: probabilities, float32 (batch, 4)."""
    return Shares(name="emotion")(decision(vectors))


@keras.saving.register_keras_serializable(package="harness")
class ClassStatistics(layers.Layer):
    """The highest, the lowest and the mean probability of each class over steps, and the share above 0.2.

    Call with probabilities, float (batch, steps, 4), and a bool mask (batch, steps) or None; returns float (batch, 16),
    all 0 where no step is real.

    Source: Han, Yu and Tashev 2014, equations 4 to 7, and the threshold of section 4.1.
    """

    def __init__(self, threshold: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.threshold = threshold

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, probabilities: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        if steps_mask is None:
            steps_mask = tf.ones(tf.shape(probabilities)[:2], tf.bool)
        is_real = steps_mask[..., None]
        highest = tf.reduce_max(tf.where(is_real, probabilities, 0.0), axis=1)
        lowest = tf.reduce_min(tf.where(is_real, probabilities, 1.0), axis=1)
        lowest = tf.where(tf.reduce_any(is_real, axis=1), lowest, 0.0)
        is_above = tf.cast(probabilities > self.threshold, probabilities.dtype)
        means = [mean_of_steps(values, steps_mask) for values in (probabilities, is_above)]
        return tf.concat([highest, lowest, *means], axis=-1)

    def compute_output_spec(self, probabilities: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((probabilities.shape[0], 4 * len(CLASSES)), probabilities.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


def decide_by(
    hyperparameters: DeciderHyperparameters,
    probabilities: keras.KerasTensor,
    mask: keras.KerasTensor | None,
    num_training: int,
) -> keras.KerasTensor:
    """Answer for an utterance by the probabilities of its steps: probabilities, float32 (batch, 4).

    Args:
        probabilities: float32 (batch, steps, 4), of a sum of at most 1
        mask: bool (batch, steps) of the steps that count; None for all
        num_training: training utterances
    """
    if hyperparameters.decision is Decider.POSTERIOR:
        return Shares(name="emotion")(MeanOfSteps(name="mean_posteriors")(probabilities, mask))
    statistics = ClassStatistics(name="class_statistics")(probabilities, mask)
    if hyperparameters.decision is Decider.ELM:
        return decide(ExtremeLearningMachine(hyperparameters.elm_units, name="elm"), statistics)
    regularisation, width = hyperparameters.regularisation, hyperparameters.width
    return decide(KernelMachine(num_training, regularisation, width, name="kelm"), statistics)
