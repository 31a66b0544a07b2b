"""Every attempt counted as a trial that has ended, so a retry made "N to go" too small."""

import io
from pathlib import Path

import pytest

from harness.search.display import PatientConsole, PlainView
from harness.search.outcome import TrialJob, TrialOutcome
from harness.search.view import SearchPlan
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment


@pytest.mark.parametrize(
    "cause", [TrialStatus.KILLED, TrialStatus.OUT_OF_MEMORY, TrialStatus.STOPPED], ids=lambda cause: cause.value
)
def test_a_trial_that_runs_again_is_still_to_go(tmp_path: Path, cause: TrialStatus) -> None:
    stream = io.StringIO()
    view = PlainView(PatientConsole(file=stream, width=200), tmp_path / "experiment.json")
    jobs = [TrialJob(index, index, index, {"x": 0.5}, Path("1.json"), Path("1.out")) for index in range(2)]
    with ResultsStore.open(tmp_path / "results.db") as store:
        eid = store.create_experiment(an_experiment())
        plan = SearchPlan(store.experiment(eid), 6, num_done=1, num_interrupted=0, num_parallel=2, threads=1)
        view.begin(plan, store)
        for job in jobs:
            view.trial_started(job)
        view.trial_ended(jobs[0], TrialOutcome(cause, None, "it was ended", None, 9, ""))
        view.trial_started(jobs[0])
        view.trial_ended(jobs[1], TrialOutcome(TrialStatus.FINISHED, 0.5, None, 0, None, ""))
        view.trial_ended(jobs[0], TrialOutcome(TrialStatus.FINISHED, 0.5, None, 0, None, ""))
    to_go = [line.rpartition("; ")[2] for line in stream.getvalue().splitlines() if "to go" in line]
    assert [line.split(",")[0] for line in to_go] == ["4 to go", "3 to go"]
