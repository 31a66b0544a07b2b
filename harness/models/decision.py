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
from scipy.sparse import csr_matrix

from harness.corpus.utterances import CLASSES
from harness.models.hyperparameters import Decider, DeciderHyperparameters
from harness.models.kernel_svm import (
    MOST_MARGIN,
    NEVER,
    PAIRS,
    SIGNS,
    SVM_COSTS,
    cut_parts,
    fit_svm,
    rbf_kernel,
    standardise,
)
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
            vectors: float32 or float64 (num_utterances, width)
            emotions: int64 (num_utterances,), indices into ``CLASSES``
            weights: float64 (num_utterances,), of the utterances, mean 1
        """
        raise NotImplementedError

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], len(CLASSES)), inputs.dtype)


def square_distances(vectors: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Return the squared distance of every pair of rows, float32 (num_vectors, num_known)."""
    squares = tf.reduce_sum(vectors**2, axis=1)[:, None] + tf.reduce_sum(known**2, axis=1)
    return tf.maximum(squares - 2.0 * tf.matmul(vectors, known, transpose_b=True), 0.0)


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
        hidden = 1.0 / (1.0 + np.exp(-vectors.astype(np.float64) @ np.asarray(self.random, np.float64)))
        root = np.sqrt(weights)[:, None]
        # The units answer in float32: what differs by less there is no unit of its own, and would get a weight of 1e7.
        smallest = max(hidden.shape) * float(np.finfo(np.float32).eps)
        self.readout.assign(np.linalg.lstsq(root * hidden, root * targets_of(emotions), rcond=smallest)[0])

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
        distances = square_distances(inputs, tf.convert_to_tensor(self.known))
        return tf.exp(-self.width * distances) @ self.readout

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        vectors = vectors.astype(np.float64)
        kernel = rbf_kernel(vectors, vectors, self.width)
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


class LinearDecision(Decision):
    """A linear classifier; a score is a margin or a logit, not about 0 and 1.

    ``fit`` first gives every number of the vectors the mean 0 and the deviation 1 over the training utterances.

    Args:
        cost: C of the classifier: the larger, the closer training utterances are met
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
        vectors = vectors.astype(np.float64)
        mean, deviation = standardise(vectors)
        kernel, bias = self.fit_scaled((vectors - mean) / deviation, emotions, weights)
        kernel /= deviation[:, None]
        self.kernel.assign(kernel)
        self.bias.assign(bias - mean @ kernel)

    def fit_scaled(
        self, vectors: Floats | csr_matrix, emotions: npt.NDArray[np.int64], weights: Floats
    ) -> tuple[Floats, Floats]:
        """Return float64 (width, 4) and (4,), the kernel and the bias for vectors as the classifier reads them."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cost": self.cost}


@keras.saving.register_keras_serializable(package="harness")
class LinearSvm(LinearDecision):
    """A linear support vector machine for each class against the rest; a score is the margin.

    Source:
        scikit-learn's LinearSVC (Fan et al. 2008), squared hinge loss, in its primal form, which draws nothing.
    """

    def fit_scaled(
        self, vectors: Floats | csr_matrix, emotions: npt.NDArray[np.int64], weights: Floats
    ) -> tuple[Floats, Floats]:
        # Imported here: the other systems do without it.
        from sklearn.svm import LinearSVC

        kernel, bias = np.zeros(self.kernel.shape), np.zeros(len(CLASSES))
        for emotion in range(len(CLASSES)):
            is_own = emotions == emotion
            if is_own.all() or not is_own.any():
                bias[emotion] = 1.0 if is_own.any() else -1.0
                continue
            machine = LinearSVC(C=self.cost, dual=False).fit(vectors, is_own, sample_weight=weights)
            kernel[:, emotion], bias[emotion] = machine.coef_[0], machine.intercept_[0]
        return kernel, bias


@keras.saving.register_keras_serializable(package="harness")
class LogisticRegression(LinearDecision):
    """A multinomial logistic regression; a score is a logit, and minus a million of a class never trained on.

    Source: scikit-learn's, by L-BFGS, which draws nothing.
    """

    def fit_scaled(
        self, vectors: Floats | csr_matrix, emotions: npt.NDArray[np.int64], weights: Floats
    ) -> tuple[Floats, Floats]:
        # Imported here: the other systems do without it.
        from sklearn import linear_model

        kernel, bias = np.zeros(self.kernel.shape), np.full(len(CLASSES), NEVER)
        known = np.unique(emotions)
        bias[known] = 0.0
        if len(known) > 1:
            found = linear_model.LogisticRegression(C=self.cost, max_iter=1000)
            found.fit(vectors, emotions, sample_weight=weights)
            # Of two classes scikit-learn holds the second alone, whose logit it is.
            fitted = known if len(known) > 2 else known[1:]
            kernel[:, fitted], bias[fitted] = found.coef_.T, found.intercept_
        return kernel, bias


@keras.saving.register_keras_serializable(package="harness")
class SparseLogisticRegression(LogisticRegression):
    """The same over numbers of which nearly all are 0, such as TF-IDF: they stay as they are."""

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        kernel, bias = self.fit_scaled(csr_matrix(vectors, dtype=np.float64), emotions, weights)
        self.kernel.assign(kernel)
        self.bias.assign(bias)


@keras.saving.register_keras_serializable(package="harness")
class KernelSvm(Decision):
    """A support vector machine with a radial basis function, over standardised vectors; a score is a logit.

    The scores are multiplied by the factor that gives the highest likelihood to training utterances that a machine was
    fitted without, a quarter at a time in their order, so that their softmax can be read as probabilities.

    Args:
        num_vectors: training utterances that ``fit`` will be given
        cost: C of the machine: the larger, the closer training utterances are met; None for the one of ``SVM_COSTS``
            with the highest accuracy on those quarters
        width: g of exp(-g distance^2 / numbers of a vector)

    Source: ``kernel_svm.fit_svm``.
    """

    def __init__(self, num_vectors: int, cost: float | None = 1.0, width: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_vectors = num_vectors
        self.cost = cost
        self.width = width

    def build(self, inputs_shape: Any) -> None:
        shape = (self.num_vectors, inputs_shape[-1])
        self.mean = self.add_weight(shape=shape[1:], initializer="zeros", name="mean")
        self.deviation = self.add_weight(shape=shape[1:], initializer="ones", name="deviation")
        self.known = self.add_weight(shape=shape, initializer="zeros", name="known")
        self.readout = self.add_weight(shape=(self.num_vectors, len(PAIRS)), initializer="zeros", name="readout")
        self.bias = self.add_weight(shape=(len(PAIRS),), initializer="zeros", name="bias")
        self.sharpness = self.add_weight(shape=(), initializer="ones", name="sharpness")
        self.offsets = self.add_weight(shape=(len(CLASSES),), initializer="zeros", name="offsets")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        vectors = (inputs - self.mean) / self.deviation
        distances = square_distances(vectors, tf.convert_to_tensor(self.known))
        margins = tf.exp(-self.width / inputs.shape[-1] * distances) @ self.readout + self.bias
        votes = tf.clip_by_value(margins, -MOST_MARGIN, MOST_MARGIN)
        return self.sharpness * (votes @ tf.constant(SIGNS, margins.dtype)) + self.offsets

    def fit(self, vectors: Floats, emotions: npt.NDArray[np.int64], weights: Floats) -> None:
        width = self.width / vectors.shape[1]
        costs = SVM_COSTS if self.cost is None else (self.cost,)
        found = fit_svm(vectors.astype(np.float64), emotions, weights, width, costs, cut_parts(len(emotions)))
        self.mean.assign(found.mean)
        self.deviation.assign(found.deviation)
        self.known.assign(found.known)
        self.readout.assign(found.readout)
        self.bias.assign(found.bias)
        self.sharpness.assign(found.sharpness)
        self.offsets.assign(found.offsets)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_vectors": self.num_vectors, "cost": self.cost, "width": self.width}


@keras.saving.register_keras_serializable(package="harness")
class Shares(layers.Layer):
    """From scores about 0 and 1, float32 (batch, 4), to probabilities: cut off below a millionth, then of sum 1."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        scores = tf.maximum(inputs, 1e-6)
        return scores / tf.reduce_sum(scores, axis=-1, keepdims=True)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)


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
    answers = Shares(name="emotion")
    if hyperparameters.decision is Decider.POSTERIOR:
        return answers(MeanOfSteps(name="mean_posteriors")(probabilities, mask))
    statistics = ClassStatistics(name="class_statistics")(probabilities, mask)
    if hyperparameters.decision is Decider.ELM:
        return answers(ExtremeLearningMachine(hyperparameters.elm_units, name="elm")(statistics))
    regularisation, width = hyperparameters.regularisation, hyperparameters.width
    return answers(KernelMachine(num_training, regularisation, width, name="kelm")(statistics))
