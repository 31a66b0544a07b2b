"""What controller and workers tell each other: expectations, orders, events and returns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.cluster.plain import to_plain
from harness.search.outcome import JobOutput
from harness.search.process import JobEnd
from harness.store.records import EpochRecord, TrialRecords

#: Dask worker resource of which a trial takes the one that each worker has: one trial at a time a worker.
TRIAL_RESOURCE = "harness-trial"


@dataclass(frozen=True)
class ExpectedFeatures:
    """The prepared features and word vectors that every trial of a search reads.

    Attributes:
        prepared_dir, word_vectors: where the controller has them; workers may see the same files there
        manifest_hash: SHA-256 of manifest.json
        corpus_hash: for saying what differs
        sessions: that a search may open, and no other
        word_vectors_hash: SHA-256 of the file; None without one
    """

    prepared_dir: str
    manifest_hash: str
    corpus_hash: str
    sessions: tuple[int, ...]
    word_vectors: str | None
    word_vectors_hash: str | None


@dataclass(frozen=True)
class Expectations:
    """What a worker must have before it gets a trial.

    Attributes:
        versions: of each package whose version can change a score, by name
        resources: Dask worker resources that a trial takes, by name
        features: None for a script that knows nothing of this package
    """

    versions: Mapping[str, str]
    resources: Mapping[str, float]
    features: ExpectedFeatures | None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits by which workers that have all of it are known."""
        return hashlib.sha256(json.dumps(to_plain(self), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def taken(self) -> dict[str, float]:
        """The Dask worker resources that a trial takes: only accepted workers have them all."""
        return {**self.resources, TRIAL_RESOURCE: 1, f"harness-{self.digest}": 1}


class Verdict(StrEnum):
    """Whether a worker gets trials."""

    ACCEPTED = "accepted"
    NEEDS_FEATURES = "needs features"
    REFUSED = "refused"


@dataclass(frozen=True)
class Answer:
    """What a worker says to the expectations.

    Attributes:
        differences: one phrase for each thing that differs; empty unless refused
    """

    verdict: Verdict
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScriptOrder:
    """The script that a job runs.

    Attributes:
        path, working_dir: where the controller has them
        content: what is written beside the job where a worker has not the same file at ``path``
    """

    path: str
    working_dir: str
    arguments: tuple[str, ...]
    is_python: bool
    content: bytes


@dataclass(frozen=True)
class TrainingOrder:
    """What a trial of this package's own is told besides its point, but for where things lie on its machine.

    Attributes:
        experiment: the row of the experiment, which its own results.db has too
        protocol: as JSON has it
    """

    experiment: Mapping[str, Any]
    seed: int
    system: str
    protocol: Mapping[str, Any]
    max_epochs: int
    patience: int | None


@dataclass(frozen=True)
class JobOrder:
    """Everything that a worker needs to carry out one attempt at one trial.

    Attributes:
        trial_id, trial_index, jid: the controller's
        values: what Auptimizer's job file holds
        environment: added to the job's; may hold secrets, and is stored nowhere
        mark: ``NAME=value`` by which the experiment's jobs are known
        sees_cards: whether the job sees the graphics cards that its worker sees
        digest: of the expectations that its worker was accepted under
        topic: of Dask's events, for what is told while the job runs
        training: None for a script that knows nothing of this package
    """

    trial_id: int
    trial_index: int
    jid: int
    values: Mapping[str, Any]
    script: ScriptOrder
    environment: Mapping[str, str]
    mark: str
    sees_cards: bool
    timeout_seconds: Seconds | None
    memory_bytes: int | None
    digest: str
    topic: str
    training: TrainingOrder | None


@dataclass(frozen=True)
class JobStarted:
    """A job has begun.

    Attributes:
        execution: tells one execution of an order from another, should Dask run it again elsewhere
        pid: of the job on ``host``, its process group's too
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
    """A job has ended, and this is all that there is of it.

    Attributes:
        started: None where nothing could be started
    """

    trial_id: int
    execution: str
    started: JobStarted | None
    end: JobEnd
    output: JobOutput
    records: TrialRecords


#: The events of a topic, by the name that they carry beside their fields.
EVENTS: Mapping[str, type[JobStarted] | type[JobEpoch] | type[JobReturn]] = {
    "started": JobStarted,
    "epoch": JobEpoch,
    "ended": JobReturn,
}
