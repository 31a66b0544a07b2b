"""The batch systems that dask-jobqueue knows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from harness.search.keys import ExperimentKeys, check_keys

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
#: Options to which this package adds, by their newer name and their older, and what they are by default.
_ADDED_TO: Mapping[tuple[str, ...], Any] = {
    ("worker_extra_args", "extra"): [],
    ("job_script_prologue", "env_extra"): [],
    ("scheduler_options",): {},
}
#: What this package gives itself, and what no JSON file can hold.
_OURS = (
    *("self", "loop", "security", "n_workers", "asynchronous", "config_name", "scheduler", "name", "job_cls"),
    *("scheduler_cls", "protocol", "silence_logs", "dashboard_address"),
)


def cluster_class(kind: str) -> Any:
    """Return dask-jobqueue's class of a batch system."""
    import dask_jobqueue

    return getattr(dask_jobqueue, JOB_QUEUES[kind])


def with_defaults(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` with those that this package adds to, from Dask's own configuration where they are missing.

    Each is there under its newer name only.
    """
    found = dict(options)
    for names, empty in _ADDED_TO.items():
        # An empty one counts if it is all that is given; one that is configured is Dask's own default.
        given = [value for value in (found.pop(name, None) for name in names) if value is not None]
        given.sort(key=bool, reverse=True)
        configured = [value for value in (configured_option(kind, name) for name in names) if value]
        found[names[0]] = [*given, *configured, empty][0]
    return found


def configured_option(kind: str, name: str) -> Any:
    """Return what Dask's own configuration says of an option; None for nothing."""
    import dask

    section = cluster_class(kind).job_cls.default_config_name()
    return dask.config.get(f"jobqueue.{section}.{name.replace('_', '-')}", None)


def known_options(kind: str) -> list[str]:
    """Return the names of the options that a batch system's class takes, its parents' among them."""
    found: set[str] = set()
    made = cluster_class(kind)
    for one in {*made.__mro__, *made.job_cls.__mro__}:
        if one.__module__.startswith("dask_jobqueue"):
            parameters = inspect.signature(one.__init__).parameters.values()
            found |= {
                parameter.name
                for parameter in parameters
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            }
    return sorted(found - set(_OURS))


def check_options(keys: ExperimentKeys, kind: str, options: Mapping[str, Any]) -> None:
    """Refuse an option that nothing would read, or to which nothing can be added.

    Raises:
        ExperimentFileError: it names the option and those that there are, or what was expected of it
    """
    check_keys(options, known_options(kind), f"{keys.origin}: cluster.{kind}")
    for names, empty in _ADDED_TO.items():
        for name in names:
            if options.get(name) is not None and not isinstance(options[name], type(empty)):
                # Whatever stands here may be a secret: it is not shown.
                expected = "a list of texts" if isinstance(empty, list) else "an object {...}"
                raise keys.error(f"cluster.{kind}.{name}", "is something else", expected)
