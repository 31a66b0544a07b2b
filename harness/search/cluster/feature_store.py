"""What a worker does with features that are sent to it: kept piece by piece, used once they are whole.

Runs on the worker, as Dask tasks.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import FeatureError
from harness.features.manifest import MANIFEST_NAME, Manifest
from harness.files import hash_file, write_json
from harness.search.cluster.enlisting import sent_dir, sent_vectors, session_files, store_dir
from harness.search.cluster.order import ExpectedFeatures
from harness.search.cluster.plain import from_plain

#: What word vectors are called while they are sent.
WORD_VECTORS_NAME = "word-vectors"
#: Every name that a piece may have: nothing is written outside the folder.
_NAME = re.compile(r"Session\d/[a-z_]+\.(npy|jsonl)")


def keep_piece(expected: Mapping[str, Any], name: str, offset: int, content: bytes) -> None:
    """Write a piece of a file into this worker's folder.

    Raises:
        FeatureError: a name that no prepared feature has
        OSError: the disk does not take it
    """
    from distributed import get_worker

    write_piece(store_dir(get_worker()), from_plain(ExpectedFeatures, dict(expected)), name, offset, content)


def keep_features(expected: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Check what was sent by its hashes, and let it be found.

    Raises:
        FeatureError: a file differs from the manifest
    """
    from distributed import get_worker

    finish_features(store_dir(get_worker()), from_plain(ExpectedFeatures, dict(expected)), manifest)


def write_piece(store: Path, expected: ExpectedFeatures, name: str, offset: int, content: bytes) -> None:
    """Write a piece beside where its file will be found."""
    if name == WORD_VECTORS_NAME:
        path = _partial(sent_vectors(store, expected))
    elif _NAME.fullmatch(name):
        path = _partial(sent_dir(store, expected)) / name
    else:
        raise FeatureError(f"{name!r:.80} was sent; expected the name of a session's file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as stream:
        stream.seek(offset)
        stream.write(content)


def finish_features(store: Path, expected: ExpectedFeatures, manifest: Mapping[str, Any]) -> None:
    """Compare every file with its hash, and move the whole to where it is found."""
    whole = sent_dir(store, expected)
    partial = _partial(whole)
    if not whole.is_dir():
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / MANIFEST_NAME, dict(manifest))
        for name, _, sha256 in session_files(Manifest.read(partial), expected.sessions):
            _check(partial / name, sha256)
        partial.rename(whole)
    if expected.word_vectors_hash is not None and not sent_vectors(store, expected).is_file():
        vectors = _partial(sent_vectors(store, expected))
        _check(vectors, expected.word_vectors_hash)
        vectors.rename(sent_vectors(store, expected))
    shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _check(path: Path, sha256: str) -> None:
    found = hash_file(path)
    if found != sha256:
        raise FeatureError(f"'{path.name}' arrived with SHA-256 {found}; expected {sha256}")
