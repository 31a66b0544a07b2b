"""The controller's waits end for a job's end, a signal or another thread; Ctrl-C and SIGTERM become requests."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from types import FrameType
from typing import Any, Self

from harness.corpus.utterances import Seconds


class SignalPipe:
    """Signals with handlers of their own for a while, and a pipe that gets each one's number as it arrives.

    A ``select`` on the pipe ends when a signal arrives; Python calls a handler later, once for several signals
    of a kind. Main thread only: Python delivers signals there. ``close`` restores the handlers from before.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before: dict[int, Any] = {}

    def handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        """Set a signal's handler; a signal without one does not come through the pipe."""
        self._before[number] = signal.signal(number, handler)

    def fileno(self) -> int:
        """Return the descriptor that ``select`` finds ready when a signal has arrived."""
        return self._reader

    def read(self) -> bytes:
        """Return the number of each signal that has arrived since the last call, 0 for each ``wake``."""
        arrived = b""
        with suppress(BlockingIOError):
            while some := os.read(self._reader, 4096):
                arrived += some
        return arrived

    def wake(self) -> None:
        """Make the pipe ready, as a signal does."""
        with suppress(BlockingIOError):  # it is full, so ready
            os.write(self._writer, b"\0")

    def close(self) -> None:
        """Restore every handler from before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)


#: Seconds after which the controller looks at its jobs even if nothing ended its wait. A choice: a library in
#: this process may have taken the signals for itself, and then nothing would.
_LONGEST_WAIT: Seconds = 5.0


class Request(IntEnum):
    """The user's latest request; a later one never takes an earlier one back."""

    GO_ON = 0
    STOP_PROPOSING = 1  # Ctrl-C: what runs may finish
    END_TRIALS = 2  # Ctrl-C again, or SIGTERM


class Interrupts:
    """Signals become a request that the controller reads after a wait; handlers do nothing else.

    A context manager, main thread only; other threads may call ``wake``. Ctrl-C counts by its handler and by
    the pipe: a handler misses the second of two quick ones, the pipe any that comes while it is full.
    """

    def __init__(self) -> None:
        self.request = Request.GO_ON
        self._num_handled = 0
        self._num_arrived = 0
        self._waking = threading.Lock()
        self._may_wake = False

    def __enter__(self) -> Self:
        self._signals = SignalPipe()
        self._signals.handle(signal.SIGINT, self._interrupt)
        self._signals.handle(signal.SIGTERM, self._terminate)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
            self._signals.handle(signal.SIGHUP, self._terminate)
        # The end of a child only wakes the wait; without a handler it would not.
        self._signals.handle(signal.SIGCHLD, lambda number, frame: None)
        self._may_wake = True
        return self

    def __exit__(self, *exception: object) -> None:
        with self._waking:
            self._may_wake = False
            self._signals.close()

    def wait(self, seconds: Seconds | None) -> None:
        """Wait for a signal, a child's end among them, or until the time is up."""
        seconds = _LONGEST_WAIT if seconds is None else min(seconds, _LONGEST_WAIT)
        select.select([self._signals], [], [], seconds)
        self._num_arrived += self._signals.read().count(signal.SIGINT)
        self._count(self._num_arrived)

    def wake(self) -> None:
        """End a wait at once, or the next one; from any thread, also after the end of this context."""
        with self._waking:
            if self._may_wake:
                self._signals.wake()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._num_handled += 1
        self._count(self._num_handled)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.request = Request.END_TRIALS

    def _count(self, num_interrupts: int) -> None:
        if num_interrupts:
            request = Request.END_TRIALS if num_interrupts > 1 else Request.STOP_PROPOSING
            self.request = max(self.request, request)
