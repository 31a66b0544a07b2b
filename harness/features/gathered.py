"""The features of some utterances, gathered from where they lie only when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES, Utterance
from harness.errors import FeatureError
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.speech import SpeechSettings

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.integer] | Sequence[int]


@dataclass(frozen=True, eq=False)
class Features:
    """Unscaled features of some utterances, in the order in which they were asked for.

    Attributes:
        speech_lengths: int64 (num_utterances,), frames that are there; 0 where there is no sound
        mocap_rows: int64 (num_utterances,), rows of the face file; 0 where there is no motion
        speech_columns: what stands in a frame
    """

    utterances: tuple[Utterance, ...]
    speech_lengths: npt.NDArray[np.int64]
    mocap_rows: npt.NDArray[np.int64]
    speech_settings: SpeechSettings
    speech_columns: tuple[str, ...]
    _blocks: tuple[Mapping[str, npt.NDArray[Any]], ...] = field(repr=False)
    _block_of: npt.NDArray[np.int64] = field(repr=False)
    _row_of: npt.NDArray[np.int64] = field(repr=False)

    @classmethod
    def from_arrays(
        cls,
        utterances: Sequence[Utterance],
        speech_settings: SpeechSettings,
        speech_columns: Sequence[str],
        arrays: Mapping[str, npt.NDArray[Any]],
    ) -> Features:
        """Hold arrays that are in memory already, as a session's files have them.

        Args:
            arrays: ``speech``, ``speech_lengths``, ``mocap``, ``mocap_rows``; a missing modality has none
        """
        nothing = np.zeros(len(utterances), dtype=np.int64)
        return cls(
            utterances=tuple(utterances),
            speech_lengths=arrays.get("speech_lengths", nothing),
            mocap_rows=arrays.get("mocap_rows", nothing),
            speech_settings=speech_settings,
            speech_columns=tuple(speech_columns),
            _blocks=(arrays,),
            _block_of=nothing,
            _row_of=np.arange(len(utterances)),
        )

    def __len__(self) -> int:
        return len(self.utterances)

    @cached_property
    def emotions(self) -> npt.NDArray[np.int64]:
        """int64 (num_utterances,), each an index into ``CLASSES``; -1 for another label."""
        numbers = {emotion: number for number, emotion in enumerate(CLASSES)}
        return np.array([numbers.get(utterance.emotion, -1) for utterance in self.utterances], dtype=np.int64)

    @property
    def utterance_ids(self) -> tuple[str, ...]:
        """The ids, in the order asked for."""
        return tuple(utterance.utterance_id for utterance in self.utterances)

    @property
    def transcripts(self) -> tuple[str | None, ...]:
        """What was said; None where the corpus does not tell."""
        return tuple(utterance.transcript for utterance in self.utterances)

    @cached_property
    def is_marked(self) -> npt.NDArray[np.bool_]:
        """bool (num_utterances,), whether the motion is the speaker's own."""
        return np.array([utterance.is_marked for utterance in self.utterances], dtype=bool)

    @property
    def speech_shape(self) -> tuple[int, int]:
        """Most frames of an utterance, and numbers of a frame."""
        return self.speech_settings.max_frames, len(self.speech_columns)

    @property
    def mocap_shape(self) -> tuple[int, int]:
        """Windows of an utterance, and columns of a window."""
        return NUM_WINDOWS, NUM_MOCAP_COLUMNS

    def speech(self, rows: Rows, num_frames: int | None = None) -> Floats:
        """Copy the frames of some utterances, the first ``num_frames`` or all.

        Returns:
            float32 (num_rows, num_frames, num_columns), 0 beyond an utterance's length

        Raises:
            FeatureError: the corpus has no speech
        """
        shape = (self.speech_shape[0] if num_frames is None else num_frames, self.speech_shape[1])
        return self._gather("speech", rows, shape)

    def mocap(self, rows: Rows) -> Floats:
        """Copy the windows of some utterances.

        Returns:
            float32 (num_rows, 200, 189), NaN where a marker was lost or the window has no row

        Raises:
            FeatureError: the corpus has no mocap
        """
        return self._gather("mocap", rows, self.mocap_shape)

    def _gather(self, name: str, rows: Rows, shape: tuple[int, int]) -> Floats:
        asked = np.asarray(rows, dtype=np.int64)
        gathered = np.empty((len(asked), *shape), dtype=np.float32)
        blocks = self._block_of[asked]
        for block in np.unique(blocks):
            if name not in self._blocks[block]:
                raise FeatureError(
                    f"these features hold no {name}; the corpus they were prepared from has none"
                )
            is_here = blocks == block
            gathered[is_here] = self._blocks[block][name][self._row_of[asked[is_here]], : shape[0]]
        return gathered
