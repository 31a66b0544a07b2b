"""Motion to windows: the mean position of every marker in consecutive parts of an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from harness.corpus.layout import MocapStream
from harness.errors import ShapeError

#: Windows of an utterance. Source: paper, section 3.
NUM_WINDOWS = 200

#: The columns of each stream in a window, in the order in which the paper's text names them.
MOCAP_COLUMNS: Mapping[MocapStream, slice] = MappingProxyType(
    {
        MocapStream.FACE: slice(0, 165),
        MocapStream.HAND: slice(165, 183),
        MocapStream.HEAD: slice(183, 189),
    }
)
NUM_MOCAP_COLUMNS = sum(stream.num_columns for stream in MocapStream)


def average_windows(frames: npt.NDArray[np.floating], num_windows: int) -> npt.NDArray[np.float64]:
    """Average motion frames into a fixed number of consecutive windows.

    Windows differ by at most one frame; the longer ones come first. NaN marks
    a lost marker and is left out of its window's mean.

    Args:
        frames: float (num_frames, num_columns), in the unit of the file
        num_windows: windows to return, at least 1

    Returns:
        float64 (num_windows, num_columns), in the unit of ``frames``;
        NaN only where a marker was lost for the whole window, or the
        window has no frame

    Raises:
        ShapeError: ``frames`` is not 2-D, or ``num_windows`` is below 1

    Source:
        paper, section 3. Deviates: a lost marker is left out instead of counting as it stands.

    Example:
        >>> average_windows(np.array([[0.0], [2.0], [4.0]]), num_windows=2)
        array([[1.],
               [4.]])
    """
    if frames.ndim != 2:
        raise ShapeError(f"motion frames have shape {frames.shape}; expected (num_frames, num_columns)")
    if num_windows < 1:
        raise ShapeError(f"motion windows: num_windows is {num_windows}; expected at least 1")
    values = frames.astype(np.float64)
    shorter, num_longer = divmod(len(values), num_windows)
    cut = num_longer * (shorter + 1)
    return np.concatenate(
        [
            _average_even(values[:cut], num_windows=num_longer),
            _average_even(values[cut:], num_windows=num_windows - num_longer),
        ]
    )


def empty_windows(num_frames: int, num_windows: int) -> npt.NDArray[np.bool_]:
    """Mark the windows of ``average_windows`` that have no frame: the last ones, if there are fewer frames.

    Example:
        >>> empty_windows(2, num_windows=3)
        array([False, False,  True])
    """
    return np.arange(num_windows) >= num_frames


def fill_from_neighbours(windows: npt.NDArray[np.float32], lengths: npt.NDArray[np.integer]) -> None:
    """Fill the lost values of each column from the nearest windows in which it was seen, in place.

    Between two such windows the value lies on the straight line between theirs; before the first and after the last it
    is theirs. A column that an utterance never shows stays NaN, and so do the windows behind its length.

    Args:
        windows: float32 (num_utterances, num_windows, num_columns), NaN where a value was lost
        lengths: windows of each utterance, up to the last one that shows anything

    Example:
        >>> windows = np.array([[[1.0], [np.nan], [3.0], [np.nan], [np.nan]]], np.float32)
        >>> fill_from_neighbours(windows, np.array([4]))
        >>> windows[0, :, 0].tolist()
        [1.0, 2.0, 3.0, 3.0, nan]
    """
    for utterance, length in zip(windows, lengths, strict=True):
        part = utterance[:length]
        is_lost = np.isnan(part)
        for column in np.flatnonzero(is_lost.any(axis=0) & ~is_lost.all(axis=0)):
            lost = is_lost[:, column]
            part[lost, column] = np.interp(np.flatnonzero(lost), np.flatnonzero(~lost), part[~lost, column])


def _average_even(values: npt.NDArray[np.float64], num_windows: int) -> npt.NDArray[np.float64]:
    num_columns = values.shape[1]
    if not len(values):
        return np.full((num_windows, num_columns), np.nan)
    windows = values.reshape(num_windows, -1, num_columns)
    lost = np.isnan(windows)
    if not lost.any():
        return np.asarray(windows.mean(axis=1))
    num_seen = windows.shape[1] - lost.sum(axis=1)
    sums = np.where(lost, 0.0, windows).sum(axis=1)
    return np.asarray(np.divide(sums, num_seen, out=np.full(sums.shape, np.nan), where=num_seen > 0))
