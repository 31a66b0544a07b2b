"""Signals handled otherwise for a while, and told of by a pipe, so that a wait for something else can end for them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any


class SignalPipe:
    """Holds the number of each signal as soon as it arrives; a handler is called when Python has the time.

    Of the main thread only: Python delivers signals there. To be closed: then each is handled as before.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before: dict[int, Any] = {}

    def handle(self, number: int, handler: Callable[[int, FrameType | None], None]) -> None:
        """Handle a signal so; one without a handler is not told of."""
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
        """Handle every signal as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)
