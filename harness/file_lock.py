"""Locks on files: the system frees one when the process that holds it ends, however it ends."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

from harness.errors import HarnessError

#: What a file system answers that has no locks.
_NONE_HERE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


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
        OSError: the lock cannot be taken for another reason
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
        OSError: the lock cannot be taken for another reason
    """
    _lock(descriptor, path, fcntl.LOCK_EX)


def _lock(descriptor: int, path: Path, operation: int) -> None:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in _NONE_HERE:
            # The system names no file: it knows the descriptor alone.
            error.filename = str(path)
            raise
        raise NoLocksError(
            f"'{path}': its file system locks no files ({error.strerror}), and two processes could write there at "
            "once; name a folder on a disk of this machine, or on a file system mounted with locks (flock)"
        ) from error
