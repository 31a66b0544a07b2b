"""Ctrl-C breaks a training off at once, and never a write to results.db."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Ctrl-C and SIGTERM raise ``KeyboardInterrupt`` where that is allowed, and wait for such a place elsewhere.

    A context manager. Python delivers signals to the main thread, so in any other this does nothing.
    """

    def __init__(self) -> None:
        self._is_allowed = False
        self._is_pending = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if exception_type is None:
            self.check()

    def check(self) -> None:
        """Raise what has been waiting.

        Raises:
            KeyboardInterrupt: a signal came where it was not allowed to raise
        """
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal raise inside the block."""
        self._is_allowed = True
        try:
            self.check()
            yield
        finally:
            self._is_allowed = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let a signal wait for the block's end, inside a block where it may raise."""
        self._is_allowed = False
        try:
            yield
        finally:
            self._is_allowed = True
        self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_allowed:
            raise KeyboardInterrupt
        self._is_pending = True
