"""The jobs that a batch system has for a search: refused ones, and those that end, are asked for again."""

from __future__ import annotations

import asyncio
import copy
import os
import shlex
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import one_line

#: Seconds between two looks at the shared folder. A choice: file systems of a network lag by more.
_INTERVAL: Seconds = 5.0
#: Seconds after which an ended job is asked for again, beyond Dask's ``lost-worker-timeout``, 15 by default: what
#: Dask asks for again by itself is left to it.
_PAUSE: Seconds = 5.0
#: Times by which that pause doubles while a job ends in vain, and after which all of them are told of. Choices.
_MAX_DOUBLINGS = 5
_PATIENT_ROUNDS = 3

_ENDED = "ended-"


def job_class(job_cls: Any, folder: Path, complain: Callable[[Exception], None]) -> Any:
    """Return dask-jobqueue's job with what it lacks.

    Dask counts a job as there, even a refused one, until its worker has come and gone. So its script leaves a file
    when it ends (unless it is killed, becomes another process by ``exec``, or sets another trap), and a refused job
    leaves one at once. Its certificates may lie anywhere.

    Args:
        folder: seen by every machine that takes part
        complain: called with what the batch system says where it refuses a job and has taken none before
    """
    has_taken_one = False

    class OurJob(job_cls):  # type: ignore[misc]
        refusal: str | None = None

        def __init__(
            self, *arguments: Any, security: Any = None, job_script_prologue: Sequence[str] = (), **options: Any
        ) -> None:
            if security is not None:
                security = copy.copy(security)
                for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
                    setattr(security, name, shlex.quote(getattr(security, name)))
            self.word = f"{_ENDED}{uuid.uuid4().hex}"
            leave_word = f"{{ : >{shlex.quote(str(folder / self.word))}; }} 2>/dev/null"
            prologue = [f"trap {shlex.quote(leave_word)} EXIT", *job_script_prologue]
            super().__init__(*arguments, security=security, job_script_prologue=prologue, **options)

        async def start(self) -> None:
            nonlocal has_taken_one
            try:
                await super().start()
            except Exception as error:
                self.refusal = one_line(error)
                with suppress(OSError):
                    (folder / self.word).touch()
                if not has_taken_one:
                    complain(RuntimeError(f"it refused a job: {self.refusal}"))
                raise
            has_taken_one = True

    return OurJob


@asynccontextmanager
async def asking_again(cluster: Any, folder: Path, complain: Callable[[Exception], None]) -> AsyncIterator[None]:
    """Have ended jobs asked for again, as long as the block lasts.

    Args:
        cluster: adaptive, and made of jobs of ``job_class`` with the same folder
        complain: called where every job ends without a worker again and again
    """
    task = asyncio.ensure_future(_ask_again(cluster, folder, complain))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _ask_again(cluster: Any, folder: Path, complain: Callable[[Exception], None]) -> None:
    import dask
    from dask.utils import parse_timedelta

    came: set[str] = set()
    ended_since: dict[str, float] = {}
    # By the job's place among those that are wanted.
    in_vain: Counter[str] = Counter()
    last: Any = None
    shortest = _PAUSE + parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
    while True:
        await asyncio.sleep(_INTERVAL)
        ended = _words_in(folder)
        there = {str(name) for name in cluster.observed}
        for name, job in list(cluster.workers.items()):
            word = job.word
            pause = shortest * 2 ** min(in_vain[name], _MAX_DOUBLINGS)
            if any(worker == name or worker.startswith(f"{name}-") for worker in there):
                if word not in came:
                    came.add(word)
                    in_vain.clear()
                # As long as its worker is known, no other of its name would be let in.
                ended_since.pop(word, None)
            elif word in ended and time.monotonic() - ended_since.setdefault(word, time.monotonic()) >= pause:
                await _give_up(cluster, name, job)
                in_vain[name] += word not in came
                last = job
        # One that waits in the queue for the first time may still bring a worker.
        if last is not None and all(in_vain[name] >= _PATIENT_ROUNDS for name in cluster.worker_spec):
            complain(_describe(in_vain.total(), last))


async def _give_up(cluster: Any, name: str, job: Any) -> None:
    """Do what Dask does with a job whose worker is lost; Dask asks for what is missing."""
    if cluster.workers.get(name) is not job:
        return
    del cluster.workers[name]
    with suppress(OSError, RuntimeError):  # nothing is left to be given back
        await job.close()


def _words_in(folder: Path) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if name.startswith(_ENDED)}
    except OSError:  # a file system of a network, for a while
        return set()


def _describe(num_in_vain: int, last: Any) -> RuntimeError:
    if last.refusal is not None:
        return RuntimeError(f"{num_in_vain} jobs were refused or have ended before their workers came: {last.refusal}")
    return RuntimeError(
        f"{num_in_vain} jobs have ended before their workers came; the last was job {last.job_id}, and what it wrote, "
        "in its .out file here or in log_directory, says why"
    )
