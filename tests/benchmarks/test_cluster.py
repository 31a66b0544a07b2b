import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cluster import Look, measure_controller, measure_interval, trials_an_hour

ROOT = Path(__file__).parents[2]

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


def test_a_stray_slow_trial_does_not_count() -> None:
    clocks = [10.0, 10.1, 10.2, 12.0, 12.1]
    assert measure_interval([Look(0.0, clock, 0) for clock in clocks]) == pytest.approx(100)


def test_the_rate_leaves_out_how_the_workers_began() -> None:
    clocks = [30.0, 31.0, 32.0, 33.0, 34.0, 35.0]
    assert trials_an_hour([Look(0.0, clock, 2) for clock in clocks], num_workers=2) == pytest.approx(3600)


def test_beginning_and_end_are_trials_that_another_one_follows() -> None:
    # Ten followed at 5 ms, ten at 7, and at last four that nothing follows at 1; the process began with 2 s.
    costs = [0.005] * 10 + [0.007] * 10 + [0.001] * 4
    looks = [Look(2.0 + sum(costs[: number + 1]), float(number), 4) for number in range(24)]
    cost = measure_controller(looks, num_workers=4)
    assert (cost.first, cost.last) == pytest.approx((5, 7))
    assert cost.whole == pytest.approx(1000 * (2.0 + sum(costs)) / 24)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_benchmark_runs_and_tells_of_everything() -> None:
    options = ["--rounds", "1", "--trials", "8", "--workers", "1", "2", "--seconds", "0.5"]
    options += ["--simulated", "20", "--simulated-trials", "60", "--simulated-rounds", "1", "--starts", "1"]
    command = [sys.executable, "-m", "benchmarks.cluster", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "one at a time, from end to end of 8 trivial trials: here " in done.stdout
    assert "2 workers, trials that wait 0.5 s: " in done.stdout
    assert "20 simulated workers, 80 trials: the controller's processor time a trial " in done.stdout
    assert "speech4 on a worker, from a task's start to its first epoch: " in done.stdout
