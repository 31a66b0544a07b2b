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
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
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
#: States of a task, as its worker knows it, in which its result is still wanted.
_WANTED_STATES = ("executing", "long-running", "resumed")
#: States of a worker in which it continues its tasks.
_WORKING = ("init", "running", "paused")

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
    with TemporaryDirectory(
        prefix="harness-trial-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        returned = run_trial(task, Path(folder), worker.state.nthreads, features, is_wanted, log)
    plain: dict[str, Any] = to_plain(returned)
    return plain


def run_trial(
    task: TaskMessage,
    folder: Path,
    threads: int,
    features: FoundFeatures | None,
    is_wanted: Callable[[], bool],
    log: Callable[[Event], None],
) -> JobReturn:
    """Run a job until it ends, exceeds a limit, or is no longer wanted.

    Args:
        folder: empty, on the worker's own disk
        is_wanted: called repeatedly; the job is ended once it returns False
        log: called with each event while the job runs

    Raises:
        OSError: the disk does not take the job's files
        ValueError: the job has written something else than records to its pipe
    """
    execution = uuid.uuid4().hex
    job_path, pipe_path = folder / f"{task.jid}.json", folder / "records"
    job_path.write_text(task.job_file, "utf-8")
    if task.spec is not None and features is not None:
        spec = replace(task.spec, results_db=pipe_path, threads=threads, prepared_dir=features.prepared_dir)
        replace(spec, word_vectors=features.word_vectors).write(trial_spec_path(job_path))
    # Before the guardian starts: what cannot be written ends here.
    command, working_dir = _place_script(task, folder)
    with ExitStack() as stack:
        pipe = stack.enter_context(closing(RecordsPipe(pipe_path, execution)))
        jobs = RunningJobs(task.limits)
        stack.callback(jobs.abandon)
        cards = {} if task.sees_cards else {"CUDA_VISIBLE_DEVICES": ""}
        environment = job_environment((task.mark, jobs.mark), threads, {**cards, **task.environment})
        try:
            job = jobs.start([*command, str(job_path)], working_dir, environment, folder / f"{task.jid}.out")
        except OSError as error:
            end = JobEnd(EndedBy.SYSTEM, None, None, f"{error.strerror} ({task.script.path})")
            return JobReturn(task.trial_id, None, end, JobOutput("", None), pipe.records)
        pid = job.process.group
        started = JobStarted(task.trial_id, execution, platform.node(), pid, process_started_at(pid))
        log(started)
        while not jobs.ended():
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
