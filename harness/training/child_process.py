"""A training in a process of its own: everything that it held in memory is given back when it ends.

Many trainings together then need no more than the largest of them, each has its own peak on record, and one that the
system kills is one failed training.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

from harness.corpus.utterances import Seconds
from harness.errors import Diverged, HarnessError, TrialFailed
from harness.provenance import peak_memory_bytes
from harness.store.records import EpochRecord, TrialStatus
from harness.training.tensorflow import start_tensorflow

if TYPE_CHECKING:
    from harness.training.recipe import Outcome, Watch

#: Seconds for which a process that says no more may take to end; then it is killed. A choice: far longer than it takes.
_LONGEST_END: Seconds = 10.0


class ChildFailed(TrialFailed):
    """A training failed in its own process.

    Attributes:
        status: of its trial
    """

    status = TrialStatus.CRASHED

    @classmethod
    def because(cls, status: TrialStatus, message: str) -> ChildFailed:
        """Return the error of a trial's status, with one sentence on its cause."""
        error = cls(message)
        error.status = status
        return error


def train_in_child(train: Callable[[Watch], Outcome], threads: int, watch: Watch) -> Outcome:
    """Train in a process of its own, and return what ``train`` returns, with the process's peak of memory.

    The process ends with this call, however the call ends, and within a moment of the end of this process.

    Args:
        train: a function of a module, or a ``functools.partial`` of one, whose arguments can be pickled
        threads: of TensorFlow, which is started before ``train``
        watch: its functions are called in this process

    Raises:
        ChildFailed: ``train`` raised, or its process was killed
    """
    context = multiprocessing.get_context("spawn")
    connection, of_process = context.Pipe()
    process = context.Process(target=_run, args=(threads, of_process), daemon=True)
    try:
        _start(process)
        of_process.close()
        outcome = _follow(connection, train, watch)
        process.join(_LONGEST_END)
        if outcome is None:
            raise _describe_end(process.exitcode)
        return outcome
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        connection.close()


def _start(process: SpawnProcess) -> None:
    """Start a process that Ctrl-C in a terminal does not reach: this process decides what becomes of both."""
    # The tracker is started before, for its start lets signals in again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow(connection: Connection, train: Callable[[Watch], Outcome], watch: Watch) -> Outcome | None:
    """Pass on what the process says until it ends; None where it ends without an outcome."""
    # Imported here: it imports TensorFlow, which the process has to start before.
    from harness.training.recipe import Outcome

    # The end of the connection is the end of the process. An error of the watch's own is none.
    try:
        connection.send(train)
    except ConnectionError:
        return None
    while True:
        try:
            said = connection.recv()
        except (EOFError, ConnectionError):
            return None
        match said:
            case EpochRecord() as epoch:
                watch.record_epoch(epoch)
            case (str() as stage, int() as number):
                watch.show(stage, number)
            case Outcome() as outcome:
                return outcome
            case ChildFailed() as error:
                raise error


def _describe_end(exit_code: int | None) -> ChildFailed:
    if exit_code is None:
        return ChildFailed(f"its process said no more, and did not end within {_LONGEST_END:g} s")
    if exit_code == -signal.SIGKILL:
        return ChildFailed.because(
            TrialStatus.KILLED, "its process was killed by signal 9, as the system does where memory runs out"
        )
    return ChildFailed(f"its process ended with exit code {exit_code} before it said how the training went")


def _run(threads: int, connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start_tensorflow(threads)
    from harness.training.recipe import Watch

    train = connection.recv()
    try:
        outcome = train(Watch(connection.send, lambda stage, number: connection.send((stage, number))))
        result = replace(outcome.result, peak_memory_bytes=peak_memory_bytes())
        connection.send(replace(outcome, result=result))
    except Exception as error:
        connection.send(ChildFailed.because(*cause_of(error)))


def _end_with_parent() -> None:
    """End this process once the one that started it has ended, even by a kill."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cause_of(error: Exception) -> tuple[TrialStatus, str]:
    """Return the status of a trial that raised ``error``, and one sentence on its cause."""
    message = str(error).strip().splitlines()
    sentence = message[0] if message else "no message"
    if isinstance(error, ChildFailed):
        return error.status, sentence
    # Imported here: a process that only waits for its trainings needs no TensorFlow.
    import tensorflow as tf

    if isinstance(error, Diverged):
        return TrialStatus.DIVERGED, sentence
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return TrialStatus.OUT_OF_MEMORY, f"{type(error).__name__}: {sentence}"
    if isinstance(error, HarnessError):
        return TrialStatus.CRASHED, sentence
    return TrialStatus.CRASHED, f"{type(error).__name__}: {sentence}"
