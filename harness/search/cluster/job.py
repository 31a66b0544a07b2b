"""One trial on a worker: still a process of its own, with its records in a results.db on the worker's disk.

Runs on the worker, as a Dask task.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.corpus.utterances import Seconds
from harness.files import write_json
from harness.search.cluster.enlisting import FoundFeatures, features_of
from harness.search.cluster.order import EVENTS, JobEpoch, JobOrder, JobReturn, JobStarted, ScriptOrder
from harness.search.cluster.plain import from_plain, to_plain
from harness.search.jobs import JobLimits, RunningJob, RunningJobs, process_started_at
from harness.search.outcome import JobOutput
from harness.search.process import EndedBy, JobEnd, job_environment
from harness.splits.protocol import protocol_from_json
from harness.store.records import ExperimentRecord, TrialRecords
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path

#: Seconds between two looks at a job. A choice: short beside a training, long beside a look.
_INTERVAL: Seconds = 0.1

Event = JobStarted | JobEpoch | JobReturn


@dataclass(frozen=True)
class Workplace:
    """What a worker has for one job.

    Attributes:
        folder: empty, on the worker's own disk
        threads: processor threads of the job
        features: None for a script that knows nothing of this package
        is_wanted: asked again and again; a job that nobody wants any more is ended
        tell: called with what happens while the job runs
    """

    folder: Path
    threads: int
    features: FoundFeatures | None
    is_wanted: Callable[[], bool]
    tell: Callable[[Event], None]


def run_job(order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out an order on the Dask worker whose task this is; returns a ``JobReturn`` as plain values."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    read = from_plain(JobOrder, dict(order))
    names = {event: name for name, event in EVENTS.items()}

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in _WANTED_STATES and worker.status.name in _WORKING

    def tell(event: Event) -> None:
        worker.log_event(read.topic, {"event": names[type(event)], "told": to_plain(event)})

    with TemporaryDirectory(
        prefix="harness-trial-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        workplace = Workplace(
            folder=Path(folder),
            threads=worker.state.nthreads,
            features=None if read.training is None else features_of(worker, read.digest),
            is_wanted=is_wanted,
            tell=tell,
        )
        returned: dict[str, Any] = to_plain(carry_out(read, workplace))
    return returned


#: States of a task, as its worker knows it, in which somebody still waits for it.
_WANTED_STATES = ("executing", "long-running", "resumed")
#: States of a worker in which it goes on with what it has.
_WORKING = ("init", "running", "paused")


def carry_out(order: JobOrder, workplace: Workplace) -> JobReturn:
    """Run an order's job to its end, its limits', or until nobody wants it any more.

    Raises:
        OSError: the worker's disk does not take the job's files
    """
    execution = uuid.uuid4().hex
    job_path = workplace.folder / f"{order.jid}.json"
    output_path = workplace.folder / f"{order.jid}.out"
    write_json(job_path, dict(order.values))
    limits = JobLimits(order.timeout_seconds, order.memory_bytes, retries=0)
    # Before the guardian: what cannot be written ends here.
    command, working_dir = _place_script(order.script, workplace.folder)
    with _Records.begin(order, workplace, job_path) as records:
        jobs = RunningJobs(limits)
        try:
            environment = job_environment(
                (order.mark, jobs.mark),
                workplace.threads,
                {**({} if order.sees_cards else {"CUDA_VISIBLE_DEVICES": ""}), **order.environment},
            )
            try:
                job = jobs.start([*command, str(job_path)], working_dir, environment, output_path)
            except OSError as error:
                end = JobEnd(EndedBy.SYSTEM, None, None, f"{error.strerror} ({order.script.path})")
                return JobReturn(order.trial_id, execution, None, end, JobOutput("", None), records.all())
            pid = job.process.group
            started = JobStarted(order.trial_id, execution, platform.node(), pid, process_started_at(pid))
            workplace.tell(started)
            _follow(job, jobs, workplace, lambda: records.tell_new(execution, order.trial_id))
            end, output = jobs.reap(job)
            returned = JobReturn(order.trial_id, execution, started, end, output, records.all())
            if not workplace.is_wanted():
                # Dask drops what a cancelled task returns.
                workplace.tell(returned)
            return returned
        finally:
            jobs.abandon()


def _follow(job: RunningJob, jobs: RunningJobs, workplace: Workplace, look: Callable[[], None]) -> None:
    """Wait for a job's end, and end it when nobody wants it any more."""
    while not jobs.ended():
        if not workplace.is_wanted():
            job.end_for(EndedBy.STOP)
            return
        look()
        time.sleep(_INTERVAL)


def _place_script(script: ScriptOrder, folder: Path) -> tuple[list[str], Path]:
    """Return the command and the folder that a job runs in; a script that is not here is written beside the job."""
    path = Path(script.path)
    if not _holds(path, script.content):
        path = folder / "script" / path.name
        path.parent.mkdir()
        path.write_bytes(script.content)
        path.chmod(0o700)
    working_dir = Path(script.working_dir)
    command = [*([sys.executable] if script.is_python else []), str(path), *script.arguments]
    return command, working_dir if os.path.isdir(working_dir) else path.parent


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


class _Records:
    """A trial's records on the worker's disk: a results.db of one experiment with one trial."""

    def __init__(self, store: ResultsStore | None, trial_id: int, tell: Callable[[Event], None]) -> None:
        self._store, self._trial_id, self._tell = store, trial_id, tell
        self._num_told = 0

    @classmethod
    def begin(cls, order: JobOrder, workplace: Workplace, job_path: Path) -> _Records:
        """Make the database and the trial's spec; neither for a script that knows nothing of this package."""
        training, features = order.training, workplace.features
        if training is None or features is None:
            return cls(None, 0, workplace.tell)
        store = ResultsStore.open(workplace.folder / "results.db")
        experiment = from_plain(ExperimentRecord, dict(training.experiment))
        eid = store.create_experiment(experiment)
        trial_id = store.start_trial(eid, order.trial_index, training.seed, {}, order.jid)
        spec = TrialSpec(
            trial_id=trial_id,
            eid=eid,
            trial_index=order.trial_index,
            seed=training.seed,
            system=training.system,
            protocol=protocol_from_json(training.protocol),
            prepared_dir=features.prepared_dir,
            results_db=store.path,
            max_epochs=training.max_epochs,
            patience=training.patience,
            threads=workplace.threads,
            word_vectors=features.word_vectors,
        )
        spec.write(trial_spec_path(job_path))
        return cls(store, trial_id, workplace.tell)

    def __enter__(self) -> _Records:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._store is not None:
            self._store.close()

    def tell_new(self, execution: str, told_as: int) -> None:
        """Tell of the epochs that have been recorded since the last call."""
        if self._store is None:
            return
        epochs = self._store.epochs(self._trial_id)
        for epoch in epochs[self._num_told :]:
            self._tell(JobEpoch(told_as, execution, epoch))
        self._num_told = len(epochs)

    def all(self) -> TrialRecords:
        """Return all that the trial's process has recorded."""
        if self._store is None:
            return TrialRecords(None, (), None)
        return self._store.trial_records(self._trial_id)
