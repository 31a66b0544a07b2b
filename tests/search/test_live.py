"""What people see of a search."""

import io
from pathlib import Path

import pytest

from harness.search.display import PatientConsole, PlainView
from harness.search.outcome import TrialJob, TrialOutcome
from harness.search.view import SearchPlan, format_point
from harness.store.records import TrialRow, TrialStatus
from harness.store.store import ResultsStore
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


def test_what_is_said_of_an_ended_trial_does_not_take_longer_the_more_trials_there_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 1000 trials at once, reading all of them at each end was nine tenths of the controller's work."""
    clock = 100.0
    monkeypatch.setattr("harness.search.display.time.monotonic", lambda: clock)
    looks = 0

    def look_slowly(store: ResultsStore, eid: int) -> list[TrialRow]:
        nonlocal clock, looks
        clock, looks = clock + 0.1, looks + 1
        return []

    stream = io.StringIO()
    view = PlainView(PatientConsole(file=stream, width=80), folder / "experiment.json")
    with ResultsStore.open(folder / "results.db") as store:
        eid = store.create_experiment(an_experiment())
        view.begin(SearchPlan(store.experiment(eid), 500, 0, 0, 100, 1), store)
        monkeypatch.setattr(ResultsStore, "running_trials", look_slowly)
        monkeypatch.setattr(ResultsStore, "trials", None)
        for index in range(400):
            view.trial_started(trial(index))
            clock += 0.01
            view.trial_ended(trial(index), outcome(0.5))
    # 4 s of trials: at first, and 2 s after a look of 0.1 s each time.
    assert looks == 2
    assert "100 to go" in stream.getvalue().splitlines()[-1]
