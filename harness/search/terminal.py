"""A terminal's other screen, its keys one at a time, and its changes of size; given back however it ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from enum import Enum, auto
from types import FrameType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harness.corpus.utterances import Seconds
from harness.search.signal_pipe import SignalPipe


class Wake(Enum):
    """Why a wait has ended."""

    TIME_IS_UP = auto()
    CHANGED_SIZE = auto()  # or come back after Ctrl-Z: what is on the screen is void
    QUIT = auto()


class FullScreen:
    """A context manager, of the main thread only: Python delivers signals there.

    Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, so that the terminal is given back first.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._keys: int | None = None
        self._modes: Any = None

    def __enter__(self) -> Self:
        self._signals = SignalPipe()
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._signals.handle(number, _interrupt)
        # Their numbers wake the wait; without a handler they would not, or would stop this process at once.
        for number in (signal.SIGWINCH, signal.SIGTSTP):
            self._signals.handle(number, lambda number, frame: None)
        self._take()
        return self

    def __exit__(self, *exception: object) -> None:
        self._give()
        self._signals.close()

    def show(self, lines: Sequence[Text]) -> None:
        """Put lines in the place of what is there."""
        assert self._live is not None
        self._live.update(Group(*lines), refresh=True)

    def wait(self, seconds: Seconds) -> Wake:
        """Wait for the time, the key q, or another size."""
        signals = self._signals.fileno()
        sources = [signals] if self._keys is None else [signals, self._keys]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._keys in ready and self._has_quit():
            return Wake.QUIT
        if signals in ready:
            if signal.SIGTSTP in self._signals.read():
                self._stop()
            return Wake.CHANGED_SIZE
        return Wake.CHANGED_SIZE if ready else Wake.TIME_IS_UP

    def _take(self) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self._keys = sys.stdin.fileno()
            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _give(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._keys is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)
            self._keys = None

    def _stop(self) -> None:
        """Stop as Ctrl-Z asks for, with the terminal as it was; take it again when told to go on."""
        self._give()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _has_quit(self) -> bool:
        assert self._keys is not None
        typed = os.read(self._keys, 1024)
        if not typed:  # nobody is there to type
            self._keys = None
        return b"q" in typed.lower()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
