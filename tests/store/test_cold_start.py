"""Many processes meet on an empty results folder, and none of them fails."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.store import ResultsStore
from tests.search.searches import SCORES_X, end_started, environment, start_aup, write_experiment
from tests.store.experiments import an_experiment
from tests.store.whole import train

SPAWN = get_context("spawn")


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_started()


def open_at(moment: float, path: Path, is_writer: bool) -> str:
    """Open the store at one moment with many others, and say what went wrong; an empty text for nothing."""
    time.sleep(max(0.0, moment - time.time()))
    try:
        if is_writer:
            with ResultsStore.open(path) as store:
                eid = store.create_experiment(an_experiment())
                train(store, store.start_trial(eid, 0, 1, {f"hyperparameter {os.getpid()}": 1}), 0.5)
        else:
            with ResultsStore.open_readonly(path) as store:
                assert all(trial.trial_index == 0 for row in store.experiments() for trial in store.trials(row.eid))
    except StoreError as error:
        return "" if "not found; expected the folder of a search" in str(error) else str(error)
    return ""


@pytest.mark.long
def test_eight_writers_and_eight_readers_meet_on_an_empty_folder(tmp_path: Path) -> None:
    with ProcessPoolExecutor(16, mp_context=SPAWN) as pool:
        # Every process has imported what it needs before the first moment.
        list(pool.map(open_at, [time.time() + 1] * 16, [tmp_path / "nowhere" / "results.db"] * 16, [False] * 16))
        for number in range(5):
            path = tmp_path / f"round {number}" / "results.db"
            said = pool.map(open_at, [time.time() + 0.1] * 16, [path] * 16, [True, False] * 8)
            assert list(said) == [""] * 16
            with ResultsStore.open(path) as store:
                assert [row.eid for row in store.experiments()] == list(range(1, 9))
                assert all(store.trials(eid)[0].score == 0.5 for eid in range(1, 9))


@pytest.mark.long
@pytest.mark.timeout(180)
def test_eight_controllers_and_eight_reports_meet_on_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s; a "folder" 100%?#'
    paths = []
    for number in range(8):
        path = write_experiment(folder, SCORES_X, name=f"search {number}", n_samples=3)
        paths.append(path.rename(folder / f"experiment {number}.json"))
    code = "import sys; from harness.cli.main import main; sys.argv[1:1] = ['report']; main()"
    reports = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder / "results"), "--output", str(folder / f"{number}.html")],
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for number in range(8)
    ]  # fmt: skip
    controllers = [start_aup(path) for path in paths]
    for report in reports:
        _, errors = report.communicate(timeout=120)
        assert report.returncode == 0 or "not found" in errors or "holds no search yet" in errors, errors
    for controller in controllers:
        _, errors = controller.communicate(timeout=120)
        assert (controller.returncode, errors) == (0, "")
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert {row.name for row in store.experiments()} == {f"search {number}" for number in range(8)}
        assert all(row.status == "finished" for row in store.experiments())
