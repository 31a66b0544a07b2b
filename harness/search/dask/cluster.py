"""A Dask scheduler: one that runs already, or one that is made here and ended with its workers."""

from __future__ import annotations

import asyncio
import atexit
import copy
import logging
import os
import platform
import shlex
import shutil
import sys
import time
import uuid
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.files import NoLocksError
from harness.search.dask.settings import EXTENDED_OPTIONS, ClusterSettings, TLSFiles, cluster_class
from harness.search.lock import find_holder, held, read_holder
from harness.search.process import usable_cores

#: Seconds between two looks at the shared folder. Our default: network file systems lag by more.
_INTERVAL: Seconds = 5.0
#: Seconds after which an ended job is submitted again, added to Dask's ``lost-worker-timeout``, 15 by default:
#: Dask itself resubmits jobs whose worker has come and gone.
_PAUSE: Seconds = 5.0
#: Times that the pause doubles while a job ends before its worker comes, and ends of each job after which the search
#: is ended. Our defaults.
_MAX_DOUBLINGS = 5
_PATIENT_ROUNDS = 3
#: Prefixes of shared folders, and of the files in them that say that a job has ended.
_FOLDER = ".harness-"
_ENDED = "ended-"

#: Called with the reason why a batch system gives no workers.
Complain = Callable[[str], None]


@asynccontextmanager
async def open_scheduler(settings: ClusterSettings, num_parallel: int, complain: Complain) -> AsyncIterator[Any]:
    """Make the cluster that ``settings`` describe, and end it with the block.

    Args:
        complain: called where a batch system refuses the first job, or ends every job before its worker comes

    Yields:
        an argument for Dask's ``Client``: the address of a scheduler, or a cluster of this block's own

    Raises:
        OSError, RuntimeError, ValueError: Dask cannot make it
    """
    _silence_dask()
    queue = settings.job_queue
    if settings.scheduler is not None:
        yield settings.scheduler
    elif queue is None:
        async with _local_cluster(settings) as cluster:
            yield cluster
    else:
        num_jobs = queue.num_jobs or -(-num_parallel // int(queue.options.get("processes", 1)))
        shared = _option(queue.kind, queue.options, "shared_temp_directory") or os.getcwd()
        with shared_folder(Path(os.path.expanduser(os.path.expandvars(shared)))) as folder:
            async with _queued_cluster(settings, folder, complain) as cluster:
                # Not scale(): adapt() resubmits a job that has reached its time limit.
                cluster.adapt(minimum_jobs=num_jobs, maximum_jobs=num_jobs)
                resubmitting = asyncio.ensure_future(resubmit_ended(cluster, folder, complain))
                try:
                    yield cluster
                finally:
                    resubmitting.cancel()
                    # Awaited, so that nothing holds on to a job: Dask asserts that it has closed those that are left.
                    with suppress(asyncio.CancelledError):
                        await resubmitting


def security_of(tls: TLSFiles | None) -> Any:
    """Return Dask's record of the certificates; None without any."""
    if tls is None:
        return None
    from distributed.security import Security

    certificate = {
        f"tls_{role}_{part}": str(path)
        for role in ("client", "scheduler", "worker")
        for part, path in (("cert", tls.cert), ("key", tls.key))
    }
    return Security(tls_ca_file=str(tls.ca_file), require_encryption=True, **certificate)


def _make_certificate(folder: Path) -> TLSFiles:
    """Make a certificate of its own authority where the workers of a batch system find it."""
    from distributed.security import Security

    made = Security.temporary()
    tls = TLSFiles(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    tls.ca_file.write_text(made.tls_ca_file)
    tls.cert.write_text(made.tls_worker_cert)
    tls.key.touch(0o600)
    tls.key.write_text(made.tls_worker_key)
    return tls


def _local_cluster(settings: ClusterSettings) -> Any:
    from distributed import LocalCluster
    from distributed.security import Security

    num_workers = settings.num_workers
    cluster = LocalCluster(
        n_workers=num_workers,
        threads_per_worker=max(1, usable_cores() // num_workers),
        processes=True,
        resources=dict(settings.resources),
        # Without certificates anyone with an account on this machine could have its workers run anything.
        security=security_of(settings.tls) or Security.temporary(),
        preload=["harness.search.dask.worker"],
        # Dask's own limit is for what its tasks keep in the worker; a trial has its own process and limit.
        memory_limit=0,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        protocol="tls://",
        asynchronous=True,
    )
    # It has no argument for this, and does not start before it is awaited.
    cluster.scheduler_spec["cls"] = _scheduler_without_http()
    return cluster


def _queued_cluster(settings: ClusterSettings, folder: Path, complain: Complain) -> Any:
    assert settings.job_queue is not None
    queue_class = cluster_class(settings.job_queue.kind)
    options = extended_options(settings.job_queue.kind, settings.job_queue.options)
    # A worker always has an HTTP server, which is open to everybody by default. The experiment file's come later.
    arguments = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    if settings.resources:
        # A shell reads the workers' command.
        taken = " ".join(f"{name}={amount:g}" for name, amount in settings.resources.items())
        arguments += ["--resources", shlex.quote(taken)]
    return queue_class(
        n_workers=0,
        asynchronous=True,
        silence_logs="critical",
        job_cls=job_class(queue_class.job_cls, folder, complain),
        # Without certificates anyone who reaches this machine could have the workers run anything.
        security=security_of(settings.tls or _make_certificate(folder)),
        protocol="tls://",
        scheduler_cls=_scheduler_without_http(),
        **{
            "processes": 1,
            "python": shlex.quote(sys.executable),
            **options,
            "worker_extra_args": [*arguments, *options["worker_extra_args"]],
            "scheduler_options": {"dashboard_address": None, **options["scheduler_options"]},
        },
    )


def extended_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with those that this package extends, each under its newer name.

    One that is missing, or empty under one of two names, is taken from the other name, then from Dask's configuration.
    """
    found = dict(options)
    for names, empty in EXTENDED_OPTIONS.items():
        given = [value for value in (found.pop(name, None) for name in names) if value is not None]
        configured = [_option(kind, {}, name) for name in names]
        found[names[0]] = [*sorted(given, key=bool, reverse=True), *filter(None, configured), empty][0]
    return found


def _option(kind: str, options: Mapping[str, Any], name: str) -> Any:
    """Return an option from ``options``, or from Dask's own configuration; None for neither."""
    import dask

    section = cluster_class(kind).job_cls.default_config_name()
    return options.get(name) or dask.config.get(f"jobqueue.{section}.{name.replace('_', '-')}", None)


def _scheduler_without_http() -> Any:
    """Return Dask's scheduler without the HTTP server that it has, for everybody, even without a dashboard."""
    from distributed import Scheduler

    class ClosedScheduler(Scheduler):  # type: ignore[misc]
        def start_http_server(self, routes: Any, dashboard_address: Any, *arguments: Any, **options: Any) -> None:
            if dashboard_address is not None:
                super().start_http_server(routes, dashboard_address, *arguments, **options)

    return ClosedScheduler


def _silence_dask() -> None:
    """Keep Dask's log off the terminal: the search says in its own words that a worker is lost."""
    # Makes its loggers.
    import distributed  # noqa: F401

    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado"):
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
    warnings.filterwarnings("ignore", module=r"distributed(\..*)?")


def job_class(base: Any, folder: Path, complain: Complain) -> Any:
    """Return dask-jobqueue's job class with a file that says that the job has ended.

    Dask takes a job, even a refused one, for running until its worker has come and gone. So the job's script leaves a
    file in the shared folder when it ends (unless it is killed, becomes another process by ``exec``, or sets another
    trap), and a refused job leaves one at once. Paths of certificates are quoted for the shell.
    """
    has_taken_one = False

    class ReportingJob(base):  # type: ignore[misc]
        refusal: str | None = None

        def __init__(
            self, *arguments: Any, security: Any = None, job_script_prologue: Sequence[str] = (), **options: Any
        ) -> None:
            if security is not None:
                security = copy.copy(security)
                for name in ("tls_ca_file", "tls_worker_cert", "tls_worker_key"):
                    setattr(security, name, shlex.quote(getattr(security, name)))
            self.end_file = f"{_ENDED}{uuid.uuid4().hex}"
            touch = f"{{ : >{shlex.quote(str(folder / self.end_file))}; }} 2>/dev/null"
            prologue = [f"trap {shlex.quote(touch)} EXIT", *job_script_prologue]
            super().__init__(*arguments, security=security, job_script_prologue=prologue, **options)

        async def start(self) -> None:
            nonlocal has_taken_one
            try:
                await super().start()
            except Exception as error:
                self.refusal = one_line(error)
                with suppress(OSError):
                    (folder / self.end_file).touch()
                if not has_taken_one:
                    complain(f"it refused a job: {self.refusal}")
                raise
            has_taken_one = True

    return ReportingJob


async def resubmit_ended(cluster: Any, folder: Path, complain: Complain) -> None:
    """Drop jobs that have ended without a worker, so that Dask submits others; runs until it is cancelled.

    Args:
        cluster: adaptive, with jobs of ``job_class`` and the same folder
    """
    import dask
    from dask.utils import parse_timedelta

    had_worker: set[str] = set()
    ended_since: dict[str, float] = {}
    # By the job's place among those that are wanted.
    num_in_vain: Counter[str] = Counter()
    last: Any = None
    shortest = _PAUSE + parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
    while True:
        await asyncio.sleep(_INTERVAL)
        ended: set[str] = set()
        with suppress(OSError):  # a network file system, for a while
            ended = set(os.listdir(folder))
        workers = {str(name) for name in cluster.observed}
        for name, job in list(cluster.workers.items()):
            pause = shortest * 2 ** min(num_in_vain[name], _MAX_DOUBLINGS)
            if any(worker == name or worker.startswith(f"{name}-") for worker in workers):
                if job.end_file not in had_worker:
                    had_worker.add(job.end_file)
                    num_in_vain.clear()
                # As long as its worker is known, no other of its name is let in.
                ended_since.pop(job.end_file, None)
            elif job.end_file in ended:
                if time.monotonic() - ended_since.setdefault(job.end_file, time.monotonic()) >= pause:
                    if cluster.workers.get(name) is job:
                        del cluster.workers[name]
                        with suppress(OSError, RuntimeError):  # the batch system no longer knows the job
                            await job.close()
                    num_in_vain[name] += job.end_file not in had_worker
                    last = job
        # A job that waits in the queue for the first time may still bring a worker.
        if last is not None and all(num_in_vain[name] >= _PATIENT_ROUNDS for name in cluster.worker_spec):
            complain(_describe_in_vain(num_in_vain.total(), last))


def _describe_in_vain(num_jobs: int, last: Any) -> str:
    if last.refusal is not None:
        return f"{num_jobs} jobs were refused or have ended before their workers came: {last.refusal}"
    return (
        f"{num_jobs} jobs have ended before their workers came; the last was job {last.job_id}, and its output, the "
        ".out file here or in log_directory, says why"
    )


@contextmanager
def shared_folder(parent: Path) -> Iterator[Path]:
    """Make a folder that only its owner may read, and remove it, and those of searches that were killed.

    A search and its batch system's workers share it: certificates, and files that say that a job has ended.

    Args:
        parent: on a file system that every machine of the cluster sees

    Raises:
        OSError: no folder can be made in ``parent``
    """
    for left in parent.glob(f"{_FOLDER}*"):
        with suppress(OSError, NoLocksError):  # somebody else's
            # Nobody here knows whether another machine's process is gone.
            if read_holder(left / "lock").host == platform.node() and find_holder(left / "lock") is None:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=_FOLDER, dir=parent))
    remove = partial(_remove, folder)
    # The block may run in a thread that the end of the process does not wait for.
    atexit.register(remove)
    try:
        with ExitStack() as stack:
            # Without locks nobody can know whether it is in use, and it stays where its owner is killed.
            with suppress(OSError, NoLocksError):
                stack.enter_context(held(folder / "lock", f"folder '{folder}'"))
            yield folder
    finally:
        remove()
        atexit.unregister(remove)


def _remove(folder: Path) -> None:
    # A last job may write its file meanwhile, but not under another name: only files on their way come then.
    gone = folder.with_name(f"{folder.name}.gone")
    with suppress(OSError):
        folder.rename(gone)
    for _ in range(5):
        for left in (gone, folder):
            shutil.rmtree(left, ignore_errors=True)
        if not gone.exists() and not folder.exists():
            break
