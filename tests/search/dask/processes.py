"""A Dask scheduler and its workers as processes of their own, and a batch system's jobs as processes here."""

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil

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


def shell_cluster() -> Any:
    """dask-jobqueue's class of a batch system of this machine alone, whose jobs a shell runs at once."""
    from dask_jobqueue.local import LocalCluster, LocalJob

    class ShellJob(LocalJob):  # type: ignore[misc]
        started: ClassVar[list[subprocess.Popen[bytes]]] = []

        async def _submit_job(self, script_filename: str) -> str:
            script = Path(script_filename).read_text()
            if "--no-such-option" in script:
                raise RuntimeError("it knows no option --no-such-option")
            self.started.append(subprocess.Popen(["bash", "-c", script], start_new_session=True))
            return str(self.started[-1].pid)

        @classmethod
        async def _close_job(cls, job_id: str | None, cancel_command: str) -> None:
            with suppress(ProcessLookupError, TypeError):
                os.killpg(int(job_id), signal.SIGKILL)  # type: ignore[arg-type]

    class ShellCluster(LocalCluster):  # type: ignore[misc]
        job_cls = ShellJob

    return ShellCluster


def with_children(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes, and all that they have started."""
    return [each for pid in pids for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


def listened_at(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """The addresses and ports at which processes wait for connections."""
    return {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def is_of_this_machine_alone(address: tuple[str, int]) -> bool:
    return address[0] in ("127.0.0.1", "::1")


def speaks_tls_alone(address: tuple[str, int]) -> bool:
    """Whether who listens there begins TLS, and has no word for who does not."""
    reached = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0]), address[1])
    with socket.create_connection(reached, timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            if b"HTTP" in plain.recv(100):
                return False
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(reached, timeout=10) as plain:
        try:
            context.wrap_socket(plain).close()
        except ssl.SSLError:
            return False
    return True


def on(dask: DaskProcesses, **changes: Any) -> dict[str, Any]:
    """Return the keys of an experiment file whose trials run there."""
    cluster = {"scheduler": dask.address, "patience_seconds": 20}
    return {"resource": "dask", "cluster": cluster, "n_samples": 6, **changes}
