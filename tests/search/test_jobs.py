"""The jobs of a controller that is gone are ended, by its guardian or by the next controller."""

import errno
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.search.guardian import main as guard
from harness.search.jobs import (
    Guardian,
    JobLimits,
    RunningJob,
    RunningJobs,
    end_left_behind,
    process_started_at,
)
from harness.search.process import EndedBy
from harness.store.records import TrialRow
from harness.store.store import ResultsStore
from tests.search.searches import wait_until
from tests.store.experiments import an_experiment

MARK = "HARNESS_EXPERIMENT=of these tests"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = start_sleeper()
    yield process
    process.kill()
    process.wait()


def start_sleeper(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, **environment},
        start_new_session=True,
    )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def a_trial(folder: Path, pid: int, started_at: float | None, host: str = platform.node()) -> TrialRow:
    with ResultsStore.open(folder / "results.db") as store:
        eid = store.create_experiment(an_experiment())
        trial_id = store.start_trial(eid, 0, 1, {"x": 1}, 1)
        store.record_job(trial_id, pid, host, started_at, "1.json")
        return store.trial(trial_id)


def test_a_guardian_whose_controller_is_gone_ends_the_groups_it_knows(sleeper: Any) -> None:
    guardian = Guardian()
    guardian.watch(sleeper.pid)
    assert guardian._process.stdin is not None
    guardian._process.stdin.close()
    wait_until(lambda: has_ended(sleeper), seconds=5)
    assert guardian._process.wait(timeout=5) == 0


def test_a_guardian_that_is_let_go_ends_nothing(sleeper: Any) -> None:
    guardian = Guardian()
    guardian.watch(sleeper.pid)
    guardian.close()
    guardian.close()
    assert not has_ended(sleeper)


def test_a_guardian_forgets_a_job_that_has_ended(sleeper: Any) -> None:
    guard(MARK, [f"+{sleeper.pid}\n".encode(), f"-{sleeper.pid}\n".encode()])
    assert not has_ended(sleeper)


def test_a_guardian_that_was_killed_is_replaced_by_one_that_knows_its_groups(sleeper: Any) -> None:
    guardian = Guardian()
    guardian.watch(sleeper.pid)
    first = guardian._process
    first.kill()
    first.wait()
    guardian.watch(2**22 + 1)
    assert guardian._process is not first
    assert guardian._process.stdin is not None
    guardian._process.stdin.close()
    wait_until(lambda: has_ended(sleeper), seconds=5)
    guardian._process.wait(timeout=5)


def test_a_guardian_that_was_killed_is_replaced_while_nothing_else_happens() -> None:
    guardian = Guardian()
    first = guardian._process
    first.kill()
    wait_until(lambda: first.poll() is not None)
    guardian.restart_if_killed()
    assert guardian._process is not first
    guardian.close()


def test_a_small_memory_limit_is_not_written_as_nothing(folder: Path) -> None:
    jobs = RunningJobs(JobLimits(timeout_seconds=None, memory_bytes=1, retries=0))
    try:
        command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
        job = jobs.start(command, folder, os.environ, folder / "1.out")
        wait_until(lambda: jobs.ended() or job.end is not None)
        assert job.end is not None
        ended_by, detail = job.end
        assert ended_by is EndedBy.MEMORY_LIMIT
        assert detail.endswith("B of private memory, more than memory_limit, 1 B")
    finally:
        jobs.abandon()


def test_a_job_that_nobody_can_guard_does_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(guardian: Guardian, group: int) -> None:
        groups.append(group)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    groups: list[int] = []
    jobs = RunningJobs(JobLimits(timeout_seconds=None, memory_bytes=None, retries=0))
    try:
        monkeypatch.setattr(Guardian, "watch", refuse)
        with pytest.raises(BlockingIOError):
            jobs.start([sys.executable, "-c", "import time; time.sleep(60)"], folder, os.environ, folder / "1.out")
        assert jobs.ended() == []
        with pytest.raises(ProcessLookupError):
            os.killpg(groups[0], 0)
    finally:
        jobs.abandon()


@pytest.fixture
def ended_job(folder: Path) -> Iterator[tuple[RunningJobs, RunningJob]]:
    """A job that has ended by itself, is not reaped, and began longer ago than its timeout."""
    jobs = RunningJobs(JobLimits(timeout_seconds=20, memory_bytes=None, retries=0))
    job = jobs.start([sys.executable, "-I", "-S", "-c", ""], folder, os.environ, folder / "1.out")
    wait_until(lambda: job.process.has_ended)
    job.process.began -= 60
    yield jobs, job
    jobs.abandon()


def test_a_job_that_has_ended_needs_no_look_at_its_limits(ended_job: tuple[RunningJobs, RunningJob]) -> None:
    jobs, _ = ended_job
    assert jobs.seconds_to_look() is None


def test_a_job_that_has_ended_is_not_timed_out_and_can_be_stopped(ended_job: tuple[RunningJobs, RunningJob]) -> None:
    jobs, job = ended_job
    assert jobs.ended() == [job]
    assert job.end is None
    jobs.end_all()
    assert job.end == (EndedBy.STOP, "")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_marked_process_is_found_though_nobody_named_it() -> None:
    name, _, value = MARK.partition("=")
    marked, other = start_sleeper(**{name: value}), start_sleeper(**{name: value + " and others"})
    try:
        end_left_behind(MARK, [])
        wait_until(lambda: has_ended(marked), seconds=5)
        assert not has_ended(other)
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def test_a_recorded_job_is_ended_by_its_pid_and_start(folder: Path, sleeper: Any) -> None:
    trial = a_trial(folder, sleeper.pid, process_started_at(sleeper.pid))
    end_left_behind(MARK, [trial])
    wait_until(lambda: has_ended(sleeper), seconds=5)


@pytest.mark.parametrize(("seconds_later", "host"), [(-5.0, platform.node()), (0.0, "another host")])
def test_another_process_with_a_jobs_pid_is_left_alone(
    folder: Path, sleeper: Any, seconds_later: float, host: str
) -> None:
    started_at = process_started_at(sleeper.pid)
    assert started_at is not None
    trial = a_trial(folder, sleeper.pid, started_at + seconds_later, host)
    end_left_behind(MARK, [trial])
    with pytest.raises(subprocess.TimeoutExpired):
        sleeper.wait(timeout=0.2)


def test_a_process_that_is_gone_began_at_no_time() -> None:
    assert process_started_at(2**22 + 1) is None
