"""A corpus to a folder of prepared features: what is missing is computed, what is there is kept."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from joblib import Parallel, delayed

from harness import __version__
from harness.corpus.index import find_unlabelled_dialogues, list_dialogues
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    count_by_kind,
    irregularity_of,
    merge_irregularities,
)
from harness.corpus.layout import CorpusLayout, MocapStream, find_root
from harness.errors import FeatureError
from harness.features.assembly import assemble_session, corpus_hash, remove_session_files
from harness.features.ingest import DialogueRecord
from harness.features.ingest_report import IngestReport, count_utterances, write_irregularities
from harness.features.manifest import FORMAT_VERSION, MANIFEST_NAME, MODALITIES, Manifest, SessionRecord
from harness.features.parts import PARTS_NAME, has_part, make_part, part_key, part_path, read_record
from harness.features.speech import SpeechSettings, column_names, prepared_key
from harness.features.store import session_dir
from harness.features.utterance_list import UTTERANCES_NAME
from harness.file_lock import try_lock, wait_for_lock

__all__ = ["IngestReport", "Progress", "prepare_corpus", "prepared_dir_for", "prepared_key"]

#: Called with the dialogues that are done and those that there are in this run.
Progress = Callable[[int, int], None]

ALL_SESSIONS = range(1, 6)
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
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


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
    for session in ALL_SESSIONS:
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
