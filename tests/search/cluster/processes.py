"""A Dask scheduler and its workers as processes of their own, as a person would start them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.search.searches import environment, wait_until

#: A scheduler that takes a worker for lost after 5 s, its least, and not after 5 minutes.
IMPATIENT = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class DaskProcesses:
    """A scheduler at an address that stays, and workers that may come and go; all are ended with the block."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", tls: Sequence[str] = (), before: Sequence[str] = ()
    ) -> None:
        """Start nothing yet.

        Args:
            tls: options of both commands
            before: typed before each command; may be changed between two
        """
        self.folder = folder
        self.host, self.tls, self.before = host, tls, before
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://{host}:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in [*self.workers, *([] if self.scheduler is None else [self.scheduler])]:
            end(process)

    def start_scheduler(self, *options: str, **added: str) -> None:
        host = f"tls://{self.host}" if self.tls else self.host
        given = ["--host", host, "--port", str(self.port), "--no-dashboard", "--no-show"]
        self.scheduler = self._start("scheduler", *given, *options, **added)
        wait_until(self._answers)

    def start_worker(self, *options: str, **added: str) -> subprocess.Popen[bytes]:
        """Start a worker of one thread; it waits for its scheduler."""
        folder = self.folder / f"worker {len(self.workers)}"
        folder.mkdir(parents=True)
        given = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--local-directory", str(folder)]
        nanny = [] if "--nanny" in options else ["--no-nanny"]
        worker = self._start("worker", self.address, *given, *nanny, *options, **added)
        self.workers.append(worker)
        return worker

    def _start(self, *arguments: str, **added: str) -> subprocess.Popen[bytes]:
        name = "scheduler" if arguments[0] == "scheduler" else f"worker {len(self.workers)}"
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            return subprocess.Popen(
                [*self.before, sys.executable, "-m", "dask", *arguments, *self.tls],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment(), **added},
                start_new_session=True,
            )

    def _answers(self) -> bool:
        tried = f"import socket; socket.create_connection(({self.host!r}, {self.port}), timeout=1)"
        if self.before:
            command = [*self.before, sys.executable, "-c", tried]
            return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process with its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
