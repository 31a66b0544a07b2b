"""The jobs that run on this machine: begun under a guardian, held to their limits, brought home."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.search.job_process import EndedBy, JobEnd, JobProcess, private_memory
from harness.search.orphans import Guardian
from harness.search.trial_outcome import JobOutput, read_output

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
