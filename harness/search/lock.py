"""One controller at a time for each experiment."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.store.records import utc_now


#: Seconds for which a lock that another process has is tried again.
_PATIENCE = 0.5


class AlreadyRunningError(HarnessError):
    """Another controller has the experiment."""


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at ``path``; the system frees it when this process ends, however it ends.

    Args:
        what: what the lock is of, e.g. ``"experiment 'fusion'"``

    Raises:
        AlreadyRunningError: another process holds it: which, where and since when
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never renamed or removed: a second lock on a second file of that name would be none.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _take(descriptor):
            raise AlreadyRunningError(f"{what}: {_describe_holder(descriptor)}; wait for it, or end it first")
        holder = {"pid": os.getpid(), "host": platform.node(), "since": utc_now()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Try to take the lock, and again for a moment: who only looks whether it is held has it for an instant."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_PATIENCE / 20)


def _describe_holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {holder['pid']} on {holder['host']} runs it since {holder['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process, which has only just begun, runs it"
