"""A Dask scheduler to talk to: one that runs already, or one that is made and ended with its workers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.cluster.job_queues import cluster_class
from harness.search.cluster.settings import ClusterSettings, JobQueue, TLSFiles
from harness.search.job_process import usable_cores

#: Seconds in which a scheduler that is there answers. A choice.
CONNECT_TIMEOUT: Seconds = 10.0


@asynccontextmanager
async def open_scheduler(
    settings: ClusterSettings, num_parallel: int, complain: Callable[[Exception], None]
) -> AsyncIterator[Any]:
    """Make the cluster that ``settings`` ask for, and end it with the block.

    Args:
        complain: called with what a batch system says where it does not take a job

    Yields:
        what Dask's ``Client`` takes: the address of a scheduler, or a cluster of this block's own

    Raises:
        OSError, RuntimeError, ValueError: Dask cannot make it
    """
    _be_quiet()
    if settings.scheduler is not None:
        yield settings.scheduler
        return
    if settings.num_local is not None:
        made = _local_cluster(settings.num_local, settings)
    else:
        assert settings.job_queue is not None
        made = _queued_cluster(settings.job_queue, settings, complain)
    async with made as cluster:
        if settings.job_queue is not None:
            num_processes = int(settings.job_queue.options.get("processes", 1))
            num_jobs = settings.job_queue.num_jobs or -(-num_parallel // num_processes)
            # Not scale(): a job that comes to the end of its time is asked for again.
            cluster.adapt(minimum_jobs=num_jobs, maximum_jobs=num_jobs)
        yield cluster


def security_of(tls: TLSFiles | None) -> Any:
    """Return Dask's record of the certificates; None for connections that anyone may read and make."""
    if tls is None:
        return None
    from distributed.security import Security

    certificate = {
        f"tls_{role}_{part}": str(path)
        for role in ("client", "scheduler", "worker")
        for part, path in (("cert", tls.cert), ("key", tls.key))
    }
    return Security(tls_ca_file=str(tls.ca_file), require_encryption=True, **certificate)


def _local_cluster(num_workers: int, settings: ClusterSettings) -> Any:
    from distributed import LocalCluster
    from distributed.security import Security

    # Without certificates anyone with an account on this machine could have its workers run anything.
    security = Security.temporary() if settings.tls is None else security_of(settings.tls)
    return LocalCluster(
        n_workers=num_workers,
        threads_per_worker=max(1, usable_cores() // num_workers),
        processes=True,
        resources=dict(settings.resources),
        security=security,
        preload=["harness.search.cluster.preload"],
        # Dask's own limit is for what its tasks keep in the worker; a trial has its own process and limit.
        memory_limit=0,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        protocol="tls://",
        asynchronous=True,
    )


def _queued_cluster(queue: JobQueue, settings: ClusterSettings, complain: Callable[[Exception], None]) -> Any:
    options: dict[str, Any] = {"processes": 1, **queue.options}
    if settings.resources:
        asked = " ".join(f"{name}={amount:g}" for name, amount in settings.resources.items())
        options["worker_extra_args"] = [*options.get("worker_extra_args", []), "--resources", asked]
    if settings.tls is not None:
        options |= {"security": security_of(settings.tls), "protocol": "tls://"}
    made = cluster_class(queue.kind)
    job_cls = _complaining(made.job_cls, complain)
    return made(n_workers=0, asynchronous=True, silence_logs="critical", job_cls=job_cls, **options)


def _complaining(job_cls: Any, complain: Callable[[Exception], None]) -> Any:
    """Return a job that tells of its refusal; Dask only asks again, for as long as it lives."""

    class ComplainingJob(job_cls):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except Exception as error:
                complain(error)
                raise

    return ComplainingJob


def _be_quiet() -> None:
    """Leave the terminal to the search: what Dask would say of a lost worker is said in its words."""
    # Makes its loggers.
    import distributed  # noqa: F401

    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("distributed", "tornado"):
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
    warnings.filterwarnings("ignore", module=r"distributed(\..*)?")
