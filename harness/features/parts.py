"""One cached file a dialogue, so that a second run does only what is missing."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.codec import check_types
from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.corpus.layout import CorpusLayout
from harness.errors import FeatureError, one_line
from harness.features.ingest import DialogueArrays, DialogueRecord, read_features
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.speech import SpeechSettings
from harness.features.utterance_list import utterance_from_json, utterance_to_json
from harness.files import read_npz, write_then_rename

#: Counts up when the same files give other features or are told of in another way.
INGEST_VERSION = 3

PARTS_NAME = "parts"

_ARRAYS = ("frames", "speech_lengths", "mocap", "mocap_empty")


def part_key(layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings) -> str:
    """Hash what decides a dialogue's part: its files' sizes and times, the settings, the code's version.

    Returns:
        16 hexadecimal digits
    """
    inputs = {
        "fingerprint": layout.fingerprint(dialogue_id),
        "macos_files": [layout.relative(path) for path in layout.macos_files(dialogue_id)],
        "settings": settings.to_json(),
        "ingest_version": INGEST_VERSION,
        "pyAudioAnalysis": version("pyAudioAnalysis"),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def part_path(prepared_dir: Path, dialogue_id: str, key: str) -> Path:
    """Where a dialogue's part lies."""
    return prepared_dir / PARTS_NAME / f"{dialogue_id}.{key}.npz"


def make_part(layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings, path: Path) -> None:
    """Read one dialogue and write its part, whole or not at all; parts of its earlier states are removed."""
    record, arrays = read_features(layout, dialogue_id, settings)
    text = json.dumps(_record_to_json(record)).encode()
    named = {name: getattr(arrays, name) for name in _ARRAYS}
    with write_then_rename(path) as stream:
        np.savez(stream, allow_pickle=False, record=np.frombuffer(text, dtype=np.uint8), **named)
    for stale in path.parent.glob(f"{dialogue_id}.*.npz"):
        if stale != path:
            stale.unlink(missing_ok=True)


def has_part(path: Path) -> bool:
    """Whether a whole part lies at ``path``."""
    return zipfile.is_zipfile(path)


def read_record(path: Path) -> DialogueRecord:
    """Read what a part says in words, without its arrays.

    Raises:
        FeatureError: the part is damaged
    """
    try:
        record = _record_from_json(json.loads(read_npz(path, ["record"])["record"].tobytes()))
        check_types(record)
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def read_arrays(path: Path) -> DialogueArrays:
    """Read a part's arrays.

    Raises:
        FeatureError: the part is damaged, or its arrays do not fit each other
    """
    try:
        arrays = DialogueArrays(**read_npz(path, _ARRAYS))
        _check_shapes(arrays)
        return arrays
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FeatureError:
    return FeatureError(f"{str(path)!r}: cannot be read ({one_line(error)}); delete it and run harness prepare again")


def _check_shapes(arrays: DialogueArrays) -> None:
    num_utterances = arrays.speech_lengths.size
    expected: Mapping[str, tuple[npt.NDArray[Any], type[np.generic], tuple[int, ...]]] = {
        "speech_lengths": (arrays.speech_lengths, np.int64, (num_utterances,)),
        "frames": (arrays.frames, np.float32, (int(arrays.speech_lengths.sum()), *arrays.frames.shape[1:2])),
        "mocap": (arrays.mocap, np.float32, (num_utterances, NUM_WINDOWS, NUM_MOCAP_COLUMNS)),
        "mocap_empty": (arrays.mocap_empty, np.bool_, (num_utterances, NUM_WINDOWS)),
    }
    for name, (array, dtype, shape) in expected.items():
        if array.dtype != dtype or array.shape != shape or array.ndim == 1 != (name == "speech_lengths"):
            raise ValueError(f"{name} is {array.dtype.str} {array.shape}; expected {np.dtype(dtype).str} {shape}")
    if (arrays.speech_lengths < 0).any():
        raise ValueError("speech_lengths falls below 0")


def _record_to_json(record: DialogueRecord) -> dict[str, Any]:
    return {
        "utterances": [utterance_to_json(utterance) for utterance in record.utterances],
        "irregularities": [asdict(irregularity) for irregularity in record.irregularities],
        "file_hashes": dict(record.file_hashes),
        "mocap_columns": dict(record.mocap_columns),
        "num_present": dict(record.num_present),
        "num_with_stream": dict(record.num_with_stream),
    }


def _record_from_json(record: Mapping[str, Any]) -> DialogueRecord:
    irregularities = tuple(
        Irregularity(**{**irregularity, "kind": IrregularityKind(irregularity["kind"])})
        for irregularity in record["irregularities"]
    )
    for irregularity in irregularities:
        check_types(irregularity)
    return DialogueRecord(
        utterances=tuple(utterance_from_json(utterance) for utterance in record["utterances"]),
        irregularities=irregularities,
        file_hashes=record["file_hashes"],
        mocap_columns={stream: tuple(names) for stream, names in record["mocap_columns"].items()},
        num_present=record["num_present"],
        num_with_stream=record["num_with_stream"],
    )
