"""Prepared features on other machines: found at the same paths, or copied in pieces and checked by hashes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import FeatureError
from harness.features.manifest import MANIFEST_NAME, UTTERANCES_NAME, Manifest
from harness.features.store import session_dir
from harness.files import hash_file, open_regular, read_json, write_json

#: The name of word vectors in a copy.
_WORD_VECTORS_NAME = "word-vectors"
#: Every name that a copied file may have, so that nothing is written outside the folder.
_COPIED_NAME = re.compile(rf"Session\d/[a-z_]+\.(npy|jsonl)|{_WORD_VECTORS_NAME}")
#: Bytes of a piece: small enough to hold some in memory. Our default.
_PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class ExpectedFeatures:
    """The prepared features and word vectors that every trial of a search reads.

    Attributes:
        prepared_dir, word_vectors: paths on the machine that has them; others may see the same files there
        manifest_hash: SHA-256 of manifest.json
        sessions: the sessions that a search may open; no other is copied
        word_vectors_hash: SHA-256 of the file; None without one
    """

    prepared_dir: str
    manifest_hash: str
    corpus_hash: str
    sessions: tuple[int, ...]
    word_vectors: str | None
    word_vectors_hash: str | None

    @classmethod
    def describe(
        cls, prepared_dir: Path, sessions: tuple[int, ...], word_vectors: Path | None
    ) -> ExpectedFeatures:
        """Describe the features and vectors that lie on this machine."""
        prepared_dir = prepared_dir.absolute()
        return cls(
            prepared_dir=str(prepared_dir),
            manifest_hash=hash_file(prepared_dir / MANIFEST_NAME),
            corpus_hash=Manifest.read(prepared_dir).corpus_hash,
            sessions=sessions,
            word_vectors=None if word_vectors is None else str(word_vectors.absolute()),
            word_vectors_hash=None if word_vectors is None else hash_file(word_vectors),
        )


@dataclass(frozen=True)
class FoundFeatures:
    """The paths of the expected features and word vectors on this machine."""

    prepared_dir: Path
    word_vectors: Path | None


@dataclass(frozen=True)
class Piece:
    """A part of a file: its path here, and the file's name in a copy."""

    path: Path
    name: str
    offset: int
    num_bytes: int

    def read(self) -> bytes:
        """Return the bytes of this piece."""
        with open_regular(self.path) as stream:
            stream.seek(self.offset)
            return stream.read(self.num_bytes)


def find_features(expected: ExpectedFeatures, store: Path) -> FoundFeatures | None:
    """Find features and word vectors, each at its own path or as a copy in ``store``; None where one is not here."""
    prepared_dir = Path(expected.prepared_dir)
    if not _has_features(expected):
        prepared_dir = copy_dir(store, expected)
        if not prepared_dir.is_dir():
            return None
    if expected.word_vectors is None:
        return FoundFeatures(prepared_dir, None)
    vectors = Path(expected.word_vectors)
    if not vectors.is_file() or hash_file(vectors) != expected.word_vectors_hash:
        vectors = _vectors_copy(store, expected)
        if not vectors.is_file():
            return None
    return FoundFeatures(prepared_dir, vectors)


def _has_features(expected: ExpectedFeatures) -> bool:
    """Return True where the folder is here, with a file of the right size for each that its manifest lists."""
    folder = Path(expected.prepared_dir)
    try:
        return hash_file(folder / MANIFEST_NAME) == expected.manifest_hash and all(
            (folder / name).stat().st_size == size for name, size, _ in _files(Manifest.read(folder), expected)
        )
    except (OSError, FeatureError):
        return False


def describe_differences(expected: ExpectedFeatures) -> tuple[str, ...]:
    """Return a phrase where the path holds other features; none where it holds no features."""
    path = Path(expected.prepared_dir) / MANIFEST_NAME
    try:
        if hash_file(path) == expected.manifest_hash:
            return ()
        corpus_hash = Manifest.read(path.parent).corpus_hash
    except (OSError, FeatureError):
        return ()
    which = "of another corpus" if corpus_hash != expected.corpus_hash else "of the same corpus, prepared otherwise"
    return (f"the features in '{path.parent}' are {which} there",)


def pieces_of(expected: ExpectedFeatures) -> Iterator[Piece]:
    """Part every file that is to be copied; files of other sessions are not named."""
    folder = Path(expected.prepared_dir)
    files = [(folder / name, name, size) for name, size, _ in _files(Manifest.read(folder), expected)]
    if expected.word_vectors is not None:
        vectors = Path(expected.word_vectors)
        files.append((vectors, _WORD_VECTORS_NAME, vectors.stat().st_size))
    for path, name, size in files:
        for offset in range(0, max(size, 1), _PIECE_BYTES):
            yield Piece(path, name, offset, min(_PIECE_BYTES, size - offset))


def manifest_of_copy(expected: ExpectedFeatures) -> dict[str, Any]:
    """Return the manifest of a copy: it lists the expected sessions only."""
    manifest: dict[str, Any] = read_json(Path(expected.prepared_dir) / MANIFEST_NAME)
    sessions = {str(session) for session in expected.sessions}
    return {**manifest, "sessions": {key: value for key, value in manifest["sessions"].items() if key in sessions}}


def write_piece(store: Path, expected: ExpectedFeatures, name: str, offset: int, content: bytes) -> None:
    """Write a piece into the folder that ``finish_copy`` completes.

    Raises:
        FeatureError: a name that no prepared feature has
        OSError: the disk does not take it
    """
    if not _COPIED_NAME.fullmatch(name):
        raise FeatureError(
            f"copied file {name!r:.80}: is no part of prepared features; expected the name of a session's file"
        )
    path = _partial_dir(store, expected) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        stream.seek(offset)
        stream.write(content)


def finish_copy(store: Path, expected: ExpectedFeatures, manifest: Mapping[str, Any]) -> None:
    """Compare every copied file with its hash, and move the files to where ``find_features`` looks.

    Raises:
        FeatureError: a file differs from its hash
        OSError: a file is missing
    """
    partial = _partial_dir(store, expected)
    vectors = partial / _WORD_VECTORS_NAME
    if expected.word_vectors_hash is not None and not _vectors_copy(store, expected).is_file():
        _check_hash(vectors, expected.word_vectors_hash)
        vectors.rename(_vectors_copy(store, expected))
    if not copy_dir(store, expected).is_dir():
        vectors.unlink(missing_ok=True)
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / MANIFEST_NAME, dict(manifest))
        for name, _, sha256 in _files(Manifest.read(partial), expected):
            _check_hash(partial / name, sha256)
        partial.rename(copy_dir(store, expected))
    shutil.rmtree(partial, ignore_errors=True)


def _check_hash(path: Path, sha256: str) -> None:
    found = hash_file(path)
    if found != sha256:
        raise FeatureError(
            f"copied file '{path.name}': arrived with SHA-256 {found}; expected {sha256}; resume the search to copy it "
            "again"
        )


def copy_dir(store: Path, expected: ExpectedFeatures) -> Path:
    """Return where a copy of the features lies, complete or not at all; other sessions have a copy of their own."""
    sessions = "".join(map(str, sorted(expected.sessions)))
    return store / f"{expected.manifest_hash:.16}-sessions-{sessions}"


def _vectors_copy(store: Path, expected: ExpectedFeatures) -> Path:
    """Return where a copy of the word vectors lies, complete or not at all."""
    return store / f"{_WORD_VECTORS_NAME}-{expected.word_vectors_hash or 'none':.16}"


def _partial_dir(store: Path, expected: ExpectedFeatures) -> Path:
    return store / f"{copy_dir(store, expected).name}-{_vectors_copy(store, expected).name}.partial"


def _files(manifest: Manifest, expected: ExpectedFeatures) -> list[tuple[str, int, str]]:
    """Return path in the folder, bytes and SHA-256 of every file of the expected sessions."""
    files = []
    for session in sorted(set(expected.sessions) & set(manifest.sessions)):
        record = manifest.sessions[session]
        folder = session_dir(Path(), session)
        files.append((str(folder / UTTERANCES_NAME), record.utterances_num_bytes, record.utterances_sha256))
        for name, array in sorted(record.arrays.items()):
            files.append((str(folder / f"{name}.npy"), array.num_bytes, array.sha256))
    return files
