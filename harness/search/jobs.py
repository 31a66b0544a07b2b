"""Jobs on this machine: started, held to their limits, reaped; no job outlives its controller.

A guardian ends the jobs of a controller that is killed. What it could not end, the next controller ends and records.
"""

from __future__ import annotations

import math
import os
import platform
import re
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
from harness.search.outcome import JobOutput, find_doubtful_trials, read_output
from harness.search.process import EndedBy, JobEnd, JobProcess, private_memory
from harness.search.warm import WarmStarter, can_adopt_orphans
from harness.store.pruning import find_pruning
from harness.store.records import TrialRow, TrialStatus
from harness.store.store import ResultsStore
from harness.wording import write_bytes

#: The environment variable by which an experiment's jobs are known, whichever controller started them.
MARK_NAME = "HARNESS_EXPERIMENT"
#: The one by which a single controller's are: its guardian may still be at work when the next one begins.
CONTROLLER_MARK_NAME = "HARNESS_CONTROLLER"

#: Seconds between two looks at the jobs' memory. A choice: short beside a training, long beside a look.
_MEMORY_INTERVAL: Seconds = 1.0
#: Seconds by which two readings of one process's start may differ: Linux counts 100 a second.
_START_TOLERANCE: Seconds = 0.05


@dataclass(frozen=True)
class JobLimits:
    """When ``RunningJobs`` ends a job, and how often the job may be started again.

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
        """Have it ended when it is reaped; the first cause counts."""
        self.end = self.end or (ended_by, detail)


class RunningJobs:
    """Every job of one process, each in a process group of its own; none outlives this process.

    No thread waits for a job: the owner calls ``ended``, and reaps what it returns.

    Attributes:
        mark: ``NAME=value`` that every job here must have in its environment
    """

    def __init__(self, limits: JobLimits) -> None:
        self._limits = limits
        self._jobs: list[RunningJob] = []
        self._next_memory_look = 0.0
        self._guardian = Guardian()
        self.mark = self._guardian.mark
        self._warm: WarmStarter | None = None
        #: Children of this process that are no jobs: jobs left them behind in the moment in which another was forked.
        self._adopted: set[int] = set()

    @property
    def is_warming_up(self) -> bool:
        """A job that is started in a moment starts sooner than one that is started now."""
        return self._warm is not None and self._warm.is_importing

    def warm_up(self, script_dir: Path, environment: Mapping[str, str]) -> None:
        """Begin to import what the jobs import; from then on every command must be this interpreter's.

        Where the system does not allow it, nothing is done, and each job imports for itself.

        Args:
            script_dir: as ``WarmStarter`` takes it
            environment: of the jobs
        """
        if can_adopt_orphans():
            self._warm = WarmStarter(script_dir, environment)

    def warm_failure(self) -> str | None:
        """Return, once, why each job has to import for itself; None where it need not."""
        failure = None if self._warm is None else self._warm.failure
        if self._warm is not None and failure is not None:
            self._warm.close()
            self._warm = None
        return failure

    def start(
        self, command: Iterable[str], working_dir: Path, environment: Mapping[str, str], output_path: Path
    ) -> RunningJob:
        """Start a job.

        Raises:
            OSError: the system does not start it
        """
        job = RunningJob(JobProcess(list(command), working_dir, environment, output_path, self._warm))
        try:
            self._guardian.watch(job.process.group)
        except OSError:  # it was killed, and the system starts no other
            job.process.end(EndedBy.SYSTEM)
            raise
        self._jobs.append(job)
        if self._warm is not None:
            self._adopted |= self._find_adopted(self._warm)
        return job

    def ended(self) -> list[RunningJob]:
        """Return the jobs to reap: those that have ended, and those that are to be, for a limit or a stop."""
        self._guardian.restart_if_killed()
        self._reap_adopted()
        self._check_limits()
        return [job for job in self._jobs if job.end is not None or job.process.has_ended]

    def _find_adopted(self, warm: WarmStarter) -> set[int]:
        """Return the children of this process that bear the mark of its jobs, and belong to the group of none."""
        groups = {warm.group, *(job.process.group for job in self._jobs)}
        adopted = set()
        for pid in guardian.marked_processes(self.mark):
            try:
                if os.getpgid(pid) not in groups and psutil.Process(pid).ppid() == os.getpid():
                    adopted.add(pid)
            except (OSError, psutil.Error):  # it has just ended
                continue
        return adopted

    def _reap_adopted(self) -> None:
        """Let those that have ended go: nobody else waits for them."""
        for pid in list(self._adopted):
            try:
                has_ended = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                has_ended = True
            if has_ended:
                self._adopted.discard(pid)

    def seconds_to_look(self) -> Seconds | None:
        """Return for how long no limit can be exceeded, unless a job ends; None for ever."""
        looks = []
        running = self._running
        if self._limits.timeout_seconds is not None and running:
            oldest = min(job.process.began for job in running)
            looks.append(max(0.0, oldest + self._limits.timeout_seconds - time.monotonic()))
        if self._limits.memory_bytes is not None and running:
            looks.append(max(0.0, self._next_memory_look - time.monotonic()))
        return min(looks, default=None)

    @property
    def _running(self) -> list[RunningJob]:
        """The jobs that have not ended; one that has may wait for long until it is reaped."""
        return [job for job in self._jobs if not job.process.has_ended]

    def _check_limits(self) -> None:
        limits, now, running = self._limits, time.monotonic(), self._running
        if limits.timeout_seconds is not None:
            for job in running:
                if now - job.process.began >= limits.timeout_seconds:
                    job.end_for(EndedBy.TIMEOUT, f"{limits.timeout_seconds:g}")
        if limits.memory_bytes is not None and now >= self._next_memory_look:
            self._next_memory_look = now + _MEMORY_INTERVAL
            used = private_memory([job.process.group for job in running])
            for job in running:
                private_bytes = used[job.process.group]
                if private_bytes > limits.memory_bytes:
                    detail = (
                        f"{write_bytes(private_bytes)} of private memory, more than memory_limit, "
                        f"{write_bytes(limits.memory_bytes)}"
                    )
                    job.end_for(EndedBy.MEMORY_LIMIT, detail)

    def reap(self, job: RunningJob) -> tuple[JobEnd, JobOutput]:
        """End what is left of a job, and return how it ended and what it printed."""
        end = job.process.end(*(job.end or (EndedBy.ITSELF, "")))
        self._jobs.remove(job)
        self._guardian.forget(job.process.group)
        return end, read_output(job.process.output_path)

    def end_all(self) -> None:
        """Have every job ended when it is reaped."""
        for job in self._jobs:
            job.end_for(EndedBy.STOP)

    def abandon(self) -> None:
        """End every job at once, and dismiss the guardian."""
        for job in self._jobs:
            job.process.end(EndedBy.STOP)
        self._jobs.clear()
        self.close()

    def close(self) -> None:
        """Dismiss the guardian, and end the warm process; no job is left."""
        if self._warm is not None:
            self._warm.close()
            self._warm = None
        self._guardian.close()


class Guardian:
    """A small process beside the controller, which ends the controller's jobs should it vanish.

    It needs nothing of the jobs, so foreign scripts and whatever they start are ended too.

    Attributes:
        mark: ``NAME=value`` that every job of this controller, and of no other, has in its environment
    """

    def __init__(self) -> None:
        self.mark = f"{CONTROLLER_MARK_NAME}={uuid.uuid4().hex}"
        self._groups: set[int] = set()
        self._start()

    def watch(self, group: int) -> None:
        """Name the process group of a job that has begun."""
        self._groups.add(group)
        self._send(f"+{group}")

    def forget(self, group: int) -> None:
        """Name the process group of a job that has ended."""
        self._groups.discard(group)
        self._send(f"-{group}")

    def restart_if_killed(self) -> None:
        """Put another process in its place if somebody has killed it."""
        if self._process.poll() is not None:
            self._restart()

    def close(self) -> None:
        """Dismiss it: every job has ended. A second call does nothing."""
        if not self._input.closed:
            self._send("done")
            self._input.close()
            self._process.wait()

    def _start(self) -> None:
        # -I -S: it starts in a few milliseconds, and nobody's site packages can break it.
        command = [sys.executable, "-I", "-S", str(Path(guardian.__file__)), self.mark]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin

    def _send(self, *words: str) -> None:
        try:
            self._input.write("".join(f"{word}\n" for word in words).encode())
            self._input.flush()
        except BrokenPipeError:
            self._restart()

    def _restart(self) -> None:
        self._process.wait()
        self._start()
        if self._groups:
            self._send(*(f"+{group}" for group in self._groups))


def account_for_running(
    store: ResultsStore, eid: int, mark: str, cause: str = "its controller disappeared while the job ran"
) -> None:
    """End the jobs of a controller that is gone, and record how each of its trials ended.

    A trial that had recorded its result has done all its work, and counts as finished; one that had recorded why it is
    pruned counts as pruned. A result that the trial's other records contradict does not count.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment
        cause: why a trial that had recorded no result was killed
    """
    running = store.running_trials(eid)
    end_left_behind(mark, running)
    doubtful = find_doubtful_trials(store, [eid]) if running else frozenset()
    # Again: a trial may have recorded its result before its job was ended.
    for trial in store.running_trials(eid):
        status, score, message = TrialStatus.KILLED, None, cause
        if trial.trial_id in doubtful:
            message = f"{cause}, and its records contradict its score"
        elif trial.result_score is not None and math.isfinite(trial.result_score):
            status, score = TrialStatus.FINISHED, trial.result_score
            message = "its controller did not see the job end; the result was recorded"
        elif (pruning := find_pruning(store, trial.trial_id)) is not None:
            status, message = TrialStatus.PRUNED, pruning.sentence
        store.finish_trial(trial.trial_id, status, score, message, last_output=_last_output(trial))


def end_left_behind(mark: str, trials: Iterable[TrialRow]) -> None:
    """End what a dead controller's jobs have left on this machine.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment
        trials: those that the dead controller recorded as running
    """
    for trial in trials:
        if trial.pid is not None and is_same_process(trial):
            guardian.end_group(trial.pid)
    for pid in guardian.marked_processes(mark):
        guardian.end_process(pid)


def is_same_process(trial: TrialRow) -> bool:
    """Return whether the trial's job is a process of this machine, and its pid not that of a later one."""
    if trial.host != platform.node():
        return False
    started_at = process_started_at(trial.pid) if trial.pid is not None else None
    if started_at is None or trial.process_started_at is None:
        return False
    return abs(started_at - trial.process_started_at) < _START_TOLERANCE


def process_started_at(pid: int) -> float | None:
    """Return when a process began, in seconds since the epoch of Unix; None where there is none."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _last_output(trial: TrialRow) -> str | None:
    """Return the end of what a trial's last attempt printed; None where it had no time to begin."""
    if trial.job_path is None:
        return None
    job_path = Path(trial.job_path)
    outputs = job_path.parent.glob(f"{job_path.stem}.*.out")
    attempts = {int(found[1]): path for path in outputs if (found := re.fullmatch(r".*\.(\d+)\.out", path.name))}
    return read_output(attempts[max(attempts)]).tail if attempts else None
