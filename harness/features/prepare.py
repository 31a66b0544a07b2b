"""From a corpus to a folder of prepared features: the missing parts are made, then the arrays of each session.

A session's arrays are written dialogue by dialogue, so that no more than one dialogue is in memory at once.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from harness import __version__
from harness.corpus.index import find_unindexed, list_dialogues
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    count_by_kind,
    irregularity_of,
    merge_irregularities,
)
from harness.corpus.layout import SESSIONS, CorpusLayout, MocapStream, find_root
from harness.corpus.utterances import Utterance
from harness.errors import FeatureError
from harness.features.ingest import (
    PARTS_NAME,
    DialogueArrays,
    DialogueRecord,
    has_part,
    make_part,
    part_key,
    part_path,
    read_arrays,
    read_record,
)
from harness.features.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    MODALITIES,
    UTTERANCES_NAME,
    ArrayRecord,
    Manifest,
    SessionRecord,
    array_shapes,
    utterance_to_json,
)
from harness.features.own import OwnFile
from harness.features.report import IngestReport, count_utterances, write_irregularities
from harness.features.speech import SpeechSettings, column_names, own_speech_settings, prepared_key
from harness.features.store import session_dir
from harness.files import hash_json, try_lock, wait_for_lock, write_then_rename

#: Files of at most this size in all are read in one process: others would need 2 s each to import the libraries.
SMALL_BYTES = 256 * 2**20

#: Every array that a session may have.
ARRAY_NAMES = ("speech", "speech_lengths", "mocap", "mocap_rows", "mocap_empty", "text", "text_lengths")
#: A user's files of features by the modality that they stand for: ``speech`` or ``text``.
OwnFiles = Mapping[str, OwnFile]
NO_FILES: OwnFiles = MappingProxyType({})

#: Called with the number of dialogues that this run has read, and the number that it has to read; then, for each file
#: of features, with those whose utterances it has read there, and all.
Progress = Callable[[int, int], None]
Array = npt.NDArray[Any]

_log = logging.getLogger(__name__)


def open_files(paths: Mapping[str, Path], settings: SpeechSettings) -> tuple[OwnFiles, SpeechSettings]:
    """Open a user's files of features, and return the settings by which prepared speech is then named.

    What the settings say of the lengths of a file is of all its ids: those of the manifest are of the corpus's alone.

    Args:
        paths: by the modality that each stands for, ``speech`` or ``text``
        settings: that count where no file stands for speech

    Raises:
        FeatureError: a file cannot be used
    """
    own = {modality: OwnFile.open(path) for modality, path in paths.items()}
    return own, own_speech_settings(own["speech"].described) if "speech" in own else settings


def prepared_dir_for(
    results_dir: Path, corpus_root: Path, settings: SpeechSettings, own: OwnFiles = NO_FILES
) -> Path:
    """Name the folder in ``results_dir`` for one corpus and one set of speech settings.

    The same corpus at the same place with the same settings and files of features always has the same folder.
    """
    place = find_root(corpus_root).root.resolve()
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    text = f"-{own['text'].described.sha256[:8]}" if "text" in own else ""
    return results_dir / "prepared" / f"{place.name}-{digest}-{prepared_key(settings)}{text}"


def prepare_corpus(
    corpus_root: Path,
    prepared_dir: Path,
    speech_settings: SpeechSettings,
    jobs: int = -1,
    progress: Progress | None = None,
    own: OwnFiles = NO_FILES,
) -> IngestReport:
    """Read a corpus and write its features; do nothing where they are there and the corpus has not changed.

    Each dialogue's part is kept as soon as it is made, so that an interrupted run continues where it
    stopped. Two runs into one folder wait for each other. The manifest is written last: without it
    there are no prepared features.

    Args:
        corpus_root: the folder of the release, or its parent
        prepared_dir: is made where it does not exist; holds the features of one corpus and settings
        jobs: dialogues to read at once; -1 for one a core
        own: a user's files of features, cut here into one file a session; that of speech is in ``speech_settings``

    Raises:
        CorpusError: there is no corpus, or no dialogue in it has a label file
        FeatureError: the folder cannot be written; or a file of features does not fit the corpus
    """
    layout = find_root(corpus_root)
    with _locked(prepared_dir), ExitStack() as stack:
        keys = {name: part_key(layout, name, speech_settings) for name in list_dialogues(layout)}
        unindexed = find_unindexed(layout)
        places = [(one.kind, one.path) for one in unindexed]
        sources = {"keys": keys, "unlabelled": places, "format": FORMAT_VERSION}
        if "text" in own:
            sources["text_features"] = own["text"].described.sha256
        source_hash = hash_json(sources, 64)
        finished = _find_finished(prepared_dir, source_hash)
        if finished is not None:
            return finished
        paths = {name: part_path(prepared_dir, name, key) for name, key in keys.items()}
        missing = {name: path for name, path in paths.items() if not has_part(path)}
        _make_parts(layout, speech_settings, missing, jobs, progress)
        records = {name: read_record(path) for name, path in paths.items()}
        columns, renamed = _agree_on_columns(layout, records)
        irregularities = merge_irregularities(
            *(record.irregularities for record in records.values()), unindexed, renamed
        )
        own = {modality: stack.enter_context(given.held_open()) for modality, given in own.items()}
        own, notes = _fit_files(own, records, progress)
        if "speech" in own:
            speech_settings = own_speech_settings(own["speech"].described)
        report = _make_report(corpus_root, prepared_dir, records, irregularities, len(missing), own)
        report = replace(report, notes=notes)
        # Until the last line below there are no prepared features: nobody may see half of them.
        (prepared_dir / MANIFEST_NAME).unlink(missing_ok=True)
        write_irregularities(report.irregularities_path, irregularities)
        report.write()
        for session in SESSIONS:
            _remove_session_files(session_dir(prepared_dir, session))
        sessions = {}
        for session in layout.sessions():
            dialogues = [(records[name], paths[name]) for name in layout.dialogue_ids(session)]
            folder = session_dir(prepared_dir, session)
            sessions[session] = _assemble_session(folder, dialogues, speech_settings, report.modalities, own)
        for given in own.values():
            given.refuse_changed()
        libraries = ("numpy", "scipy", "pandas", "pyAudioAnalysis")
        manifest = Manifest(
            corpus_path=str(corpus_root),
            corpus_hash=report.corpus_hash,
            speech_settings=speech_settings,
            speech_columns=column_names(speech_settings),
            mocap_columns=columns,
            modalities=report.modalities,
            mocap_streams=report.mocap_streams,
            versions={
                "harness": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in libraries},
            },
            sessions=sessions,
            source_hash=source_hash,
            text_features=own["text"].described if "text" in own else None,
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
            f"prepared features {str(prepared_dir)!r}: cannot be written ({error.strerror}); choose another folder"
        ) from error
    with lock:
        if not try_lock(lock.fileno(), prepared_dir):
            _log.info("%s is being prepared by another process; waiting for it", prepared_dir)
            wait_for_lock(lock.fileno(), prepared_dir)
        yield


def _find_finished(prepared_dir: Path, source_hash: str) -> IngestReport | None:
    try:
        manifest = Manifest.read(prepared_dir)
        report = IngestReport.read(prepared_dir)
    except FeatureError:
        return None
    if manifest.source_hash != source_hash or not report.irregularities_path.is_file():
        return None
    for session, record in manifest.sessions.items():
        sizes = {f"{name}.npy": array.num_bytes for name, array in record.arrays.items()}
        for name, num_bytes in {**sizes, UTTERANCES_NAME: record.utterances_num_bytes}.items():
            path = session_dir(prepared_dir, session) / name
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
    sizes = {name: sum(size for size, _ in layout.fingerprint(name).values()) for name in missing}
    largest_first = sorted(missing, key=lambda name: -sizes[name])
    calls = (delayed(make_part)(layout, name, settings, missing[name]) for name in largest_first)
    num_jobs = jobs if sum(sizes.values()) > SMALL_BYTES else 1
    done = Parallel(n_jobs=num_jobs, return_as="generator_unordered")(calls)
    for num_done, _ in enumerate(done, start=1):
        _log.debug("%d of %d dialogues are read", num_done, len(missing))
        if progress is not None:
            progress(num_done, len(missing))


def _agree_on_columns(
    layout: CorpusLayout, records: Mapping[str, DialogueRecord]
) -> tuple[tuple[str, ...], list[Irregularity]]:
    """Name the mocap columns as most dialogues do, and note the dialogues whose header names others."""
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


def _fit_files(
    own: OwnFiles, records: Mapping[str, DialogueRecord], progress: Progress | None
) -> tuple[OwnFiles, tuple[str, ...]]:
    """Check the files of features, and describe them by the corpus's utterances; return what is to be said, too."""
    found = [utterance for record in records.values() for utterance in record.utterances]
    utterances = sorted(found, key=lambda utterance: utterance.utterance_id)
    names = [utterance.utterance_id for utterance in utterances]
    show = progress or (lambda done, total: None)
    notes = tuple(note for modality, given in own.items() for note in given.check(utterances, modality, show))
    return {modality: given.beside(names) for modality, given in own.items()}, notes


def _make_report(
    corpus_root: Path,
    prepared_dir: Path,
    records: Mapping[str, DialogueRecord],
    irregularities: Sequence[Irregularity],
    num_read: int,
    own: OwnFiles,
) -> IngestReport:
    utterances = tuple(utterance for record in records.values() for utterance in record.utterances)
    counts, differences = count_utterances(utterances)
    names = [utterance.utterance_id for utterance in utterances]
    of_corpus = {modality: sum(record.num_present[modality] for record in records.values()) for modality in MODALITIES}
    of_files = {modality: sum(name in given.lengths for name in names) for modality, given in own.items()}
    return IngestReport(
        corpus_path=str(corpus_root),
        prepared_dir=str(prepared_dir),
        corpus_hash=_hash_corpus(records.values()),
        counts=counts,
        differences=differences,
        num_present=of_corpus | of_files,
        num_with_stream={
            stream.value: sum(record.num_with_stream[stream] for record in records.values())
            for stream in MocapStream
        },
        irregularities=count_by_kind(irregularities),
        num_dialogues=len(records),
        num_read=num_read,
    )


def _hash_corpus(records: Iterable[DialogueRecord]) -> str:
    """Hash the path and content of every file, in the order of the paths."""
    hashes = {path: digest for record in records for path, digest in record.file_hashes.items()}
    lines = "".join(f"{path} {hashes[path]}\n" for path in sorted(hashes))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _remove_session_files(folder: Path) -> None:
    for name in (UTTERANCES_NAME, *(f"{array}.npy" for array in ARRAY_NAMES)):
        (folder / name).unlink(missing_ok=True)


def _assemble_session(
    folder: Path,
    dialogues: Sequence[tuple[DialogueRecord, Path]],
    settings: SpeechSettings,
    modalities: Sequence[str],
    own: OwnFiles,
) -> SessionRecord:
    """Write the files of one session.

    Args:
        dialogues: each of the session's dialogues with the path of its part, in any order
        modalities: those of the whole corpus; the others get no array
    """
    folder.mkdir(parents=True, exist_ok=True)
    # No id of one dialogue lies between two of another, so dialogues in this order give rows sorted by id.
    ordered = sorted(
        (record.utterances[0].utterance_id, path, record) for record, path in dialogues if record.utterances
    )
    utterances = [utterance for _, _, record in ordered for utterance in record.utterances]
    with ExitStack() as stack:
        writers = {}
        text_features = own["text"].described if "text" in own else None
        for name, (shape, dtype) in array_shapes(len(utterances), modalities, settings, text_features).items():
            stream = stack.enter_context(write_then_rename(folder / f"{name}.npy"))
            # Only the frames of a file of features have a number of rows of their own.
            whole = tuple(_count_frames(own[name], utterances) if size is None else size for size in shape)
            writers[name] = _ArrayWriter(stream, whole, np.dtype(dtype))
        for _, path, record in ordered:
            arrays = read_arrays(path, settings.holds_motion)
            rows = _rows_of(arrays, record.utterances, settings) | _own_rows(own, record.utterances)
            for name, writer in writers.items():
                writer.append(rows[name])
    lines = [json.dumps(utterance_to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
    content = "".join(lines).encode("utf-8")
    with write_then_rename(folder / UTTERANCES_NAME) as stream:
        stream.write(content)
    return SessionRecord(
        num_utterances=len(utterances),
        arrays={name: writer.describe() for name, writer in writers.items()},
        utterances_sha256=hashlib.sha256(content).hexdigest(),
        utterances_num_bytes=len(content),
    )


class _ArrayWriter:
    """Writes the rows of one ``.npy`` file as they come."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._stream = stream
        self._shape = shape
        self._dtype = dtype
        self._hash = hashlib.sha256()
        self._num_bytes = 0
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": dtype.str, "fortran_order": False, "shape": shape}
        )
        self._write(header.getvalue())

    def append(self, rows: Array) -> None:
        self._write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())

    def describe(self) -> ArrayRecord:
        return ArrayRecord(self._dtype.str, self._shape, self._hash.hexdigest(), self._num_bytes)

    def _write(self, content: bytes) -> None:
        self._stream.write(content)
        self._hash.update(content)
        self._num_bytes += len(content)


def _rows_of(
    arrays: DialogueArrays, utterances: Sequence[Utterance], settings: SpeechSettings
) -> dict[str, Array]:
    lengths = arrays.speech_lengths
    speech: dict[str, Array] = {}
    if settings.own is None:
        frames = np.zeros((len(lengths), settings.max_frames, arrays.frames.shape[1]), dtype=np.float32)
        frames[np.arange(settings.max_frames) < lengths[:, None]] = arrays.frames
        speech = {"speech": frames, "speech_lengths": lengths}
    return speech | {
        "mocap": arrays.mocap,
        "mocap_rows": np.array([utterance.num_mocap_rows for utterance in utterances], dtype=np.int64),
        "mocap_empty": arrays.mocap_empty,
    }


def _count_frames(given: OwnFile, utterances: Sequence[Utterance]) -> int:
    return sum(given.lengths.get(utterance.utterance_id, 0) for utterance in utterances)


def _own_rows(own: OwnFiles, utterances: Sequence[Utterance]) -> dict[str, Array]:
    rows: dict[str, Array] = {}
    for modality, given in own.items():
        frames = given.read(utterance.utterance_id for utterance in utterances)
        rows[modality] = np.concatenate(frames)
        rows[f"{modality}_lengths"] = np.array([len(each) for each in frames], dtype=np.int64)
    return rows
