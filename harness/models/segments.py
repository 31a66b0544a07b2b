"""A network over short segments of an utterance, and an extreme learning machine over what it says of them.

Source: Han, Yu and Tashev, "Speech Emotion Recognition Using Deep Neural Network and Extreme Learning Machine",
Interspeech 2014.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.features.frames import MFCC
from harness.models.decision import Network, decide_by
from harness.models.hyperparameters import SegmentHyperparameters
from harness.models.inputs import InputShapes, speech_input
from harness.models.layers import MeanOfSteps
from harness.models.short_frames import clip_places, last_step, pick_column, pick_frames

#: Frames of a segment, 12 on each side of one: 265 ms. Source: section 4.1.
SEGMENT_FRAMES = 25


@keras.saving.register_keras_serializable(package="harness")
class LoudestSegments(layers.Layer):
    """The segments of ``SEGMENT_FRAMES`` frames that have the highest energy, each flattened to one row.

    Call with the frames, float (batch, steps, columns), the logarithm of each frame's energy, float (batch, steps), on
    any scale, and a bool mask (batch, steps) or None. Returns float (batch, segments, SEGMENT_FRAMES * columns) and a
    bool mask (batch, segments), since longer utterances have more of them; an utterance has at least one, unless it has
    no frame.

    Only whole segments count. In an utterance that is shorter than one, its last frame fills the segment. A segment's
    energy is the mean of its frames' logarithms, which the scaling of the logarithm does not reorder. Both are choices
    of ours, and so is rounding to the nearest number of segments. The segments are chosen first, and the frames of
    those alone are gathered.

    Args:
        share: of an utterance's segments
    """

    def __init__(self, share: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.share = share

    def compute_mask(self, *inputs: Any) -> tuple[None, None]:
        """The mask of the segments is an output."""
        return None, None

    def call(
        self, inputs: tf.Tensor, energy: tf.Tensor, steps_mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        last = last_step(inputs, steps_mask)
        num_segments = tf.maximum(last + 2 - SEGMENT_FRAMES, 1)
        num_chosen = tf.maximum(tf.cast(tf.round(self.share * tf.cast(num_segments, tf.float32)), tf.int32), 1)
        missing = tf.maximum(SEGMENT_FRAMES - tf.shape(energy)[1], 0)
        energy = tf.pad(energy, [[0, 0], [0, missing]])[..., None]
        of_segments = tf.nn.avg_pool1d(energy, SEGMENT_FRAMES, 1, "VALID")[..., 0]
        is_segment = tf.sequence_mask(num_segments, tf.shape(of_segments)[1])
        of_segments = tf.where(is_segment, of_segments, of_segments.dtype.min)
        most = tf.reduce_max(num_chosen)
        first = tf.math.top_k(of_segments, most).indices
        places = clip_places(first[..., None] + tf.range(SEGMENT_FRAMES), last[:, None, None])
        frames = tf.gather(inputs, places, axis=1, batch_dims=1)
        segments = tf.reshape(frames, (-1, most, SEGMENT_FRAMES * inputs.shape[-1]))
        return segments, tf.sequence_mask(num_chosen, most) & (last[:, None] >= 0)

    def compute_output_spec(self, inputs: Any, energy: Any, steps_mask: Any = None) -> Any:
        batch, _, columns = inputs.shape
        segments = keras.KerasTensor((batch, None, SEGMENT_FRAMES * columns), inputs.dtype)
        return segments, keras.KerasTensor((batch, None), "bool")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "share": self.share}


def build_dnn_elm(hyperparameters: SegmentHyperparameters, shapes: InputShapes) -> Network:
    """Build the network over segments: three Dense layers of 256 and a softmax, and a classifier over its answers.

    (frames, 46) -> (frames, 30) -> (segments, 750) -> three times (segments, 256) -> (segments, 4) -> (16,) -> (4,).

    Source:
        Han et al. 2014, sections 3 and 4.1: 25 frames a segment; the tenth of the segments that is loudest, in
        training and in the test; 3 x 256 relu; cross-entropy of the segments, all of the utterance's class; highest,
        lowest, mean and share above 0.2 of each class's probability; 120 random units, or the kernel form. That the
        30 numbers are 13 MFCC, pitch period and harmonics-to-noise ratio with deltas is inferred from the 750.
        Choices of ours, where the paper is silent: the means over an utterance's segments, so that every utterance
        weighs the same; deltas as ``Deltas`` has them; columns scaled by training statistics; the optimiser,
        its rate and the batch; no dropout; the kernel machine's regularisation and width are hyperparameters.
    """
    branch = speech_input(shapes, hyperparameters)
    frames = pick_frames(branch, *MFCC, "pitch_period", "harmonics_to_noise")
    hidden, mask = LoudestSegments(hyperparameters.segment_share, name="segments")(
        frames.output, pick_column(branch, "log_energy"), branch.mask
    )
    for number in (1, 2, 3):
        hidden = layers.Dense(hyperparameters.dense, activation="relu", name=f"segment_dense{number}")(hidden)
        hidden = layers.Dropout(hyperparameters.dropout, name=f"segment_dropout{number}")(hidden)
    scores = layers.Dense(len(CLASSES), name="segment_labels")(hidden)
    log_posteriors = layers.Activation("log_softmax", name="segment_log_posteriors")(scores)
    likelihoods = MeanOfSteps(name="label_likelihoods")(log_posteriors, mask)
    posteriors = layers.Activation("softmax", name="segment_posteriors")(scores)
    answers = decide_by(hyperparameters, posteriors, mask, shapes.num_training)
    return Network(keras.Model(branch.inputs, answers, name="dnn_elm"), keras.Model(branch.inputs, likelihoods))
