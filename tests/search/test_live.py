"""What people see of a search."""

import io
from pathlib import Path

import pytest

from harness.search.live import PatientConsole, PlainView
from harness.search.trial_job import TrialJob
from harness.search.trial_outcome import TrialOutcome
from harness.search.view import SearchPlan, format_point
from harness.store.records import TrialStatus
from harness.store.results import ResultsStore
from tests.store.experiments import an_experiment


def outcome(score: float | None) -> TrialOutcome:
    if score is None:
        return TrialOutcome(TrialStatus.TIMED_OUT, None, "the job took too long", None, 9, "")
    return TrialOutcome(TrialStatus.FINISHED, score, None, 0, None, "")


def trial(index: int) -> TrialJob:
    return TrialJob(index + 1, index, index + 1, {"dropout": 0.123456}, Path("1.json"), Path("1.0.out"))


def show(folder: Path, target: str, scores: list[float | None], **plan: int) -> list[str]:
    stream = io.StringIO()
    view = PlainView(PatientConsole(file=stream, width=80), folder / "experiment.json")
    with ResultsStore.open(folder / "results.db") as store:
        eid = store.create_experiment(an_experiment(target=target, shortened="It was cut [short]."))
        counts = {
            "num_trials": len(scores),
            "num_done": 0,
            "num_interrupted": 0,
            "num_parallel": 2,
            "threads": 1,
        }
        view.begin(SearchPlan(store.experiment(eid), **{**counts, **plan}), store)
        for index, score in enumerate(scores):
            view.trial_ended(trial(index), outcome(score))
    return stream.getvalue().splitlines()


def test_a_search_of_a_system_names_it_and_how_it_was_cut(folder: Path) -> None:
    lines = show(folder, "max", [0.5])
    assert lines[:2] == [
        (
            "Experiment 1, 'fusion search': 1 trials of system fusion under protocol paper, 2 at once with 1"
            " thread each."
        ),
        "It was cut [short].",
    ]


@pytest.mark.parametrize(
    ("target", "best"),
    [
        ("max", ["0.5000 (trial 0)", "0.7500 (trial 1)", "0.7500 (trial 1)"]),
        ("min", ["0.5000 (trial 0)", "0.5000 (trial 0)", "0.5000 (trial 0)"]),
    ],
)
def test_the_best_so_far_follows_the_target_and_of_equals_the_first(
    folder: Path, target: str, best: list[str]
) -> None:
    lines = show(folder, target, [0.5, 0.75, 0.5 if target == "min" else 0.75])
    assert [line.split("best so far ")[1].split(";")[0] for line in lines[2:]] == best


def test_a_failed_trial_says_why(folder: Path) -> None:
    assert show(folder, "max", [None])[-1] == "trial 0 timed out: the job took too long"


def test_a_console_that_nobody_reads_goes_quiet() -> None:
    class ClosedPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = PatientConsole(file=ClosedPipe())
    view = PlainView(console, Path("experiment.json"))
    view.note("nobody reads this")
    assert console.quiet


def test_a_point_is_shown_on_one_line() -> None:
    assert (
        format_point({"units": 3, "rate": 1e-05, "gates": "sigmoid", "on": True})
        == "units=3, rate=1e-05, gates=sigmoid, on=True"
    )
