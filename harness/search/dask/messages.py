"""The messages between a controller and its Dask workers: dataclasses that travel as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness import __version__
from harness.codec import to_plain
from harness.errors import one_line
from harness.features.copies import ExpectedFeatures
from harness.files import hash_json
from harness.search.jobs import JobLimits
from harness.search.keys import JobScript
from harness.search.outcome import JobOutput
from harness.search.process import JobEnd
from harness.store.records import EpochRecord, TrialRecords
from harness.store.trial_spec import TrialSpec

#: A Dask worker resource. Each accepted worker has one of it and a trial takes one: one trial at a time a worker.
TRIAL_RESOURCE = "harness-trial"


@dataclass(frozen=True)
class Expectations:
    """The packages and resources that a worker must have before it gets a trial.

    Attributes:
        versions: of each package whose version can change a score, by name
        resources: Dask worker resources that a trial takes, by name
        features: None for a script that does not use this package
    """

    versions: Mapping[str, str]
    resources: Mapping[str, float]
    features: ExpectedFeatures | None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that identify these expectations."""
        return hash_json(to_plain(self))

    @property
    def taken(self) -> dict[str, float]:
        """The Dask worker resources that a trial takes; only accepted workers have all of them."""
        return {**self.resources, TRIAL_RESOURCE: 1, f"harness-{self.digest}": 1}


@dataclass(frozen=True)
class CheckResult:
    """A worker's answer to the expectations: it is accepted unless it needs features, or something differs."""

    needs_features: bool = False
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskMessage:
    """Everything that a worker needs for one attempt at one trial.

    Attributes:
        job_file: the text of Auptimizer's job file
        spec: with the controller's paths and threads; None for a script that does not use this package
        script: with the controller's paths
        script_content: written beside the job where the worker has no such file at the script's path
        environment: added to the job's; may hold secrets, and is stored nowhere
        mark: ``NAME=value`` in the environment of every job of the experiment
        sees_cards: whether the job sees the graphics cards that its worker sees
        digest: of the expectations that its worker meets
        topic: of the Dask events that the worker logs while the job runs
    """

    trial_id: int
    jid: int
    job_file: str
    spec: TrialSpec | None
    script: JobScript
    script_content: bytes
    limits: JobLimits
    environment: Mapping[str, str]
    mark: str
    sees_cards: bool
    digest: str
    topic: str


@dataclass(frozen=True)
class JobStarted:
    """A job has started.

    Attributes:
        execution: identifies one execution of a task, which Dask may run again on another worker
        pid: of the job on ``host``, and of its process group
        process_started_at: seconds since the epoch of Unix
    """

    trial_id: int
    execution: str
    host: str
    pid: int
    process_started_at: float | None


@dataclass(frozen=True)
class JobEpoch:
    """A trial has recorded an epoch."""

    trial_id: int
    execution: str
    epoch: EpochRecord


@dataclass(frozen=True)
class JobReturn:
    """A job has ended; ``started`` is None where the system could not start it."""

    trial_id: int
    started: JobStarted | None
    end: JobEnd
    output: JobOutput
    records: TrialRecords

    @property
    def execution(self) -> str | None:
        """The execution that its records are of."""
        return self.records.execution


Event = JobStarted | JobEpoch | JobReturn
#: The types of the Dask events that a worker logs while a job runs, by name.
EVENTS: Mapping[str, type[Event]] = {event.__name__: event for event in (JobStarted, JobEpoch, JobReturn)}


def describe_error(error: BaseException) -> str:
    """Return any error as one line of at most 300 characters."""
    # Source: distributed's Scheduler.update_graph, which passes on no cause.
    if "deserialization of the task graph" in str(error):
        return f"its scheduler cannot read the task: harness-iemocap {__version__} must be installed beside that, too"
    return f"{type(error).__name__}: {one_line(Exception(str(error)))}"[:300]
