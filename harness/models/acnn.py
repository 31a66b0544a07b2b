"""The attentive convolutional network over short frames, which learns activation and valence beside the emotion.

Source: Neumann and Vu, "Attentive Convolutional Neural Network based Speech Emotion Recognition: A Study on the Impact
of Input Features, Signal Length, and Acted Speech", Interspeech 2017.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.features.frames import MEL, MFCC, frame_columns
from harness.models.decision import NUM_LEVELS, Network
from harness.models.hyperparameters import AcnnHyperparameters, FrameFeatures, PooledAttention, Views
from harness.models.inputs import InputShapes, speech_input
from harness.models.layers import Columns, EveryNth, FirstSteps, FlattenedDense, MaskedSteps, masked_softmax

#: Frames that a pooled step is the largest of, and from one to the next.
POOL_FRAMES, POOL_STRIDE = 30, 3


@keras.saving.register_keras_serializable(package="harness")
class LinearAttention(layers.Layer):
    """The mean of the real steps, weighted by the softmax of w'x over them.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns float (batch, 1, columns),
    zero where no step is real.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, inputs_shape: Any, steps_mask_shape: Any = None) -> None:
        self.score = self.add_weight(shape=(inputs_shape[-1], 1), name="score")

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        weights = masked_softmax((inputs @ self.score)[..., 0], steps_mask)
        return tf.einsum("bt,btc->bc", weights, inputs)[:, None]

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0], 1, inputs.shape[-1]), inputs.dtype)


def build_acnn(hyperparameters: AcnnHyperparameters, shapes: InputShapes) -> Network:
    """Build the network: convolutions of two widths, pooled over time, with attention, and a softmax for each view.

    (750, 26) -> twice (750, 100) relu -> (241, 200) -> flattened, beside (200,) of the attention -> softmax 4, 3, 3.

    Source:
        Neumann and Vu 2017, sections 2, 4 and 5. Choices of ours where the paper says nothing: relu; kernels of 10 and
        15 frames, centred on every frame; no regularisation but dropout. Deviates: real lengths in place of padding. A
        pooled step is the largest of its window's real frames; steps without any are 0 in the flattened maps and get
        no attention. The paper scales each speaker's frames by his own mean and deviation: a choice of the protocol,
        ``SpeakerScaling.OWN``.
    """
    branch = speech_input(shapes, hyperparameters)
    max_frames = min(hyperparameters.max_frames, shapes.speech_frames)
    max_steps = max(1, 1 + (max_frames - POOL_FRAMES) // POOL_STRIDE)
    names = MEL if hyperparameters.features is FrameFeatures.LOG_MEL else MFCC
    first, last = frame_columns(names[0], names[-1])
    cut = FirstSteps(max_frames, name="first_frames")
    mask, pooled_mask = None, None
    if branch.mask is not None:
        mask = cut(branch.mask)
        pooled_mask = FirstSteps(max_steps, name="pooled_mask")(EveryNth(POOL_STRIDE, name="window_mask")(mask))
    frames = MaskedSteps(name="frames")(Columns(first, last + 1, name="columns")(cut(branch.output)), mask)
    convolutions = [
        layers.Conv1D(hyperparameters.maps, width, padding="same", activation="relu", name=name)(frames)
        for name, width in (("convolution", hyperparameters.width), ("convolution2", hyperparameters.width2))
    ]
    # 0 is the least that relu gives, so that what follows the last frame is the largest of no window.
    maps = MaskedSteps(name="maps")(layers.Concatenate(name="both_widths")(convolutions), mask)
    padded = layers.ZeroPadding1D((0, POOL_FRAMES - 1), name="last_windows")(maps)
    windows = layers.MaxPooling1D(POOL_FRAMES, POOL_STRIDE, name="windows")(padded)
    pooled = FirstSteps(max_steps, name="pooled")(windows)
    if hyperparameters.attention is PooledAttention.SOFTMAX:
        attended = LinearAttention(name="attention")(pooled, pooled_mask)
        # In front, because the pooled steps of a batch may be fewer than there are weights for.
        pooled = layers.Concatenate(axis=1, name="attended_and_pooled")([attended, pooled])
        max_steps += 1
    hidden = layers.Dropout(hyperparameters.dropout, name="dropout")(pooled)
    weights = {}
    if hyperparameters.views is Views.MULTI:
        weights = {"activation": hyperparameters.activation_weight, "valence": hyperparameters.valence_weight}
    bounds = [0, len(CLASSES), *(len(CLASSES) + NUM_LEVELS * number for number in range(1, 1 + len(weights)))]
    scores = FlattenedDense(bounds[-1], max_steps, name="scores")(hidden)
    of_views = [
        Columns(start, stop, name=f"{view}_scores")(scores)
        for view, start, stop in zip(("emotion", *weights), bounds, bounds[1:], strict=False)
    ]
    model = keras.Model(branch.inputs, layers.Softmax(name="emotion")(of_views[0]), name="acnn")
    if not weights:
        return Network(model)
    logarithms = [layers.Activation("log_softmax")(part) for part in of_views]
    return Network(model, keras.Model(branch.inputs, layers.Concatenate()(logarithms)), weights)
