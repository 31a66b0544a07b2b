"""Corpus files written by hand, for tests: a few turns, seconds of sound, rows of motion."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.corpus.layout import CorpusLayout, MocapStream

COMPLETE = "Ses01F_impro01"
WITHOUT_MOCAP = "Ses05M_script01_1b"

#: Turn, label, start and end in seconds, what was said.
TURNS = {
    COMPLETE: (
        ("F000", "neu", 0.5, 1.5, "Excuse me."),
        ("M000", "ang", 1.75, 2.25, "I said: [LAUGHTER] no."),
        ("F001", "xxx", 2.5, 3.0, "[LAUGHTER]"),
        ("M001", "sad", 3.0, 3.75, "Oh."),
    ),
    WITHOUT_MOCAP: (
        ("M000", "exc", 0.25, 1.0, "They're here!"),
        ("F000", "fru", 1.0, 2.0, "Who is?"),
    ),
}
DIALOGUE_SECONDS = 4.0
MOCAP_RATE = 20

HEADER = b"% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"


def wav_bytes(
    samples: NDArray[np.generic],
    sampling_rate: int = 16000,
    encoding: int = 1,
    sample_bytes: int | None = None,
) -> bytes:
    """A wav file of ``samples`` (num_samples,) or (num_samples, num_channels), as their dtype is."""
    num_channels = 1 if samples.ndim == 1 else samples.shape[1]
    sample_bytes = sample_bytes or samples.dtype.itemsize
    data = samples.tobytes()
    frame_bytes = sample_bytes * num_channels
    byte_rate = sampling_rate * frame_bytes
    fields = (encoding, num_channels, sampling_rate, byte_rate, frame_bytes, 8 * sample_bytes)
    chunk = struct.pack("<HHIIHH", *fields)
    body = b"WAVEfmt " + struct.pack("<I", len(chunk)) + chunk + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tone(seconds: float, sampling_rate: int = 16000, hertz: float = 440.0) -> NDArray[np.int16]:
    """A tone at half of full scale."""
    times = np.arange(round(seconds * sampling_rate)) / sampling_rate
    samples: NDArray[np.int16] = np.rint(16384 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)
    return samples


def mocap_values(stream: MocapStream, num_rows: int) -> NDArray[np.float64]:
    """Values of which each tells its row and its column: row + column / 1000."""
    return np.arange(num_rows)[:, None] + np.arange(stream.num_columns) / 1000


def mocap_bytes(stream: MocapStream, values: NDArray[np.float64]) -> bytes:
    """A mocap file of rows from 1 / MOCAP_RATE seconds on."""
    num_markers = stream.num_columns // 3
    markers = " ".join(f"M{number}" for number in range(1, num_markers + 1))
    lines = [f"Frame# Time {markers}", " ".join(["X Y Z"] * num_markers)]
    for row, numbers in enumerate(values, start=1):
        fields = ("NaN" if np.isnan(number) else f"{number:.5f}" for number in numbers)
        lines.append(f"{row} {row / MOCAP_RATE:.5f} {' '.join(fields)}")
    return "".join(f"{line}\n" for line in lines).encode()


def label_bytes(dialogue_id: str) -> bytes:
    """The label file of ``TURNS``, with a rater's line and attributes after each turn."""
    blocks = [
        f"[{start:.4f} - {end:.4f}]\t{dialogue_id}_{turn}\t{emotion}\t[2.5000, 3.0000, 3.5000]\n"
        "C-E1:\tAnger;\t()\nC-F1:\tOther; Neutral;\t(a bit)\nA-E3:\tval 2; act 4; dom  4;\t()\n"
        for turn, emotion, start, end, _ in TURNS[dialogue_id]
    ]
    return HEADER + "\n".join(blocks).encode()


def transcript_bytes(dialogue_id: str) -> bytes:
    """The transcript file of ``TURNS``."""
    lines = [
        f"{dialogue_id}_{turn} [{start:08.4f}-{end:08.4f}]: {said}\n"
        for turn, _, start, end, said in TURNS[dialogue_id]
    ]
    return "".join(lines).encode()


def write_file(path: Path, data: bytes) -> Path:
    """Write ``data``, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_tiny_corpus(root: Path) -> CorpusLayout:
    """Two dialogues, six utterances; the second dialogue has no mocap, nothing else is missing."""
    layout = CorpusLayout(root)
    for dialogue_id, turns in TURNS.items():
        write_file(layout.annotation_path(dialogue_id), label_bytes(dialogue_id))
        write_file(layout.transcript_path(dialogue_id), transcript_bytes(dialogue_id))
        left = tone(DIALOGUE_SECONDS)
        write_file(layout.dialogue_wav_path(dialogue_id), wav_bytes(np.stack([left, -left // 2], axis=1)))
        for turn, _, start, end, _ in turns:
            write_file(layout.utterance_wav_path(f"{dialogue_id}_{turn}"), wav_bytes(tone(end - start)))
    for stream in MocapStream:
        values = mocap_values(stream, num_rows=round(DIALOGUE_SECONDS * MOCAP_RATE))
        write_file(layout.mocap_path(COMPLETE, stream), mocap_bytes(stream, values))
    return layout
