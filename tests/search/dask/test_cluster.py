"""Clusters that a search makes for itself: in use at once, and gone with it."""

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.errors import WorkFailedError
from harness.search.dask.cluster import (
    extended_options,
    job_class,
    open_scheduler,
    resubmit_ended,
    security_of,
)
from harness.search.dask.settings import ClusterSettings, JobQueue, TLSFiles
from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.dask.processes import (
    end,
    is_of_this_machine_alone,
    listened_at,
    shell_cluster,
    speaks_tls_alone,
    with_children,
)
from tests.search.promises import check_database, finish, run_aup
from tests.search.searches import (
    SCORES_X,
    SilentView,
    is_alive,
    kill,
    search,
    start_aup,
    start_running,
    trials_of,
    wait_until,
    wait_until_gone,
    write_experiment,
)

pytestmark = pytest.mark.long

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

#: Waits for "go"; its worker's pid is its last word.
WAITS = """
import json, os, sys, time
print(os.getppid(), flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
print("#Auptimizer:%r" % json.load(open(sys.argv[1]))["x"])
"""


def local(num_workers: int, **changes: Any) -> dict[str, Any]:
    return {"resource": "dask", "cluster": {"local": num_workers}, **changes}


def test_as_many_trials_run_as_there_are_workers_and_nothing_is_left(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_parallel=2, n_samples=3, **local(2))
    values = path.read_text().replace('"n_parallel": 2, ', "")
    path.write_text(values)
    process = start_running(path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    (folder / "go").touch()
    code, lines, errors = finish(process)
    assert (code, errors) == (0, "")
    assert "2 at once" in lines[0]
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3
    wait_until_gone(child.pid for child in children)
    check_database(folder)


def test_ctrl_c_on_a_terminal_lets_the_running_trials_finish(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_samples=6, **local(2))
    process = start_running(path, 2)
    # A terminal sends it to the whole group, the workers among it.
    os.killpg(process.pid, signal.SIGINT)
    (folder / "go").touch()
    code, _, errors = finish(process)
    assert (code, errors) == (130, "")
    assert [(trial.attempt, trial.status) for trial in trials_of(path)] == [(1, TrialStatus.FINISHED)] * 2


def test_ctrl_c_while_the_workers_start_is_the_controllers_alone(folder: Path) -> None:
    process = start_aup(write_experiment(folder, SCORES_X, n_samples=6, **local(2)))

    def is_starting() -> bool:
        children = psutil.Process(process.pid).children(recursive=True)
        return sum("spawn_main" in " ".join(child.cmdline()) for child in children) == 2

    wait_until(is_starting, 20)
    os.killpg(process.pid, signal.SIGINT)
    code, _, errors = finish(process)
    assert (code, errors) == (130, "")


def test_a_killed_controller_takes_its_cluster_with_it_within_5_s(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_samples=2, **local(2))
    process = start_running(path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6  # workers, guardians and jobs
    kill(process)
    wait_until_gone(child.pid for child in children)


@pytest.mark.parametrize("settings", [{"resource": "cpu"}, local(1)], ids=["here", "on a worker"])
def test_a_trial_may_be_interrupted_wherever_it_runs(folder: Path, settings: dict[str, Any]) -> None:
    script = "import signal\nprint('#Auptimizer:%d' % (signal.getsignal(2) is signal.default_int_handler))\n"
    path = write_experiment(folder, script, n_samples=1, **settings)
    assert run_aup(path)[::2] == (0, "")
    assert [trial.score for trial in trials_of(path)] == [1]


def is_worker(pid: int) -> bool:
    return "dask_worker" in " ".join(psutil.Process(pid).cmdline())


@pytest.fixture
def queue_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A batch system whose jobs are processes here."""
    pytest.importorskip("dask_jobqueue")
    made = shell_cluster()
    for module in ("settings", "cluster"):
        monkeypatch.setattr(f"harness.search.dask.{module}.cluster_class", lambda kind: made)
    yield
    for job in made.job_cls.started:
        end(job)


def test_a_shell_reads_the_workers_command_and_nothing_in_it_falls_apart(tmp_path: Path) -> None:
    slurm = pytest.importorskip("dask_jobqueue.slurm")
    made = job_class(slurm.SLURMJob, tmp_path, lambda error: None)
    security = security_of(TLSFiles(tmp_path / "c a.pem", tmp_path / "it's.pem", tmp_path / "key.pem"))
    options = {"scheduler": "tls://host:1", "name": "one", "cores": 1, "memory": "1GB", "security": security}
    words = shlex.split(made(**options).job_script().splitlines()[-1])
    given = [words[words.index(option) + 1] for option in ("--tls-ca-file", "--tls-cert", "--tls-key")]
    assert given == [str(tmp_path / name) for name in ("c a.pem", "it's.pem", "key.pem")]
    assert security.tls_ca_file == str(tmp_path / "c a.pem")


@pytest.mark.usefixtures("queue_of_this_machine")
def test_a_batch_systems_workers_have_certificates_of_their_own_and_every_resource(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    queue = JobQueue("slurm", 1, {"cores": 1, "memory": "1GB"})
    settings = ClusterSettings(job_queue=queue, resources={"GPU": 1, "LICENCE": 2})

    async def look() -> tuple[str, str]:
        async with open_scheduler(settings, 1, lambda error: None) as cluster:
            kept = [path.stat().st_mode & 0o777 for path in folder.glob(".harness-*")]
            assert kept == [0o700]
            return cluster.scheduler_address, cluster.job_script()

    address, script = asyncio.run(look())
    assert address.startswith("tls://")
    words = shlex.split(script.splitlines()[-1])
    assert words[words.index("--resources") + 1] == "GPU=1 LICENCE=2"
    assert list(folder.iterdir()) == []


def listened_at_by(settings: ClusterSettings) -> dict[tuple[str, int], bool]:
    """Where this process and its children listen when a worker is there, and whether they speak TLS alone."""

    async def look() -> dict[tuple[str, int], bool]:
        async with open_scheduler(settings, 1, lambda error: None) as cluster:
            while not cluster.scheduler.workers:
                await asyncio.sleep(0.05)
            found = listened_at(with_children([os.getpid()])) - before
            return {address: await asyncio.to_thread(speaks_tls_alone, address) for address in found}

    before = listened_at(with_children([os.getpid()]))
    return asyncio.run(look())


def test_a_cluster_of_this_machine_listens_for_tls_alone() -> None:
    found = listened_at_by(ClusterSettings(num_local=1))
    # The scheduler, the worker, and its nanny.
    assert len(found) == 3
    assert all(found.values())
    assert all(map(is_of_this_machine_alone, found))


@pytest.mark.usefixtures("queue_of_this_machine")
def test_a_batch_systems_cluster_listens_for_tls_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    options = {"cores": 1, "memory": "1GB", "local_directory": str(tmp_path)}
    found = listened_at_by(ClusterSettings(job_queue=JobQueue("slurm", 1, options)))
    assert len({port for _, port in found}) == 4
    (plain,) = [address for address, is_tls in found.items() if not is_tls]
    # Dask's worker is never without it: it says there that it is well.
    assert is_of_this_machine_alone(plain)


@pytest.mark.usefixtures("queue_of_this_machine")
def test_what_the_experiment_file_asks_of_scheduler_and_workers_comes_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    given = {"worker_extra_args": ["--dashboard-address", ":0"], "scheduler_options": {"idle_timeout": "1 hour"}}
    queue = JobQueue("slurm", 1, {"cores": 1, "memory": "1GB", "job_script_prologue": ["module load one"], **given})

    async def look() -> tuple[float, str]:
        async with open_scheduler(ClusterSettings(job_queue=queue), 1, lambda error: None) as cluster:
            return cluster.scheduler.idle_timeout, cluster.job_script()

    idle_timeout, script = asyncio.run(look())
    assert idle_timeout == 3600
    *_, prologue, command = script.splitlines()
    assert prologue == "module load one"
    words = shlex.split(command)
    assert [words[i + 1] for i, word in enumerate(words) if word == "--dashboard-address"] == ["127.0.0.1:0", ":0"]


@pytest.mark.usefixtures("queue_of_this_machine")
def test_dasks_own_configuration_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    monkeypatch.chdir(folder)
    settings = ClusterSettings(job_queue=JobQueue("slurm", 1, {"cores": 1, "memory": "1GB"}))

    async def script() -> str:
        async with open_scheduler(settings, 1, lambda error: None) as cluster:
            return str(cluster.job_script())

    configured = {"worker-extra-args": ["--lifetime", "1h"], "job-script-prologue": ["module load one"]}
    with dask.config.set({f"jobqueue.local.{name}": value for name, value in configured.items()}):
        *_, prologue, command = asyncio.run(script()).splitlines()
        assert extended_options("slurm", {"job_script_prologue": []})["job_script_prologue"] == []
        older = {"job_script_prologue": [], "env_extra": ["module load x"]}
        assert extended_options("slurm", older)["job_script_prologue"] == ["module load x"]
    assert prologue == "module load one"
    assert " --lifetime 1h " in command


@pytest.mark.usefixtures("queue_of_this_machine")
def test_a_job_that_ends_before_its_worker_comes_is_asked_for_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_quick(monkeypatch)
    prologue = [f"mkdir {tmp_path}/once && exit 1"]
    path = on_queue(folder, tmp_path, SCORES_X, jobs=1, job_script_prologue=prologue)
    assert search(path).ending is Ending.DONE
    assert [trial.attempt for trial in trials_of(path)] == [1] * 3


def test_a_refusal_is_told_before_any_job_was_taken_and_asked_again_later(tmp_path: Path) -> None:
    class Job:
        is_taken = False

        def __init__(self, **options: Any) -> None:
            self.options = options

        async def start(self) -> None:
            if not self.is_taken:
                raise RuntimeError("no\nmore jobs")

    complaints: list[str] = []
    made = job_class(Job, tmp_path, complaints.append)
    for taken in (False, True, False):
        job = made(job_script_prologue=["module load one"])
        job.is_taken = taken
        with nullcontext() if taken else pytest.raises(RuntimeError):
            asyncio.run(job.start())
        assert (tmp_path / job.end_file).exists() is not taken
    assert complaints == ["it refused a job: no\\nmore jobs"]


def test_refusals_end_nothing_as_long_as_another_job_waits_in_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Job:
        job_id: str | None = None
        refusal: str | None = None

        def __init__(self, name: str, end_file: str) -> None:
            self.name, self.end_file = name, end_file

        async def close(self) -> None:
            refuse_next(self.name)

    def refuse_next(name: str) -> None:
        refused.append(name)
        job = workers[name] = Job(name, f"ended-{len(refused)}")
        job.refusal = "too many jobs"
        (tmp_path / job.end_file).touch()

    async def look() -> None:
        resubmitting = asyncio.ensure_future(resubmit_ended(cluster, tmp_path, complaints.append))
        while len(refused) < 10:
            await asyncio.sleep(0.02)
        assert complaints == [] and set(refused) == {"1"}
        (tmp_path / workers["0"].end_file).touch()
        while not complaints:
            await asyncio.sleep(0.02)
        resubmitting.cancel()

    be_quick(monkeypatch)
    monkeypatch.setattr("harness.search.dask.cluster._INTERVAL", 0.02)
    monkeypatch.setattr("harness.search.dask.cluster._MAX_DOUBLINGS", 0)
    refused: list[str] = []
    complaints: list[str] = []
    workers = {"0": Job("0", "ended-queued")}
    cluster = SimpleNamespace(workers=workers, worker_spec=["0", "1"], observed=set())
    refuse_next("1")
    asyncio.run(look())
    assert complaints[0].endswith(" jobs were refused or have ended before their workers came: too many jobs")


@pytest.mark.usefixtures("queue_of_this_machine")
def test_jobs_that_all_end_before_their_workers_come_end_the_search(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_quick(monkeypatch)
    path = on_queue(folder, tmp_path, SCORES_X, jobs=2, job_script_prologue=["exit 1"])
    said = r"gives it no workers: 6 jobs have ended before their workers came; the last was job \d+,"
    with pytest.raises(WorkFailedError, match=said):
        search(path)


def be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask
    import distributed  # noqa: F401

    monkeypatch.setattr("harness.search.dask.cluster._INTERVAL", 0.1)
    monkeypatch.setattr("harness.search.dask.cluster._PAUSE", 0.1)
    monkeypatch.setitem(dask.config.config["distributed"]["deploy"], "lost-worker-timeout", "100ms")


def on_queue(folder: Path, tmp_path: Path, script: str, **options: Any) -> Path:
    given = {"cores": 1, "memory": "1GB", "local_directory": str(tmp_path / "scratch"), **options}
    cluster = {"slurm": given, "patience_seconds": 30}
    return write_experiment(folder, script, resource="dask", cluster=cluster)


@pytest.mark.usefixtures("queue_of_this_machine")
def test_a_batch_systems_jobs_are_asked_for_and_given_back(folder: Path, tmp_path: Path) -> None:
    # Its command is split on spaces.
    options = {"cores": 1, "memory": "1GB", "jobs": 2, "local_directory": str(tmp_path)}
    cluster = {"slurm": options, "patience_seconds": 40}
    path = write_experiment(folder, SCORES_X, resource="dask", cluster=cluster, n_samples=4)
    view = SilentView()
    assert search(path, view=view).ending is Ending.DONE
    assert view.notes == []
    children = psutil.Process().children(recursive=True)
    wait_until(lambda: not [pid for pid in (child.pid for child in children) if is_alive(pid) and is_worker(pid)])


@pytest.mark.usefixtures("queue_of_this_machine")
def test_a_batch_system_that_takes_no_job_ends_the_search_with_what_it_says(folder: Path) -> None:
    options = {"cores": 1, "memory": "1GB", "worker_extra_args": ["--no-such-option"]}
    path = write_experiment(folder, SCORES_X, resource="dask", cluster={"slurm": options})
    said = "its batch system gives it no workers: it refused a job: .*--no-such-option"
    with pytest.raises(WorkFailedError, match=said):
        search(path)


def test_the_files_of_tls_are_every_roles(tmp_path: Path) -> None:
    security = security_of(TLSFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"))
    assert security.require_encryption is True
    for role in ("client", "scheduler", "worker"):
        config = security.get_tls_config_for_role(role)
        assert config["ca_file"] == str(tmp_path / "ca.pem")
        assert (config["cert"], config["key"]) == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert security_of(None) is None
