"""What a worker does before its first trial: says whether it has all that the trials of a search need.

Runs on the worker, as a Dask task.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from harness import __version__
from harness.errors import FeatureError
from harness.features.manifest import MANIFEST_NAME, UTTERANCES_NAME, Manifest
from harness.features.store import session_dir
from harness.files import hash_file
from harness.search.cluster.order import Answer, Expectations, ExpectedFeatures, Verdict
from harness.search.cluster.plain import from_plain, to_plain

#: Packages whose version must be the controller's, besides this one and Python: they change scores.
_PACKAGES = ("tensorflow", "keras", "numpy")
#: Where a worker keeps what was sent to it, in its own folder, which Dask removes.
_STORE_NAME = "harness"


@dataclass(frozen=True)
class FoundFeatures:
    """Where a worker has the features and the word vectors that trials read."""

    prepared_dir: Path
    word_vectors: Path | None


#: Worker -> digest of expectations -> what it found; of one process, which may hold several workers.
_FOUND: WeakKeyDictionary[Any, dict[str, FoundFeatures | None]] = WeakKeyDictionary()


def installed_versions(with_training: bool) -> dict[str, str]:
    """Return the versions that controller and workers must share.

    Args:
        with_training: whether trials are this package's own, which compute with more than Python
    """
    versions = {"harness": __version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES if with_training else ():
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def enlist(expectations: Mapping[str, Any]) -> dict[str, Any]:
    """Compare this worker with what trials expect; an accepted one gives itself the Dask resource they take."""
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    # Before anything else: another version of this package may read the rest in another way.
    differences = _differing_versions(expectations["versions"])
    if differences:
        return _say(Answer(Verdict.REFUSED, differences))
    expected = from_plain(Expectations, dict(expectations))
    has = worker.state.total_resources
    differences = tuple(
        f"it has {has.get(name, 0):g} of the Dask resource {name!r}, and a trial takes {amount:g}"
        for name, amount in expected.resources.items()
        if has.get(name, 0) < amount
    )
    found = None
    if expected.features is not None:
        differences += _differing_features(expected.features)
        found = find_features(expected.features, store_dir(worker))
        if found is None and not differences:
            return _say(Answer(Verdict.NEEDS_FEATURES))
    if differences:
        return _say(Answer(Verdict.REFUSED, differences))
    _FOUND.setdefault(worker, {})[expected.digest] = found
    given = {name: 1 for name in expected.taken if name not in expected.resources}
    sync(worker.loop, worker.set_resources, **given)
    return _say(Answer(Verdict.ACCEPTED))


def features_of(worker: Any, digest: str) -> FoundFeatures | None:
    """Return what ``worker`` found when it was accepted.

    Raises:
        FeatureError: it was never accepted under these expectations
    """
    try:
        return _FOUND[worker][digest]
    except KeyError:
        raise FeatureError("this worker was not accepted for these trials; expected an order after that") from None


def store_dir(worker: Any) -> Path:
    """Return the folder in which a worker keeps what was sent to it."""
    return Path(worker.local_directory) / _STORE_NAME


def sent_dir(store: Path, expected: ExpectedFeatures) -> Path:
    """Return where features that were sent lie; they are there as a whole or not at all.

    Another search may open other sessions of the same features.
    """
    sessions = "".join(map(str, sorted(expected.sessions)))
    return store / f"prepared-{expected.manifest_hash[:16]}-sessions-{sessions}"


def sent_vectors(store: Path, expected: ExpectedFeatures) -> Path:
    """Return where word vectors that were sent lie; they are there as a whole or not at all."""
    return store / f"word-vectors-{expected.word_vectors_hash or 'none':.16}"


def find_features(expected: ExpectedFeatures, store: Path) -> FoundFeatures | None:
    """Find features and word vectors at the controller's paths or among those that were sent; None for neither."""
    prepared_dir = Path(expected.prepared_dir)
    if not _is_whole(prepared_dir, expected):
        prepared_dir = sent_dir(store, expected)
        if not prepared_dir.is_dir():
            return None
    if expected.word_vectors is None:
        return FoundFeatures(prepared_dir, None)
    vectors = Path(expected.word_vectors)
    if not os.path.isfile(vectors) or hash_file(vectors) != expected.word_vectors_hash:
        vectors = sent_vectors(store, expected)
        if not vectors.is_file():
            return None
    return FoundFeatures(prepared_dir, vectors)


def _is_whole(prepared_dir: Path, expected: ExpectedFeatures) -> bool:
    """Whether a folder has the expected manifest, and a file of the right size for all that it lists."""
    try:
        if hash_file(prepared_dir / MANIFEST_NAME) != expected.manifest_hash:
            return False
        manifest = Manifest.read(prepared_dir)
        return all(
            (prepared_dir / name).stat().st_size == size
            for name, size, _ in session_files(manifest, expected.sessions)
        )
    except (OSError, FeatureError):
        return False


def session_files(manifest: Manifest, sessions: tuple[int, ...]) -> list[tuple[str, int, str]]:
    """Return path in the folder, bytes and SHA-256 of every file of some sessions; no other is named."""
    files = []
    for session in sorted(set(sessions) & set(manifest.sessions)):
        record = manifest.sessions[session]
        folder = session_dir(Path(), session)
        files.append((str(folder / UTTERANCES_NAME), record.utterances_num_bytes, record.utterances_sha256))
        for name, array in sorted(record.arrays.items()):
            files.append((str(folder / f"{name}.npy"), array.num_bytes, array.sha256))
    return files


def _differing_versions(expected: Mapping[str, str]) -> tuple[str, ...]:
    found = installed_versions(with_training=len(expected) > 2)
    return tuple(
        f"{name} is {found.get(name, 'not known')} there and {version} here"
        for name, version in expected.items()
        if found.get(name) != version
    )


def _differing_features(expected: ExpectedFeatures) -> tuple[str, ...]:
    """Say what differs where there are features at the controller's path, and they are others."""
    path = Path(expected.prepared_dir) / MANIFEST_NAME
    try:
        if hash_file(path) == expected.manifest_hash:
            return ()
        corpus_hash = Manifest.read(path.parent).corpus_hash
    except (OSError, FeatureError):
        return ()
    what = "of another corpus" if corpus_hash != expected.corpus_hash else "of the same corpus, prepared otherwise"
    return (f"the features in '{path.parent}' are {what} there",)


def _say(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = to_plain(answer)
    return said
