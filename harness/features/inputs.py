"""Batches as the models take them, under the choices of a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.corpus.layout import MocapStream
from harness.features.gathered import Features, Rows
from harness.features.mocap import MOCAP_COLUMNS
from harness.features.text import PADDING_ID, Tokenizer
from harness.splits import Chroma, HeadAndHand, Lengths, ListenerMocap, MocapGaps, Scaling

if TYPE_CHECKING:
    from harness.features.fitted import FittedFeatures

Batch = dict[str, npt.NDArray[Any]]
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True)
class EncodedWords:
    """The word ids of some utterances, one after the other.

    Attributes:
        ids: int32, the words of all utterances
        offsets: int64 (num_utterances,), where an utterance's words begin
        lengths: int32 (num_utterances,)
    """

    ids: Counts
    offsets: npt.NDArray[np.int64]
    lengths: Counts

    @classmethod
    def encode(
        cls, tokenizer: Tokenizer, transcripts: tuple[str | None, ...], max_words: int
    ) -> EncodedWords:
        """Encode transcripts; of too many words the last ones are kept, as Keras's pad_sequences does."""
        encoded = [_last(tokenizer.encode(transcript), max_words) for transcript in transcripts]
        lengths = np.array([len(ids) for ids in encoded], dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[:-1]
        flat = [number for ids in encoded for number in ids]
        return cls(np.array([*flat, PADDING_ID], dtype=np.int32), offsets.astype(np.int64), lengths)

    def pad(self, rows: Rows, width: int, on_the_left: bool) -> Counts:
        """Lay out some utterances' ids, padded with 0.

        Returns:
            int32 (num_rows, width)
        """
        lengths = self.lengths[rows][:, None]
        position = np.arange(width) - (width - lengths if on_the_left else 0)
        is_word = (position >= 0) & (position < lengths)
        place = np.where(is_word, self.offsets[rows][:, None] + position, len(self.ids) - 1)
        return self.ids[place]


@dataclass(frozen=True)
class Inputs:
    """The features of some utterances, ready to be cut into batches.

    Attributes:
        words: None where the model takes no text
    """

    fitted: FittedFeatures
    features: Features
    words: EncodedWords | None

    @property
    def lengths(self) -> Mapping[str, npt.NDArray[Any]]:
        """Steps of each utterance by modality, to make batches of like length: ``speech`` and ``text``.

        Under ``Lengths.PADDED`` all have the full length.
        """
        lengths: dict[str, npt.NDArray[Any]] = {}
        if self.fitted.speech is not None:
            lengths["speech"] = self._padded(self.features.speech_lengths, self.features.speech_shape[0])
        if self.words is not None:
            lengths["text"] = self._padded(self.words.lengths, self.fitted.protocol.max_words)
        return lengths

    def batch(self, rows: Rows) -> Batch:
        """Return what a model takes for some utterances, by modality.

        Returns:
            ``speech`` float32 (num_rows, num_frames, num_columns) and ``speech_lengths`` int32 (num_rows,):
            scaled, 0 beyond an utterance's length, cut to the longest of the batch.
            ``text`` int32 (num_rows, num_words): ids, padded with 0 on the right, cut to the longest of the batch.
            ``mocap`` float32 (num_rows, 200, 189) and ``mocap_lengths`` int32 (num_rows,): scaled, without NaN,
            with the windows up to the last one that has anything.
            A missing recording or transcript has the length 0; there is always at least one step.
            Under ``Lengths.PADDED`` all utterances have the full length, as ``..._lengths`` say too, and
            words are padded on the left.
        """
        asked = np.asarray(rows, dtype=np.int64)
        batch: Batch = {}
        if self.fitted.speech is not None:
            batch["speech"], batch["speech_lengths"] = self._speech(asked)
        if self.words is not None:
            batch["text"] = self._text(asked, self.words)
        if self.fitted.mocap is not None:
            batch["mocap"], batch["mocap_lengths"] = self._mocap(asked)
        return batch

    @property
    def _is_padded(self) -> bool:
        return self.fitted.protocol.lengths is Lengths.PADDED

    def _padded(self, lengths: npt.NDArray[Any], full_length: int) -> npt.NDArray[Any]:
        return np.full_like(lengths, full_length) if self._is_padded else lengths

    def _speech(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], Counts]:
        assert self.fitted.speech is not None
        protocol = self.fitted.protocol
        lengths = self.features.speech_lengths[rows].astype(np.int32)
        width = self.features.speech_shape[0] if self._is_padded else _longest(lengths)
        frames = self.features.speech(rows, num_frames=width)
        if protocol.scaling is Scaling.STANDARDISED:
            self.fitted.speech.scale(frames)
            frames[np.arange(width) >= lengths[:, None]] = 0.0
        if protocol.chroma is Chroma.ZEROS:
            frames[:, :, self.fitted.chroma_columns] = 0.0
        return frames, self._padded(lengths, width)

    def _text(self, rows: npt.NDArray[np.int64], words: EncodedWords) -> Counts:
        width = self.fitted.protocol.max_words if self._is_padded else _longest(words.lengths[rows])
        return words.pad(rows, width, on_the_left=self._is_padded)

    def _mocap(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], Counts]:
        assert self.fitted.mocap is not None
        protocol = self.fitted.protocol
        windows = self.features.mocap(rows)
        is_lost = np.isnan(windows)
        lengths = np.full(len(rows), windows.shape[1], dtype=np.int32)
        if not self._is_padded:
            lengths = _last_seen(np.asarray(~is_lost.all(axis=2)))
        if protocol.mocap_gaps is MocapGaps.ZEROS:
            np.copyto(windows, 0.0, where=is_lost)
        if protocol.scaling is Scaling.STANDARDISED:
            self.fitted.mocap.scale(windows)
            if protocol.mocap_gaps is MocapGaps.TRAINING_MEAN:
                np.copyto(windows, 0.0, where=is_lost)
        elif protocol.mocap_gaps is MocapGaps.TRAINING_MEAN:
            np.copyto(windows, self.fitted.mocap.mean, where=is_lost)
        if protocol.head_and_hand is HeadAndHand.ZEROS:
            for stream in (MocapStream.HEAD, MocapStream.HAND):
                windows[:, :, MOCAP_COLUMNS[stream]] = 0.0
        if protocol.listener_mocap is ListenerMocap.MASKED:
            windows[~self.features.is_marked[rows]] = 0.0
        return windows, lengths


def _last_seen(seen: npt.NDArray[np.bool_]) -> Counts:
    """Steps up to the last one that was seen, int32 (num_rows,), of bool (num_rows, num_steps)."""
    return np.asarray((np.arange(1, seen.shape[1] + 1) * seen).max(axis=1), dtype=np.int32)


def _last(ids: list[int], count: int) -> list[int]:
    return ids[max(0, len(ids) - count) :]


def _longest(lengths: Counts) -> int:
    return max(1, int(lengths.max(initial=0)))
