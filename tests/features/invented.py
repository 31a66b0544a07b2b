"""Features made by hand, for tests whose numbers the reader can work out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.corpus.utterances import Emotion, Utterance
from harness.features.prepare import prepare_corpus
from harness.features.speech import SHORT_TERM_COLUMNS, SpeechSettings
from harness.features.store import Features
from tests.corpus.written import write_tiny_corpus

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


#: The turns of ``write_two_speakers`` by id, as the arrays' rows are; in time the woman's come before the man's.
TWO_SPEAKERS = [f"Ses01F_impro01_{turn}" for turn in ("F000", "F001", "M000", "M001")]


def write_two_speakers(folder: Path, constant_column: int | None = None) -> Path:
    """Prepare a tiny corpus in which the man's numbers of speech lie 40 above the woman's; return its features' folder.

    Args:
        constant_column: of the woman's speech, which is 2 throughout; None for no such column
    """
    layout = write_tiny_corpus(folder / "corpus")
    prepare_corpus(layout.root, folder / "prepared", SpeechSettings(), jobs=1)
    path = folder / "prepared/Session1/speech.npy"
    speech, lengths = np.load(path), np.load(path.with_name("speech_lengths.npy"))
    values = np.random.default_rng(1).normal(5.0, 3.0, size=speech.shape).astype(np.float32)
    values[2:] += 40.0
    if constant_column is not None:
        values[:2, :, constant_column] = 2.0
    np.save(path, np.where((np.arange(speech.shape[1]) < lengths[:, None])[..., None], values, 0.0))
    return folder / "prepared"
