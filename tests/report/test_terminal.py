import io
from pathlib import Path

from rich.console import Console

from harness.report.tables import Table
from harness.report.terminal import print_report, print_table
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
        "Test evaluation 1: 2026-02-03 04:05:06 UTC",
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
    for words in ("What was scored: Test evaluation 1", "Test set: by class", "Test set: calibration"):
        assert words in text, words


def test_text_of_a_job_is_not_taken_for_markup(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0, TrialStatus.CRASHED, "index [0] of [bold]list[/bold] :smile:")
    assert "index [0] of [bold]list[/bold] :smile:" in printed(results_path)


def test_what_turns_a_line_or_moves_the_cursor_is_spelt_out(store: ResultsStore, results_path: Path) -> None:
    """A name with a right-to-left mark turned the rest of its line, one with an escape sequence coloured it."""
    begin_search(store, name="a\u202eb\x1b[31mc\nd")
    text = printed(results_path)
    assert "Experiment 1: a\\u202ebc\\nd" in text
    assert not {"\u202e", "\x1b"} & set(text)
    table = Table("t\u202e", ("a\x07", "b"), (("1\u2066", "2\n3"),), frozenset({"a\x07"}), "n\u200f", 0)
    assert (table.title, table.columns, table.rows) == ("t\\u202e", ("a\\x07", "b"), (("1\\u2066", "2\n3"),))
    assert (table.numbers, table.note, table.highlighted_row) == (frozenset({"a\\x07"}), "n\\u200f", 0)


def test_search_that_has_just_begun_is_reported(store: ResultsStore, results_path: Path) -> None:
    begin_trial(store, begin_search(store), 0, 3)
    text = " ".join(printed(results_path).split())
    assert "0 of 30 trials finished, 1 running; the search is still running." in text
    assert "The test set has never been scored from this results folder." in text
    assert "Best trials" not in text


def lines_of(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    print_table(Console(file=stream, width=width), table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_narrow_table_folds_between_words_and_puts_intervals_below_their_numbers() -> None:
    rows = (("speaker-disjoint", "+25.0 ± 0.0 [+14.8, +36.8]"), ("random split", "+40.0 ± 0.1 [+29.7, +50.9]"))
    table = Table("Gains", ("split", "gain"), rows, frozenset({"gain"}))
    assert lines_of(table, 31) == [
        "",
        "Gains",
        "split                      gain",
        "speaker-disjoint    +25.0 ± 0.0",
        "                 [+14.8, +36.8]",
        "random split        +40.0 ± 0.1",
        "                 [+29.7, +50.9]",
    ]
    assert lines_of(table, 43)[3] == "speaker-disjoint +25.0 ± 0.0 [+14.8, +36.8]"


def test_columns_that_do_not_fit_go_below_beside_the_first_and_empty_ones_are_left_out() -> None:
    columns = ("trial", "hyperparameter", "nothing", "another_parameter")
    assert lines_of(Table("", columns, (("7", "0.1", "", "0.2"), ("12", "0.3", "", "0.4"))), 24) == [
        "",
        "trial hyperparameter",
        "7     0.1",
        "12    0.3",
        "",
        "trial another_parameter",
        "7     0.2",
        "12    0.4",
    ]


def test_a_word_longer_than_the_terminal_is_cut() -> None:
    assert all(len(line) <= 20 for line in lines_of(Table("", ("a", "x" * 50), (("1", "2"),)), 20))
