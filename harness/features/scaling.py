"""The mean and the deviation of each column, over training utterances or over the turns of one speaker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import Utterance
from harness.features.frames import UNSCALED

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Bytes of features in memory at once while statistics are fitted; sums take about as much again.
CHUNK_BYTES = 16 * 2**20
#: Seconds of the training utterances' mean and deviation that count as if a speaker had begun with them, where only his
#: or her turns so far are read. Ours: about two utterances.
BACKGROUND_SECONDS = 10.0
#: The same of motion, whose windows are a fixed number an utterance: those of two utterances.
BACKGROUND_WINDOWS = 400
#: The mean functionals of training count as those of so many more turns of a speaker. Ours.
BACKGROUND_TURNS = 10


@dataclass(frozen=True)
class ColumnScaling:
    """The scaling that gives each column the mean 0 and the deviation 1 over the utterances that were measured.

    Attributes:
        mean, std: float32 (num_columns,), in the unit of the column. A column that never changes keeps a
            ``std`` of 1, and one without any value a ``mean`` of 0 as well
    """

    mean: Floats
    std: Floats

    def scale(self, values: Floats) -> None:
        """Subtract the mean and divide by the deviation, in place.

        Args:
            values: float32 (..., num_columns); NaN stays NaN
        """
        np.subtract(values, self.mean, out=values)
        np.divide(values, self.std, out=values)


def chunks(num_rows: int, values_per_row: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the numbers of rows, int64, in pieces of ``CHUNK_BYTES`` of float32 values."""
    size = max(1, CHUNK_BYTES // (4 * values_per_row))
    for first in range(0, num_rows, size):
        yield np.arange(first, min(first + size, num_rows))


class Moments:
    """Count, mean and squared deviation of each column, chunk after chunk.

    Source: Chan, Golub and LeVeque, The American Statistician (1983), for joining two parts' sums.
    """

    def __init__(self, num_columns: int) -> None:
        self._count = np.zeros(num_columns)
        self._mean = np.zeros(num_columns)
        self._squares = np.zeros(num_columns)

    def copy(self) -> Moments:
        """Return the same, which stays as it is while this one grows."""
        copied = Moments(len(self._count))
        copied._join(self._count, self._mean, self._squares)
        return copied

    def shrink(self, background: ColumnScaling, count: float, columns: Sequence[str] = ()) -> ColumnScaling:
        """Join ``count`` rows of another mean and deviation: the fewer rows are known, the more it is theirs.

        Args:
            count: 0 for the scaling of these rows alone
            columns: as ``finish`` takes them
        """
        joined = self.copy()
        size = np.full(len(self._count), count)
        joined._join(size, background.mean.astype(np.float64), size * background.std.astype(np.float64) ** 2)
        return joined.finish(columns)

    def shrink_mean(self, background: Floats, count: float) -> Floats:
        """Return the mean, float32 (num_columns,), after ``count`` rows of another mean have joined."""
        joined = self.copy()
        joined._join(np.full(len(self._count), count), background.astype(np.float64), np.zeros(len(self._count)))
        return joined._mean.astype(np.float32)

    def add(self, values: Floats) -> None:
        """Join the rows of ``values``, of which this takes ownership; NaN is left out."""
        is_lost = np.isnan(values)
        count = len(values) - is_lost.sum(axis=0, dtype=np.float64)
        np.copyto(values, 0.0, where=is_lost)
        some = np.maximum(count, 1.0)
        mean = values.sum(axis=0, dtype=np.float64) / some
        values -= mean.astype(np.float32)
        np.copyto(values, 0.0, where=is_lost)
        rest = values.sum(axis=0, dtype=np.float64) / some
        np.square(values, out=values)
        squares = values.sum(axis=0, dtype=np.float64) - count * rest**2
        self._join(count, mean.astype(np.float32) + rest, squares)

    def _join(self, count: Doubles, mean: Doubles, squares: Doubles) -> None:
        joined = np.maximum(self._count + count, 1.0)
        difference = mean - self._mean
        self._squares += squares + difference**2 * self._count * count / joined
        self._mean += difference * count / joined
        self._count += count

    def finish(self, columns: Sequence[str] = ()) -> ColumnScaling:
        """The mean and the deviation (divided by the count) of every column; 0 and 1 of those named ``UNSCALED``."""
        deviation = np.sqrt(np.maximum(self._squares, 0.0) / np.maximum(self._count, 1.0))
        std = deviation.astype(np.float32)
        smallest = np.abs(self._mean).astype(np.float32) * np.finfo(np.float32).eps
        std[std <= smallest] = 1.0
        mean = self._mean.astype(np.float32)
        is_unscaled = np.isin(columns, UNSCALED)
        if len(is_unscaled):
            mean[is_unscaled], std[is_unscaled] = 0.0, 1.0
        return ColumnScaling(mean, std)


#: The ids of some turns, and their rows one after the other: float32 (num_rows, num_columns), which are overwritten.
Turns = tuple[Sequence[str], Floats]


class TurnMoments:
    """The moments of the turns that scale an utterance; they are read when the first of them is to be scaled.

    Args:
        turns_of: yields the turns that an utterance is measured with, itself among them, in the order of time
        before: of the rows that precede them
        is_past: whether only the turns up to an utterance, itself included, count for it; all of them do otherwise
    """

    def __init__(self, turns_of: Callable[[Utterance], Iterable[Turns]], before: Moments, is_past: bool) -> None:
        self._turns_of = turns_of
        self._before = before
        self._is_past = is_past
        self._known: dict[str, Moments] = {}

    def __call__(self, utterance: Utterance) -> Moments:
        """Return the moments that scale an utterance."""
        if utterance.utterance_id not in self._known:
            moments, found = self._before.copy(), dict[str, Moments]()
            for names, values in self._turns_of(utterance):
                moments.add(values)
                found |= dict.fromkeys(names, moments.copy() if self._is_past else moments)
            self._known |= found
        return self._known[utterance.utterance_id]


@dataclass(frozen=True)
class SpeakerMoments:
    """The moments that scale each utterance by its speaker.

    Attributes:
        speech, motion: of an utterance; None for motion that the training utterances scale
        functionals: of the speech as these scale it, one row a turn; of no use where only the turns so far count
        is_past: whether they are of the turns so far, which some of training's mean and deviation precedes
    """

    speech: Callable[[Utterance], Moments]
    motion: Callable[[Utterance], Moments | None]
    functionals: Callable[[Utterance], Moments]
    is_past: bool
