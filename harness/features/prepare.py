"""A corpus to a folder of prepared features: what is missing is computed, what is there is kept.

One cached file a dialogue, so that a second run does only what is missing.

Parts of dialogues to the arrays of sessions, with no more than one dialogue in memory at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from harness import __version__
from harness.codec import check_types
from harness.corpus.index import find_unlabelled_dialogues, four_class, list_dialogues
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    count_by_kind,
    irregularity_of,
    merge_irregularities,
)
from harness.corpus.layout import SESSIONS, CorpusLayout, MocapStream, find_root
from harness.corpus.utterances import Utterance
from harness.errors import FeatureError, one_line
from harness.features.ingest import DialogueArrays, DialogueRecord, read_features
from harness.features.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    MODALITIES,
    UTTERANCES_NAME,
    ArrayRecord,
    Manifest,
    SessionRecord,
    array_shapes,
    utterance_from_json,
    utterance_to_json,
)
from harness.features.mocap import NUM_MOCAP_COLUMNS, NUM_WINDOWS
from harness.features.report import IngestReport, count_utterances, write_irregularities
from harness.features.speech import SpeechSettings, column_names, prepared_key
from harness.features.store import session_dir
from harness.files import hash_json, read_npz, try_lock, wait_for_lock, write_then_rename

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
    return hash_json(inputs)


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


#: Every array that a session may have, by the modality without which it is not there.
MODALITY_OF_ARRAY: Mapping[str, str] = {
    "speech": "speech",
    "speech_lengths": "speech",
    "mocap": "mocap",
    "mocap_rows": "mocap",
    "mocap_empty": "mocap",
}

Dialogues = Sequence[tuple[DialogueRecord, Path]]
Array = npt.NDArray[Any]


def assemble_session(
    prepared_dir: Path,
    session: int,
    dialogues: Dialogues,
    settings: SpeechSettings,
    modalities: Sequence[str],
) -> SessionRecord:
    """Write the files of one session.

    Args:
        dialogues: what each of the session's dialogues has, with the path of its part, in any order
        modalities: those of the whole corpus; the others get no array

    Returns:
        what the manifest says of the session
    """
    folder = session_dir(prepared_dir, session)
    folder.mkdir(parents=True, exist_ok=True)
    # No id of one dialogue lies between two of another, so dialogues in this order give rows sorted by id.
    ordered = sorted(
        (record.utterances[0].utterance_id, path, record) for record, path in dialogues if record.utterances
    )
    utterances = [utterance for _, _, record in ordered for utterance in record.utterances]
    chosen = four_class(utterances)
    shapes = array_shapes(len(chosen), settings)
    with _open_writers(folder, shapes, modalities if chosen else ()) as writers:
        for _, path, record in ordered:
            rows = _rows_of(read_arrays(path), four_class(record.utterances), settings)
            for name, writer in writers.items():
                writer.append(rows[name])
    content = _list_utterances(utterances)
    with write_then_rename(folder / UTTERANCES_NAME) as stream:
        stream.write(content)
    return SessionRecord(
        num_utterances=len(utterances),
        num_four_class=len(chosen),
        arrays={name: writer.describe() for name, writer in writers.items()},
        utterances_sha256=hashlib.sha256(content).hexdigest(),
        utterances_num_bytes=len(content),
    )


def remove_session_files(prepared_dir: Path, session: int) -> None:
    """Remove what an earlier state of the corpus has left of a session."""
    folder = session_dir(prepared_dir, session)
    for name in (UTTERANCES_NAME, *(f"{array}.npy" for array in MODALITY_OF_ARRAY)):
        (folder / name).unlink(missing_ok=True)


class _ArrayWriter:
    """Writes the rows of one ``.npy`` file as they come."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        self._shape = shape
        self._dtype = dtype
        self._hash = hashlib.sha256()
        self._num_bytes = 0
        header = io.BytesIO()
        described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, described)
        self._write(header.getvalue())

    def append(self, rows: Array) -> None:
        """Write some rows after those that are there."""
        self._write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())

    def describe(self) -> ArrayRecord:
        """What the manifest says of the file."""
        return ArrayRecord(self._dtype.str, self._shape, self._hash.hexdigest(), self._num_bytes)

    def _write(self, content: bytes) -> None:
        self._stream.write(content)
        self._hash.update(content)
        self._num_bytes += len(content)


@contextmanager
def _open_writers(
    folder: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]], modalities: Sequence[str]
) -> Iterator[dict[str, _ArrayWriter]]:
    with ExitStack() as stack:
        writers = {}
        for name, (shape, dtype) in shapes.items():
            if MODALITY_OF_ARRAY[name] in modalities:
                stream = stack.enter_context(write_then_rename(folder / f"{name}.npy"))
                writers[name] = _ArrayWriter(stream, shape, np.dtype(dtype))
        yield writers


def _rows_of(
    arrays: DialogueArrays, utterances: Sequence[Utterance], settings: SpeechSettings
) -> dict[str, Array]:
    lengths = arrays.speech_lengths
    speech = np.zeros((len(lengths), settings.max_frames, arrays.frames.shape[1]), dtype=np.float32)
    speech[np.arange(settings.max_frames) < lengths[:, None]] = arrays.frames
    return {
        "speech": speech,
        "speech_lengths": lengths,
        "mocap": arrays.mocap,
        "mocap_rows": np.array([utterance.num_mocap_rows for utterance in utterances], dtype=np.int64),
        "mocap_empty": arrays.mocap_empty,
    }


def _list_utterances(utterances: Iterable[Utterance]) -> bytes:
    lines = [json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    return "".join(lines).encode("utf-8")


def corpus_hash(dialogues: Iterable[DialogueRecord]) -> str:
    """SHA-256 over every file's place and content, in the order of their paths."""
    hashes = {path: digest for record in dialogues for path, digest in record.file_hashes.items()}
    return hashlib.sha256("".join(f"{path} {hashes[path]}\n" for path in sorted(hashes)).encode()).hexdigest()


__all__ = ["IngestReport", "Progress", "prepare_corpus", "prepared_dir_for", "prepared_key"]

#: Called with the dialogues that are done and those that there are in this run.
Progress = Callable[[int, int], None]

#: Files of this size in all are read before other processes have imported what they need: 2 s each.
SMALL_BYTES = 256 * 2**20

_log = logging.getLogger(__name__)


def prepared_dir_for(results_dir: Path, corpus_root: Path, settings: SpeechSettings) -> Path:
    """Name the folder in ``results_dir`` for one corpus under one way of making frames.

    The same corpus at the same place with the same settings has the same folder, whoever asks.
    """
    place = find_root(corpus_root).root.resolve()
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:8]
    return results_dir / "prepared" / f"{place.name}-{digest}-{prepared_key(settings)}"


def prepare_corpus(
    corpus_root: Path,
    prepared_dir: Path,
    speech_settings: SpeechSettings,
    jobs: int = -1,
    progress: Progress | None = None,
) -> IngestReport:
    """Read a corpus and write its features, or see that nothing has changed since that was done.

    Every dialogue's result is kept as soon as it is there, so that a run that was broken off goes on.
    Two runs into one folder wait for each other. The manifest is written last: without it
    there are no prepared features.

    Args:
        corpus_root: the folder of the release, or its parent
        prepared_dir: is made where it does not exist; holds the features of one corpus and settings
        jobs: dialogues to read at once; -1 for one a core

    Raises:
        CorpusError: there is no corpus, or no dialogue in it has a label file
        FeatureError: the folder cannot be written
    """
    layout = find_root(corpus_root)
    with _locked(prepared_dir):
        return _prepare(layout, corpus_root, prepared_dir, speech_settings, jobs, progress)


def _prepare(
    layout: CorpusLayout,
    corpus_root: Path,
    prepared_dir: Path,
    settings: SpeechSettings,
    jobs: int,
    progress: Progress | None,
) -> IngestReport:
    keys = _part_keys(layout, settings)
    unlabelled = [
        found for session in layout.sessions() for found in find_unlabelled_dialogues(layout, session)
    ]
    source_hash = _hash_source(keys, unlabelled)
    finished = _find_finished(prepared_dir, source_hash)
    if finished is not None:
        return finished
    paths = {name: part_path(prepared_dir, name, key) for name, key in keys.items()}
    missing = {name: path for name, path in paths.items() if not has_part(path)}
    _make_parts(layout, settings, missing, jobs, progress)
    records = {name: read_record(path) for name, path in paths.items()}
    columns, renamed = _agree_on_columns(layout, records)
    irregularities = merge_irregularities(
        *(record.irregularities for record in records.values()), unlabelled, renamed
    )
    report = _make_report(corpus_root, prepared_dir, records, irregularities, num_read=len(missing))
    # Until the last line below there are no prepared features: nobody may see half of them.
    (prepared_dir / MANIFEST_NAME).unlink(missing_ok=True)
    write_irregularities(report.irregularities_path, irregularities)
    report.write()
    manifest = Manifest(
        corpus_path=str(corpus_root),
        corpus_hash=report.corpus_hash,
        speech_settings=settings,
        speech_columns=column_names(settings),
        mocap_columns=columns,
        modalities=report.modalities,
        mocap_streams=report.mocap_streams,
        versions=_versions(),
        sessions=_assemble(layout, prepared_dir, records, paths, settings, report.modalities),
        source_hash=source_hash,
    )
    manifest.write(prepared_dir)
    return report


@contextmanager
def _locked(prepared_dir: Path) -> Iterator[None]:
    try:
        (prepared_dir / PARTS_NAME).mkdir(parents=True, exist_ok=True)
        lock = (prepared_dir / ".lock").open("wb")
    except OSError as error:
        raise FeatureError(
            f"prepared features {str(prepared_dir)!r}: cannot be written ({error.strerror}); "
            "choose another folder"
        ) from error
    with lock:
        if not try_lock(lock.fileno(), prepared_dir):
            _log.info("%s is being prepared by another process; waiting for it", prepared_dir)
            wait_for_lock(lock.fileno(), prepared_dir)
        yield


def _part_keys(layout: CorpusLayout, settings: SpeechSettings) -> dict[str, str]:
    return {name: part_key(layout, name, settings) for name in list_dialogues(layout)}


def _hash_source(keys: Mapping[str, str], unlabelled: Sequence[Irregularity]) -> str:
    inputs = {
        "keys": keys,
        "unlabelled": [found.dialogue_id for found in unlabelled],
        "format": FORMAT_VERSION,
    }
    return hash_json(inputs, 64)


def _find_finished(prepared_dir: Path, source_hash: str) -> IngestReport | None:
    try:
        manifest = Manifest.read(prepared_dir)
        report = IngestReport.read(prepared_dir)
    except FeatureError:
        return None
    if manifest.source_hash != source_hash or not report.irregularities_path.is_file():
        return None
    for session, record in manifest.sessions.items():
        folder = session_dir(prepared_dir, session)
        sizes = {f"{name}.npy": array.num_bytes for name, array in record.arrays.items()}
        for name, num_bytes in {**sizes, UTTERANCES_NAME: record.utterances_num_bytes}.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != num_bytes:
                return None
    return replace(report, prepared_dir=str(prepared_dir), num_read=0)


def _make_parts(
    layout: CorpusLayout,
    settings: SpeechSettings,
    missing: Mapping[str, Path],
    jobs: int,
    progress: Progress | None,
) -> None:
    if progress is not None:
        progress(0, len(missing))
    sizes = {name: _num_bytes(layout, name) for name in missing}
    largest_first = sorted(missing, key=lambda name: -sizes[name])
    calls = (delayed(_make_one)(layout, name, settings, missing[name]) for name in largest_first)
    workers = Parallel(
        n_jobs=jobs if sum(sizes.values()) > SMALL_BYTES else 1, return_as="generator_unordered"
    )
    for num_done, name in enumerate(workers(calls), start=1):
        _log.debug("%s is read", name)
        if progress is not None:
            progress(num_done, len(missing))


def _make_one(layout: CorpusLayout, dialogue_id: str, settings: SpeechSettings, path: Path) -> str:
    make_part(layout, dialogue_id, settings, path)
    return dialogue_id


def _num_bytes(layout: CorpusLayout, dialogue_id: str) -> int:
    return sum(size for size, _ in layout.fingerprint(dialogue_id).values())


def _agree_on_columns(
    layout: CorpusLayout, records: Mapping[str, DialogueRecord]
) -> tuple[tuple[str, ...], list[Irregularity]]:
    columns: list[str] = []
    renamed = []
    for stream in MocapStream:
        named = {
            name: record.mocap_columns[stream]
            for name, record in records.items()
            if stream in record.mocap_columns
        }
        numbered = tuple(f"{stream}_{number}" for number in range(1, stream.num_columns + 1))
        votes = Counter(names for names in named.values() if names != numbered)
        agreed = votes.most_common(1)[0][0] if votes else numbered
        columns += agreed if agreed == numbered else [f"{stream}_{name}" for name in agreed]
        for dialogue_id, names in named.items():
            if names not in (agreed, numbered):
                path = layout.mocap_path(dialogue_id, stream)
                detail = "the columns have other names than in most dialogues"
                renamed.append(irregularity_of(IrregularityKind.UNREADABLE_MOCAP_HEADER, path, detail))
    return tuple(columns), renamed


def _make_report(
    corpus_root: Path,
    prepared_dir: Path,
    records: Mapping[str, DialogueRecord],
    irregularities: Sequence[Irregularity],
    num_read: int,
) -> IngestReport:
    counts, differences = count_utterances(
        tuple(utterance for record in records.values() for utterance in record.utterances)
    )
    return IngestReport(
        corpus_path=str(corpus_root),
        prepared_dir=str(prepared_dir),
        corpus_hash=corpus_hash(records.values()),
        counts=counts,
        differences=differences,
        num_present={
            modality: sum(record.num_present[modality] for record in records.values())
            for modality in MODALITIES
        },
        num_with_stream={
            stream.value: sum(record.num_with_stream[stream] for record in records.values())
            for stream in MocapStream
        },
        irregularities=count_by_kind(irregularities),
        num_dialogues=len(records),
        num_read=num_read,
    )


def _assemble(
    layout: CorpusLayout,
    prepared_dir: Path,
    records: Mapping[str, DialogueRecord],
    paths: Mapping[str, Path],
    settings: SpeechSettings,
    modalities: Sequence[str],
) -> dict[int, SessionRecord]:
    for session in SESSIONS:
        remove_session_files(prepared_dir, session)
    sessions = {}
    for session in layout.sessions():
        dialogues = [(records[name], paths[name]) for name in layout.dialogue_ids(session)]
        sessions[session] = assemble_session(prepared_dir, session, dialogues, settings, modalities)
    return sessions


def _versions() -> dict[str, str]:
    libraries = ("numpy", "scipy", "pandas", "pyAudioAnalysis")
    return {
        "harness": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in libraries},
    }
