"""Many at once, and many after another: nothing piles up, and nobody gets in anybody's way."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.search.promises import check_database, finish
from tests.search.searches import SCORES_X, STARTED, environment, start_aup, trials_of, write_experiment

HELD = re.compile(
    r"error: experiment 'a search': (process \d+ on .+ has been running it since \S+|another process, which has "
    r"just started, is running it); wait for it, or end it first\n"
)
NOTHING_YET = re.compile(r"error: results database '.*': (not found|holds no search yet); .*\n")


def start_reader(folder: Path, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from harness.cli.main import main; main()", "report", "results"]
    process = subprocess.Popen(
        [*command, "--output", f"report {number}.html"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def cold_start(folder: Path, paths: list[Path], num_readers: int) -> list[tuple[int, str]]:
    """Start controllers and readers at once on no results; return the controllers' exit codes and errors."""
    controllers, readers = [], []
    for number, path in enumerate(paths):
        controllers.append(start_aup(path))
        if number < num_readers:
            readers.append(start_reader(folder, number))
    ended = [finish(controller, 150) for controller in controllers]
    for reader in readers:
        code, _, errors = finish(reader, 150)
        assert (code, errors) == (0, "") or (code == 2 and NOTHING_YET.fullmatch(errors)), errors
    return [(code, errors) for code, _, errors in ended]


def check_different(folder: Path, num_controllers: int, num_readers: int) -> None:
    path = write_experiment(folder, SCORES_X)
    paths = []
    for number in range(num_controllers):
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(json.dumps({**json.loads(path.read_text()), "name": f"search {number}"}))
    assert cold_start(folder, paths, num_readers) == [(0, "")] * num_controllers
    check_database(folder)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        experiments = store.experiments()
        assert sorted(experiment.name for experiment in experiments) == [f"search {n}" for n in range(num_controllers)]
        for experiment in experiments:
            assert [trial.status for trial in store.trials(experiment.eid)] == [TrialStatus.FINISHED] * 3
    assert finish(start_reader(folder, 99))[0] == 0


def check_same(folder: Path, num_controllers: int, num_readers: int) -> None:
    path = write_experiment(folder, SCORES_X)
    ended = cold_start(folder, [path] * num_controllers, num_readers)
    assert (0, "") in ended
    for code, errors in ended:
        assert (code, errors) == (0, "") or (code == 2 and HELD.fullmatch(errors)), errors
    check_database(folder)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert len(store.experiments()) == 1
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3
    assert sorted(trial.trial_index for trial in trials_of(path)) == [0, 1, 2]


@pytest.mark.long
def test_two_searches_and_a_reader_begin_at_once(folder: Path) -> None:
    check_different(folder, 2, 1)


def test_one_search_is_begun_three_times_at_once(folder: Path) -> None:
    check_same(folder, 3, 0)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_eight_searches_and_eight_readers_begin_at_once(folder: Path) -> None:
    check_different(folder, 8, 8)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_one_search_is_begun_eight_times_at_once_before_eight_readers(folder: Path) -> None:
    check_same(folder, 8, 8)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_three_hundred_trials_leave_threads_memory_and_open_files_as_they_were(folder: Path) -> None:
    num_samples = 300
    path = write_experiment(folder, SCORES_X, n_samples=num_samples, n_parallel=4)
    process = start_aup(path, stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    looks: dict[int, tuple[int, int, int]] = {}
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    while process.poll() is None:
        num_begun = len(list(jobs.glob("*.out")))
        try:
            memory = watched.memory_full_info().uss
            looks[num_begun] = (watched.num_threads(), memory, watched.num_fds())
        except psutil.Error:
            break
        time.sleep(0.05)
    assert finish(process, 150)[0] == 0
    check_database(folder)
    early = [look for begun, look in looks.items() if 20 <= begun <= 80]
    late = [look for begun, look in looks.items() if begun > num_samples - 60]
    assert len(early) > 3 and len(late) > 3
    assert {threads for threads, _, _ in early + late} == {1}
    assert max(memory for _, memory, _ in late) < max(memory for _, memory, _ in early) + 2_000_000
    assert max(files for _, _, files in late) <= max(files for _, _, files in early) + 1
    assert {trial.status for trial in trials_of(path)} == {TrialStatus.FINISHED}
