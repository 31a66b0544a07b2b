from pathlib import Path

from harness.report.openings import tabulate_test_scores
from harness.store.records import ScoreKind
from harness.store.results import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import findings_of, run_search, score_test

BOTH = (ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM)


def test_scores_stand_beside_who_chose_the_epoch(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store, is_synthetic=False), kinds=BOTH)
    table = tabulate_test_scores(findings_of(results_path))
    assert [row[:4] for row in table.rows] == [
        ("1", "c0ffee", "validation", "2"),
        ("1", "c0ffee", "test set, optimistic", "2"),
    ]
    assert table.rows[0][4].startswith("65.0 ± 7.1 [")
    assert "Always answering 'neutral' scores 50.0 % there." in table.note
    assert "*" not in table.note


def test_scores_on_the_synthetic_corpus_are_marked(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store))
    assert tabulate_test_scores(findings_of(results_path)).rows[0][1] == "synthetic"


def test_one_seed_has_no_deviation(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store), seeds=(1,), scored=1)
    assert tabulate_test_scores(findings_of(results_path)).rows[0][4].startswith("60.0 [")


def test_opening_that_was_never_scored_has_no_row(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store), scored=0)
    assert tabulate_test_scores(findings_of(results_path)).rows == ()


def test_baselines_stand_below_the_model_and_say_what_they_are(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    table = tabulate_test_scores(findings_of(results_path))
    assert [row[2:4] for row in table.rows] == [
        ("validation", "2"),
        ("nobody; baseline: majority class", "1"),
        ("nobody; baseline: random forest on speech", "1"),
    ]
