"""A job is a process group, and goes as one."""

import os
import sys
import time
from pathlib import Path

import pytest

from harness.search.process import (
    THREAD_VARIABLES,
    EndedBy,
    JobProcess,
    job_environment,
    private_memory,
    usable_cores,
)
from tests.search.searches import is_alive, wait_until


def start(folder: Path, code: str) -> JobProcess:
    return JobProcess([sys.executable, "-c", code], folder, os.environ, folder / "output")


def test_a_job_that_exits_says_with_which_code(folder: Path) -> None:
    job = start(folder, "raise SystemExit(7)")
    wait_until(lambda: job.has_ended)
    end = job.end()
    assert (end.ended_by, end.exit_code, end.signal) == (EndedBy.ITSELF, 7, None)


def test_a_job_that_was_quicker_than_its_timeout_ended_by_itself(folder: Path) -> None:
    job = start(folder, "pass")
    wait_until(lambda: job.has_ended)
    assert job.end(EndedBy.TIMEOUT, "1").ended_by is EndedBy.ITSELF


def test_a_job_is_ended_with_all_that_it_started(folder: Path) -> None:
    job = start(
        folder, "import subprocess\nprint(subprocess.Popen(['sleep', '60']).pid, flush=True)\nwhile 1: pass"
    )
    wait_until(lambda: (folder / "output").read_text().strip() != "")
    child = int((folder / "output").read_text())
    end = job.end(EndedBy.STOP)
    assert (end.ended_by, end.exit_code, end.signal) == (EndedBy.STOP, None, 9)
    wait_until(lambda: not is_alive(child), seconds=2)


def test_a_program_that_does_not_exist_cannot_be_started(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JobProcess([str(folder / "nothing")], folder, os.environ, folder / "output")


def test_private_memory_is_that_of_the_whole_group(folder: Path) -> None:
    code = """
import subprocess, sys, time
hold = "held = bytearray(b'1') * 100_000_000; print(len(held), flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", "import time;" + hold])
exec(hold)
"""
    job = start(folder, code)
    try:
        wait_until(lambda: (folder / "output").read_text().count("100000000") == 2)
        used = private_memory([job.group, os.getpgid(os.getpid())])[job.group]
    finally:
        job.end(EndedBy.STOP)
    assert 200_000_000 < used < 300_000_000


def test_memory_that_is_mapped_from_a_file_is_not_private(folder: Path) -> None:
    (folder / "features").write_bytes(b"1" * 100_000_000)
    code = """
import mmap, sys, time
with open("features", "rb") as stream:
    mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
print(sum(mapped[::4096]), flush=True)
time.sleep(60)
"""
    job = start(folder, code)
    try:
        wait_until(lambda: (folder / "output").read_text() != "")
        assert private_memory([job.group])[job.group] < 50_000_000
    finally:
        job.end(EndedBy.STOP)


def test_a_jobs_environment_is_a_copy_with_threads_a_mark_and_what_is_added() -> None:
    before = dict(os.environ)
    environment = job_environment(
        ["HARNESS_EXPERIMENT=a=b", "OTHER=c"], 3, {"OMP_NUM_THREADS": "5", "TOKEN": "secret"}
    )
    assert os.environ == before
    assert (environment["HARNESS_EXPERIMENT"], environment["OTHER"]) == ("a=b", "c")
    assert (environment["OMP_NUM_THREADS"], environment["TOKEN"]) == ("5", "secret")
    assert {environment[name] for name in THREAD_VARIABLES[1:]} == {"3"}
    assert environment["PATH"] == before["PATH"]


def test_there_is_a_core_to_use() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_waiting_for_a_job_takes_no_longer_than_the_job(folder: Path) -> None:
    began = time.monotonic()
    job = start(folder, "import subprocess; subprocess.Popen(['sleep', '60'])")
    wait_until(lambda: job.has_ended)
    job.end()
    assert time.monotonic() - began < 5
