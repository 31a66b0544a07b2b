"""The one small file that says what a folder of prepared features holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.codec import check_types
from harness.corpus.layout import MocapStream
from harness.errors import FeatureError, one_line
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.speech import SpeechSettings, column_names
from harness.files import read_json, write_json

MODALITIES = ("speech", "text", "mocap")
MANIFEST_NAME = "manifest.json"
#: What a message tells the reader to do about a damaged file of prepared features.
PREPARE_AGAIN = f"delete the {MANIFEST_NAME} above it and run harness prepare again"
#: Counts up when the folder's files change their meaning.
FORMAT_VERSION = 2


@dataclass(frozen=True)
class ArrayRecord:
    """One ``.npy`` file of a session."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class SessionRecord:
    """What the files of one session hold.

    Attributes:
        num_utterances: of every label: the lines of ``utterances.jsonl``
        num_four_class: the rows of every array, sorted by utterance id
        arrays: by name; the file is ``<name>.npy``. ``mocap_empty``, bool (num_four_class, 200), marks the
            windows in which no stream has a row; it is there for readers of the folder, no model takes it
        utterances_sha256, utterances_num_bytes: of ``utterances.jsonl``
    """

    num_utterances: int
    num_four_class: int
    arrays: Mapping[str, ArrayRecord]
    utterances_sha256: str
    utterances_num_bytes: int


@dataclass(frozen=True)
class Manifest:
    """Everything that one needs to know before any array is opened.

    Attributes:
        corpus_path: as it was given; says nothing of the content
        corpus_hash: SHA-256 over every source file's place and content
        modalities: those of which the corpus has anything at all
        mocap_streams: those of which a four-class utterance has any number at all, in the order of the columns
        versions: of what computed the features, by name
        sessions: by number
        source_hash: over the sizes and times of the source files and all else that changes the features:
            what a second run compares first
    """

    corpus_path: str
    corpus_hash: str
    speech_settings: SpeechSettings
    speech_columns: tuple[str, ...]
    mocap_columns: tuple[str, ...]
    modalities: tuple[str, ...]
    mocap_streams: tuple[MocapStream, ...]
    versions: Mapping[str, str]
    sessions: Mapping[int, SessionRecord]
    source_hash: str

    def write(self, prepared_dir: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        record = {
            **asdict(self),
            "format_version": FORMAT_VERSION,
            "speech_settings": self.speech_settings.to_json(),
        }
        write_json(prepared_dir / MANIFEST_NAME, record)

    @classmethod
    def read(cls, prepared_dir: Path) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            FeatureError: there is none, it is damaged, or of another format version
        """
        path = prepared_dir / MANIFEST_NAME
        try:
            record = read_json(path)
        except FileNotFoundError as error:
            raise FeatureError(
                f"prepared features {str(prepared_dir)!r}: there is no {MANIFEST_NAME}; "
                "make them with: harness prepare CORPUS --into DIR"
            ) from error
        except (OSError, ValueError) as error:
            raise FeatureError(
                f"prepared features {str(prepared_dir)!r}: {MANIFEST_NAME} cannot be read ({one_line(error)}); "
                "delete it and run harness prepare again"
            ) from error
        return cls._from_record(record, prepared_dir)

    @classmethod
    def _from_record(cls, record: Any, prepared_dir: Path) -> Manifest:
        version = record.get("format_version") if isinstance(record, dict) else None
        if version != FORMAT_VERSION:
            raise FeatureError(
                f"prepared features {str(prepared_dir)!r}: found format version {version!r}; "
                f"expected {FORMAT_VERSION}; run harness prepare again"
            )
        try:
            manifest = cls(
                corpus_path=record["corpus_path"],
                corpus_hash=record["corpus_hash"],
                speech_settings=SpeechSettings.from_json(record["speech_settings"]),
                speech_columns=tuple(record["speech_columns"]),
                mocap_columns=tuple(record["mocap_columns"]),
                modalities=tuple(record["modalities"]),
                mocap_streams=tuple(MocapStream(name) for name in record["mocap_streams"]),
                versions=record["versions"],
                sessions={int(key): _session_record(value) for key, value in record["sessions"].items()},
                source_hash=record["source_hash"],
            )
            check_types(manifest)
            for session in manifest.sessions.values():
                check_types(session)
                _check_arrays(manifest, session)
            return manifest
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise FeatureError(
                f"prepared features {str(prepared_dir)!r}: {MANIFEST_NAME} lacks something ({error!r}); "
                "delete it and run harness prepare again"
            ) from error


def _session_record(record: Mapping[str, Any]) -> SessionRecord:
    arrays = {
        name: ArrayRecord(**{**value, "shape": tuple(value["shape"])})
        for name, value in record["arrays"].items()
    }
    return SessionRecord(**{**record, "arrays": arrays})


def _check_arrays(manifest: Manifest, session: SessionRecord) -> None:
    """What a trial makes of the features follows from the settings: arrays of other shapes would break it late."""
    if manifest.speech_columns != column_names(manifest.speech_settings):
        raise ValueError(f"speech_columns has {len(manifest.speech_columns)} names that are not those of the settings")
    for name, record in session.arrays.items():
        check_types(record)
        shape, dtype = array_shapes(session.num_four_class, manifest.speech_settings).get(name, (None, None))
        if (record.shape, record.dtype) != (shape, dtype):
            raise ValueError(f"array {name!r} is {record.dtype} {record.shape}; expected {dtype} {shape}")


def array_shapes(num_rows: int, settings: SpeechSettings) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every array that a session may have."""
    return {
        "speech": ((num_rows, settings.max_frames, len(column_names(settings))), "<f4"),
        "speech_lengths": ((num_rows,), "<i8"),
        "mocap": ((num_rows, NUM_WINDOWS, NUM_MOCAP_COLUMNS), "<f4"),
        "mocap_rows": ((num_rows,), "<i8"),
        "mocap_empty": ((num_rows, NUM_WINDOWS), "|b1"),
    }
