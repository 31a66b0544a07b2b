"""A program on a terminal of its own, typed at and looked at as a person does."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Self

from tests.search.searches import environment

#: Makes standard input the terminal whose keys send signals, and runs a command of `harness`.
_BEGIN = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from harness.cli.main import serve
from harness.cli.{module} import {module}
sys.exit(serve({module}, "harness {module}"))
"""


class Terminal:
    """A terminal with one program on it; a context manager that leaves nothing running."""

    def __init__(self, folder: Path, module: str, *options: str, **variables: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(80, 24)
        self.modes_before = self.modes
        known = {name: value for name, value in environment().items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN.format(module=module), *options],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**known, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1", **variables},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended_by: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    @property
    def modes(self) -> list[Any]:
        """How the terminal treats keys: lines or single keys, echoed or not."""
        return termios.tcgetattr(self.master)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size; the program on it is told."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def wait_for(self, text: str, seconds: float = 20.0) -> str:
        """Read until ``text`` is there, and return what came before it; the rest stays to be read."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.seen!r}"
            self._read()
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self, seconds: float = 20.0) -> tuple[int, str]:
        """Wait for the program's end; return its exit code and what it printed last."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it did not end: {self.seen!r}"
            self._read()
        while self._read():
            pass
        return self.process.returncode, self.seen

    def _read(self) -> bool:
        if not select.select([self.master], [], [], 0.05)[0]:
            return False
        try:
            read = os.read(self.master, 65536)
        except OSError:  # nobody has the other end
            return False
        self.seen += read.decode("utf-8", "replace")
        return bool(read)
