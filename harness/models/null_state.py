"""A network over frames whose voiced segments each pass from Null to the utterance's emotion and back to Null.

Source: Lee and Tashev, "High-level Feature Representation using Recurrent Neural Network for Speech Emotion
Recognition", Interspeech 2015.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.features.frames import MFCC
from harness.models.decision import Network, decide_by
from harness.models.hyperparameters import Boundaries, NullStateHyperparameters, PathLoss
from harness.models.inputs import InputShapes, lstm, speech_input
from harness.models.recurrence import BATCH_COMPILED_FOR
from harness.models.short_frames import PickedColumns, pick_column, pick_frames

NUM_CLASSES = len(CLASSES)
#: For a logarithm of 0 that has a gradient.
_LOWEST = -1e30
#: The sum over the paths takes multiples of these, as the LSTM does of its sizes: XLA compiles a program for each.
FRAMES_COMPILED_FOR, STATES_COMPILED_FOR = 250, 16


class StateChain(NamedTuple):
    """The states of utterances with n voiced segments: Null, emotion, Null, ... Null, 2n + 1 in all.

    A path stays in its state or moves to the next one at each frame. It begins as if the frame before the utterance
    were Null, and ends as if the one behind were: so every utterance has a path. A choice of ours; an utterance without
    a voiced segment is Null throughout.

    Attributes:
        lowest, highest: int32 (batch, frames), the states that a frame may be in
        last: int32 (batch,), the last state
        is_real: bool (batch, frames); the others have no state
    """

    lowest: tf.Tensor
    highest: tf.Tensor
    last: tf.Tensor
    is_real: tf.Tensor

    @classmethod
    def over(cls, is_voiced: tf.Tensor, is_real: tf.Tensor, boundaries: Boundaries) -> StateChain:
        """Make the chain of utterances.

        Args:
            is_voiced, is_real: bool (batch, frames)
            boundaries: under ``SEGMENTS`` a segment's frames are in its three states, of which the last is the first of
                the next segment, and all frames between two segments are in that Null
        """
        voiced = tf.cast(is_voiced & is_real, tf.int32)
        before = tf.pad(voiced, [[0, 0], [1, 0]])[:, :-1]
        begun = tf.cumsum(tf.maximum(voiced - before, 0), axis=1)
        last = 2 * tf.reduce_max(begun, axis=1)
        if boundaries is Boundaries.SEGMENTS:
            return cls(2 * (begun - voiced), 2 * begun, last, is_real)
        return cls(tf.zeros_like(begun), tf.zeros_like(begun) + last[:, None], last, is_real)


def sum_paths(gain: tf.Tensor, chain: StateChain) -> tuple[tf.Tensor, tf.Tensor]:
    """Sum the weights of all paths, which are the products of their emotions' gains.

    Args:
        gain: floating (batch, frames, labels), the logarithm of how much likelier the emotion is than Null

    Returns:
        floating (batch, labels), the logarithm of the sum; and floating (batch, frames, labels), the share of the sum
        that has the emotion at a frame, which is the gradient of the logarithm: none passes through this function

    Source: Rabiner, Proceedings of the IEEE 77 (1989), section III.A, the forward and the backward variables.
    """
    num_utterances, num_frames = tf.shape(gain)[0], tf.shape(gain)[1]
    num_states = tf.reduce_max(chain.last) + 1
    missing = {
        "utterances": -num_utterances % BATCH_COMPILED_FOR,
        "frames": -num_frames % FRAMES_COMPILED_FOR,
        "states": -num_states % STATES_COMPILED_FOR,
    }

    def pad(tensor: tf.Tensor) -> tf.Tensor:
        some = [[0, missing["utterances"]], [0, missing["frames"]], [0, 0]]
        return tf.pad(tensor, some[: tensor.shape.rank])

    padded = StateChain(pad(chain.lowest), pad(chain.highest), pad(chain.last), pad(chain.is_real))
    run = _sum_paths if tf.config.list_logical_devices("GPU") else _compiled_sum_paths
    # XLA cannot differentiate a loop of an unknown number of steps, and need not: the shares are the gradient.
    total, shares = run(pad(tf.stop_gradient(gain)), padded, tf.range(num_states + missing["states"]), num_frames)
    return total[:num_utterances], shares[:num_utterances, :num_frames]


def _sum_paths(
    gain: tf.Tensor, chain: StateChain, states: tf.Tensor, num_frames: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """As ``sum_paths``, over the first ``num_frames`` frames; ``states`` int32 (states,) counts from 0."""
    is_emotion = tf.cast(states % 2, gain.dtype)
    gain = tf.transpose(gain, (1, 0, 2))[..., None]
    lowest, highest = (tf.transpose(bound)[:, :, None, None] for bound in (chain.lowest, chain.highest))
    is_real = tf.transpose(chain.is_real)[:, :, None, None]
    shape = tf.concat([tf.shape(gain)[1:3], tf.shape(states)], axis=0)
    array = tf.TensorArray(gain.dtype, tf.shape(gain)[0])

    def emit(index: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        is_allowed = (states >= lowest[index]) & (states <= highest[index])
        return tf.where(is_allowed, scores + is_emotion * gain[index], _LOWEST)

    def forward(index: tf.Tensor, before: tf.Tensor, array: Any) -> Any:
        moved = tf.pad(before[..., :-1], [[0, 0], [0, 0], [1, 0]], constant_values=_LOWEST)
        after = tf.where(is_real[index], emit(index, _add(before, moved)), before)
        return index + 1, after, array.write(index, after)

    start = tf.where(states == 0, tf.zeros(shape, gain.dtype), _LOWEST)
    _, scores, forwards = tf.while_loop(
        lambda index, *_: index < num_frames, forward, (tf.constant(0), start, array), parallel_iterations=1
    )
    last = chain.last[:, None, None]
    end = tf.where((states == last) | (states == last - 1), tf.zeros(shape, gain.dtype), _LOWEST)
    total = tf.reduce_logsumexp(scores + end, axis=-1)

    def backward(index: tf.Tensor, behind: tf.Tensor, array: Any) -> Any:
        weights = is_emotion * tf.exp(forwards.read(index) + behind - total[..., None])
        share = tf.where(is_real[index, :, 0], tf.reduce_sum(weights, axis=-1), 0.0)
        ahead = emit(index, behind)
        moved = tf.pad(ahead[..., 1:], [[0, 0], [0, 0], [0, 1]], constant_values=_LOWEST)
        return index - 1, tf.where(is_real[index], _add(ahead, moved), behind), array.write(index, share)

    array = tf.TensorArray(gain.dtype, tf.shape(gain)[0])
    *_, shares = tf.while_loop(
        lambda index, *_: index >= 0, backward, (num_frames - 1, end, array), parallel_iterations=1
    )
    return total, tf.transpose(shares.stack(), (1, 0, 2))


_compiled_sum_paths = tf.function(_sum_paths, jit_compile=True, autograph=False)


def _add(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The logarithm of the sum of two numbers whose logarithms are given."""
    return tf.maximum(one, other) + tf.math.log1p(tf.exp(-tf.abs(one - other)))


@keras.saving.register_keras_serializable(package="harness")
class NullLikelihoods(layers.Layer):
    """The logarithm of each label's likelihood by the paths of a ``StateChain`` whose emotion it is.

    Call with the logarithms of the frames' posteriors, floating (batch, frames, 5), Null last; numbers that are above 0
    in voiced frames, floating (batch, frames); and a bool mask (batch, frames) or None. Returns floating (batch, 4).

    Args:
        loss: under ``LITERAL`` the mean over the paths of the logarithms of their likelihoods; the paper's sum would
            differ by a factor beyond all numbers
        boundaries: as ``StateChain.over`` takes them
    """

    def __init__(self, loss: str = PathLoss.LOG_SUM, boundaries: str = Boundaries.NONE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.loss = PathLoss(loss)
        self.boundaries = Boundaries(boundaries)

    def compute_mask(self, *inputs: Any) -> None:
        """There are no steps any more."""

    def call(self, log_posteriors: tf.Tensor, voiced: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        if steps_mask is None:
            steps_mask = tf.ones(tf.shape(voiced), tf.bool)
        chain = StateChain.over(voiced > 0, steps_mask, self.boundaries)
        log_posteriors = tf.where(steps_mask[..., None], log_posteriors, 0.0)
        of_labels, of_null = log_posteriors[..., :NUM_CLASSES], log_posteriors[..., NUM_CLASSES:]
        gain, null_throughout = of_labels - of_null, tf.reduce_sum(of_null, axis=1)
        if self.loss is PathLoss.LITERAL:
            _, shares = sum_paths(tf.zeros_like(gain[..., :1]), chain)
            return null_throughout + tf.reduce_sum(shares * gain, axis=1)

        def differentiable(gain: tf.Tensor) -> Any:
            total, shares = sum_paths(gain, chain)
            return total, lambda gradient: gradient[:, None] * shares

        return null_throughout + tf.custom_gradient(differentiable)(gain)

    def compute_output_spec(self, log_posteriors: Any, voiced: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((log_posteriors.shape[0], NUM_CLASSES), log_posteriors.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": str(self.loss), "boundaries": str(self.boundaries)}


def build_blstm_null(hyperparameters: NullStateHyperparameters, shapes: InputShapes) -> Network:
    """Build the network over frames: two BLSTM of 64 + 64 and a softmax over the labels and Null at every frame.

    (frames, 46) -> 32 numbers a frame -> (frames, 128) -> (frames, 128) -> (frames, 5) -> (16,) -> (4,).

    Source:
        Lee and Tashev 2015, sections 3.2 and 4.1: the 32 numbers, the layers, the states of voiced segments, a kernel
        machine that decides. Choices of ours, where the paper is silent: voiced segments as the features have them;
        the statistics of Han et al. 2014, over all frames; Adam at its own rate; no dropout and no limit of the
        gradient; columns scaled by training statistics. ``loss``, ``boundaries`` and ``decision`` are named choices.
    """
    branch = speech_input(shapes, hyperparameters)
    numbers = ("pitch", "voicing", "zero_crossing_rate", *MFCC[:12], "log_energy")
    hidden = pick_frames(branch, *numbers).output
    for name, units in (("", hyperparameters.speechlstm), ("2", hyperparameters.speechlstm2)):
        layer = lstm(units, hyperparameters, f"speech_lstm{name}", steps=True)
        hidden = layers.Bidirectional(layer, name=f"speech_bilstm{name}")(hidden, mask=branch.mask)
        hidden = layers.Dropout(hyperparameters.dropout, name=f"speech_dropout{name}")(hidden)
    scores = layers.Dense(NUM_CLASSES + 1, name="frame_labels")(hidden)
    log_posteriors = layers.Activation("log_softmax", name="frame_log_posteriors")(scores)
    paths = NullLikelihoods(hyperparameters.loss, hyperparameters.boundaries, name="label_likelihoods")
    likelihoods = paths(log_posteriors, pick_column(branch, "voiced"), branch.mask)
    posteriors = layers.Activation("softmax", name="frame_posteriors")(scores)
    of_labels = PickedColumns(range(NUM_CLASSES), name="emotion_posteriors")(posteriors)
    answers = decide_by(hyperparameters, of_labels, branch.mask, shapes.num_training)
    return Network(keras.Model(branch.inputs, answers, name="blstm_null"), keras.Model(branch.inputs, likelihoods))
