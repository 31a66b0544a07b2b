"""One controller at a time for each experiment."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.errors import HarnessError
from harness.files import open_regular, try_lock
from harness.store.records import ExperimentKind, utc_now

#: Seconds for which a lock that another process holds is tried again.
_PATIENCE: Seconds = 0.5


class AlreadyRunningError(HarnessError):
    """Another controller has the experiment."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock; every field is None where it has only just taken it.

    Attributes:
        since: ISO 8601 in UTC
    """

    pid: int | None = None
    host: str | None = None
    since: str | None = None


def lock_path(results_dir: Path, name: str, kind: str = ExperimentKind.SEARCH) -> Path:
    """Return the lock of every experiment called ``name``, which are one search and its fresh starts.

    Args:
        kind: of the experiment; those that are no searches have one lock for all of a kind
    """
    if kind != ExperimentKind.SEARCH:
        return results_dir / f"{kind}.lock"
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return results_dir / "experiments" / f"{digest}.lock"


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at ``path``; the system frees it when this process ends, however it ends.

    Args:
        what: the thing that is locked, e.g. ``"experiment 'fusion'"``

    Raises:
        AlreadyRunningError: another process holds it; the message names it, its host and since when
        NoLocksError: nothing can be locked there
        OSError: no file can be made there, or something else than a file is there
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        # Only to refuse what is no file, by its name.
        open_regular(path).close()
    # Never renamed or removed: a second lock on a second file of that name would be none.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if not _take(descriptor, path):
            raise AlreadyRunningError(describe_holder(what, _read_holder(descriptor)))
        holder = {"pid": os.getpid(), "host": platform.node(), "since": utc_now()}
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            # With a name left in it, another machine would take this lock for that of a process at work here.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path) -> bool:
    """Try to take the lock for a moment: ``find_holder`` in another process holds it for an instant."""
    until = time.monotonic() + _PATIENCE
    while not try_lock(descriptor, path):
        if time.monotonic() > until:
            return False
        time.sleep(_PATIENCE / 20)
    return True


def find_holder(path: Path) -> Holder | None:
    """Return who holds the lock at ``path``, None where nobody does; nothing is changed.

    It takes the lock for an instant, shared, so that two of its callers do not take each other for a controller.

    Raises:
        NoLocksError: nothing can be locked there
        OSError: there is a lock that cannot be read
    """
    try:
        with open_regular(path) as lock:
            return None if try_lock(lock.fileno(), path, is_shared=True) else _read_holder(lock.fileno())
    except FileNotFoundError:
        return None


def read_holder(path: Path) -> Holder:
    """Return who took the lock at ``path`` last and did not free it; alive or not, on whichever machine.

    Raises:
        OSError: there is a lock that cannot be read
    """
    try:
        with open_regular(path) as lock:
            return _read_holder(lock.fileno())
    except FileNotFoundError:
        return Holder()


def _read_holder(descriptor: int) -> Holder:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(holder["pid"]), str(holder["host"]), str(holder["since"]))
    except (ValueError, KeyError, TypeError):
        return Holder()


def describe_holder(what: str, holder: Holder) -> str:
    """Say that a process holds the lock of ``what``, and what the user can do."""
    said = f"process {holder.pid} on {holder.host} has been running it since {holder.since}"
    if holder.pid is None:
        said = "another process, which has just started, is running it"
    return f"{what}: {said}; wait for it, or end it first"
