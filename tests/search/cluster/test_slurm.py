"""Slurm itself, on one node: its jobs run the trials, and are given back."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.cluster.processes import (
    is_of_this_machine_alone,
    listened_at,
    speaks_tls_alone,
    with_children,
)
from tests.search.promises import check_database, finish, run_aup
from tests.search.searches import (
    REPOSITORY,
    SCORES_X,
    WAITS_FOR_GO,
    kill,
    search,
    start_aup,
    start_running,
    trials_of,
    wait_until,
    wait_until_gone,
    write_experiment,
)

pytest.importorskip("dask_jobqueue", reason="the extra 'cluster' is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

NODE = REPOSITORY / "tests" / "slurm_node"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Slurm's daemons on this machine; its configuration file."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([NODE, "start", folder], capture_output=True, text=True, check=False)
    try:
        if started.returncode != 0:
            pytest.skip(started.stderr.strip().rpartition("\n")[2])
        assert " idle " in started.stdout
        yield folder / "slurm.conf"
    finally:
        subprocess.run([NODE, "stop", folder], check=True)


@pytest.fixture(autouse=True)
def slurm(node: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Slurm's commands find this node, and leave none of a failed test's jobs there."""
    monkeypatch.setenv("SLURM_CONF", str(node))
    yield
    subprocess.run(["scancel", "--user", str(os.getuid())], check=True)


def on_slurm(tmp_path: Path, **options: Any) -> dict[str, Any]:
    options = {"cores": 1, "memory": "1GB", "walltime": "00:10:00", "jobs": 2, **options}
    # Slurm cannot write to a folder with a % in its name, and dask-jobqueue's lines are read by a shell.
    options |= {"log_directory": str(tmp_path / "logs"), "local_directory": str(tmp_path / "scratch")}
    options |= {"shared_temp_directory": str(tmp_path)}
    return {"resource": "dask", "cluster": {"slurm": options, "patience_seconds": 60}, "n_samples": 6}


def jobs() -> list[str]:
    """The number and the state of each job that Slurm has, waiting or running."""
    done = subprocess.run(["squeue", "--noheader", "--format=%i %T"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def outcomes_of(path: Path) -> list[Any]:
    return [
        (trial.trial_index, trial.seed, trial.hyperparameters, trial.score)
        for trial in trials_of(path)
        if trial.status is TrialStatus.FINISHED
    ]


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[Any]:
    """What the search comes to without Slurm."""
    path = write_experiment(tmp_path / "undisturbed", SCORES_X, n_samples=6)
    assert search(path).ending is Ending.DONE
    return outcomes_of(path)


def test_a_search_asks_slurm_for_its_workers_and_gives_them_back(
    folder: Path, tmp_path: Path, undisturbed: list[Any]
) -> None:
    path = write_experiment(folder, SCORES_X, **on_slurm(tmp_path))
    code, lines, errors = run_aup(path)
    assert (code, errors) == (0, "")
    assert outcomes_of(path) == undisturbed
    assert [trial.attempt for trial in trials_of(path)] == [1] * 6
    wait_until(lambda: not jobs())
    check_database(folder)
    assert len(list((tmp_path / "logs").glob("*.out"))) == 2


def test_a_killed_controllers_search_goes_on_and_every_job_is_given_back(
    folder: Path, tmp_path: Path, undisturbed: list[Any]
) -> None:
    # Seconds after which a worker without its scheduler leaves; Dask's own are 60.
    options = on_slurm(tmp_path, death_timeout=10)
    path = write_experiment(folder, WAITS_FOR_GO, **options)
    process = start_running(path, 2, seconds=60)
    assert len(jobs()) == 2
    pids = [trial.pid for trial in trials_of(path)]
    (left,) = tmp_path.glob(".harness-*")
    kill(process)
    wait_until_gone(pids)
    (folder / "go").touch()
    code, _, errors = finish(start_aup(path), seconds=120)
    assert (code, errors) == (0, "")
    assert outcomes_of(path) == undisturbed
    wait_until(lambda: not jobs(), seconds=60)
    check_database(folder)
    assert left.name not in os.listdir(tmp_path)


def test_nothing_but_tls_is_spoken_to_other_machines(folder: Path, tmp_path: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, **on_slurm(tmp_path))
    process = start_running(path, 2, seconds=60)
    workers = [each.pid for each in psutil.process_iter() if f"--local-directory {tmp_path}" in " ".join(command(each))]
    # A nanny and its worker for each job.
    assert len(with_children(workers)) >= 4
    controllers = listened_at([psutil.Process(process.pid)])
    found = controllers | {each for each in listened_at(with_children(workers)) if not is_of_this_machine_alone(each)}
    assert len({port for _, port in found}) == 5
    assert [each for each in found if not speaks_tls_alone(each)] == []
    (folder / "go").touch()
    assert finish(process, seconds=120)[::2] == (0, "")


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_job_that_ends_before_its_worker_comes_is_asked_for_again(
    folder: Path, tmp_path: Path, undisturbed: list[Any]
) -> None:
    prologue = [f"mkdir {tmp_path}/once && exit 1"]
    path = write_experiment(folder, WAITS_FOR_GO, **on_slurm(tmp_path, job_script_prologue=prologue))
    process = start_running(path, 2, seconds=90)
    assert (tmp_path / "once").is_dir()
    (folder / "go").touch()
    assert finish(process, seconds=120)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    assert len(list((tmp_path / "logs").glob("*.out"))) == 3


def test_a_job_that_slurm_takes_back_loses_no_trial(folder: Path, tmp_path: Path, undisturbed: list[Any]) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, **on_slurm(tmp_path))
    process = start_running(path, 2, seconds=60)
    taken = jobs()[0].split()[0]
    subprocess.run(["scancel", taken], check=True)
    wait_until(lambda: len(jobs()) == 2 and taken not in " ".join(jobs()), seconds=60)
    (folder / "go").touch()
    code, _, errors = finish(process, seconds=120)
    assert (code, errors) == (0, "")
    assert outcomes_of(path) == undisturbed
    assert [trial.attempt for trial in trials_of(path)] == [1] * 6
    wait_until(lambda: not jobs())
