"""The jobs that run on this machine: begun under a guardian, held to their limits, brought home.

No job outlives its controller: who sees to it while the controller lives, and who afterwards.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.corpus.utterances import Seconds
from harness.search import guardian
from harness.search.outcome import JobOutput, read_output
from harness.search.process import EndedBy, JobEnd, JobProcess, private_memory
from harness.store.records import TrialRow

#: The environment variable by which an experiment's jobs are known, whichever controller started them.
MARK_NAME = "HARNESS_EXPERIMENT"
#: The one by which a single controller's are: its guardian may still be at work when the next one begins.
CONTROLLER_MARK_NAME = "HARNESS_CONTROLLER"

#: Seconds by which two readings of one process's start may differ: Linux counts 100 a second.
_START_TOLERANCE = 0.05


class Guardian:
    """A small process beside the controller, which ends the controller's jobs should it vanish.

    It needs nothing of the jobs, so foreign scripts and whatever they start are ended too.

    Attributes:
        mark: ``NAME=value`` that every job of this controller, and of no other, has in its environment
    """

    def __init__(self) -> None:
        self.mark = f"{CONTROLLER_MARK_NAME}={uuid.uuid4().hex}"
        self._groups: set[int] = set()
        self._process = self._start()

    def watch(self, group: int) -> None:
        """Tell of a job that has begun."""
        self._groups.add(group)
        self._tell([f"+{group}"])

    def forget(self, group: int) -> None:
        """Tell of a job that has ended."""
        self._groups.discard(group)
        self._tell([f"-{group}"])

    def look(self) -> None:
        """Put another in its place if somebody has killed it."""
        if self._process.poll() is not None:
            self._replace()

    def close(self) -> None:
        """Let the guardian go: every job has ended."""
        self._tell(["done"])
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # -I -S: it starts in a few milliseconds, and nobody's site packages can break it.
        command = [sys.executable, "-I", "-S", str(Path(guardian.__file__)), self.mark]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def _tell(self, words: Iterable[str]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{word}\n" for word in words).encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            self._replace()

    def _replace(self) -> None:
        self._process.wait()
        self._process = self._start()
        if self._groups:
            self._tell([f"+{group}" for group in self._groups])


def end_left_behind(mark: str, trials: Iterable[TrialRow]) -> int:
    """End what a dead controller's jobs have left on this machine.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment
        trials: those that the dead controller recorded as running

    Returns:
        processes that were ended
    """
    num_ended = 0
    for trial in trials:
        if trial.pid is not None and is_same_process(trial):
            guardian.end_group(trial.pid)
            num_ended += 1
    for pid in guardian.marked_processes(mark):
        guardian.end_process(pid)
        num_ended += 1
    return num_ended


def is_same_process(trial: TrialRow) -> bool:
    """Whether the trial's job is a process of this machine, and its pid not that of a later one."""
    if trial.host != platform.node():
        return False
    started_at = process_started_at(trial.pid) if trial.pid is not None else None
    if started_at is None or trial.process_started_at is None:
        return False
    return abs(started_at - trial.process_started_at) < _START_TOLERANCE


def process_started_at(pid: int) -> float | None:
    """When a process began, in seconds since the epoch of Unix; None where there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


#: Seconds between two looks at the jobs' memory. A choice: short beside a training, long beside a look.
_MEMORY_INTERVAL: Seconds = 1.0


@dataclass(frozen=True)
class JobLimits:
    """When a job is ended, and how often it may be started again.

    Attributes:
        memory_bytes: private memory of the job and its children; None for no limit
        retries: after the job was killed or ran out of memory; a crash would only repeat itself
    """

    timeout_seconds: Seconds | None
    memory_bytes: int | None
    retries: int


@dataclass(eq=False)
class RunningJob:
    """A job that has begun.

    Attributes:
        end: who is to end it, and the number or sentence that belongs to that; None while nobody is
    """

    process: JobProcess
    end: tuple[EndedBy, str] | None = None

    def end_for(self, ended_by: EndedBy, detail: str = "") -> None:
        """Have it ended, unless somebody is to end it already."""
        self.end = self.end or (ended_by, detail)


class RunningJobs:
    """Every job of one process, each in a process group of its own; none outlives this process.

    No thread waits for a job: whoever has them looks at them.

    Attributes:
        mark: ``NAME=value`` that every job here must have in its environment
    """

    def __init__(self, limits: JobLimits) -> None:
        self._limits = limits
        self._jobs: list[RunningJob] = []
        self._next_memory_look = 0.0
        self._guardian: Guardian | None = Guardian()
        self.mark = self._guardian.mark

    def start(
        self, command: Iterable[str], working_dir: Path, environment: Mapping[str, str], output_path: Path
    ) -> RunningJob:
        """Start a job.

        Raises:
            OSError: the system does not start it
        """
        assert self._guardian is not None
        job = RunningJob(JobProcess(list(command), working_dir, environment, output_path))
        self._jobs.append(job)
        self._guardian.watch(job.process.group)
        return job

    def ended(self) -> list[RunningJob]:
        """Return the jobs to bring home: they have ended, or somebody is to end them, limits among them."""
        if self._guardian is not None:
            self._guardian.look()
        self._check_limits()
        return [job for job in self._jobs if job.end is not None or job.process.has_ended]

    def bring_home(self, job: RunningJob) -> tuple[JobEnd, JobOutput]:
        """End what is left of a job, and return how it ended and what it printed."""
        end = job.process.end(*(job.end or (EndedBy.ITSELF, "")))
        self._jobs.remove(job)
        if self._guardian is not None:
            self._guardian.forget(job.process.group)
        return end, read_output(job.process.output_path)

    def end_all(self) -> None:
        """Have every job ended when it is brought home."""
        for job in self._jobs:
            job.end_for(EndedBy.STOP)

    def abandon(self) -> None:
        """End every job at once, and let the guardian go."""
        for job in self._jobs:
            job.process.end(EndedBy.STOP)
        self._jobs.clear()
        self.close()

    def close(self) -> None:
        """Let the guardian go; no job is left."""
        if self._guardian is not None:
            self._guardian.close()
            self._guardian = None

    def seconds_to_look(self) -> Seconds | None:
        """How long no limit can be exceeded, unless a job ends; None for ever."""
        looks = []
        if self._limits.timeout_seconds is not None and self._jobs:
            oldest = min(job.process.began for job in self._jobs)
            looks.append(max(0.0, oldest + self._limits.timeout_seconds - time.monotonic()))
        if self._limits.memory_bytes is not None and self._jobs:
            looks.append(max(0.0, self._next_memory_look - time.monotonic()))
        return min(looks, default=None)

    def _check_limits(self) -> None:
        limits, now = self._limits, time.monotonic()
        if limits.timeout_seconds is not None:
            for job in self._jobs:
                if now - job.process.began >= limits.timeout_seconds:
                    job.end_for(EndedBy.TIMEOUT, f"{limits.timeout_seconds:g}")
        if limits.memory_bytes is not None and now >= self._next_memory_look:
            self._next_memory_look = now + _MEMORY_INTERVAL
            used = private_memory([job.process.group for job in self._jobs])
            for job in self._jobs:
                private_bytes = used[job.process.group]
                if private_bytes > limits.memory_bytes:
                    detail = (
                        f"{private_bytes / 1e6:.0f} MB of private memory, more than memory_limit, "
                        f"{limits.memory_bytes / 1e6:.0f} MB"
                    )
                    job.end_for(EndedBy.MEMORY_LIMIT, detail)
