"""A Dask scheduler to talk to: one that runs already, or one that is made and ended with its workers."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.cluster.batch_jobs import asking_again, job_class
from harness.search.cluster.job_queues import cluster_class, configured_option, with_defaults
from harness.search.cluster.settings import ClusterSettings, JobQueue, TLSFiles
from harness.search.cluster.shared_folder import shared_folder
from harness.search.process import usable_cores

#: Seconds in which a scheduler that is there answers. A choice.
CONNECT_TIMEOUT: Seconds = 10.0


@asynccontextmanager
async def open_scheduler(
    settings: ClusterSettings, num_parallel: int, complain: Callable[[Exception], None]
) -> AsyncIterator[Any]:
    """Make the cluster that ``settings`` ask for, and end it with the block.

    Args:
        complain: called with what a batch system says where it never took a job, or that all its jobs end in vain

    Yields:
        what Dask's ``Client`` takes: the address of a scheduler, or a cluster of this block's own

    Raises:
        OSError, RuntimeError, ValueError: Dask cannot make it
    """
    _be_quiet()
    if settings.scheduler is not None:
        yield settings.scheduler
        return
    queue = settings.job_queue
    if queue is None:
        assert settings.num_local is not None
        async with _local_cluster(settings.num_local, settings) as cluster:
            yield cluster
        return
    num_jobs = queue.num_jobs or -(-num_parallel // int(queue.options.get("processes", 1)))
    option = "shared_temp_directory"
    shared = queue.options.get(option) or configured_option(queue.kind, option) or os.getcwd()
    with shared_folder(Path(os.path.expanduser(os.path.expandvars(shared)))) as folder:
        # Without certificates anyone who reaches this machine could have the workers run anything.
        tls = settings.tls or _make_certificate(folder)
        job = job_class(cluster_class(queue.kind).job_cls, folder, complain)
        async with _queued_cluster(queue, settings.resources, tls, job) as cluster:
            # Not scale(): a job that comes to the end of its time is asked for again.
            cluster.adapt(minimum_jobs=num_jobs, maximum_jobs=num_jobs)
            async with asking_again(cluster, folder, complain):
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
    cluster = LocalCluster(
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
    # It has no argument for this, and is not started before it is awaited.
    cluster.scheduler_spec["cls"] = _closed_scheduler()
    return cluster


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


def _queued_cluster(queue: JobQueue, resources: Mapping[str, float], tls: TLSFiles, job: Any) -> Any:
    options = with_defaults(queue.kind, queue.options)
    # A worker is never without its HTTP server, which is for everybody by default. What the file says comes later.
    arguments = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    if resources:
        # A shell reads the workers' command.
        asked = " ".join(f"{name}={amount:g}" for name, amount in resources.items())
        arguments += ["--resources", shlex.quote(asked)]
    return cluster_class(queue.kind)(
        n_workers=0,
        asynchronous=True,
        silence_logs="critical",
        job_cls=job,
        security=security_of(tls),
        protocol="tls://",
        scheduler_cls=_closed_scheduler(),
        **{
            "processes": 1,
            "python": shlex.quote(sys.executable),
            **options,
            "worker_extra_args": [*arguments, *options["worker_extra_args"]],
            "scheduler_options": {"dashboard_address": None, **options["scheduler_options"]},
        },
    )


def _closed_scheduler() -> Any:
    """Return Dask's scheduler without the HTTP server that it has even without a dashboard, for everybody."""
    from distributed import Scheduler

    class ClosedScheduler(Scheduler):  # type: ignore[misc]
        def start_http_server(self, routes: Any, dashboard_address: Any, *arguments: Any, **options: Any) -> None:
            if dashboard_address is not None:
                super().start_http_server(routes, dashboard_address, *arguments, **options)

    return ClosedScheduler


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
