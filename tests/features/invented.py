"""Features made by hand, for tests whose numbers the reader can work out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.corpus.utterances import Emotion, Utterance
from harness.features.speech import SHORT_TERM_COLUMNS, SpeechSettings
from harness.features.store import Features

SETTINGS = SpeechSettings(max_frames=4)


def make_utterance(
    utterance_id: str, emotion: Emotion = Emotion.NEUTRAL, transcript: str | None = "so what"
) -> Utterance:
    """An utterance of which only what a test names matters."""
    return Utterance(utterance_id, emotion, 2.5, 2.5, 2.5, 0.0, 1.0, transcript, None, 0)


def make_features(
    transcripts: Sequence[str | None],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    ids: Sequence[str] | None = None,
    settings: SpeechSettings = SETTINGS,
) -> Features:
    """Features of one utterance a transcript, spoken by the marked actor unless ``ids`` say otherwise."""
    ids = ids or [f"Ses01F_impro01_F{number:03d}" for number in range(len(transcripts))]
    utterances = [make_utterance(name, transcript=text) for name, text in zip(ids, transcripts, strict=True)]
    return Features.from_arrays(utterances, settings, SHORT_TERM_COLUMNS, arrays or {})


def make_speech(lengths: Sequence[int], values: Sequence[float]) -> dict[str, NDArray[Any]]:
    """Frames whose 34 numbers are the utterance's value plus the frame's number, and 0 beyond the length."""
    speech = np.zeros((len(lengths), SETTINGS.max_frames, len(SHORT_TERM_COLUMNS)), dtype=np.float32)
    for row, (length, value) in enumerate(zip(lengths, values, strict=True)):
        speech[row, :length] = value + np.arange(length)[:, None]
    return {"speech": speech, "speech_lengths": np.array(lengths, dtype=np.int64)}


def make_mocap(values: Sequence[float]) -> dict[str, NDArray[Any]]:
    """Windows that hold one value an utterance."""
    mocap = np.empty((len(values), 200, 189), dtype=np.float32)
    mocap[:] = np.array(values, dtype=np.float32)[:, None, None]
    return {"mocap": mocap, "mocap_rows": np.full(len(values), 200)}
