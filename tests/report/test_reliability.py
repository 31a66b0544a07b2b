from pathlib import Path

from harness.report.chart_style import PAGE, PAPER
from harness.report.charts import draw_reliability
from harness.store.store import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import findings_of, run_search


def test_a_dot_for_each_bin_that_is_used(store: ResultsStore, results_path: Path) -> None:
    score_whole_opening(store, run_search(store))
    for look, width in ((PAPER, 720), (PAGE, "container")):
        spec = draw_reliability(findings_of(results_path), look).to_dict()
        rows = spec["datasets"]["reliability"]
        assert sum(row["utterances"] for row in rows) == 48
        assert all(0 <= row["right"] <= 1 and 0.25 <= row["confidence"] <= 1 for row in rows)
        assert spec["width"] == width


def test_nothing_is_drawn_before_the_test_set_was_scored(store: ResultsStore, results_path: Path) -> None:
    run_search(store)
    assert draw_reliability(findings_of(results_path), PAPER).chart is None
