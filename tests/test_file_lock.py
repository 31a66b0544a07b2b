"""Locks on files: whoever has one keeps the others out, and a file system without locks is one sentence."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.files import NoLocksError, try_lock, wait_for_lock
from tests.search.searches import SCORES_X, environment, write_experiment

Opens = Callable[[], int]

#: As on a Lustre mounted without ``flock``.
WITHOUT_LOCKS = """
import errno, fcntl, os
def refuse(*arguments):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
fcntl.flock = refuse
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "lock").touch()
    return tmp_path / "lock"


@pytest.fixture
def opens(path: Path) -> Iterator[Opens]:
    descriptors: list[int] = []

    def opens_it() -> int:
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1]

    yield opens_it
    for descriptor in descriptors:
        os.close(descriptor)


def test_one_has_it_alone_or_several_together(path: Path, opens: Opens) -> None:
    assert try_lock(opens(), path, is_shared=True)
    assert try_lock(opens(), path, is_shared=True)
    assert not try_lock(opens(), path)


def test_who_waits_has_it_when_the_holder_is_gone(path: Path, opens: Opens) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.files import wait_for_lock\n"
        "path = Path(sys.argv[1])\nprint('waits', flush=True)\n"
        "wait_for_lock(os.open(path, os.O_RDONLY), path)\nprint('has it', flush=True)\n"
    )
    held = os.open(path, os.O_RDONLY)
    wait_for_lock(held, path)
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None and process.stdout.readline() == "waits\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        os.close(held)
        assert process.stdout.readline() == "has it\n"
    assert try_lock(opens(), path)


@pytest.mark.parametrize("lock", [try_lock, wait_for_lock])
def test_a_file_system_without_locks_is_not_taken_for_one_that_has_them(
    path: Path, opens: Opens, lock: Callable[[int, Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(NoLocksError, match="its file system locks no files \\(No locks available\\)"):
        lock(opens(), path)


def test_any_other_fault_of_a_lock_is_told_as_itself_with_the_files_name(
    path: Path, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="Stale file handle") as caught:
        try_lock(opens(), path)
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("aup", ["experiment.json"]),
        ("main", ["watch", "results", "--once"]),
        ("main", ["check", "--results", "results"]),
    ],
    ids=["aup", "watch", "check"],
)
def test_a_command_says_so_in_one_sentence(tmp_path: Path, command: str, arguments: list[str]) -> None:
    def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-c", program, *arguments]
        return subprocess.run(
            line, cwd=tmp_path, env=environment(), check=False, capture_output=True, text=True
        )

    write_experiment(tmp_path, SCORES_X, n_samples=1)
    if command != "aup":
        assert run("from harness.cli.aup import main; main()", "experiment.json").returncode == 0
    ended = run(f"{WITHOUT_LOCKS}\nfrom harness.cli.{command} import main; main()", *arguments)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert "its file system locks no files (Function not implemented)" in ended.stderr
