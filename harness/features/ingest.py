"""One dialogue's files to features: every file is read once, and what is missing is marked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.corpus.audio import SAMPLING_RATE, Recording, read_dialogue_left, read_recording
from harness.corpus.index import DialogueIndex, four_class, read_dialogue, with_mocap_rows
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    irregularity_of,
    merge_irregularities,
)
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.mocap import MocapTrack, read_mocap, rows_between
from harness.corpus.utterances import Seconds, Utterance
from harness.errors import CorpusError, ShapeError
from harness.features.mocap import (
    MOCAP_COLUMNS,
    NUM_MOCAP_COLUMNS,
    NUM_WINDOWS,
    average_windows,
    empty_windows,
)
from harness.features.speech import SpeechSettings, column_names, extract_speech
from harness.splits.protocol import SpeechSource

Floats = npt.NDArray[np.float32]
Tracks = Mapping[MocapStream, MocapTrack]
SoundReader = Callable[[Path], tuple[Recording | None, list[Irregularity]]]


@dataclass(frozen=True)
class DialogueRecord:
    """What one dialogue has, in words.

    Attributes:
        utterances: of all labels, sorted by id
        irregularities: of all the dialogue's files
        file_hashes: SHA-256 of each file's content, by its path from the corpus's root
        mocap_columns: names of the columns of each stream that has a readable file
        num_present: four-class utterances that have anything of a modality, by modality
        num_with_stream: four-class utterances that have any number of a motion stream, by stream
    """

    utterances: tuple[Utterance, ...]
    irregularities: tuple[Irregularity, ...]
    file_hashes: Mapping[str, str]
    mocap_columns: Mapping[str, tuple[str, ...]]
    num_present: Mapping[str, int]
    num_with_stream: Mapping[str, int]


@dataclass(frozen=True)
class DialogueArrays:
    """The features of one dialogue's four-class utterances, sorted by id.

    Attributes:
        frames: float32 (num_frames, num_columns), of all utterances, one after the other
        speech_lengths: int64 (num_utterances,), frames of each
        mocap: float32 (num_utterances, 200, 189), NaN where a marker was lost or there is no row
        mocap_empty: bool (num_utterances, 200), windows in which no stream has a row
    """

    frames: Floats
    speech_lengths: npt.NDArray[np.int64]
    mocap: Floats
    mocap_empty: npt.NDArray[np.bool_]


def read_features(
    layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings
) -> tuple[DialogueRecord, DialogueArrays]:
    """Read one dialogue; no file of it, however damaged, makes this fail."""
    index = read_dialogue(layout, dialogue_id)
    found: list[Irregularity] = []
    speech, unheard = _extract_all(layout, dialogue_id, four_class(index.utterances), settings, found)
    tracks = _read_tracks(layout, dialogue_id, found)
    is_own = settings.source is SpeechSource.UTTERANCE
    utterances = tuple(
        replace(utterance, wav_path=None) if utterance.utterance_id in unheard and is_own else utterance
        for utterance in with_mocap_rows(index.utterances, _count_rows(tracks, index.utterances))
    )
    found += _tell_few_rows(layout, tracks, utterances)
    windows = [window_motion(tracks, turn.start, turn.end) for turn in four_class(utterances)]
    found += _tell_lost(layout, tracks, four_class(utterances), [values for values, _ in windows])
    no_windows = np.zeros((0, NUM_WINDOWS, NUM_MOCAP_COLUMNS), dtype=np.float32)
    arrays = DialogueArrays(
        frames=np.concatenate([np.zeros((0, len(column_names(settings))), dtype=np.float32), *speech]),
        speech_lengths=np.array([len(frames) for frames in speech], dtype=np.int64),
        mocap=np.stack([values for values, _ in windows]) if windows else no_windows,
        mocap_empty=np.array([empty for _, empty in windows], dtype=bool).reshape(-1, NUM_WINDOWS),
    )
    record = DialogueRecord(
        utterances=utterances,
        irregularities=merge_irregularities(_without_frames(index, speech), found),
        file_hashes={layout.relative(path): _hash_file(path) for path in layout.dialogue_files(dialogue_id)},
        mocap_columns={stream.value: track.columns for stream, track in tracks.items()},
        num_present=_count_present(four_class(utterances), arrays),
        num_with_stream=_count_streams(arrays.mocap),
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


def _without_frames(index: DialogueIndex, speech: list[Floats]) -> list[Irregularity]:
    # The index knows the window of the paper alone; here it is known who has a frame.
    chosen = four_class(index.utterances)
    heard = {turn.utterance_id for turn, frames in zip(chosen, speech, strict=True) if len(frames)}
    return [
        found
        for found in index.irregularities
        if found.kind is not IrregularityKind.SHORTER_THAN_WINDOW or found.utterance_id not in heard
    ]


def _count_present(utterances: Sequence[Utterance], arrays: DialogueArrays) -> dict[str, int]:
    return {
        "speech": int((arrays.speech_lengths > 0).sum()),
        "text": sum(utterance.transcript is not None for utterance in utterances),
        "mocap": int((~arrays.mocap_empty).any(axis=1).sum()),
    }


def _count_streams(mocap: Floats) -> dict[str, int]:
    return {
        stream.value: int((~np.isnan(mocap[:, :, MOCAP_COLUMNS[stream]])).any(axis=(1, 2)).sum())
        for stream in MocapStream
    }


def _extract_all(
    layout: CorpusLayout,
    dialogue_id: str,
    utterances: tuple[Utterance, ...],
    settings: SpeechSettings,
    found: list[Irregularity],
) -> tuple[list[Floats], set[str]]:
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
        yield path, _read_sound(path, read_recording, found) if utterance.wav_path else None


def _cut_recordings(
    layout: CorpusLayout, dialogue_id: str, utterances: tuple[Utterance, ...], found: list[Irregularity]
) -> Iterator[tuple[Path, Recording | None]]:
    path = layout.dialogue_wav_path(dialogue_id)
    left = _read_sound(path, read_dialogue_left, found)
    for utterance in utterances:
        if left is None:
            kind, detail = IrregularityKind.MISSING_RECORDING, "no recording of the dialogue to cut it from"
            found.append(irregularity_of(kind, path, detail, utterance.utterance_id))
        yield path, None if left is None else _cut(left, utterance)


def _read_sound(path: Path, read: SoundReader, found: list[Irregularity]) -> Recording | None:
    if not path.exists():
        return None
    try:
        recording, irregularities = read(path)
    except CorpusError as error:
        found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
        return None
    found += irregularities
    return recording


def _cut(recording: Recording, utterance: Utterance) -> Recording:
    if np.isnan(utterance.start) or np.isnan(utterance.end):
        return Recording(recording.samples[:0])
    first, last = (round(max(time, 0.0) * SAMPLING_RATE) for time in (utterance.start, utterance.end))
    return Recording(recording.samples[first:last])


def _read_tracks(layout: CorpusLayout, dialogue_id: str, found: list[Irregularity]) -> Tracks:
    tracks = {}
    for stream in MocapStream:
        path = layout.mocap_path(dialogue_id, stream)
        if not path.exists():
            continue
        try:
            tracks[stream], irregularities = read_mocap(path, stream)
        except CorpusError as error:
            found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
            continue
        found += irregularities
    return tracks


def _count_rows(tracks: Tracks, utterances: tuple[Utterance, ...]) -> dict[str, int]:
    face = tracks.get(MocapStream.FACE)
    if face is None:
        return {}
    slices = {
        utterance.utterance_id: rows_between(face, utterance.start, utterance.end) for utterance in utterances
    }
    return {utterance_id: rows.stop - rows.start for utterance_id, rows in slices.items()}


def _tell_few_rows(
    layout: CorpusLayout, tracks: Tracks, utterances: tuple[Utterance, ...]
) -> list[Irregularity]:
    few = []
    for utterance in utterances:
        counts = {}
        for stream, track in tracks.items():
            rows = rows_between(track, utterance.start, utterance.end)
            counts[stream] = rows.stop - rows.start
        if min(counts.values(), default=NUM_WINDOWS) < NUM_WINDOWS:
            is_none = max(counts.values()) == 0
            kind = IrregularityKind.NO_MOCAP_ROWS if is_none else IrregularityKind.FEW_MOCAP_ROWS
            path = layout.mocap_path(utterance.name.dialogue_id, next(iter(counts)))
            detail = ", ".join(f"{stream} {count}" for stream, count in counts.items())
            few.append(irregularity_of(kind, path, f"rows: {detail}", utterance.utterance_id))
    return few


def _tell_lost(
    layout: CorpusLayout, tracks: Tracks, utterances: Sequence[Utterance], windows: Sequence[Floats]
) -> list[Irregularity]:
    """Tell the utterances that have rows of a stream and not one number in them, unless no row has."""
    whole = [stream for stream, track in tracks.items() if not np.isnan(track.values).all()]
    lost = []
    for utterance, values in zip(utterances, windows, strict=True):
        for stream in whole:
            rows = rows_between(tracks[stream], utterance.start, utterance.end)
            if rows.stop > rows.start and np.isnan(values[:, MOCAP_COLUMNS[stream]]).all():
                path = layout.mocap_path(utterance.name.dialogue_id, stream)
                detail = f"no value in {rows.stop - rows.start} rows"
                lost.append(irregularity_of(IrregularityKind.LOST_MOCAP, path, detail, utterance.utterance_id))
    return lost


def _hash_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"
