"""Trainings that all trials of a search share: the first trial's is kept beside the prepared features."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import FeatureError, ModelError
from harness.features.manifest import Manifest
from harness.features.store import Features
from harness.files import NoLocksError, try_lock, wait_for_lock

Found = TypeVar("Found")

_LOCK_SUFFIX = ".lock"
#: Seconds for which a kept training is left that nothing reads: 30 days. Ours.
_SECONDS_UNREAD = 30 * 24 * 3600.0


def train_or_load(
    folder: Path, train: Callable[[], Found], load: Callable[[Path], Found], save: Callable[[Path, Found], None]
) -> Found:
    """Return what was trained before; or train it and keep it, while other processes wait.

    What has not been read for 30 days is removed from beside it when something new is kept.

    Args:
        folder: named by a hash of everything that decides the training
        load: reads the folder. A ``ModelError``, ``FeatureError``, ``OSError`` or ``ValueError`` means that it is
            trained again
        save: writes a folder that does not exist yet, and that appears whole or not at all
    """
    with _alone(folder):
        with suppress(ModelError, FeatureError, OSError, ValueError):
            found = load(folder)
            with suppress(OSError):
                os.utime(folder)
            return found
        found = train()
        # Nobody may write there, or the disk is full: it is trained again the next time.
        with suppress(OSError):
            _keep(folder, lambda unfinished: save(unfinished, found))
        _remove_unread(folder.parent)
        return found


def hash_sessions(prepared_dir: Path, turns: Features) -> dict[str, Any]:
    """Return hashes of everything that is prepared of the sessions of some turns, as plain values."""
    sessions = Manifest.read(prepared_dir).sessions
    read = [sessions[number] for number in sorted({turn.name.session for turn in turns.utterances})]
    return {
        "transcripts": [session.utterances_sha256 for session in read],
        "features": [array.sha256 for session in read for _, array in sorted(session.arrays.items())],
    }


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait while another process trains the same; without a lock both do, and the later one's is kept."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(_LOCK_SUFFIX).open("wb")
    except OSError:
        yield
        return
    with lock:
        with suppress(OSError, NoLocksError):
            wait_for_lock(lock.fileno(), folder)
        yield


def _keep(folder: Path, save: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.*.unfinished"):
        shutil.rmtree(left, ignore_errors=True)
    unfinished = folder.with_suffix(f".{os.getpid()}.unfinished")
    try:
        save(unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_unread(parent: Path) -> None:
    """Remove what has long been read by nobody. Each lock file stays, for another process may wait for it."""
    for lock_path in parent.glob(f"*{_LOCK_SUFFIX}"):
        folder = lock_path.with_suffix("")
        with suppress(OSError, NoLocksError), lock_path.open("ab") as lock:
            # Whoever holds the lock is reading or writing the folder now.
            if try_lock(lock.fileno(), folder) and time.time() - folder.stat().st_mtime > _SECONDS_UNREAD:
                shutil.rmtree(folder)
