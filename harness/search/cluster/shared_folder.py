"""The folder in which a search and a batch system's workers find each other: certificates, and word of ended jobs."""

from __future__ import annotations

import atexit
import platform
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from harness.files import NoLocksError
from harness.search.lock import find_holder, held, read_holder

_PREFIX = ".harness-"
_LOCK = "lock"
#: To remove a folder into which others may write. A choice.
_NUM_ATTEMPTS = 5


@contextmanager
def shared_folder(parent: Path) -> Iterator[Path]:
    """Make a folder that only its owner may read, and remove it, and those of searches that were killed, again.

    Args:
        parent: seen by every machine that takes part

    Raises:
        OSError: ``parent`` takes no folder
    """
    _remove_left(parent)
    folder = Path(mkdtemp(prefix=_PREFIX, dir=parent))
    remove = partial(_remove, folder)
    # Whoever holds it may be a thread that the end of the process does not wait for.
    atexit.register(remove)
    try:
        with ExitStack() as stack:
            # Without locks nobody can know whether it is in use, and it stays where its owner is killed.
            with suppress(OSError, NoLocksError):
                stack.enter_context(held(folder / _LOCK, f"folder '{folder}'"))
            yield folder
    finally:
        remove()
        atexit.unregister(remove)


def _remove(folder: Path) -> None:
    # A last job may leave its word meanwhile, but not under another name: only what is on its way there now.
    gone = folder.with_name(f"{folder.name}.gone")
    with suppress(OSError):
        folder.rename(gone)
    for _ in range(_NUM_ATTEMPTS):
        for left in (gone, folder):
            shutil.rmtree(left, ignore_errors=True)
        if not gone.exists() and not folder.exists():
            break


def _remove_left(parent: Path) -> None:
    """Remove what processes of this machine left; of another machine's nobody here knows whether they are gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, NoLocksError):  # somebody else's
            if read_holder(folder / _LOCK).host == platform.node() and find_holder(folder / _LOCK) is None:
                shutil.rmtree(folder, ignore_errors=True)
