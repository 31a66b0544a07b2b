import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.search import summarise

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_what_bookkeeping_takes_is_told_apart_from_the_bare_start_and_from_trials_that_made_one() -> None:
    intervals = [0.030, 0.030, 0.030, 0.130, 0.032, 0.032, 0.032]
    starts = {number: 100.0 + sum(intervals[: number - 1]) for number in range(1, 9)}
    looks = [(100.0, 50e6, 2), (sum(intervals) + 100, 51e6, 3)]
    timing = summarise(99.5, starts, {4: 0.025, 8: 0.026}, looks, at_once=1)
    assert timing.bookkeeping == pytest.approx((5.0, 6.0, 31.0 - 25.5))
    assert timing.opening == pytest.approx(500.0)
    assert (timing.memory, timing.threads) == ((51.0, 51.0), 3)


def test_with_several_at_once_the_bare_starts_before_and_after_a_search_count() -> None:
    starts = {1: 100.0, 2: 100.001, 3: 100.02, 4: 100.021}
    timing = summarise(99.0, starts, {0: 0.009, 5: 0.011}, [(100.0, 50e6, 2)], at_once=2)
    assert timing.first == pytest.approx((1 + 19) / 2)
    assert timing.whole == pytest.approx((7.0, 10.0))
    assert (timing.bare_first, timing.bare_last) == pytest.approx((9.0, 11.0))


@pytest.mark.parametrize(
    ("at_once", "controllers"), [("1", ["ours"]), ("2", ["ours", "optuna"])], ids=["one at once", "two at once"]
)
def test_benchmark_runs_and_tells_of_every_controller(at_once: str, controllers: list[str]) -> None:
    if "optuna" in controllers:
        pytest.importorskip("optuna")
    options = ["--trials", "8", "--parallel", at_once, "--rounds", "1", "--controllers", *controllers]
    command = [sys.executable, "-m", "benchmarks.search", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in controllers:
        assert f"{name}, 8 trials, {at_once} at once: bookkeeping " in done.stdout


def test_auptimizer_as_it_comes_runs_too() -> None:
    options = ["--trials", "4", "--parallel", "1", "--rounds", "1", "--controllers", "auptimizer"]
    command = [sys.executable, "-m", "benchmarks.search", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "auptimizer, 4 trials, 1 at once: bookkeeping " in done.stdout
