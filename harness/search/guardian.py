"""A script that ends the jobs of a controller that has died. It imports nothing from this package.

The controller writes ``+<process group>`` when a job begins, ``-<process group>`` when it ends, and
``done`` before it leaves: then only what left its job's process group, and outlived the job, is ended.
The end of its input without ``done`` means that the controller was killed.
Run as: ``python guardian.py MARK``, where ``MARK`` is the text that every job has in its environment.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

#: Passes over the processes: one that was being forked during a pass is met by the next.
_NUM_PASSES = 3
_PAUSE_SECONDS = 0.2


def main(mark: str, lines: Iterable[bytes]) -> None:
    """Follow the controller, and end what it leaves behind."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip()
        if word == b"done":
            for pid in marked_processes(mark):
                end_process(pid)
            return
        if word.startswith(b"+"):
            groups.add(int(word[1:]))
        elif word.startswith(b"-"):
            groups.discard(int(word[1:]))
    for group in groups:
        end_group(group)
    for _ in range(_NUM_PASSES):
        for pid in marked_processes(mark):
            end_process(pid)
        time.sleep(_PAUSE_SECONDS)


def end_group(group: int) -> None:
    """Kill a process group, if it is still there."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def end_process(pid: int) -> None:
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def marked_processes(mark: str) -> Iterator[int]:
    """Yield the processes that began with ``mark`` as one entry of their environment.

    It finds those that left their process group, and those whose group the controller had no time to name.
    Only where the system has /proc; elsewhere the groups are all that is known.
    """
    entry = b"\0" + os.fsencode(mark) + b"\0"
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if entry in b"\0" + environment + b"\0" and int(folder.name) != os.getpid():
            yield int(folder.name)


if __name__ == "__main__":
    # It stays for as long as its controller does, whatever is sent to both.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    main(sys.argv[1], sys.stdin.buffer)
