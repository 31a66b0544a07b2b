"""The folder of certificates in a shared one: gone with its search, or with the next one after a SIGKILL."""

import errno
import json
import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness.search.dask.cluster import shared_folder
from tests.search.searches import environment, kill, wait_until

HOLDS_ONE = """
import sys, time
from pathlib import Path
from harness.search.dask.cluster import shared_folder
with shared_folder(Path(sys.argv[1])) as folder:
    (folder / "key.pem").touch()
    print(folder, flush=True)
    time.sleep(60)
"""


def start(parent: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A process that makes such a folder and stays."""
    command = [sys.executable, "-c", HOLDS_ONE, str(parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    with process.stdout:
        return process, Path(process.stdout.readline().strip())


def test_a_last_word_that_comes_while_it_is_removed_keeps_nothing(folder: Path) -> None:
    for _ in range(10):
        with shared_folder(folder) as made:
            script = 'i=0; while : >"$0/ended-$((i++))"; do :; done 2>/dev/null'
            writer = subprocess.Popen(["bash", "-c", script, str(made)], stderr=subprocess.DEVNULL)
            wait_until(lambda made=made: len(list(made.iterdir())) > 20)
        writer.wait()
    assert list(folder.iterdir()) == []


def test_a_last_word_that_was_on_its_way_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rmdir = os.rmdir
    late: list[str] = []

    def come_late(path: str, **options: Any) -> None:
        if not late:
            late.append(path)
            (next(folder.glob("*.gone")) / "ended-late").touch()
        rmdir(path, **options)

    monkeypatch.setattr("os.rmdir", come_late)
    with shared_folder(folder):
        pass
    assert late and list(folder.iterdir()) == []


def test_it_is_its_owners_alone_and_gone_afterwards(folder: Path) -> None:
    with shared_folder(folder) as made:
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "key.pem").touch()
        with shared_folder(folder) as other:
            assert set(folder.iterdir()) == {made, other}
    assert list(folder.iterdir()) == []


def test_what_a_killed_one_left_is_removed_by_the_next(folder: Path) -> None:
    killed, left = start(folder)
    living, kept = start(folder)
    try:
        kill(killed)
        assert (left / "key.pem").exists()
        with shared_folder(folder) as made:
            assert set(folder.iterdir()) == {kept, made}
            assert (kept / "key.pem").exists()
    finally:
        kill(living)


def test_a_file_system_without_locks_takes_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    killed, left = start(folder)
    kill(killed)
    monkeypatch.setattr("fcntl.flock", refuse)
    with shared_folder(folder) as made:
        assert set(folder.iterdir()) == {left, made}
    assert set(folder.iterdir()) == {left}


def test_it_goes_with_its_process_though_a_thread_still_holds_it(folder: Path) -> None:
    holding = textwrap.indent(HOLDS_ONE.replace("time.sleep", "is_held.set()\n    time.sleep"), "    ")
    program = f"import threading\nis_held = threading.Event()\ndef hold():\n{holding}\n" + (
        "threading.Thread(target=hold, daemon=True).start()\nassert is_held.wait(30)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, env=environment(), check=True
    )
    assert Path(run.stdout.strip()).parent == folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["another machine", "nothing"])
def test_one_that_may_be_in_use_is_left_alone(folder: Path, content: str) -> None:
    killed, left = start(folder)
    kill(killed)
    holder = json.loads((left / "lock").read_text())
    assert (holder["pid"], holder["host"]) == (killed.pid, platform.node())
    changed = json.dumps({**holder, "host": "another"}) if content == "another machine" else ""
    (left / "lock").write_text(changed)
    with shared_folder(folder) as made:
        assert set(folder.iterdir()) == {left, made}
