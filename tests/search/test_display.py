"""A search as people see it: lines, drawings of every size, and the display of `aup`."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from harness.search.display import (
    Canvas,
    PatientConsole,
    SearchDisplay,
    describe_changes,
    describe_end,
    draw,
    draw_below_lines,
    format_hyperparameters,
)
from harness.search.snapshot import SearchSnapshot, SearchState, watch_search
from harness.search.view import SearchPlan
from harness.store.records import ExperimentStatus, TrialResult, TrialStatus, utc_now
from harness.store.store import ResultsStore
from tests.report.searches import begin_trial, fail_trial, run_search, run_trial
from tests.search.watched_searches import running_search
from tests.store.experiments import an_experiment

HINT = "q quits"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> SearchSnapshot:
    folder = tmp_path_factory.mktemp("watched")
    with running_search(folder):
        return watch_search(folder, None)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> SearchSnapshot:
    folder = tmp_path_factory.mktemp("crowded")
    with running_search(folder, num_running=40):
        return watch_search(folder, None)


def draw_lines(watched: SearchSnapshot, width: int, height: int, is_ascii: bool = False) -> list[str]:
    return [line.plain for line in draw(watched, Canvas(width, height, is_ascii), HINT)]


def test_a_terminal_of_the_usual_size_shows_everything(watched: SearchSnapshot) -> None:
    lines = draw_lines(watched, 80, 24)
    assert lines[0] == "Experiment 1, 'fusion search': system fusion, protocol paper"
    assert lines[1] == "This corpus is synthetic: no score on it is a score on IEMOCAP."
    assert lines[4] == "█" * 16 + "▒" * 8 + "▓" * 16 + "░" * 40
    assert lines[5] == "10 trials: 2 finished, 2 running, 1 failed, 5 left."
    assert "Best validation accuracy 0.7500 (trial 0, epoch 4)" in lines
    assert "Scores  █▁" in lines
    [title] = [line for line in lines if line.startswith("trial  epoch")]
    assert title.split() == "trial epoch now best s/epoch left for memory validation accuracy".split()
    first = lines[lines.index(title) + 1].split()
    assert (first[:7], first[-2:]) == ("3 3/30 0.6000 0.6000 1.5 40 s".split(), ["—", "▁▄█"])
    assert lines[lines.index(title) + 2].startswith("  adamlr=")
    assert lines[-2:] == ["  trial 2 diverged: the loss is no number", HINT]


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 10, 24, 60])
def test_nothing_leaves_the_screen(watched: SearchSnapshot, crowded: SearchSnapshot, width: int, height: int) -> None:
    for each in (watched, crowded):
        lines = draw(each, Canvas(width, height), HINT)
        assert len(lines) <= height
        assert all(line.cell_len <= width for line in lines)
        assert lines[-1].plain[:1] == "q" or width == 1


def test_a_narrow_terminal_keeps_what_matters_most(watched: SearchSnapshot) -> None:
    lines = draw_lines(watched, 40, 40)
    [titles] = [line.split() for line in lines if line.startswith("trial ")]
    assert titles == ["trial", "epoch", "now", "best", "left"]


def test_of_many_running_trials_the_rest_is_counted(crowded: SearchSnapshot) -> None:
    lines = draw_lines(crowded, 100, 30)
    num_shown = sum(line.lstrip()[:1].isdigit() and "/30" in line for line in lines)
    assert f"and {40 - num_shown} more running trials" in lines
    assert 5 < num_shown < 40
    assert lines[-2].startswith("  trial 2 diverged")


def test_a_terminal_without_unicode_gets_ascii(watched: SearchSnapshot) -> None:
    assert all(line.isascii() for line in draw_lines(watched, 80, 40, is_ascii=True))


def test_what_a_trial_said_cannot_move_the_cursor(watched: SearchSnapshot) -> None:
    assert not any("\x1b" in line for line in draw_lines(watched, 80, 40))


def test_an_abandoned_search_says_how_to_resume_it(watched: SearchSnapshot) -> None:
    abandoned = replace(watched, state=SearchState.ABANDONED, running=(), controller=None)
    lines = draw_lines(abandoned, 80, 24)
    assert lines[2] == "No process is running this experiment. Resume with: aup EXPERIMENT.json"
    assert "10 trials: 2 finished, 0 running, 1 failed, 7 left." in lines


def test_before_a_search_there_is_one_sentence() -> None:
    waiting = SearchSnapshot("results", SearchState.WAITING, message="No search has begun in 'results' yet.")
    assert draw_lines(waiting, 80, 24) == ["No search has begun in 'results' yet.", HINT]


def test_the_first_look_shows_how_things_stand_and_the_next_ones_what_is_new(folder: Path) -> None:
    waiting = watch_search(folder, None)
    assert describe_changes(None, waiting) == [f"No search has begun in '{folder}' yet."]
    assert describe_changes(waiting, watch_search(folder, None)) == []
    with running_search(folder) as store:
        first = watch_search(folder, None)
        lines = describe_changes(waiting, first)
        assert lines[:2] == [
            "Experiment 1, 'fusion search': system fusion, protocol paper",
            "This corpus is synthetic: no score on it is a score on IEMOCAP.",
        ]
        assert lines[3].startswith("10 trials: 2 finished, 2 running, 1 failed, 5 left. ")
        assert lines[4:] == ["Best validation accuracy 0.7500 (trial 0, epoch 4)"]
        assert describe_changes(first, watch_search(folder, None)) == []

        [finishing, stopping] = store.running_trials(1)
        store.record_result(finishing.trial_id, TrialResult(0.5, 1, 3, (), None, 1.0))
        store.finish_trial(finishing.trial_id, TrialStatus.FINISHED, score=0.5)
        store.finish_trial(stopping.trial_id, TrialStatus.STOPPED, message="ended by the user")
        fail_trial(store, 1, 5, TrialStatus.TIMED_OUT, "it took\ntoo long")
        begin_trial(store, 1, 6, 10)
        second = watch_search(folder, None)
        lines = describe_changes(first, second)
        assert lines[0].startswith(
            "trial 3 finished: validation accuracy 0.5000; best so far 0.7500 (trial 0); 6 to go, about "
        )
        assert lines[1] == "trial 4 stopped: ended by the user"
        assert [line.partition(" adamlr=")[0] for line in lines[2:]] == [
            "trial 5 begins:",
            "trial 5 timed out: it took\\ntoo long",
            "trial 6 begins:",
        ]
        assert describe_changes(first, second, with_begins=False) == [*lines[:2], lines[3]]
    abandoned = watch_search(folder, None)
    assert describe_changes(second, abandoned) == []
    assert describe_end(abandoned)[-1] == "No process is running this experiment. Resume with: aup EXPERIMENT.json"


def test_the_end_is_summed_up(folder: Path) -> None:
    with running_search(folder, num_running=0) as store:
        store.update_experiment(1, ExperimentStatus.INTERRUPTED, utc_now())
        assert describe_end(watch_search(folder, 1)) == [
            "3 of 10 trials: 1 diverged, 2 finished.",
            "Best trial 0: validation accuracy 0.7500 at adamlr=0.0001259, textlstm=150, attention=decoder",
            "The experiment has ended: interrupted.",
        ]


def test_the_end_says_that_more_epochs_might_help(folder: Path) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        run_search(store, max_epochs=4)
    *_, note, ended = describe_end(watch_search(folder, 1))
    assert note.startswith("Its best epoch, 4, is the last that max_epochs allows") and ended.endswith("finished.")


def display_to(stream: io.StringIO, folder: Path) -> SearchDisplay:
    return SearchDisplay(PatientConsole(file=stream, width=80), folder / "experiment.json")


def show(folder: Path, target: str, scores: list[float | None], protocol_name: str = "paper") -> list[str]:
    """Let `aup` print a search whose trials end one after the other, all between two looks."""
    stream = io.StringIO()
    display = display_to(stream, folder)
    with ResultsStore.open(folder / "results" / "results.db") as store:
        eid = store.create_experiment(
            an_experiment(
                target=target,
                shortened="It was cut [short].",
                num_samples=len(scores),
                protocol_name=protocol_name,
            )
        )
        display.begin(SearchPlan(store.experiment(eid), len(scores), 0, 0, num_parallel=2, threads=1), store)
        for index, score in enumerate(scores):
            if score is None:
                fail_trial(store, eid, index, TrialStatus.TIMED_OUT, "the job took too long")
            else:
                run_trial(store, eid, index, 3, score)
        display.look()
    return stream.getvalue().splitlines()


def test_a_search_of_a_system_names_it_and_how_it_was_cut(folder: Path) -> None:
    assert show(folder, "max", [0.5])[:2] == [
        "Experiment 1, 'fusion search': 1 trial of system fusion under protocol paper, 2 at once with 1 thread each.",
        "It was cut [short].",
    ]


def test_a_search_whose_scores_are_adapted_to_the_speakers_says_so(folder: Path, watched: SearchSnapshot) -> None:
    sentence, name = "Adapted to the test speakers without labels.", "paper+speaker_scaling=own"
    assert show(folder, "max", [0.5], name)[2] == sentence
    assert watched.experiment is not None
    adapted = replace(watched, experiment=replace(watched.experiment, protocol_name=name))
    assert draw_lines(adapted, 80, 24)[2] == sentence and sentence not in draw_lines(watched, 80, 24)
    assert describe_changes(None, adapted)[2] == sentence and sentence not in describe_changes(None, watched)


@pytest.mark.parametrize(
    ("target", "best"),
    [
        ("max", ["0.5000 (trial 0); 2 to go", "0.7500 (trial 1); 1 to go", "0.7500 (trial 1); 0 to go"]),
        ("min", ["0.5000 (trial 0); 2 to go", "0.5000 (trial 0); 1 to go", "0.5000 (trial 0); 0 to go"]),
    ],
)
def test_the_best_so_far_follows_the_target_and_of_equals_the_first(
    folder: Path, target: str, best: list[str]
) -> None:
    lines = show(folder, target, [0.5, 0.75, 0.5 if target == "min" else 0.75])
    assert [line.split()[:3] for line in lines[2:]] == [
        ["trial", str(index), event] for index in range(3) for event in ("begins:", "finished:")
    ]
    said = [line.split("best so far ")[1].split(", about")[0] for line in lines[3::2]]
    assert said == best


def test_a_failed_trial_says_why(folder: Path) -> None:
    assert show(folder, "max", [None])[-1] == "trial 0 timed out: the job took too long"


def test_a_console_whose_reader_has_gone_goes_quiet() -> None:
    class ClosedPipe(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = PatientConsole(file=ClosedPipe())
    SearchDisplay(console, Path("experiment.json")).note("nobody reads this")
    assert console.quiet


def test_hyperparameters_are_shown_on_one_line() -> None:
    assert (
        format_hyperparameters({"units": 3, "rate": 1e-05, "gates": "sigmoid", "on": True})
        == "units=3, rate=1e-05, gates=sigmoid, on=True"
    )


def test_looks_take_a_bounded_share_of_the_controllers_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1000 trials at once, reading all of them at each end was nine tenths of the controller's work."""
    clock = 100.0
    monkeypatch.setattr("harness.search.display.time.monotonic", lambda: clock)
    monkeypatch.setattr("harness.search.display.time.thread_time", lambda: clock)
    display = display_to(io.StringIO(), folder)
    looks = 0

    def look_slowly(store: ResultsStore, eid: int) -> list[object]:
        nonlocal clock, looks
        clock, looks = clock + 0.1, looks + 1
        return []

    with ResultsStore.open(folder / "results" / "results.db") as store:
        eid = store.create_experiment(an_experiment())
        display.begin(SearchPlan(store.experiment(eid), 500, 0, 0, 100, 1), store)
        monkeypatch.setattr(ResultsStore, "trials", look_slowly)
        waits = []
        for _ in range(400):
            clock += 0.01
            waits.append(display.look())
    # 4 s of trials: at first, and 2 s after a look of 0.1 s each time.
    assert looks == 2
    assert all(wait is None or 0 < wait <= 2.0 for wait in waits)
    assert waits[1] == pytest.approx(1.99)


def test_below_the_lines_of_aup_only_what_runs_is_drawn(watched: SearchSnapshot) -> None:
    lines = [line.plain for line in draw_below_lines(watched, Canvas(80, 23))]
    assert lines[2] == "10 trials: 2 finished, 2 running, 1 failed, 5 left."
    assert any(line.startswith("trial  epoch") for line in lines)
    assert not any("diverged" in line or "Experiment 1" in line for line in lines)
