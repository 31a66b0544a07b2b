"""From one dialogue's files to its features, and to its *part*: the cached file that holds them.

Every file is read once, and what is missing is marked. A corpus is prepared from parts, so that a
second run reads only the dialogues whose files have changed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.codec import from_plain, to_plain
from harness.corpus.audio import SAMPLING_RATE, Recording, read_dialogue_left, read_recording
from harness.corpus.index import read_dialogue
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    irregularity_of,
    merge_irregularities,
    read_or_note,
)
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.mocap import MocapTrack, read_mocap, rows_between
from harness.corpus.utterances import Seconds, Utterance, parse_utterance_id
from harness.errors import FeatureError, ShapeError, one_line
from harness.features.manifest import utterance_from_json, utterance_to_json
from harness.features.mocap import (
    MOCAP_COLUMNS,
    NUM_MOCAP_COLUMNS,
    NUM_WINDOWS,
    average_windows,
    empty_windows,
)
from harness.features.speech import SpeechSettings, column_names, extract_speech
from harness.files import hash_file, hash_json, parse_json, read_npz, write_then_rename
from harness.splits.protocol import SpeechSource

#: Counts up when the same files give other features or another report.
INGEST_VERSION = 7

PARTS_NAME = "parts"

Floats = npt.NDArray[np.float32]
Tracks = Mapping[MocapStream, MocapTrack]

_ARRAYS = ("frames", "speech_lengths", "mocap", "mocap_empty")


@dataclass(frozen=True)
class DialogueRecord:
    """The contents of one dialogue but for its arrays.

    Attributes:
        utterances: of all labels, sorted by id
        irregularities: of all the dialogue's files
        file_hashes: SHA-256 of each file's content, by its path from the corpus's root
        mocap_columns: names of the columns of each stream that has a readable file
        num_present: utterances that have anything of a modality, by modality
        num_with_stream: utterances that have any number of a motion stream, by stream
    """

    utterances: tuple[Utterance, ...]
    irregularities: tuple[Irregularity, ...]
    file_hashes: Mapping[str, str]
    mocap_columns: Mapping[str, tuple[str, ...]]
    num_present: Mapping[str, int]
    num_with_stream: Mapping[str, int]


@dataclass(frozen=True)
class DialogueArrays:
    """The features of one dialogue's utterances, whatever their label, sorted by id.

    Attributes:
        frames: float32 (num_frames, num_columns), of all utterances, one after the other
        speech_lengths: int64 (num_utterances,), frames of each
        mocap: float32 (num_utterances, 200, 189), NaN where a marker was lost or there is no row; (0, 200, 189) where
            the settings hold no motion
        mocap_empty: bool (num_utterances, 200), windows in which no stream has a row; (0, 200) likewise
    """

    frames: Floats
    speech_lengths: npt.NDArray[np.int64]
    mocap: Floats
    mocap_empty: npt.NDArray[np.bool_]


def part_key(layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings) -> str:
    """Hash everything that decides a dialogue's part: its files' sizes and times, the settings, the code's version.

    Returns:
        16 hexadecimal digits
    """
    return hash_json(
        {
            "fingerprint": layout.fingerprint(dialogue_id),
            "macos_files": [layout.relative(path) for path in layout.macos_files(dialogue_id)],
            "settings": settings.identity,
            "ingest_version": INGEST_VERSION,
            "pyAudioAnalysis": version("pyAudioAnalysis"),
        }
    )


def part_path(prepared_dir: Path, dialogue_id: str, key: str) -> Path:
    """The file of a dialogue's part."""
    return prepared_dir / PARTS_NAME / f"{dialogue_id}.{key}.npz"


def make_part(layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings, path: Path) -> None:
    """Read one dialogue and write its part, whole or not at all; remove the parts of its earlier states."""
    record, arrays = read_features(layout, dialogue_id, settings)
    utterances = [utterance_to_json(utterance) for utterance in record.utterances]
    text = json.dumps({**to_plain(record), "utterances": utterances}).encode()
    named = {name: getattr(arrays, name) for name in _ARRAYS}
    with write_then_rename(path) as stream:
        np.savez(stream, allow_pickle=False, record=np.frombuffer(text, dtype=np.uint8), **named)
    for stale in path.parent.glob(f"{dialogue_id}.*.npz"):
        if stale != path:
            stale.unlink(missing_ok=True)


def has_part(path: Path) -> bool:
    """Say whether ``path`` is a whole part."""
    return zipfile.is_zipfile(path)


def read_record(path: Path) -> DialogueRecord:
    """Read a part without its arrays.

    Raises:
        FeatureError: the part is damaged
    """
    try:
        record = parse_json(read_npz(path, ["record"])["record"].tobytes())
        utterances = tuple(utterance_from_json(utterance) for utterance in record["utterances"])
        return replace(from_plain(DialogueRecord, {**record, "utterances": []}), utterances=utterances)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def read_arrays(path: Path, holds_motion: bool = True) -> DialogueArrays:
    """Read a part's arrays.

    Args:
        holds_motion: as the settings of the part

    Raises:
        FeatureError: the part is damaged, or its arrays do not fit each other
    """
    try:
        arrays = DialogueArrays(**read_npz(path, _ARRAYS))
        _check_shapes(arrays, holds_motion)
        return arrays
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def read_features(
    layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings
) -> tuple[DialogueRecord, DialogueArrays]:
    """Read one dialogue; no file of it, however damaged, makes this fail.

    Where the settings hold no motion, the files of motion are not opened but for the hash of their content; nor are
    recordings where the frames are a user's own, which are no part of a dialogue's arrays.
    """
    index = read_dialogue(layout, dialogue_id)
    found: list[Irregularity] = []
    speech, unheard = _extract_all(layout, dialogue_id, index.utterances, settings, found)
    moving = index.utterances if settings.holds_motion else ()
    tracks = _read_tracks(layout, dialogue_id, found) if settings.holds_motion else {}
    windows = [window_motion(tracks, turn.start, turn.end) for turn in moving]
    motion = {turn.utterance_id: values for turn, (values, _) in zip(moving, windows, strict=True)}
    num_rows = {turn.utterance_id: _count_rows(tracks, turn) for turn in index.utterances}
    found += _check_motion(layout, tracks, num_rows, motion)
    if settings.source is not SpeechSource.UTTERANCE:
        unheard = set()
    utterances = tuple(
        replace(
            turn,
            wav_path=None if turn.utterance_id in unheard else turn.wav_path,
            num_mocap_rows=num_rows[turn.utterance_id].get(MocapStream.FACE, 0),
        )
        for turn in index.utterances
    )
    # The index knows the window of the paper alone; here it is known who has a frame. A user's frames need no window.
    heard = {
        turn.utterance_id
        for turn, frames in zip(utterances, speech, strict=True)
        if len(frames) or settings.own is not None
    }
    indexed = [
        one
        for one in index.irregularities
        if one.kind is not IrregularityKind.SHORTER_THAN_WINDOW or one.utterance_id not in heard
    ]
    no_windows = np.zeros((0, NUM_WINDOWS, NUM_MOCAP_COLUMNS), dtype=np.float32)
    arrays = DialogueArrays(
        frames=np.concatenate([np.zeros((0, len(column_names(settings))), dtype=np.float32), *speech]),
        speech_lengths=np.array([len(frames) for frames in speech], dtype=np.int64),
        mocap=np.stack(list(motion.values())) if motion else no_windows,
        mocap_empty=np.array([empty for _, empty in windows], dtype=bool).reshape(-1, NUM_WINDOWS),
    )
    record = DialogueRecord(
        utterances=utterances,
        irregularities=merge_irregularities(indexed, found),
        file_hashes={layout.relative(path): _hash_file(path) for path in layout.dialogue_files(dialogue_id)},
        mocap_columns={stream.value: track.columns for stream, track in tracks.items()},
        num_present={
            "speech": int((arrays.speech_lengths > 0).sum()),
            "text": sum(turn.transcript is not None for turn in utterances),
            "mocap": int((~arrays.mocap_empty).any(axis=1).sum()),
        },
        num_with_stream={
            stream.value: int((~np.isnan(arrays.mocap[:, :, MOCAP_COLUMNS[stream]])).any(axis=(1, 2)).sum())
            for stream in MocapStream
        },
    )
    return record, arrays


def window_motion(tracks: Tracks, start: Seconds, end: Seconds) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Average the rows of one utterance in every stream.

    Returns:
        float32 (200, 189), NaN for a stream that ``tracks`` lacks; and bool (200,), windows without any row
    """
    windows = np.full((NUM_WINDOWS, NUM_MOCAP_COLUMNS), np.nan, dtype=np.float32)
    num_rows = 0
    for stream, track in tracks.items():
        rows = track.values[rows_between(track, start, end)]
        windows[:, MOCAP_COLUMNS[stream]] = average_windows(rows, NUM_WINDOWS)
        num_rows = max(num_rows, len(rows))
    return windows, empty_windows(num_rows, NUM_WINDOWS)


def _extract_all(
    layout: CorpusLayout,
    dialogue_id: str,
    utterances: tuple[Utterance, ...],
    settings: SpeechSettings,
    found: list[Irregularity],
) -> tuple[list[Floats], set[str]]:
    if settings.own is not None:
        return [np.zeros((0, settings.own.num_columns), dtype=np.float32) for _ in utterances], set()
    if settings.source is SpeechSource.DIALOGUE_LEFT:
        sounds = _cut_recordings(layout, dialogue_id, utterances, found)
    else:
        sounds = _own_recordings(layout, utterances, found)
    extracted, unheard = [], set()
    for utterance, (path, recording) in zip(utterances, sounds, strict=True):
        frames = np.zeros((0, len(column_names(settings))), dtype=np.float32)
        if recording is None:
            unheard.add(utterance.utterance_id)
        else:
            with suppress(ShapeError):
                frames = extract_speech(recording.samples, settings).astype(np.float32)
            if not len(frames):
                kind, detail = IrregularityKind.SHORTER_THAN_WINDOW, f"{recording.duration:.4f} s"
                found.append(irregularity_of(kind, path, detail, utterance.utterance_id))
        extracted.append(frames)
    return extracted, unheard


def _own_recordings(
    layout: CorpusLayout, utterances: tuple[Utterance, ...], found: list[Irregularity]
) -> Iterator[tuple[Path, Recording | None]]:
    for utterance in utterances:
        path = layout.utterance_wav_path(utterance.utterance_id)
        yield path, read_or_note(path, read_recording, found) if utterance.wav_path else None


def _cut_recordings(
    layout: CorpusLayout, dialogue_id: str, utterances: tuple[Utterance, ...], found: list[Irregularity]
) -> Iterator[tuple[Path, Recording | None]]:
    path = layout.dialogue_wav_path(dialogue_id)
    left = read_or_note(path, read_dialogue_left, found)
    for utterance in utterances:
        if left is None:
            kind, detail = IrregularityKind.MISSING_RECORDING, "no recording of the dialogue to cut it from"
            found.append(irregularity_of(kind, path, detail, utterance.utterance_id))
        yield path, None if left is None else _cut(left, utterance)


def _cut(recording: Recording, utterance: Utterance) -> Recording:
    if np.isnan(utterance.start) or np.isnan(utterance.end):
        return Recording(recording.samples[:0])
    first, last = (round(max(time, 0.0) * SAMPLING_RATE) for time in (utterance.start, utterance.end))
    return Recording(recording.samples[first:last])


def _read_tracks(layout: CorpusLayout, dialogue_id: str, found: list[Irregularity]) -> Tracks:
    paths = {stream: layout.mocap_path(dialogue_id, stream) for stream in MocapStream}
    read = {stream: read_or_note(path, partial(read_mocap, stream=stream), found) for stream, path in paths.items()}
    return {stream: track for stream, track in read.items() if track is not None}


def _count_rows(tracks: Tracks, utterance: Utterance) -> dict[MocapStream, int]:
    slices = {stream: rows_between(track, utterance.start, utterance.end) for stream, track in tracks.items()}
    return {stream: rows.stop - rows.start for stream, rows in slices.items()}


def _check_motion(
    layout: CorpusLayout,
    tracks: Tracks,
    num_rows: Mapping[str, Mapping[MocapStream, int]],
    motion: Mapping[str, Floats],
) -> Iterator[Irregularity]:
    """Yield the utterances with few rows, and those with rows of a stream but no number in them.

    A stream that has no number at all is not repeated for each utterance.
    """
    seen = [stream for stream, track in tracks.items() if not np.isnan(track.values).all()]
    for utterance_id, counts in num_rows.items():
        dialogue_id = parse_utterance_id(utterance_id).dialogue_id
        if min(counts.values(), default=NUM_WINDOWS) < NUM_WINDOWS:
            kind = IrregularityKind.FEW_MOCAP_ROWS if any(counts.values()) else IrregularityKind.NO_MOCAP_ROWS
            path = layout.mocap_path(dialogue_id, next(iter(counts)))
            detail = ", ".join(f"{stream} {count}" for stream, count in counts.items())
            yield irregularity_of(kind, path, f"rows: {detail}", utterance_id)
        for stream in seen:
            if counts[stream] and np.isnan(motion[utterance_id][:, MOCAP_COLUMNS[stream]]).all():
                path = layout.mocap_path(dialogue_id, stream)
                detail = f"no value in {counts[stream]} rows"
                yield irregularity_of(IrregularityKind.LOST_MOCAP, path, detail, utterance_id)


def _hash_file(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError:
        return "unreadable"


def _damaged(path: Path, error: Exception) -> FeatureError:
    return FeatureError(f"{str(path)!r}: cannot be read ({one_line(error)}); delete it and run harness prepare again")


def _check_shapes(arrays: DialogueArrays, holds_motion: bool) -> None:
    num_utterances = arrays.speech_lengths.size
    num_moved = num_utterances if holds_motion else 0
    expected: Mapping[str, tuple[npt.NDArray[Any], type[np.generic], tuple[int, ...]]] = {
        "speech_lengths": (arrays.speech_lengths, np.int64, (num_utterances,)),
        "frames": (arrays.frames, np.float32, (int(arrays.speech_lengths.sum()), *arrays.frames.shape[1:2])),
        "mocap": (arrays.mocap, np.float32, (num_moved, NUM_WINDOWS, NUM_MOCAP_COLUMNS)),
        "mocap_empty": (arrays.mocap_empty, np.bool_, (num_moved, NUM_WINDOWS)),
    }
    for name, (array, dtype, shape) in expected.items():
        if array.dtype != dtype or array.shape != shape or array.ndim == 1 != (name == "speech_lengths"):
            raise ValueError(f"{name} is {array.dtype.str} {array.shape}; expected {np.dtype(dtype).str} {shape}")
    if (arrays.speech_lengths < 0).any():
        raise ValueError("speech_lengths falls below 0")
