"""Several hosts, as network namespaces of this one: a controller with its scheduler, and two workers."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.search.view import Ending
from tests.search.cluster.processes import IMPATIENT, DaskProcesses
from tests.search.promises import check_database, finish
from tests.search.searches import (
    SCORES_X,
    is_alive,
    num_running,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(200)]

#: Each of the first two trials waits for a file of its own.
FIRST_TWO_WAIT = """
import json, os, sys, time
from pathlib import Path
point = json.load(open(sys.argv[1]))
number = int(Path(sys.argv[1]).stem)
while number <= 2 and not os.path.exists(f"go {number}"):
    time.sleep(0.02)
print("#Auptimizer:%r" % point["x"])
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Hosts:
    """A namespace with a bridge, and two more, each with a cable to it.

    Nothing of it is seen from outside: names bear this process's number, and what is left is removed with the block.
    """

    def __init__(self) -> None:
        self.names = [f"harness-{os.getpid()}-{number}" for number in range(3)]

    def __enter__(self) -> "Hosts":
        try:
            for name in self.names:
                ip("netns", "add", name)
                ip("-n", name, "link", "set", "lo", "up")
            middle = self.names[0]
            ip("-n", middle, "link", "add", "bridge", "type", "bridge")
            ip("-n", middle, "addr", "add", f"{self.address(0)}/24", "dev", "bridge")
            ip("-n", middle, "link", "set", "bridge", "up")
            for number, name in enumerate(self.names[1:], start=1):
                cable = f"to{number}"
                ip("-n", middle, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
                ip("-n", middle, "link", "set", cable, "master", "bridge", "up")
                ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "eth0", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', None) or error}")
        return self

    def __exit__(self, *exception: object) -> None:
        for name in self.names:
            with suppress(OSError):
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    @staticmethod
    def address(number: int) -> str:
        return f"10.87.0.{number + 1}"

    def on(self, number: int) -> list[str]:
        """What is typed before a command that is to run on a host."""
        return ["ip", "netns", "exec", self.names[number]]

    def cut(self, number: int) -> None:
        """Pull a worker's cable out."""
        ip("-n", self.names[0], "link", "set", f"to{number}", "down")

    def restore(self, number: int) -> None:
        """Put it in again."""
        ip("-n", self.names[0], "link", "set", f"to{number}", "up")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    with Hosts() as made:
        yield made


@pytest.fixture
def dask(hosts: Hosts, tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler on the first host and a worker on each of the others."""
    with DaskProcesses(tmp_path / "dask", host=hosts.address(0), before=hosts.on(0)) as processes:
        processes.folder.mkdir()
        processes.start_scheduler(**IMPATIENT)
        for number in (1, 2):
            processes.before = hosts.on(number)
            processes.start_worker("--host", hosts.address(number))
        yield processes


def outcomes_of(path: Path) -> list[Any]:
    return [
        (trial.trial_index, trial.attempt, trial.seed, trial.hyperparameters, trial.status, trial.score)
        for trial in trials_of(path)
    ]


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[Any]:
    """What the search comes to on one machine, where nothing happens."""
    path = write_experiment(tmp_path / "undisturbed", SCORES_X, n_samples=6)
    assert search(path).ending is Ending.DONE
    return outcomes_of(path)


class CutSearch:
    """A search of which one worker's link has been cut while both ran their first trials.

    Attributes:
        cut, other: numbers of the hosts, and indices of the trials that run there
    """

    def __init__(self, folder: Path, hosts: Hosts, dask: DaskProcesses) -> None:
        cluster = {"scheduler": dask.address, "patience_seconds": 60}
        changes = {"resource": "dask", "cluster": cluster, "n_samples": 6}
        self.folder = folder
        self.path = write_experiment(folder, FIRST_TWO_WAIT, **changes)
        self.process = start_aup(self.path, before=hosts.on(0))
        wait_until(lambda: num_running(self.path) == 2)
        self.pids = [trial.pid for trial in trials_of(self.path)]
        self.cut = next(number for number, pid in enumerate(self.pids) if parent_of(pid) == dask.workers[0].pid)
        hosts.cut(1)

    def let_end(self, trial_index: int) -> None:
        (self.folder / f"go {trial_index + 1}").touch()

    def check(self, undisturbed: list[Any]) -> None:
        """Wait for the end; nothing is lost, and each index is recorded once."""
        code, _, errors = finish(self.process, seconds=100)
        assert (code, errors) == (0, "")
        assert outcomes_of(self.path) == undisturbed
        check_database(self.folder)


def test_a_link_that_is_cut_for_a_moment_loses_nothing(
    folder: Path, hosts: Hosts, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    running = CutSearch(folder, hosts, dask)
    running.let_end(running.cut)
    time.sleep(1.0)
    hosts.restore(1)
    running.let_end(1 - running.cut)
    running.check(undisturbed)


def test_a_trial_whose_workers_link_is_cut_runs_again_and_the_late_end_of_the_first_does_not_count(
    folder: Path, hosts: Hosts, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    running = CutSearch(folder, hosts, dask)
    running.let_end(1 - running.cut)
    lost = running.pids[running.cut]
    wait_until(lambda: trials_of(running.path)[running.cut].pid != lost, seconds=40)
    assert lost is not None and is_alive(lost)
    hosts.restore(1)
    running.let_end(running.cut)
    running.check(undisturbed)
    wait_until(lambda: not is_alive(lost))


def test_a_link_that_stays_cut_leaves_the_search_to_the_other_worker(
    folder: Path, hosts: Hosts, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    running = CutSearch(folder, hosts, dask)
    for number in (0, 1):
        running.let_end(number)
    running.check(undisturbed)


def parent_of(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
