import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.thorough
@pytest.mark.timeout(240)
def test_benchmark_tells_every_part_of_a_trials_start() -> None:
    smallest = ["--systems", "speech4", "--scale", "0.03", "--runs", "1", "--help-runs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.start", *smallest], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for part in ("harness --help", "importing TensorFlow", "opening features", "tracing", "second step"):
        assert part in done.stdout, part
