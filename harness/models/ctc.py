"""The label sequence of one emotion and Null over the frames of an utterance, and its baseline of one label.

Source: Chernykh and Prikhodko, "Emotion Recognition From Speech With Recurrent Neural Networks", arXiv 1701.08071v2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.models.decision import Network
from harness.models.hyperparameters import CtcHyperparameters, LabelDecision, OneLabelHyperparameters
from harness.models.inputs import Branch, InputShapes, lstm, speech_input
from harness.models.layers import FirstSteps

NUM_CLASSES = len(CLASSES)
#: For a logarithm of 0 that has a gradient.
_LOWEST = -1e30


@keras.saving.register_keras_serializable(package="harness")
class CtcLikelihoods(layers.Layer):
    """The logarithm of each label's likelihood under CTC, where a target is one label.

    Call with the logarithms of the frames' posteriors, floating (batch, steps, 5), Null last, and a bool mask
    (batch, steps) or None; returns floating (batch, 4). The paths of a label are Null, then the label, then Null, where
    both Nulls may be missing.

    Source:
        Graves et al. 2006, for a target of one label in closed form: with A and E the running sums of ln y(Null) and
        ln y(label), ln p = A_T + LSE_j [E_j - A_j + LSE_{i <= j} (A_{i-1} - E_{i-1})].
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, log_posteriors: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        if steps_mask is not None:
            log_posteriors = tf.where(steps_mask[..., None], log_posteriors, 0.0)
        of_labels, of_null = log_posteriors[..., :NUM_CLASSES], log_posteriors[..., NUM_CLASSES:]
        gain = of_labels - of_null
        after = tf.cumsum(gain, axis=1)
        begins = tf.math.cumulative_logsumexp(gain - after, axis=1)  # of every first frame up to this one
        ends = after + begins
        if steps_mask is None:
            return tf.reduce_sum(of_null, axis=1) + tf.reduce_logsumexp(ends, axis=1)
        ends = tf.where(steps_mask[..., None], ends, _LOWEST)
        likelihoods = tf.reduce_sum(of_null, axis=1) + tf.reduce_logsumexp(ends, axis=1)
        # An utterance without a frame says nothing of any label.
        return tf.where(tf.reduce_any(steps_mask, axis=1)[:, None], likelihoods, 0.0)

    def compute_output_spec(self, log_posteriors: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((log_posteriors.shape[0], NUM_CLASSES), log_posteriors.dtype)


@keras.saving.register_keras_serializable(package="harness")
class BestPath(layers.Layer):
    """The share of each label on the best path, the most probable output of every frame.

    Call as ``CtcLikelihoods``; returns float32 (batch, 4), of sum 1. An utterance whose best path is Null throughout is
    answered by the frames' posteriors. Ours: the authors count it as an error.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, log_posteriors: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        path = tf.one_hot(tf.argmax(log_posteriors, axis=-1), NUM_CLASSES + 1, dtype=log_posteriors.dtype)
        # The posteriors decide where the path says nothing, or the same of two labels.
        votes = path + 1e-3 * tf.exp(log_posteriors)
        if steps_mask is not None:
            votes = tf.where(steps_mask[..., None], votes, 0.0)
        counts = tf.reduce_sum(votes[..., :NUM_CLASSES], axis=1) + 1e-9
        return counts / tf.reduce_sum(counts, axis=-1, keepdims=True)

    def compute_output_spec(self, log_posteriors: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((log_posteriors.shape[0], NUM_CLASSES), log_posteriors.dtype)


def build_ctc(hyperparameters: CtcHyperparameters, shapes: InputShapes) -> Network:
    """Build the CTC network: two BLSTM of 64 + 64, Dense 512 and a softmax over the labels and Null at every frame.

    (100, 34) -> the first 78 frames -> (78, 128) -> (78, 128) -> (78, 512) -> (78, 5) -> (4,).

    Source:
        arXiv 1701.08071v2, sections 4.2.2 and 4.3, figure 9. Choices of ours: tanh in the Dense layer, as in the
        authors' code; real lengths in place of padding; the label of the highest likelihood in place of a beam search,
        which ``decision`` can change to the best path.
    """
    branch = _two_blstm(hyperparameters, shapes, steps=True)
    hidden = layers.Dense(hyperparameters.dense, activation="tanh", name="speech_dense")(branch.output)
    hidden = layers.Dropout(hyperparameters.dropout, name="speech_dropout3")(hidden)
    scores = layers.Dense(NUM_CLASSES + 1, name="frame_labels")(hidden)
    log_posteriors = layers.Activation("log_softmax", name="frame_posteriors")(scores)
    likelihoods = CtcLikelihoods(name="label_likelihoods")(log_posteriors, branch.mask)
    if hyperparameters.decision is LabelDecision.BEST_PATH:
        answers = BestPath(name="emotion")(log_posteriors, branch.mask)
    else:
        answers = layers.Softmax(name="emotion")(likelihoods)
    return Network(keras.Model(branch.inputs, answers, name="ctc"), keras.Model(branch.inputs, likelihoods))


def build_one_label(hyperparameters: OneLabelHyperparameters, shapes: InputShapes) -> Branch:
    """Build the baseline of one label: the same BLSTM layers, the last state of the second, Dense 512.

    Source: arXiv 1701.08071v2, section 4.2.2.
    """
    branch = _two_blstm(hyperparameters, shapes, steps=False)
    output = layers.Dense(hyperparameters.dense, activation="tanh", name="speech_dense")(branch.output)
    return replace(branch, output=output, mask=None)


def _two_blstm(hyperparameters: OneLabelHyperparameters, shapes: InputShapes, *, steps: bool) -> Branch:
    branch = speech_input(shapes, hyperparameters)
    cut = FirstSteps(hyperparameters.max_frames, name="first_frames")
    frames, mask = cut(branch.output), None if branch.mask is None else cut(branch.mask)
    first = lstm(hyperparameters.speechlstm, hyperparameters, "speech_lstm", steps=True)
    hidden = layers.Bidirectional(first, name="speech_bilstm")(frames, mask=mask)
    hidden = layers.Dropout(hyperparameters.dropout, name="speech_dropout")(hidden)
    second = lstm(hyperparameters.speechlstm2, hyperparameters, "speech_lstm2", steps=steps)
    hidden = layers.Bidirectional(second, name="speech_bilstm2")(hidden, mask=mask)
    hidden = layers.Dropout(hyperparameters.dropout, name="speech_dropout2")(hidden)
    return replace(branch, output=hidden, mask=mask)
