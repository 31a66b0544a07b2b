from pathlib import Path

from harness.report.test_set import tabulate_openings, tabulate_test_scores
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import findings_of, run_search, score_test
from tests.store.experiments import an_opening

BOTH = (ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM)


def test_scores_stand_beside_who_chose_the_epoch(store: ResultsStore, results_path: Path) -> None:
    score_test(store, run_search(store, is_synthetic=False), kinds=BOTH)
    table = tabulate_test_scores(findings_of(results_path))
    assert [row[:4] for row in table.rows] == [
        ("1", "c0ffee", "validation", "2"),
        ("1", "c0ffee", "test set, optimistic", "2"),
    ]
    assert table.rows[0][4].startswith("65.0 ± 7.1 [")
    assert "Always answering 'neutral', the largest class of what opening 1 scored, scores 50.0 %." in table.note
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
    # The majority baseline knows the training utterances alone; beside it the best constant answer would mislead.
    assert "Always answering" not in table.note


def test_a_list_of_openings_names_corpus_and_what_was_not_finished(store: ResultsStore) -> None:
    eid = run_search(store)
    score_test(store, eid, scored=1)
    store.record_opening(an_opening(None, corpus_hash="0123456789", command="harness tables"))
    first, second = tabulate_openings(store.openings()).rows
    remark = "ended before every seed was scored; counts all the same"
    assert first[:2] == ("1", "2026-02-03 04:05:06") and first[3:] == ("paper", "synthetic", "1", "2", remark)
    assert second[2] == "harness tables" and second[4:6] == ("01234567", "several") and second[-1] == remark
