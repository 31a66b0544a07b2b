"""Every attempt counted as a trial that has ended, so a retry made "N to go" too small."""

import io
from pathlib import Path

import pytest

from harness.search.display import PatientConsole, SearchDisplay
from harness.search.view import SearchPlan
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.searches import run_trial
from tests.store.experiments import an_experiment


@pytest.mark.parametrize(
    "cause", [TrialStatus.KILLED, TrialStatus.OUT_OF_MEMORY, TrialStatus.STOPPED], ids=lambda cause: cause.value
)
def test_a_trial_that_runs_again_is_still_to_go(tmp_path: Path, cause: TrialStatus) -> None:
    stream = io.StringIO()
    display = SearchDisplay(PatientConsole(file=stream, width=200), tmp_path / "experiment.json")
    with ResultsStore.open(tmp_path / "results" / "results.db") as store:
        eid = store.create_experiment(an_experiment(num_samples=6))
        run_trial(store, eid, 5, 6, 0.25)
        display.begin(SearchPlan(store.experiment(eid), 6, 1, num_interrupted=0, num_parallel=2, threads=1), store)
        first, second = (store.start_trial(eid, index, 1, {"x": 0.5}, index) for index in range(2))
        store.finish_trial(first, cause, message="it was ended", signal=9)
        again = store.start_trial(eid, 0, 1, {"x": 0.5}, 0)
        store.finish_trial(second, TrialStatus.FINISHED, score=0.5)
        store.finish_trial(again, TrialStatus.FINISHED, score=0.5)
        display.look()
    to_go = [line.rpartition("; ")[2] for line in stream.getvalue().splitlines() if "to go" in line]
    assert [line.split(",")[0] for line in to_go] == ["4 to go", "3 to go"]
