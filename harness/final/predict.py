"""The emotion of one recording, its words and its motion, by a saved model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpus.audio import read_recording
from harness.corpus.irregularities import Irregularity, IrregularityKind, irregularity_of
from harness.corpus.layout import MocapStream
from harness.corpus.mocap import read_mocap, rows_between
from harness.corpus.utterances import Emotion, Seconds, Utterance, scene_of
from harness.errors import CorpusError, ModelError
from harness.features.mocap import MOCAP_COLUMNS, NUM_MOCAP_COLUMNS, NUM_WINDOWS, average_windows
from harness.features.speech import SpeechSettings, column_names, extract_speech
from harness.features.store import Features
from harness.final.saved_model import ModelRecord, load_seed, predict_seed
from harness.splits.scenes import find_group

#: How each modality is given on the command line.
OPTIONS = {"speech": "a recording as WAV", "text": "the words as --text", "mocap": "a motion file as --mocap"}


@dataclass(frozen=True)
class Recorded:
    """One utterance as a user gives it; None for a missing input.

    Attributes:
        mocap_path: the face file of the corpus's layout; hand and head lie in the folders beside it
        start, end: seconds, the utterance's part of the motion files
    """

    wav_path: Path | None = None
    transcript: str | None = None
    mocap_path: Path | None = None
    start: Seconds = -math.inf
    end: Seconds = math.inf


@dataclass(frozen=True)
class Classification:
    """The answer of a model for one utterance.

    Attributes:
        probabilities: of each class, from 0 to 1, in the order of the model's outputs
        irregularities: of the files that the model read, in the order of reading
    """

    probabilities: Mapping[Emotion, float]
    irregularities: tuple[Irregularity, ...]


def predict(model_dir: Path, recorded: Recorded, scene: str | None = None) -> Classification:
    """Average the probabilities of a model's seeds for one utterance.

    Where scenes were disjoint in training, each seed has one network a group of scenes: all of them answer, for a new
    recording plays no scene that one of them has read.

    Args:
        scene: of the corpus, such as ``impro03``, if the utterance plays one; then only the networks answer that have
            not read it, as in a test evaluation

    Raises:
        ModelError: the model is damaged, was trained with a modality that ``recorded`` lacks, or ``scene`` is none or
            was read by every network
        CorpusError: a file cannot be read as what it should be
        ShapeError: the recording is shorter than one window
    """
    record = ModelRecord.read(model_dir)
    given = {"speech": recorded.wav_path, "text": recorded.transcript, "mocap": recorded.mocap_path}
    for modality in record.modalities:
        if given[modality] is None:
            raise ModelError(
                f"model {str(model_dir)!r}: was trained with {', '.join(sorted(record.modalities))}, "
                f"and {modality} is missing; expected {OPTIONS[modality]} too"
            )
    group = None if scene is None else _group_without(record, scene, model_dir)
    features, irregularities = read_recorded(record, recorded)
    if group is None:
        probabilities = [predict_seed(model_dir, record, seed, features)[0] for seed in record.seeds]
    else:
        probabilities = [load_seed(model_dir, seed, group).predict(features)[0] for seed in record.seeds]
    mean = np.mean(probabilities, axis=0)
    named = {Emotion(name): float(value) for name, value in zip(record.classes, mean, strict=True)}
    return Classification(named, irregularities)


def _group_without(record: ModelRecord, scene: str, model_dir: Path) -> int:
    """Return the number of the group whose networks have not read a scene."""
    if not record.scene_groups:
        raise ModelError(
            f"model {str(model_dir)!r}: was trained with scenes shared, so its networks have read every scene; omit "
            "--scene"
        )
    try:
        found = scene_of(f"Ses01F_{scene}")
    except CorpusError:
        raise ModelError(
            f"scene {scene!r}: is not in the corpus; expected one like 'impro03' or 'script01_1'"
        ) from None
    return find_group([frozenset(group) for group in record.scene_groups], found) + 1


def read_recorded(record: ModelRecord, recorded: Recorded) -> tuple[Features, tuple[Irregularity, ...]]:
    """Read the inputs of a model for one utterance, and the irregularities of their files.

    Raises:
        ModelError, CorpusError, ShapeError: as ``predict``
    """
    found: list[Irregularity] = []
    settings = SpeechSettings.from_json(record.speech_settings) if record.speech_settings else SpeechSettings()
    columns = column_names(settings)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if "speech" in record.modalities and recorded.wav_path is not None:
        frames = _read_frames(recorded.wav_path, settings, found)
        speech = np.zeros((1, settings.max_frames, len(columns)), np.float32)
        speech[0, : len(frames)] = frames
        arrays |= {"speech": speech, "speech_lengths": np.array([len(frames)], np.int64)}
    if "mocap" in record.modalities and recorded.mocap_path is not None:
        windows, num_rows = _read_windows(recorded, recorded.mocap_path, found)
        arrays |= {"mocap": windows[None], "mocap_rows": np.array([num_rows], np.int64)}
    # Features need an id; this one says nothing about the recording.
    utterance = Utterance(
        utterance_id="Ses01F_impro01_F000",
        emotion=Emotion.UNDECIDED,
        valence=math.nan,
        activation=math.nan,
        dominance=math.nan,
        start=0.0,
        end=0.0,
        transcript=recorded.transcript,
        wav_path=None,
        num_mocap_rows=0,
    )
    return Features.from_arrays([utterance], settings, columns, arrays), tuple(found)


def _read_frames(path: Path, settings: SpeechSettings, found: list[Irregularity]) -> np.ndarray[Any, Any]:
    if not path.is_file():
        raise ModelError(f"recording {str(path)!r}: no such file; expected a wav file")
    recording, irregularities = read_recording(path)
    if recording is None:
        raise ModelError(f"recording {str(path)!r}: {irregularities[0].detail}; expected a wav file with sound")
    found += irregularities
    return extract_speech(recording.samples, settings)


def _read_windows(
    recorded: Recorded, face_path: Path, found: list[Irregularity]
) -> tuple[np.ndarray[Any, Any], int]:
    windows = np.full((NUM_WINDOWS, NUM_MOCAP_COLUMNS), np.nan, np.float32)
    num_rows = dict.fromkeys(MocapStream, 0)
    for stream in MocapStream:
        path = face_path if stream is MocapStream.FACE else face_path.parents[1] / stream.folder / face_path.name
        if not path.is_file():
            raise ModelError(
                f"motion file {str(path)!r}: no such file; expected the corpus's layout, with the {stream} file "
                f"in {stream.folder!r} beside {MocapStream.FACE.folder!r}"
            )
        track, irregularities = read_mocap(path, stream)
        found += irregularities
        rows = rows_between(track, recorded.start, recorded.end)
        windows[:, MOCAP_COLUMNS[stream]] = average_windows(track.values[rows], NUM_WINDOWS)
        num_rows[stream] = rows.stop - rows.start
    if num_rows[MocapStream.FACE] == 0:
        raise ModelError(
            f"motion file {str(face_path)!r}: has no row between {recorded.start} s and {recorded.end} s; "
            "expected --start and --end inside the recording"
        )
    if min(num_rows.values()) < NUM_WINDOWS:
        detail = ", ".join(f"{stream} {count}" for stream, count in num_rows.items())
        found.append(irregularity_of(IrregularityKind.FEW_MOCAP_ROWS, face_path, f"rows: {detail}"))
    return windows, num_rows[MocapStream.FACE]
