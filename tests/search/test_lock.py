"""One holder at a time, and the next one is told who it is."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.search.lock import AlreadyRunningError, Holder, find_holder, held, read_holder
from tests.search.searches import environment


def test_a_second_holder_is_told_who_where_and_since_when(folder: Path) -> None:
    path = folder / "locks" / "a.lock"
    with held(path, "experiment 'a'"), pytest.raises(AlreadyRunningError) as caught, held(
        path, "experiment 'a'"
    ):
        pass
    pattern = (
        rf"experiment 'a': process {os.getpid()} on {re.escape(os.uname().nodename)} has been running it since "
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00; wait for it, or end it first"
    )
    assert re.fullmatch(pattern, str(caught.value))
    assert caught.value.exit_code == 2


def test_a_lock_is_free_again_after_an_error(folder: Path) -> None:
    path = folder / "a.lock"
    with pytest.raises(KeyError), held(path, "experiment 'a'"):
        raise KeyError
    # Whoever reads it on another machine must not take it for one that is held.
    assert read_holder(path) == Holder()
    with held(path, "experiment 'a'"):
        pass


def test_the_lock_of_a_killed_process_is_free(folder: Path) -> None:
    path = folder / "a.lock"
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.search.lock import held\n"
        "with held(Path(sys.argv[1]), 'it'):\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], env=environment())
    assert killed.returncode == -9
    with held(path, "it"):
        pass


def test_who_looks_finds_the_holder_and_does_not_keep_the_lock(folder: Path) -> None:
    path = folder / "a.lock"
    assert find_holder(path) is None
    with held(path, "a"):
        holder = find_holder(path)
        assert holder is not None and (holder.pid, holder.host) == (os.getpid(), os.uname().nodename)
        assert read_holder(path) == holder
    assert (find_holder(path), read_holder(path)) == (None, Holder())
    with held(path, "a"):
        pass


@pytest.mark.parametrize("look", [find_holder, read_holder])
def test_a_lock_that_cannot_be_read_is_not_taken_for_free(folder: Path, look: Callable[[Path], object]) -> None:
    path = folder / "experiment.lock"
    path.symlink_to(path)
    with pytest.raises(OSError, match="experiment.lock"):
        look(path)


@pytest.mark.parametrize("use", [find_holder, read_holder, lambda path: held(path, "it").__enter__()])
@pytest.mark.parametrize(("make", "kind"), [(os.mkdir, "folder"), (os.mkfifo, "named pipe")])
def test_what_is_no_file_is_no_lock_and_is_named(
    folder: Path, use: Callable[[Path], object], make: Callable[[Path], None], kind: str
) -> None:
    """`harness watch` ended in a traceback: an error that does not name its path is taken for a bug."""
    make(folder / "a.lock")
    with pytest.raises(OSError, match=f"it is a {kind}, not a file: '.*a.lock'"):
        use(folder / "a.lock")


def test_a_lock_that_was_only_just_taken_names_nobody(folder: Path) -> None:
    path = folder / "a.lock"
    with held(path, "a"):
        path.write_text("")
        assert find_holder(path) == Holder()
