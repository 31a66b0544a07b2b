import io
from pathlib import Path

from rich.console import Console

from harness.report.terminal import print_report
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import begin_search, begin_trial, fail_trial, findings_of, run_search, score_test


def printed(path: Path, width: int = 100) -> str:
    stream = io.StringIO()
    print_report(Console(file=stream, width=width), findings_of(path), num_trials=3)
    return stream.getvalue()


def test_best_trials_fit_eighty_columns(searched: Path) -> None:
    lines = printed(searched, width=80).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Best trials"))
    assert [line.split() for line in lines[start + 1 : start + 5]] == [
        ["trial", "accuracy", "epoch", "adamlr", "textlstm", "attention", "time"],
        ["9", "75.0", "%", "4", "of", "4", "0.000794", "300", "pooling", "1", "min", "35", "s"],
        ["8", "72.2", "%", "4", "of", "4", "0.000647", "283", "decoder", "1", "min", "35", "s"],
        ["7", "69.4", "%", "4", "of", "4", "0.000527", "267", "pooling", "1", "min", "35", "s"],
    ]


def test_report_says_what_must_be_known_and_every_opening(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store, num_trials=2))
    text = " ".join(printed(results_path).split())
    for words in (
        "Experiment 1: fusion search (system fusion), synthetic corpus",
        "Synthetic corpus: This corpus is synthetic",
        "Speakers: Training and validation share speakers",
        "Opening 1: 2026-02-03 04:05:06 UTC",
        "Scores on the test set",
        "Failures by cause",
    ):
        assert words in text, words
    assert "71.04" not in text


def test_published_number_is_taken_apart_beside_scores_on_real_recordings(
    store: ResultsStore, results_path: Path
) -> None:
    score_test(store, run_search(store, num_trials=2, is_synthetic=False))
    assert "is 780 of 1098 test utterances at the best of thirty epochs" in " ".join(
        printed(results_path).split()
    )


def test_many_trials_are_told_by_importance_and_by_whether_they_were_enough(
    store: ResultsStore, results_path: Path
) -> None:
    run_search(store, num_trials=14)
    text = " ".join(printed(results_path).split())
    assert "Importance of hyperparameters" in text and "share of variation" in text
    assert "Were there enough trials? Going from 7 to 14 trials brought an expected" in text


def test_what_was_scored_on_the_test_set_is_taken_apart(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store, num_trials=2))
    text = " ".join(printed(results_path, width=160).split())
    for words in ("What was scored: Opening 1", "Test set: by class", "Test set: calibration"):
        assert words in text, words


def test_text_of_a_job_is_not_taken_for_markup(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0, TrialStatus.CRASHED, "index [0] of [bold]list[/bold] :smile:")
    assert "index [0] of [bold]list[/bold] :smile:" in printed(results_path)


def test_search_that_has_just_begun_is_reported(store: ResultsStore, results_path: Path) -> None:
    begin_trial(store, begin_search(store), 0, 3)
    text = " ".join(printed(results_path).split())
    assert "0 of 30 trials finished, 1 running; the search is still running." in text
    assert "The test set has never been opened from this results folder." in text
    assert "Best trials" not in text
