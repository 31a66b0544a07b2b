"""The motion of a dialogue once its file is read: rows in the order of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.corpus.irregularities import IrregularityKind
from harness.corpus.utterances import Seconds

#: Columns before the values: frame number and time.
NUM_LEADING = 2

#: Times the usual step between two rows that make a gap: jitter is far below it, a tenth of a second above.
GAP_STEPS = 10

Problems = list[tuple[IrregularityKind, str]]


@dataclass(frozen=True)
class MocapTrack:
    """The motion of one dialogue in one stream.

    Attributes:
        times: float64 (num_rows,), seconds from the beginning of the dialogue, never falling
        values: float32 (num_rows, num_columns), in the unit of the file; NaN marks a lost marker
        columns: one name a column, from the file's header
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    columns: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the file that have a time."""
        return len(self.times)


def rows_between(track: MocapTrack, start: Seconds, end: Seconds) -> slice:
    """Find the rows of an utterance: start < time < end.

    Returns:
        a slice of the track's rows; empty where none lies between, or a bound is NaN

    Example:
        >>> track = MocapTrack(np.array([0.5, 1.0, 1.5, 2.0]), np.zeros((4, 6), np.float32), ())
        >>> rows_between(track, 0.5, 2.0)
        slice(1, 3, None)
    """
    first = int(np.searchsorted(track.times, start, side="right"))
    last = int(np.searchsorted(track.times, end, side="left"))
    return slice(first, max(first, 0 if np.isnan(end) else last))


def make_track(table: NDArray[np.float64], columns: tuple[str, ...], problems: Problems) -> MocapTrack:
    """Make a track of the rows of a file, telling in ``problems`` what is wrong with them.

    Args:
        table: float64 (num_rows, 2 + num_columns): frame, time in seconds, values
    """
    times = table[:, 1].copy()
    with np.errstate(over="ignore"):
        values = table[:, NUM_LEADING:].astype(np.float32, order="C")
    is_timed = np.isfinite(times)
    if not is_timed.all():
        problems.append((IrregularityKind.ROWS_WITHOUT_TIME, f"{int((~is_timed).sum())} rows"))
        times, values = times[is_timed], values[is_timed]
    num_falls = int((np.diff(times) < 0).sum())
    if num_falls:
        problems.append((IrregularityKind.UNORDERED_ROWS, f"time falls {num_falls} times"))
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    is_infinite = np.isinf(values)
    if is_infinite.any():
        problems.append((IrregularityKind.INFINITE_VALUES, f"{int(is_infinite.sum())} values"))
        values[is_infinite] = np.nan
    problems += _describe_gaps(times)
    if len(values) and np.isnan(values[:, 0]).all() and np.isnan(values).all():
        problems.append((IrregularityKind.LOST_MOCAP, f"no value in {len(values)} rows"))
    return MocapTrack(times, values, columns)


def _describe_gaps(times: NDArray[np.float64]) -> Problems:
    steps = np.diff(times)
    if not len(steps):
        return []
    is_gap = steps > GAP_STEPS * np.median(steps)
    if not is_gap.any():
        return []
    longest = int(steps.argmax())
    detail = f"{int(is_gap.sum())} gaps, the longest of {steps[longest]:.3f} s from {times[longest]:.3f} s on"
    return [(IrregularityKind.MOCAP_GAP, detail)]
