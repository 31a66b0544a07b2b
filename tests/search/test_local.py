"""Trials on this machine keep the contract of every way of running them, and leave nothing behind."""

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.search.known_keys import Resource
from harness.search.local import note_missing_card, visible_cards
from harness.store.records import TrialRow, TrialStatus
from tests.search.resource_manager_contract import ONE, ResourceManagerContract
from tests.search.searches import SCORES_X, SilentView, search, trials_of, write_experiment


class TestLocal(ResourceManagerContract):
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {"resource": "cpu"}


def run_one(folder: Path, script: str, **changes: Any) -> TrialRow:
    path = write_experiment(folder, script, **{**ONE, **changes})
    search(path)
    (trial,) = trials_of(path)
    return trial


def test_a_score_on_standard_error_counts_as_auptimizer_prints_it_there(folder: Path) -> None:
    trial = run_one(folder, "import sys\nprint('\\n#Auptimizer:0.25', file=sys.stderr, flush=True)\n")
    assert trial.score == 0.25


def test_jobs_at_once_get_a_graphics_card_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
import os, time
card = os.environ["CUDA_VISIBLE_DEVICES"]
open(card, "w").close()
while not (os.path.exists("2") and os.path.exists("5")):
    time.sleep(0.02)
print("#Auptimizer:" + card)
"""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    path = write_experiment(folder, script, resource="gpu", n_samples=2, n_parallel=2, timeout_seconds=20)
    search(path)
    assert [trial.score for trial in trials_of(path)] == [2.0, 5.0]


@pytest.mark.parametrize(
    ("chosen", "cards"), [("-1", []), ("", []), ("2,5", ["2", "5"]), ("0,-1,1", ["0"]), ("GPU-1a,", ["GPU-1a"])]
)
def test_a_card_that_is_hidden_is_none(chosen: str, cards: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """-1, by which cards are usually hidden, was taken for one, and nothing said that jobs run on the processor."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_cards() == cards
    assert (note_missing_card(Resource.GPU) is None) == bool(cards)


def test_a_script_may_vanish_while_its_trial_runs(folder: Path) -> None:
    trial = run_one(folder, "import os, sys\nos.remove(sys.argv[0])\nprint('#Auptimizer:1')\n")
    assert trial.status is TrialStatus.FINISHED


@pytest.mark.long
def test_two_hundred_trials_four_at_once_need_no_more_threads(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=200, n_parallel=4)
    before = threading.active_count()
    most = []

    class CountingView(SilentView):
        def look(self) -> float | None:
            most.append(threading.active_count())
            return None

    report = search(path, view=CountingView())
    assert report.num_by_status == {TrialStatus.FINISHED: 200}
    assert max(most) == before
    assert sorted(trial.trial_index for trial in trials_of(path)) == list(range(200))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_search_leaves_no_file_open_and_no_process_behind(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=5)
    search(path)
    before = len(os.listdir("/proc/self/fd"))
    search(write_experiment(folder, SCORES_X, n_samples=5, name="another"))
    assert len(os.listdir("/proc/self/fd")) == before
    listing = subprocess.run(["ps", "-o", "args", "--ppid", str(os.getpid())], capture_output=True, text=True)
    assert "guardian" not in listing.stdout
