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
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakKeyDictionary

from harness import __version__
from harness.codec import from_plain, to_plain
from harness.corpus.utterances import Seconds
from harness.features import copies
from harness.features.copies import ExpectedFeatures, FoundFeatures
from harness.search.dask.messages import (
    CheckResult,
    Event,
    Expectations,
    JobEpoch,
    JobReturn,
    JobStarted,
    TaskMessage,
)
from harness.search.jobs import RunningJobs, process_started_at
from harness.search.outcome import JobOutput
from harness.search.process import EndedBy, JobEnd, job_environment
from harness.store.recorder import RecordsPipe
from harness.store.trial_spec import trial_spec_path

#: Packages whose version must be the controller's, besides this one and Python: they change scores.
_PACKAGES = ("tensorflow", "keras", "numpy")
#: Seconds between two looks at a job. Our default: short beside a training, long beside a look.
_INTERVAL: Seconds = 0.1
#: Seconds for which a worker without a trial keeps its warm process. Our default: long beside the pause between two
#: trials of a search.
_LONGEST_IDLE: Seconds = 60.0
#: States of a task, as its worker knows it, in which its result is still wanted.
_WANTED_STATES = ("executing", "long-running", "resumed")
#: States of a worker in which it continues its tasks.
_WORKING = ("init", "running", "paused")

#: Worker -> digest of expectations -> the features found; of one process, which may hold several workers.
_FOUND: WeakKeyDictionary[Any, dict[str, FoundFeatures | None]] = WeakKeyDictionary()

#: Dask's own log, which a cluster of this machine keeps off the terminal.
_log = logging.getLogger("distributed.harness")


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
        differences += copies.describe_differences(expected.features)
        found = copies.find_features(expected.features, _store_of(worker))
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

    copies.write_piece(_store_of(get_worker()), from_plain(ExpectedFeatures, dict(expected)), name, offset, content)


def keep_features(expected: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Check what was sent by its hashes, and let ``check_worker`` find it; a Dask task."""
    from distributed import get_worker

    copies.finish_copy(_store_of(get_worker()), from_plain(ExpectedFeatures, dict(expected)), manifest)


@dataclass(frozen=True)
class _IdleJobs:
    """A guardian and a warm process that wait for the next trial.

    Attributes:
        origin: everything that they began with, and that a trial must share
        timer: ends them
    """

    origin: tuple[Any, ...]
    jobs: RunningJobs
    timer: threading.Timer


class KeptJobs:
    """What a worker keeps from trial to trial of a search of this package's own: a guardian and a warm process.

    A worker runs one trial at a time, and a trial has taken them out while it runs. They end when they are idle for
    too long. Where the worker's process ends, the guardian ends the warm process.
    """

    def __init__(self) -> None:
        self._idle: _IdleJobs | None = None
        self._swapping = threading.Lock()

    @contextmanager
    def jobs_for(
        self, task: TaskMessage, script_dir: Path, environment_of: Callable[..., Mapping[str, str]]
    ) -> Iterator[RunningJobs]:
        """Yield what starts and limits a trial; no job is left in it after the block.

        Args:
            script_dir: as ``WarmStarter`` takes it
            environment_of: takes marks to add, and returns the trial's environment
        """
        is_kept = task.script.is_harness_trial
        origin = (task.limits, script_dir, environment_of())
        jobs = self._take(origin) if is_kept else None
        is_new = jobs is None
        jobs = jobs or RunningJobs(task.limits)
        with ExitStack() as stack:
            stack.callback(jobs.abandon)
            if is_kept and is_new:
                jobs.warm_up(script_dir, environment_of(jobs.mark))
            yield jobs
            if is_kept:
                self._keep(origin, jobs)
                stack.pop_all()

    def close(self) -> None:
        """End what is idle."""
        self._take(origin=None)

    def _take(self, origin: tuple[Any, ...] | None) -> RunningJobs | None:
        """Return what is idle if it began as ``origin`` says; else end it."""
        idle = self._swap(None)
        if idle is not None and idle.origin != origin:
            idle.jobs.close()
            return None
        return None if idle is None else idle.jobs

    def _keep(self, origin: tuple[Any, ...], jobs: RunningJobs) -> None:
        timer = threading.Timer(_LONGEST_IDLE, self.close)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # no more threads are allowed
            jobs.close()
            return
        other = self._swap(_IdleJobs(origin, jobs, timer))
        if other is not None:
            other.jobs.close()

    def _swap(self, idle: _IdleJobs | None) -> _IdleJobs | None:
        with self._swapping:
            idle, self._idle = self._idle, idle
        if idle is not None:
            idle.timer.cancel()
        return idle


#: Worker -> what it keeps, as above.
_KEPT: WeakKeyDictionary[Any, KeptJobs] = WeakKeyDictionary()


@dataclass(frozen=True)
class TrialPlace:
    """What a worker gives to a trial.

    Attributes:
        folder: empty, on the worker's own disk
        features: None for a script that does not use this package
    """

    folder: Path
    threads: int
    features: FoundFeatures | None
    kept: KeptJobs


def run_trial_task(message: Mapping[str, Any]) -> dict[str, Any]:
    """Run the trial of a ``TaskMessage`` in a process of its own, and return a ``JobReturn``; a Dask task."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    task = from_plain(TaskMessage, dict(message))

    def is_wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state in _WANTED_STATES and worker.status.name in _WORKING

    def log(event: Event) -> None:
        worker.log_event(task.topic, {"event": type(event).__name__, "content": to_plain(event)})

    features = None if task.spec is None else _FOUND[worker][task.digest]
    kept = _KEPT.setdefault(worker, KeptJobs())
    with TemporaryDirectory(
        prefix="harness-trial-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        returned = run_trial(task, TrialPlace(Path(folder), worker.state.nthreads, features, kept), is_wanted, log)
    if worker.status.name not in _WORKING:
        # Its process may stay.
        kept.close()
    plain: dict[str, Any] = to_plain(returned)
    return plain


def run_trial(
    task: TaskMessage, place: TrialPlace, is_wanted: Callable[[], bool], log: Callable[[Event], None]
) -> JobReturn:
    """Run a job until it ends, exceeds a limit, or is no longer wanted.

    Args:
        is_wanted: called repeatedly; the job is ended once it returns False
        log: called with each event while the job runs

    Raises:
        OSError: the disk does not take the job's files
        ValueError: the job has written something else than records to its pipe
    """
    execution = uuid.uuid4().hex
    folder, features = place.folder, place.features
    job_path, pipe_path = folder / f"{task.jid}.json", folder / "records"
    job_path.write_text(task.job_file, "utf-8")
    if task.spec is not None and features is not None:
        spec = replace(task.spec, results_db=pipe_path, threads=place.threads, prepared_dir=features.prepared_dir)
        replace(spec, word_vectors=features.word_vectors).write(trial_spec_path(job_path))
    # Before the guardian starts: what cannot be written ends here.
    command, working_dir = _place_script(task, folder)
    # The folder of a script that was brought goes with its trial; there is nothing to import in this one.
    script_dir = task.script.path.parent if str(task.script.path) in command else Path(sys.prefix)
    cards = {} if task.sees_cards else {"CUDA_VISIBLE_DEVICES": ""}

    def environment_of(*marks: str) -> dict[str, str]:
        return job_environment((task.mark, *marks), place.threads, {**cards, **task.environment})

    with ExitStack() as stack:
        pipe = stack.enter_context(closing(RecordsPipe(pipe_path, execution)))
        jobs = stack.enter_context(place.kept.jobs_for(task, script_dir, environment_of))
        while jobs.is_warming_up and is_wanted():
            time.sleep(_INTERVAL)
        if not is_wanted():
            end = JobEnd(EndedBy.STOP, None, None)
            return JobReturn(task.trial_id, None, end, JobOutput("", None), pipe.records)
        if (failure := jobs.warm_failure()) is not None:
            _log.warning("Each trial imports TensorFlow for itself: %s.", failure)
        output_path = folder / f"{task.jid}.out"
        try:
            job = jobs.start([*command, str(job_path)], working_dir, environment_of(jobs.mark), output_path)
        except OSError as error:
            end = JobEnd(EndedBy.SYSTEM, None, None, f"{error.strerror} ({task.script.path})")
            return JobReturn(task.trial_id, None, end, JobOutput("", None), pipe.records)
        pid = job.process.group
        started = JobStarted(task.trial_id, execution, platform.node(), pid, process_started_at(pid))
        log(started)
        while job not in jobs.ended():
            if not is_wanted():
                job.end_for(EndedBy.STOP)
                break
            for epoch in pipe.read():
                log(JobEpoch(task.trial_id, execution, epoch))
            time.sleep(_INTERVAL)
        end, output = jobs.reap(job)
        pipe.read()
        returned = JobReturn(task.trial_id, started, end, output, pipe.records)
        if not is_wanted():
            # Dask drops what a cancelled task returns.
            log(returned)
        return returned


def _place_script(task: TaskMessage, folder: Path) -> tuple[list[str], Path]:
    """Return the command and the folder that a job runs in; a script that is not here is written beside the job."""
    script, path = task.script, task.script.path
    is_here = False
    with suppress(OSError):
        is_here = path.read_bytes() == task.script_content
    if not is_here:
        path = folder / "script" / path.name
        path.parent.mkdir()
        path.write_bytes(task.script_content)
        path.chmod(0o700)
    # Before the script's path stands Python, or nothing.
    place = script.command.index(str(script.path))
    command = [*[sys.executable] * place, str(path), *script.command[place + 1 :]]
    return command, script.working_dir if os.path.isdir(script.working_dir) else path.parent
