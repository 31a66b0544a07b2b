"""Warm starts: a process that has imported what trials compute with, and is forked for each trial of this package.

Importing TensorFlow takes seconds, a fork some milliseconds. The process runs no TensorFlow operation, because one that
has run any hangs after a fork. Every trial is forked twice: its parent ends at once, and the system makes the trial a
child of the controller or the Dask worker, which waits for it, limits it and ends it like any other job. So the end of
the warm process ends no trial. Linux only: other systems do not choose who adopts a process.

The controller adopts in the moment of a fork alone. It waits for its jobs and nothing else: whatever a trial leaves
behind outside its process group would otherwise become the controller's child, and stay a zombie when it ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from harness.corpus.utterances import Seconds
from harness.search.guardian import end_group

#: Runs ``main``. Not ``-m``, and not this file's path: as for a script, the first place of ``sys.path`` is its folder.
_CODE = "from harness.search.warm import main; main()"
#: The message of a warm process that has imported everything.
_READY = b"ready"
#: Seconds that a fork may take. A choice: a thousand times what it takes.
_LONGEST_FORK: Seconds = 20.0
#: Seconds for which trials wait for the imports. A choice: beyond it something is wrong, and trials start without.
_LONGEST_IMPORT: Seconds = 600.0
#: Options of prctl. Source: linux/prctl.h.
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
#: The name of a warm process, and that of a trial forked from it, in listings of processes; 15 letters at most.
WARM_NAME, TRIAL_NAME = "harness-warm", "harness-trial"
#: The blocks of ``adopting_orphans`` in which this process is: several Dask workers may be threads of it.
_num_adopting = 0
_counting = threading.Lock()


def can_adopt_orphans() -> bool:
    """Return whether the system can make this process the parent of those below it that lose theirs."""
    with _counting:
        return hasattr(ctypes.CDLL(None), "prctl") and _set_adopting(_num_adopting > 0)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Let the system make this process the parent of those below it that lose theirs inside the block."""
    _count_adopting(1)
    try:
        yield
    finally:
        _count_adopting(-1)


def _count_adopting(change: int) -> None:
    global _num_adopting
    with _counting:
        _num_adopting += change
        _set_adopting(_num_adopting > 0)


def _set_adopting(is_adopting: bool) -> bool:
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(is_adopting), 0, 0, 0) == 0)


class ForkedProcess:
    """A trial's own process, a child of this one; as much of ``subprocess.Popen`` as a job needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """Wait for the end of the process and of those of its group that have become children of this process.

        Returns:
            the exit code, or minus the signal
        """
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        _reap_group(self.pid)
        return code


class WarmStarter:
    """The controller's end: keeps a warm process, and has it forked. Only where ``can_adopt_orphans``.

    Args:
        script_dir: the folder of the trials' script, the first place where it imports from; it must stay
        environment: of the trials. Libraries read their number of threads in it while they are imported, and the
            trials are known by the marks with which the warm process began.
    """

    def __init__(self, script_dir: Path, environment: Mapping[str, str]) -> None:
        self._script_dir = script_dir
        self._environment = dict(environment)
        self._start()

    @property
    def group(self) -> int | None:
        """The process group of the warm process; None where there is none."""
        return None if self._process is None else self._process.pid

    @property
    def is_importing(self) -> bool:
        """The warm process will be ready in a moment."""
        has_time = time.monotonic() < self._began + _LONGEST_IMPORT
        may_be_ready = self._process is not None and self._exit_code() is None
        return has_time and may_be_ready and not self._is_ready()

    @property
    def failure(self) -> str | None:
        """Why there is no warm process, and will be none; None where there is one."""
        if self._process is None:
            return f"the process that imports TensorFlow for all trials could not be started: {self._obstacle}"
        code = self._exit_code()
        if self._is_ready() or code is None or code < 0:
            return None
        self._errors.seek(0)
        (*_, said) = ["it printed nothing", *self._errors.read().decode("utf-8", "replace").split("\n")[:-1]]
        return f"the process that imports TensorFlow for all trials ended with exit code {code}: {said.strip():.300}"

    def fork(
        self, command: Sequence[str], working_dir: Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> ForkedProcess | None:
        """Start a Python script in a fork of the warm process, in a session and process group of its own.

        Args:
            command: the interpreter, which is this one, the script and its arguments
            output: gets what the script prints

        Returns:
            None where nothing was started: there is no warm process yet, or something has ended it
        """
        if not self._is_ready():
            if (self._exit_code() or 0) < 0:  # killed
                self._restart()
            return None
        ours, theirs = socket.socketpair()
        ours.settimeout(_LONGEST_FORK)
        with ours, ours.makefile("rb") as said:
            try:
                with adopting_orphans():
                    with theirs:
                        socket.send_fds(self._control, [b"+"], [theirs.fileno(), output.fileno()])
                    # The fork writes its pid when it is a child of this process, and begins when it knows the trial.
                    pid = int(said.readline())
            except (OSError, ValueError):
                self._restart()
                return None
            with suppress(OSError):  # it was killed meanwhile, as any job may be
                request = {"command": list(command), "working_dir": str(working_dir), "environment": dict(environment)}
                ours.sendall(json.dumps(request).encode() + b"\n")
        return ForkedProcess(pid)

    def close(self) -> None:
        """End the warm process; trials that it was forked for go on."""
        self._opened.close()
        if self._process is not None:
            # Whatever is left in its group was forked just now, and is no trial yet.
            end_group(self._process.pid)
            self._process.wait()
            _reap_group(self._process.pid)

    def _start(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._obstacle = ""
        self._opened = ExitStack()
        self._has_said_ready = False
        self._began = time.monotonic()
        try:
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._opened.enter_context(self._control)
            self._control.setblocking(False)
            # Its forks are adopted: before Linux 4.11 only processes that began while their parent adopted could be.
            with theirs, adopting_orphans():
                self._errors = self._opened.enter_context(tempfile.TemporaryFile())
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _CODE],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    cwd=self._script_dir,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:  # no more processes or files are allowed: trials may start all the same, later
            self._opened.close()
            self._obstacle = error.strerror or str(error)

    def _restart(self) -> None:
        self.close()
        self._start()

    def _exit_code(self) -> int | None:
        """Return the exit code of the warm process, or minus the signal; None while it runs, or where none began.

        It is reaped by ``close``: until then nobody else can get its process group's number.
        """
        if self._process is None:
            return None
        ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _is_ready(self) -> bool:
        if self._process is not None and not self._has_said_ready:
            with suppress(OSError):  # nothing has come
                self._has_said_ready = self._control.recv(len(_READY)) == _READY
        return self._has_said_ready


def _reap_group(group: int) -> None:
    """Wait for the end of every child of this process that is in a process group."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-group, 0)


def main() -> None:
    """Import what trials compute with, and fork for each request of the controller; in a fork, run the trial.

    Standard input is a socket of the controller's.
    """
    _name_process(WARM_NAME)
    control = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    from harness.training.trial import import_training

    import_training()
    # A collection would write to every object, and so copy all memory into each fork.
    gc.collect()
    gc.freeze()
    control.send(_READY)
    trial = _serve(control)
    if trial is not None:
        control.close()
        _run(trial)


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork for every request of the controller; return in a fork its trial, and None once the controller is gone."""
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not said:
            return None
        channel, output = socket.socket(fileno=descriptors[0]), descriptors[1]
        between = os.fork()
        if not between:
            parent = os.getpid()
            if os.fork():
                os._exit(0)
            return _receive_trial(channel, output, parent)
        channel.close()
        os.close(output)
        os.waitpid(between, 0)


def _receive_trial(channel: socket.socket, output: int, parent: int) -> dict[str, Any]:
    """Begin a session and process group, and read the trial; exit if the controller no longer waits for this fork."""
    os.setsid()
    while os.getppid() == parent:
        time.sleep(0.0005)
    with channel, channel.makefile("rb") as said:
        try:
            channel.sendall(b"%d\n" % os.getpid())
            line = said.readline()
        except OSError:
            line = b""
    if not line.endswith(b"\n"):
        os._exit(1)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    trial: dict[str, Any] = json.loads(line)
    return trial


def _run(trial: Mapping[str, Any]) -> None:
    """Run a script as the interpreter would, and return or raise as it does."""
    _name_process(TRIAL_NAME)
    os.chdir(trial["working_dir"])
    os.environ.clear()
    os.environ.update(trial["environment"])
    sys.argv = trial["command"][1:]
    if not sys.flags.safe_path:  # else the interpreter puts no script's folder there
        sys.path[0] = os.path.dirname(sys.argv[0])
    # As in a new process. Python's own generator sees to that itself after a fork.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    runpy.run_path(sys.argv[0], run_name="__main__")


def _name_process(name: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
