"""No job outlives its controller: who sees to it while the controller lives, and who afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

import psutil

from harness.search import guardian
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
