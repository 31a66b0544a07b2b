"""The records of a folder of prepared features: ``manifest.json``, and each session's ``utterances.jsonl``."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.codec import from_plain, may_be_missing, to_plain
from harness.corpus.layout import MocapStream
from harness.corpus.utterances import Emotion, Utterance, parse_utterance_id
from harness.errors import FeatureError, one_line, show_value
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.own import OwnFeatures
from harness.features.speech import SpeechSettings, column_names
from harness.files import parse_json, read_json, read_regular, write_json

MODALITIES = ("speech", "text", "mocap")
MANIFEST_NAME = "manifest.json"
UTTERANCES_NAME = "utterances.jsonl"
#: The end of every message about a damaged file of prepared features.
PREPARE_AGAIN = f"delete the {MANIFEST_NAME} above it and run harness prepare again"
#: Counts up when the folder's files change their meaning.
FORMAT_VERSION = 4


@dataclass(frozen=True)
class ArrayRecord:
    """One ``.npy`` file of a session."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class SessionRecord:
    """The contents of one session's files.

    Attributes:
        num_utterances: of every label: the lines of ``utterances.jsonl`` and the rows of every array, both sorted
            by utterance id
        arrays: by name; the file is ``<name>.npy``. ``mocap_empty``, bool (num_utterances, 200), marks the
            windows in which no stream has a row; it is there for readers of the folder, no model takes it
        utterances_sha256, utterances_num_bytes: of ``utterances.jsonl``
    """

    num_utterances: int
    arrays: Mapping[str, ArrayRecord]
    utterances_sha256: str
    utterances_num_bytes: int


@dataclass(frozen=True)
class Manifest:
    """The description of prepared features, read before any array is opened.

    Attributes:
        corpus_path: as it was given; another path may hold the same corpus
        corpus_hash: SHA-256 over every source file's place and content
        modalities: those of which the folder has anything at all: of the corpus's, or without the motion where the
            settings leave it out
        mocap_streams: those of which an utterance has any number at all, in the order of the columns
        versions: of the software that computed the features, by name
        sessions: by number
        source_hash: over the sizes and times of the source files and all else that changes the features;
            a second run compares it first
        text_features: a user's file that stands for the words; None where words are read
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
    text_features: OwnFeatures | None = may_be_missing(None)

    @property
    def own_modalities(self) -> tuple[str, ...]:
        """The modalities whose numbers come from a user's file."""
        return tuple(self._own)

    def describe_files(self) -> tuple[str, ...]:
        """Say in a sentence each which user's file stands for a modality."""
        return tuple(f"Features of {modality} come from {own.describe()}." for modality, own in self._own.items())

    @property
    def _own(self) -> dict[str, OwnFeatures]:
        given = {"speech": self.speech_settings.own, "text": self.text_features}
        return {modality: own for modality, own in given.items() if own is not None}

    def write(self, prepared_dir: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        write_json(prepared_dir / MANIFEST_NAME, {**to_plain(self), "format_version": FORMAT_VERSION})

    @classmethod
    def read(cls, prepared_dir: Path) -> Manifest:
        """Read ``manifest.json``.

        Raises:
            FeatureError: there is none, it is damaged, or of another format version
        """
        named = f"prepared features {str(prepared_dir)!r}"
        try:
            record = read_json(prepared_dir / MANIFEST_NAME)
            version = record.pop("format_version", None) if isinstance(record, dict) else None
            if version == FORMAT_VERSION:
                return cls._from_plain(record)
        except FileNotFoundError as error:
            raise FeatureError(
                f"{named}: there is no {MANIFEST_NAME}; make them with: harness prepare CORPUS --into DIR"
            ) from error
        except (OSError, ValueError) as error:
            raise FeatureError(
                f"{named}: {MANIFEST_NAME} cannot be read ({one_line(error)}); delete it and run harness prepare again"
            ) from error
        raise FeatureError(
            f"{named}: found format version {show_value(version)}; expected {FORMAT_VERSION}; run harness prepare again"
        )

    @classmethod
    def _from_plain(cls, record: dict[str, Any]) -> Manifest:
        if isinstance(record.get("sessions"), dict):
            record["sessions"] = {int(number): session for number, session in record["sessions"].items()}
        manifest = from_plain(cls, record)
        # A trial derives the shapes from the settings: arrays of other shapes would stop it late.
        if manifest.speech_columns != column_names(manifest.speech_settings):
            num_names = len(manifest.speech_columns)
            raise ValueError(f"speech_columns has {num_names} names that are not those of the settings")
        for session in manifest.sessions.values():
            expected = array_shapes(
                session.num_utterances, manifest.modalities, manifest.speech_settings, manifest.text_features
            )
            if set(session.arrays) != set(expected):
                raise ValueError(f"a session has the arrays {sorted(session.arrays)}; expected {sorted(expected)}")
            for name, (shape, dtype) in expected.items():
                array = session.arrays[name]
                found = (None, *array.shape[1:]) if shape[0] is None else array.shape
                if (found, array.dtype) != (shape, dtype):
                    raise ValueError(f"array {name!r} is {array.dtype} {array.shape}; expected {dtype} {shape}")
        return manifest


def describe_own(speech_settings: Mapping[str, Any] | None, text_features: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Describe in a phrase each of the user's files that records of a model name, as plain values.

    Raises:
        ValueError: one of them is no such record
    """
    settings = None if speech_settings is None else SpeechSettings.from_json(speech_settings)
    text = None if text_features is None else from_plain(OwnFeatures, text_features)
    return tuple(own.describe() for own in (settings.own if settings else None, text) if own is not None)


def is_outdated(prepared_dir: Path) -> bool:
    """Say whether a folder holds features of another format version: ``prepare_corpus`` makes them again."""
    try:
        record = read_json(prepared_dir / MANIFEST_NAME)
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("format_version") != FORMAT_VERSION


def array_shapes(
    num_rows: int, modalities: Collection[str], settings: SpeechSettings, text_features: OwnFeatures | None
) -> dict[str, tuple[tuple[int | None, ...], str]]:
    """Shape and type of every array of a session, whose name begins with its modality; without rows there is none.

    The frames of a user's file stand one after the other, those of the first row first: their number is None here.

    Args:
        modalities: those of the whole corpus; the others have no array
    """
    arrays: dict[str, tuple[tuple[int | None, ...], str]] = {
        "speech": ((num_rows, settings.max_frames, len(column_names(settings))), "<f4"),
        "speech_lengths": ((num_rows,), "<i8"),
    }
    if settings.own is not None:
        arrays["speech"] = ((None, settings.own.num_columns), "<f4")
    if text_features is not None:
        arrays |= {"text": ((None, text_features.num_columns), "<f4"), "text_lengths": ((num_rows,), "<i8")}
    if settings.holds_motion:
        arrays |= {
            "mocap": ((num_rows, NUM_WINDOWS, NUM_MOCAP_COLUMNS), "<f4"),
            "mocap_rows": ((num_rows,), "<i8"),
            "mocap_empty": ((num_rows, NUM_WINDOWS), "|b1"),
        }
    return {name: array for name, array in arrays.items() if num_rows and name.partition("_")[0] in modalities}


_NUMBERS = ("valence", "activation", "dominance", "start", "end")


def utterance_to_json(utterance: Utterance) -> dict[str, Any]:
    """Every field by name, and the scene; a number that is NaN becomes None."""
    record = asdict(utterance) | {"scene": utterance.scene}
    return record | {name: None for name in _NUMBERS if math.isnan(record[name])}


def utterance_from_json(record: Mapping[str, Any]) -> Utterance:
    """Read the utterance that ``utterance_to_json`` wrote.

    Raises:
        KeyError, TypeError, ValueError: it is no utterance's record
    """
    votes = tuple(tuple(map(Emotion, vote)) for vote in record["votes"])
    values = {**record, "emotion": Emotion(record["emotion"]), "votes": votes}
    for name in _NUMBERS:
        if values[name] is None:
            values[name] = math.nan
        elif not isinstance(values[name], float) or not math.isfinite(values[name]):
            raise TypeError(f"{name} is {values[name]!r:.80}; expected a finite number with a point, or null")
    scene = parse_utterance_id(values["utterance_id"]).scene
    if values.pop("scene") != scene:
        raise ValueError(f"scene of {values['utterance_id']} is {record['scene']!r:.80}; expected {scene!r}")
    for name in ("transcript", "wav_path"):
        if not isinstance(values[name], str | None):
            raise TypeError(f"{name} is {values[name]!r:.80}; expected a text, or null")
    if type(values["num_mocap_rows"]) is not int or values["num_mocap_rows"] < 0:
        raise TypeError(f"num_mocap_rows is {values['num_mocap_rows']!r:.80}; expected a count")
    return Utterance(**values)


def read_utterances(path: Path) -> tuple[Utterance, ...]:
    """Read the utterances of a session, of every label, sorted by id.

    Raises:
        FeatureError: the file is missing or damaged
    """
    try:
        # One call for all lines: a trial opens thousands of them, in a tenth of a second.
        records = parse_json(b"[" + b",".join(read_regular(path).splitlines()) + b"]")
        return tuple(utterance_from_json(record) for record in records)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FeatureError(f"{str(path)!r}: cannot be read ({one_line(error)}); {PREPARE_AGAIN}") from error
