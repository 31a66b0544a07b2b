"""The functionals of an utterance: statistics of each number of a frame over its real frames. No TensorFlow here.

``models.uni_svm.Functionals`` is the same as a layer of a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

# store.py imports this module.
if TYPE_CHECKING:
    from harness.features.store import Features

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

#: Of the values of each number of a frame. Ours.
QUANTILES = (0.1, 0.5, 0.9)
#: Of each number of a frame: mean, deviation, the quantiles, and mean and deviation of the differences.
NUM_FUNCTIONALS = 4 + len(QUANTILES)
#: Numbers of frames that are in memory at once, each 8 bytes: of 512 utterances with the frames of the paper.
_READ_TOGETHER = 512 * 100 * 34


def summarise_speech(features: Features, rows: Rows) -> Floats:
    """Return mean and standard deviation of each number of a frame, over an utterance's real frames.

    Args:
        rows: utterances that have a frame

    Returns:
        float64 (num_rows, 2 * num_columns), the means first
    """
    summaries = []
    for frames, lengths in read_frames(features, rows):
        is_real = np.arange(frames.shape[1]) < lengths[:, None]
        summaries.append(np.concatenate(_mean_and_deviation(frames, is_real), axis=1))
    return np.concatenate(summaries)


def compute_functionals(features: Features, rows: Rows) -> Floats:
    """Return the functionals of some utterances, float64 (num_rows, 7 * num_columns); else as ``functionals_of``.

    Args:
        rows: utterances that have a frame
    """
    return np.concatenate([functionals_of(frames, lengths) for frames, lengths in read_frames(features, rows)])


def functionals_of(frames: Floats, lengths: Rows) -> Floats:
    """Return seven statistics of each number of a frame, over an utterance's real frames.

    They are mean, deviation, the three ``QUANTILES`` (interpolated as NumPy does), and mean and deviation of the
    differences between neighbouring frames, which are 0 where one frame is real.

    Args:
        frames: float64 (num_utterances, num_frames, num_columns), the real ones first
        lengths: int64 (num_utterances,), of the real ones; at least 1

    Returns:
        float64 (num_utterances, 7 * num_columns), each statistic of all columns after the other
    """
    is_real = np.arange(frames.shape[1]) < lengths[:, None]
    # Frames that are not real come last.
    ordered = np.sort(np.where(is_real[..., None], frames, np.inf), axis=1)
    place = (lengths[:, None] - 1) * np.array(QUANTILES)
    below, above = (
        np.take_along_axis(ordered, each.astype(np.int64)[..., None], axis=1)
        for each in (np.floor(place), np.ceil(place))
    )
    quantiles = (below + (place - np.floor(place))[..., None] * (above - below)).reshape(len(frames), -1)
    steps = _mean_and_deviation(np.diff(frames, axis=1), is_real[:, 1:])
    return np.concatenate([*_mean_and_deviation(frames, is_real), quantiles, *steps], axis=1)


def read_frames(features: Features, rows: Rows) -> Iterator[tuple[Floats, Rows]]:
    """Yield the frames of some utterances, float64 (some, num_frames, num_columns), and their lengths."""
    num_together = max(1, _READ_TOGETHER // math.prod(features.speech_shape))
    for start in range(0, len(rows), num_together):
        some = rows[start : start + num_together]
        yield features.speech(some).astype(np.float64), features.speech_lengths[some].astype(np.int64)


def _mean_and_deviation(values: Floats, is_real: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    count = np.maximum(is_real.sum(axis=1), 1)[:, None].astype(np.float64)
    mean = np.where(is_real[..., None], values, 0.0).sum(axis=1) / count
    squares = np.where(is_real[..., None], (values - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    return mean, np.sqrt(squares)
