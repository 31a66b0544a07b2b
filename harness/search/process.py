"""One job as the operating system sees it: a process group of its own, ended as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from harness.search.guardian import end_group
from harness.search.warm import ForkedProcess, WarmStarter

#: The environment variables by which libraries that a trial may use choose their number of threads.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


class EndedBy(StrEnum):
    """The cause of a job's end."""

    ITSELF = "itself"  # or somebody unknown, with a signal
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory limit"
    STOP = "stop"  # the search was ended
    PRUNING = "pruning"  # early stopping; the reason is on record
    REPORT = "report"  # it printed an epoch, or predictions, that cannot be read
    SYSTEM = "system"  # it could not be started
    MACHINE = "machine"  # the one that it ran on was lost, or has no room


@dataclass(frozen=True)
class JobEnd:
    """The end of a job, and its cause.

    Attributes:
        exit_code: None where a signal ended it, or nothing was started
        signal: None where it exited
        detail: a number or a sentence that belongs to ``ended_by``
        kernel_was_out_of_memory: the system killed some process for want of memory meanwhile
    """

    ended_by: EndedBy
    exit_code: int | None
    signal: int | None
    detail: str = ""
    kernel_was_out_of_memory: bool = False


def usable_cores() -> int:
    """Count the processor cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def job_environment(marks: Collection[str], threads: int, added: Mapping[str, str]) -> dict[str, str]:
    """Copy this process's environment for a job.

    Args:
        marks: each ``NAME=value``, by which the job is known
        added: by the experiment file; overrides everything else
    """
    return {
        **os.environ,
        # Output in the order in which it was written, and none lost when the job is killed.
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        **dict(mark.split("=", 1) for mark in marks),
        **added,
    }


class JobProcess:
    """A running job. Its output goes to a file: nobody waits for a pipe that a child of the job holds open.

    Args:
        warm: starts the job, where it can; the job is an interpreter's then
    """

    def __init__(
        self,
        command: Sequence[str],
        working_dir: Path,
        environment: Mapping[str, str],
        output_path: Path,
        warm: WarmStarter | None = None,
    ) -> None:
        self.output_path = output_path
        self.began = time.monotonic()
        self._kills_before = _kernel_kills()
        with output_path.open("wb") as output:
            forked = None if warm is None else warm.fork(command, working_dir, environment, output)
            self._process: ForkedProcess | subprocess.Popen[bytes] = forked or subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=working_dir,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def group(self) -> int:
        """The job's pid, which is its process group's too."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """The job's own process has ended; its children may be left."""
        if isinstance(self._process, subprocess.Popen) and not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self._process.poll() is not None
        # WNOWAIT: until it is reaped, nobody else can get its process group's number.
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def kill(self) -> None:
        """End what is left of the job's group; the job is still to be reaped with ``end``."""
        end_group(self.group)

    def end(self, ended_by: EndedBy = EndedBy.ITSELF, detail: str = "") -> JobEnd:
        """End what is left of the job's group, and return how the job ended."""
        if ended_by is not EndedBy.ITSELF and self.has_ended:
            # It was quicker than whoever wanted to end it.
            ended_by, detail = EndedBy.ITSELF, ""
        end_group(self.group)
        code = self._process.wait()
        return JobEnd(
            ended_by,
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            detail=detail,
            kernel_was_out_of_memory=code == -signal.SIGKILL and _kernel_kills() > self._kills_before,
        )


def private_memory(groups: Collection[int]) -> dict[int, int]:
    """Measure the private memory of whole process groups, in bytes.

    Memory-mapped features do not count: the jobs share them. Memory that a process shares with its forks counts
    once. Swapped memory counts too, where Linux reports it.
    """
    used = dict.fromkeys(groups, 0)
    for process in psutil.process_iter():
        try:
            group = os.getpgid(process.pid)
            if group in used:
                used[group] += process_memory(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return used


def process_memory(process: psutil.Process) -> int:
    """Measure the private memory of one process, in bytes; of memory shared with its forks, its part.

    Raises:
        psutil.Error, ProcessLookupError: it has ended, or is somebody else's
    """
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
    except (FileNotFoundError, PermissionError):  # macOS
        rollup = ""
    if "\nPss_Anon:" in rollup:  # Linux from 5.3
        parts = [line.split() for line in rollup.splitlines()]
        return 1024 * sum(int(size) for name, size, *_ in parts if name in ("Pss_Anon:", "SwapPss:"))
    memory = process.memory_info()
    if hasattr(memory, "shared"):
        return int(memory.rss - memory.shared)
    return int(process.memory_full_info().uss)  # macOS


def _kernel_kills() -> int:
    """Count the processes that the Linux kernel has killed for want of memory since it started."""
    try:
        counters = Path("/proc/vmstat").read_text("ascii")
    except OSError:
        return 0
    for line in counters.splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0
