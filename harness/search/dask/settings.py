"""The key ``cluster`` of an experiment file: which Dask cluster runs the trials."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import ExperimentFileError, one_line, show_value
from harness.search.auptimizer import MAX_PARALLEL
from harness.search.key_types import Anything, Key, ListOf, Positive, Section, Text, WholeNumber
from harness.search.keys import HIDDEN, ExperimentKeys, check_keys

#: What to type where Dask is not installed.
INSTALL = "pip install 'harness-iemocap[cluster]'"
#: Our default: a scheduler's machine takes minutes to start again.
DEFAULT_PATIENCE: Seconds = 300.0
#: Our default: in a batch system's queue a job may wait for a day.
QUEUE_PATIENCE: Seconds = 86400.0
#: Key of the experiment file -> dask-jobqueue's class.
JOB_QUEUES: Mapping[str, str] = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
#: Options of dask-jobqueue to which this package adds, by their newer name and their older, and their empty values.
EXTENDED_OPTIONS: Mapping[tuple[str, ...], Any] = {
    ("worker_extra_args", "extra"): [],
    ("job_script_prologue", "env_extra"): [],
    ("scheduler_options",): {},
}
#: Options that this package sets itself, or that no JSON file can hold.
_RESERVED_OPTIONS = (
    *("self", "loop", "security", "n_workers", "asynchronous", "config_name", "scheduler", "name", "job_cls"),
    *("scheduler_cls", "protocol", "silence_logs", "dashboard_address"),
)

_KINDS = ("scheduler", "local", *JOB_QUEUES)
_ADDRESS = re.compile(r"(?P<protocol>tcp|tls)://(?:\[[0-9a-fA-F:]+\]|[^\s/:\[\]]+):\d{1,5}")
_TLS = Section(
    {
        "ca_file": Key(Text(), "The certificate of the authority, a PEM file."),
        "cert": Key(Text(), "This machine's certificate, a PEM file."),
        "key": Key(Text(), "The key of cert, a PEM file that you alone may read."),
    },
    required=("ca_file", "cert", "key"),
)
#: Options of dask-jobqueue's that this package reads or adds to; its class knows the others.
_JOB_QUEUE = Section(
    {
        "jobs": Key(WholeNumber(1, MAX_PARALLEL), "Jobs to submit; by default as many as trials run at once."),
        "processes": Key(WholeNumber(1, MAX_PARALLEL), "Workers of one job."),
        **{
            name: Key(
                ListOf(Anything(), can_be_empty=True) if isinstance(empty, list) else Section({}, Anything()),
                "An option of dask-jobqueue's, to which this package adds.",
                takes_null=True,
            )
            for names, empty in EXTENDED_OPTIONS.items()
            for name in names
        },
    },
    others=Anything(),
)
#: The keys of ``cluster``.
CLUSTER = Section(
    {
        "scheduler": Key(Text(), "The address of a running scheduler: tcp://host:8786 or tls://host:8786."),
        "local": Key(WholeNumber(1, MAX_PARALLEL), "Worker processes to start on this machine."),
        **{
            kind: Key(_JOB_QUEUE, f"Jobs of a batch system, with the options of dask-jobqueue's {name}.")
            for kind, name in JOB_QUEUES.items()
        },
        "resources": Key(Section({}, Positive()), "Dask worker resources that each trial takes, by name."),
        "tls": Key(_TLS, "The certificates of a scheduler at tls://."),
        "patience_seconds": Key(
            Positive(), "Seconds that a search goes on without any worker that may run a trial.", takes_null=True
        ),
    },
    rules={"oneOf": [{"required": [kind]} for kind in _KINDS]},
)


@dataclass(frozen=True)
class TLSFiles:
    """The certificate authority's certificate, and this machine's certificate and key, in PEM."""

    ca_file: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class JobQueue:
    """Workers that a batch system starts.

    Attributes:
        kind: a name of ``JOB_QUEUES``
        num_jobs: jobs to submit; None for as many as trials run at once
        options: keyword arguments of dask-jobqueue's class
    """

    kind: str
    num_jobs: int | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ClusterSettings:
    """A Dask cluster: one that runs already, one made of processes here, or one made by a batch system.

    Exactly one of ``scheduler``, ``num_local`` and ``job_queue`` is not None. Nothing here changes a trial's
    result.

    Attributes:
        scheduler: an address, ``tcp://host:8786`` or ``tls://host:8786``
        num_local: worker processes to start on this machine
        resources: Dask worker resources that each trial takes, by name
        patience_seconds: how long a search goes on without any worker that may run a trial
    """

    scheduler: str | None = None
    num_local: int | None = None
    job_queue: JobQueue | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    tls: TLSFiles | None = None
    patience_seconds: Seconds = DEFAULT_PATIENCE

    @property
    def num_workers(self) -> int:
        """Trials to run at once where the experiment file does not say: a worker each, where that is known."""
        if self.num_local is not None:
            return self.num_local
        if self.job_queue is not None and self.job_queue.num_jobs is not None:
            return self.job_queue.num_jobs * int(self.job_queue.options.get("processes", 1))
        return 1


def read_cluster(keys: ExperimentKeys, is_wanted: bool) -> ClusterSettings | None:
    """Read the key ``cluster``, which ``"resource": "dask"`` needs and no other resource has.

    Raises:
        ExperimentFileError: one sentence that names the key, what was found and what is allowed; or Dask
            is not installed
    """
    if not is_wanted:
        if "cluster" in keys.values:
            raise keys.error("cluster", "is given", "'dask' as the resource beside it, or no such key")
        return None
    if "cluster" not in keys.values:
        expected = '{"scheduler": "tcp://host:8786"}, {"local": 4} or {"slurm": {...}}, as the resource is \'dask\''
        raise keys.error("cluster", "is missing", expected)
    section = keys.section("cluster")
    check_keys(section, CLUSTER.keys, f"{keys.origin}: cluster")
    chosen = [kind for kind in _KINDS if kind in section]
    if len(chosen) != 1:
        found = f"names {' and '.join(chosen)}" if chosen else "names no cluster"
        raise keys.error("cluster", found, f"exactly one of {sorted(_KINDS)}")
    (kind,) = chosen
    tls = _read_tls(keys)
    settings = ClusterSettings(
        scheduler=_read_address(keys, tls) if kind == "scheduler" else None,
        num_local=keys.whole_number("cluster.local") if kind == "local" else None,
        job_queue=_read_job_queue(keys, kind) if kind in JOB_QUEUES else None,
        resources=_read_resources(keys),
        tls=tls,
        patience_seconds=keys.positive("cluster.patience_seconds")
        or (QUEUE_PATIENCE if kind in JOB_QUEUES else DEFAULT_PATIENCE),
    )
    for package in ("distributed", *(["dask_jobqueue"] if settings.job_queue is not None else [])):
        if find_spec(package) is None:
            raise ExperimentFileError(
                f"{keys.origin}: resource is 'dask', and the package {package!r} is not installed; expected it "
                f"here and on every worker: {INSTALL}"
            )
    if settings.job_queue is not None:
        _check_options(keys, kind, settings.job_queue.options)
    return settings


def cluster_class(kind: str) -> Any:
    """Return dask-jobqueue's class of a batch system."""
    import dask_jobqueue

    return getattr(dask_jobqueue, JOB_QUEUES[kind])


def _read_address(keys: ExperimentKeys, tls: TLSFiles | None) -> str:
    address = keys.text("cluster.scheduler")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise keys.error(
            "cluster.scheduler", f"is {address!r:.80}", "an address such as tcp://host:8786 or tls://host:8786"
        )
    if (match["protocol"] == "tls") != (tls is not None):
        found = f"is {address!r:.80} " + ("beside tls" if tls is not None else "without tls")
        raise keys.error("cluster.scheduler", found, "tls:// and the key tls together, or neither")
    return address


def _read_tls(keys: ExperimentKeys) -> TLSFiles | None:
    if "tls" not in keys.section("cluster"):
        return None
    check_keys(keys.section("cluster.tls"), _TLS.keys, f"{keys.origin}: cluster.tls")
    paths = {}
    for key in _TLS.keys:
        path = keys.path_of(f"cluster.tls.{key}")
        if path is None or not os.path.isfile(path):
            raise keys.error(f"cluster.tls.{key}", "is missing" if path is None else f"is '{path}'", "a PEM file")
        paths[key] = path
    tls = TLSFiles(**paths)
    _check_mode(keys, tls.key)
    try:
        ssl.create_default_context(cafile=tls.ca_file).load_cert_chain(tls.cert, tls.key, password="")
    except (OSError, ValueError) as error:
        found = f"is {keys.section('cluster.tls')}, of which OpenSSL says: {one_line(error)}"
        expected = "certificates in PEM, and the key that belongs to cert, without a password"
        raise keys.error("cluster.tls", found, expected) from error
    return tls


def _check_mode(keys: ExperimentKeys, path: Path) -> None:
    """Refuse a private key that others may read. Source: OpenSSH, which lets another owner's key have any mode."""
    status = path.stat()
    if status.st_uid == os.getuid() and status.st_mode & 0o077:
        found = f"is '{path}', with the mode {status.st_mode & 0o777:04o}"
        raise keys.error("cluster.tls.key", found, f"a key that you alone may read: chmod 600 {shlex.quote(str(path))}")


def _read_resources(keys: ExperimentKeys) -> dict[str, float]:
    resources, allowed = {}, Positive()
    # Not by their dotted names: a resource's own name may have dots.
    for name, amount in keys.section("cluster.resources").items():
        if not name.strip():
            raise keys.error("cluster.resources", f"has the name {name!r}", "the name of a Dask worker resource")
        if not allowed.accepts(amount):
            raise keys.error(f"cluster.resources.{name}", f"is {show_value(amount)}", allowed.expected)
        resources[name] = float(amount)
    return resources


def _read_job_queue(keys: ExperimentKeys, kind: str) -> JobQueue:
    options = dict(keys.section(f"cluster.{kind}"))
    num_jobs = None
    if "jobs" in options:
        num_jobs = keys.whole_number(f"cluster.{kind}.jobs")
        del options["jobs"]
    if "processes" in options:
        keys.whole_number(f"cluster.{kind}.processes")
    return JobQueue(kind, num_jobs, options)


def _check_options(keys: ExperimentKeys, kind: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that nothing would read, or to which nothing can be added."""
    check_keys(options, _known_options(kind), f"{keys.origin}: cluster.{kind}")
    for names, empty in EXTENDED_OPTIONS.items():
        for name in names:
            if options.get(name) is not None and not isinstance(options[name], type(empty)):
                # The value may hold a secret, so the message does not show it.
                expected = "a list of texts" if isinstance(empty, list) else "an object {...}"
                raise keys.error(f"cluster.{kind}.{name}", HIDDEN, expected)


def _known_options(kind: str) -> list[str]:
    """Return the options that a batch system's class and its parents take."""
    found: set[str] = set()
    cluster = cluster_class(kind)
    for one in {*cluster.__mro__, *cluster.job_cls.__mro__}:
        if one.__module__.startswith("dask_jobqueue"):
            parameters = inspect.signature(one.__init__).parameters.values()
            found |= {one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    return sorted(found - set(_RESERVED_OPTIONS))
