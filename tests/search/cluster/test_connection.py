"""Clusters that a search makes for itself: in use at once, and gone with it."""

import asyncio
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import WorkFailedError
from harness.search.cluster import connection
from harness.search.cluster.connection import open_scheduler, security_of
from harness.search.cluster.settings import ClusterSettings, JobQueue, TLSFiles
from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.promises import check_books, finish
from tests.search.searches import (
    SCORES_X,
    SilentView,
    is_alive,
    kill,
    num_running,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

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
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    children = psutil.Process(process.pid).children(recursive=True)
    (folder / "go").touch()
    code, lines, errors = finish(process)
    assert (code, errors) == (0, "")
    assert "2 at once" in lines[0]
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3
    wait_until(lambda: not any(is_alive(child.pid) for child in children), seconds=5)
    check_books(folder)


def test_ctrl_c_on_a_terminal_lets_the_running_trials_finish(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_samples=6, **local(2))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    # A terminal sends it to the whole group, the workers among it.
    os.killpg(process.pid, signal.SIGINT)
    (folder / "go").touch()
    code, _, errors = finish(process)
    assert (code, errors) == (130, "")
    assert [(trial.attempt, trial.status) for trial in trials_of(path)] == [(1, TrialStatus.FINISHED)] * 2


def test_a_killed_controller_takes_its_cluster_with_it_within_5_s(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_samples=2, **local(2))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6  # workers, guardians and jobs
    kill(process)
    wait_until(lambda: not any(is_alive(child.pid) for child in children), seconds=5)


def is_worker(pid: int) -> bool:
    return "dask_worker" in " ".join(psutil.Process(pid).cmdline())


@pytest.fixture
def queue_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """dask-jobqueue's own stand-in for a batch system: jobs are processes here."""
    jobqueue = pytest.importorskip("dask_jobqueue.local")
    for module in ("job_queues", "connection"):
        monkeypatch.setattr(f"harness.search.cluster.{module}.cluster_class", lambda kind: jobqueue.LocalCluster)


def test_a_shell_reads_the_workers_command_and_nothing_in_it_falls_apart(tmp_path: Path) -> None:
    slurm = pytest.importorskip("dask_jobqueue.slurm")
    job_class = connection._job_class(slurm.SLURMJob, lambda error: None)
    security = security_of(TLSFiles(tmp_path / "c a.pem", tmp_path / "it's.pem", tmp_path / "key.pem"))
    options = {"scheduler": "tls://host:1", "name": "one", "cores": 1, "memory": "1GB", "security": security}
    words = shlex.split(job_class(**options).job_script().splitlines()[-1])
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
    with pytest.raises(WorkFailedError, match="the batch system refused a job: .*--no-such-option"):
        search(path)


def test_the_files_of_tls_are_every_roles(tmp_path: Path) -> None:
    security = security_of(TLSFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"))
    assert security.require_encryption is True
    for role in ("client", "scheduler", "worker"):
        config = security.get_tls_config_for_role(role)
        assert config["ca_file"] == str(tmp_path / "ca.pem")
        assert (config["cert"], config["key"]) == (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert security_of(None) is None
