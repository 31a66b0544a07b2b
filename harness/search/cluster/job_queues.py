"""The batch systems that dask-jobqueue knows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from harness.search.experiment_keys import ExperimentKeys
from harness.search.known_keys import check_keys

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
#: What this package gives itself, and what no JSON file can hold.
_OURS = (
    *("self", "loop", "security", "n_workers", "asynchronous", "config_name", "scheduler", "name", "job_cls"),
    *("scheduler_cls", "protocol", "silence_logs", "dashboard_address"),
)


def cluster_class(kind: str) -> Any:
    """Return dask-jobqueue's class of a batch system."""
    import dask_jobqueue

    return getattr(dask_jobqueue, JOB_QUEUES[kind])


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
    """Refuse an option that nothing would read.

    Raises:
        ExperimentFileError: it names the option and those that there are
    """
    check_keys(options, known_options(kind), f"{keys.origin}: cluster.{kind}")
