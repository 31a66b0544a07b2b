"""Short frames of speech as a network reads them: their numbers picked by name, with deltas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from harness.features.frames import frame_columns
from harness.models.inputs import Branch

#: Frames on each side of the one whose delta is taken. Ours: HTK's default; neither paper gives one.
DELTA_FRAMES = 2


@keras.saving.register_keras_serializable(package="harness")
class PickedColumns(layers.Layer):
    """Some columns of float (batch, steps, columns), in the order of their ``places``."""

    def __init__(self, places: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.places = list(places)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.gather(inputs, self.places, axis=-1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((*inputs.shape[:-1], len(self.places)), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": self.places}


@keras.saving.register_keras_serializable(package="harness")
class Deltas(layers.Layer):
    """The slope of each column at every step, a step: the regression over ``DELTA_FRAMES`` steps on each side.

    Call with float (batch, steps, columns) and a bool mask (batch, steps) or None; returns the same shape, 0 where no
    step is real. Beyond its ends the utterance's own first and last step count again: padding is never read.

    Source: Young et al., The HTK Book 3.4, section 5.9.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: tf.Tensor, steps_mask: tf.Tensor | None = None) -> tf.Tensor:
        steps, last = tf.range(tf.shape(inputs)[1]), last_step(inputs, steps_mask)[:, None]

        def shifted(offset: int) -> tf.Tensor:
            return tf.gather(inputs, clip_places(steps + offset, last), axis=1, batch_dims=1)

        offsets = range(1, DELTA_FRAMES + 1)
        slopes = tf.add_n([float(offset) * (shifted(offset) - shifted(-offset)) for offset in offsets])
        slopes /= 2.0 * sum(offset**2 for offset in offsets)
        return slopes if steps_mask is None else tf.where(steps_mask[..., None], slopes, 0.0)

    def compute_output_spec(self, inputs: Any, steps_mask: Any = None) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def last_step(inputs: tf.Tensor, steps_mask: tf.Tensor | None) -> tf.Tensor:
    """Return the place of the last real step of each utterance, int32 (batch,); -1 where there is none."""
    if steps_mask is None:
        return tf.fill(tf.shape(inputs)[:1], tf.shape(inputs)[1] - 1)
    return tf.reduce_sum(tf.cast(steps_mask, tf.int32), axis=1) - 1


def clip_places(places: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Move places before an utterance's first step to it, and those behind its last step to that one."""
    return tf.maximum(tf.minimum(places, last), 0)


def pick_frames(branch: Branch, *names: str) -> Branch:
    """Return some numbers of short frames, by their names in ``FRAME_COLUMNS``, and behind them their deltas.

    The deltas are of numbers that are already scaled: a choice of ours.
    """
    picked = PickedColumns(frame_columns(*names), name="speech_columns")(branch.output)
    deltas = Deltas(name="speech_deltas")(picked, branch.mask)
    return replace(branch, output=layers.Concatenate(name="speech_frames")([picked, deltas]))


def pick_column(branch: Branch, name: str) -> keras.KerasTensor:
    """Return one number of short frames, float32 (batch, frames): as it was given, without noise or dropout."""
    column = PickedColumns(frame_columns(name), name=f"speech_{name}")(branch.inputs["speech"])
    return layers.Reshape((-1,), name=f"speech_{name}_flat")(column)
