"""Locks on files: the system frees one when the process that holds it ends, however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path

from harness.errors import HarnessError


class NoLocksError(HarnessError):
    """The file system on which a file is locks none."""


def try_lock(descriptor: int, path: Path, *, is_shared: bool = False) -> bool:
    """Take the lock of an open file if that can be done at once; closing the file gives it back.

    Args:
        path: of the file, for the error
        is_shared: whether others may hold it in this way, too

    Returns:
        whether it is held now

    Raises:
        NoLocksError: nothing can be locked there
    """
    try:
        _lock(descriptor, path, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, path: Path) -> None:
    """Take the lock of an open file as soon as nobody else holds it.

    Raises:
        NoLocksError: nothing can be locked there
    """
    _lock(descriptor, path, fcntl.LOCK_EX)


def _lock(descriptor: int, path: Path, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        raise NoLocksError(
            f"'{path}': its file system locks no files ({error.strerror}), and two processes could write there at "
            "once; name a folder on a disk of this machine, or on a file system mounted with locks (flock)"
        ) from error
