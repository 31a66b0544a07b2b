"""Everything that runs on a Dask worker: the check before its first trial, the features sent to it, and its trials.

The functions that Dask calls are ``check_worker``, ``keep_piece``, ``keep_features``, ``run_trial_task`` and
``dask_setup``.
"""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakKeyDictionary

from harness import __version__
from harness.codec import from_plain, to_plain
from harness.corpus.utterances import Seconds
from harness.features.copies import (
    ExpectedFeatures,
    FoundFeatures,
    describe_differences,
    find_features,
    finish_copy,
    write_piece,
)
from harness.files import write_json
from harness.search.dask.messages import (
    CheckResult,
    Expectations,
    JobEpoch,
    JobReturn,
    JobStarted,
    Script,
    TaskMessage,
)
from harness.search.job_process import EndedBy, JobEnd, job_environment
from harness.search.orphans import process_started_at
from harness.search.running_jobs import JobLimits, RunningJobs
from harness.search.trial_outcome import JobOutput
from harness.store.recorder import RecordsPipe
from harness.store.remote import TrialRecords
from harness.trial_spec import trial_spec_path

#: Packages whose version must be the controller's, besides this one and Python: they change scores.
_PACKAGES = ("tensorflow", "keras", "numpy")
#: Seconds between two looks at a job. Our default: short beside a training, long beside a look.
_INTERVAL: Seconds = 0.1
#: States of a task, as its worker knows it, in which its result is still wanted.
_WANTED_STATES = ("executing", "long-running", "resumed")
#: States of a worker in which it continues its tasks.
_WORKING = ("init", "running", "paused")

Event = JobStarted | JobEpoch | JobReturn


#: Worker -> digest of expectations -> the features found; of one process, which may hold several workers.
_FOUND: WeakKeyDictionary[Any, dict[str, FoundFeatures | None]] = WeakKeyDictionary()


def dask_setup(worker: Any) -> None:
    """Prepare a worker that a controller starts on its own machine; Dask calls this first.

    Ctrl-C is the controller's alone: a terminal sends it to both, and running trials may finish. Dask's HTTP
    server has no use on one machine.
    """
    # Not SIG_IGN, which the trials would inherit: they have a session of their own, and a script may want it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    # It was blocked when this process began.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    worker.http_server.stop()
    worker.services.pop("dashboard", None)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


def check_worker(expectations: Mapping[str, Any]) -> dict[str, Any]:
    """Compare this worker with the expectations; one that meets them gives itself the resources that trials take.

    This is a task and not a ``WorkerPlugin``: it waits until the worker is free, it ends with its controller, and
    it does no harm to workers without this package, whose start a plugin that they cannot import would end.
    """
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    # Before anything else: another version of this package may read the rest in another way.
    result = CheckResult(differences=differing_versions(expectations["versions"]))
    if not result.differences:
        expected = from_plain(Expectations, dict(expectations))
        result = _check_resources_and_features(worker, expected)
        if result == CheckResult():
            given = {name: 1 for name in expected.taken if name not in expected.resources}
            sync(worker.loop, worker.set_resources, **given)
    answer: dict[str, Any] = to_plain(result)
    return answer


def installed_versions(with_training: bool) -> dict[str, str]:
    """Return the versions that controller and workers must share.

    Args:
        with_training: whether trials are this package's own, which compute with more than Python
    """
    versions = {"harness": __version__, "python": ".".join(platform.python_version_tuple()[:2])}
    for package in _PACKAGES if with_training else ():
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def differing_versions(expected: Mapping[str, str]) -> tuple[str, ...]:
    """Return a phrase for each package that has another version here."""
    found = installed_versions(with_training=len(expected) > 2)
    return tuple(
        f"{name} is {found.get(name, 'not known')} there and {version} here"
        for name, version in expected.items()
        if found.get(name) != version
    )


def _check_resources_and_features(worker: Any, expected: Expectations) -> CheckResult:
    has = worker.state.total_resources
    differences = tuple(
        f"it has {has.get(name, 0):g} of the Dask resource {name!r}, and a trial takes {amount:g}"
        for name, amount in expected.resources.items()
        if has.get(name, 0) < amount
    )
    found = None
    if expected.features is not None:
        differences += describe_differences(expected.features)
        found = find_features(expected.features, _store_of(worker))
    if differences:
        return CheckResult(differences=differences)
    if expected.features is not None and found is None:
        return CheckResult(needs_features=True)
    _FOUND.setdefault(worker, {})[expected.digest] = found
    return CheckResult()


def _store_of(worker: Any) -> Path:
    """Return where a worker keeps what was sent to it: in its own folder, which Dask removes."""
    return Path(worker.local_directory) / "harness"


def keep_piece(expected: Mapping[str, Any], name: str, offset: int, content: bytes) -> None:
    """Write a piece of a file that was sent; a Dask task."""
    from distributed import get_worker

    write_piece(_store_of(get_worker()), from_plain(ExpectedFeatures, dict(expected)), name, offset, content)


def keep_features(expected: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Check what was sent by its hashes, and let ``check_worker`` find it; a Dask task."""
    from distributed import get_worker

    finish_copy(_store_of(get_worker()), from_plain(ExpectedFeatures, dict(expected)), manifest)


@dataclass(frozen=True)
class Workplace:
    """What a worker provides for one job.

    Attributes:
        folder: empty, on the worker's own disk
        threads: processor threads of the job
        features: None for a script that does not use this package
        is_wanted: called repeatedly; the job is ended once it returns False
        log: called with each event while the job runs
    """

    folder: Path
    threads: int
    features: FoundFeatures | None
    is_wanted: Callable[[], bool]
    log: Callable[[Event], None]


def run_trial_task(message: Mapping[str, Any]) -> dict[str, Any]:
    """Run the trial of a ``TaskMessage`` in a process of its own, and return a ``JobReturn``; a Dask task."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    task = from_plain(TaskMessage, dict(message))

    def is_wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state in _WANTED_STATES and worker.status.name in _WORKING

    with TemporaryDirectory(
        prefix="harness-trial-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        workplace = Workplace(
            folder=Path(folder),
            threads=worker.state.nthreads,
            features=None if task.spec is None else _FOUND[worker][task.digest],
            is_wanted=is_wanted,
            log=lambda event: worker.log_event(task.topic, {type(event).__name__: to_plain(event)}),
        )
        returned: dict[str, Any] = to_plain(run_trial(task, workplace))
    return returned


def run_trial(task: TaskMessage, workplace: Workplace) -> JobReturn:
    """Run a job until it ends, exceeds a limit, or is no longer wanted.

    Raises:
        OSError: the worker's disk does not take the job's files
        ValueError: the job has written something else than records to its pipe
    """
    execution = uuid.uuid4().hex
    job_path = workplace.folder / f"{task.jid}.json"
    write_json(job_path, dict(task.values))
    # Before the guardian starts: what cannot be written ends here.
    command, working_dir = _place_script(task.script, workplace.folder)
    with ExitStack() as stack:
        pipe = _open_pipe(task, workplace, job_path, execution, stack)
        jobs = RunningJobs(JobLimits(task.timeout_seconds, task.memory_bytes, retries=0))
        stack.callback(jobs.abandon)
        environment = job_environment(
            (task.mark, jobs.mark),
            workplace.threads,
            {**({} if task.sees_cards else {"CUDA_VISIBLE_DEVICES": ""}), **task.environment},
        )
        output_path = workplace.folder / f"{task.jid}.out"
        try:
            job = jobs.start([*command, str(job_path)], working_dir, environment, output_path)
        except OSError as error:
            end = JobEnd(EndedBy.SYSTEM, None, None, f"{error.strerror} ({task.script.path})")
            nothing = TrialRecords(None, (), None, execution)
            return JobReturn(task.trial_id, execution, None, end, JobOutput("", None), nothing)
        pid = job.process.group
        started = JobStarted(task.trial_id, execution, platform.node(), pid, process_started_at(pid))
        workplace.log(started)
        while not jobs.ended():
            if not workplace.is_wanted():
                job.end_for(EndedBy.STOP)
                break
            for epoch in pipe.read():
                workplace.log(JobEpoch(task.trial_id, execution, epoch))
            time.sleep(_INTERVAL)
        end, output = jobs.bring_home(job)
        pipe.read()
        returned = JobReturn(task.trial_id, execution, started, end, output, pipe.records)
        if not workplace.is_wanted():
            # Dask drops what a cancelled task returns.
            workplace.log(returned)
        return returned


def _open_pipe(
    task: TaskMessage, workplace: Workplace, job_path: Path, execution: str, stack: ExitStack
) -> RecordsPipe:
    """Open the pipe through which the trial records, and write the trial's spec with this worker's paths."""
    path = workplace.folder / "records"
    pipe = RecordsPipe(path, execution)
    stack.callback(pipe.close)
    if task.spec is not None and workplace.features is not None:
        spec = replace(
            task.spec,
            prepared_dir=workplace.features.prepared_dir,
            word_vectors=workplace.features.word_vectors,
            results_db=path,
            threads=workplace.threads,
        )
        spec.write(trial_spec_path(job_path))
    return pipe


def _place_script(script: Script, folder: Path) -> tuple[list[str], Path]:
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
