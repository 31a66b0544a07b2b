import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.invented_search import NUM_EPOCHS, NUM_VALIDATION, fill_results
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_invented_search_stands_in_the_store_as_a_real_one_would(tmp_path: Path) -> None:
    fill_results(tmp_path / "results.db", num_trials=20)
    with ResultsStore.open_readonly(tmp_path / "results.db") as store:
        trials = store.trials(1)
        best = store.best_trial(1)
        assert [trial.status for trial in trials].count(TrialStatus.CRASHED) == 1
        assert best is not None and best.score == best.best_validation_accuracy == best.result_score
        assert [len(epochs) for epochs in store.epochs_of(1).values()] == [NUM_EPOCHS] * 20
        predictions = store.validation_predictions(best.trial_id)
        num_right = sum(prediction.emotion is prediction.predicted for prediction in predictions)
        assert (len(predictions), num_right / NUM_VALIDATION) == (NUM_VALIDATION, best.score)


def test_benchmark_runs_and_tells_seconds_and_sizes() -> None:
    command = [sys.executable, "-m", "benchmarks.report", "--trials", "20", "--runs", "1", "--optuna-up-to", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 trials" in done.stdout and "harness report: " in done.stdout and " MB\n" in done.stdout
