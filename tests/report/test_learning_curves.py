from pathlib import Path

from harness.report.chart_style import PAPER
from harness.report.charts import draw_learning_curves
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import begin_search, begin_trial, findings_of, run_search


def test_learning_curves_have_the_best_in_front(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=4)
    chart = draw_learning_curves(findings_of(results_path), PAPER)
    rows = rows_of(chart)
    assert [row["trial"] for row in rows if "trial" in row] == [0, 1, 2]
    best = {row["epoch"]: row["accuracy"] for row in rows if row.get("of") == "best: validation"}
    assert best == {1: 0.1875, 2: 0.375, 3: 0.5625, 4: 0.75}
    svg = draw_to_svg(chart)
    assert svg.index(f'stroke="{PAPER.quiet}"') < svg.index(f'stroke="{PAPER.accent}"')


def test_learning_curves_are_drawn_before_any_trial_has_finished(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    begin_trial(store, eid, 0, 3, num_epochs=3)
    begin_trial(store, eid, 1, 3, num_epochs=0)
    chart = draw_learning_curves(findings_of(results_path), PAPER)
    assert [row["accuracy"] for row in rows_of(chart)] == [[0.1667, 0.3333, 0.5]]
    assert f'stroke="{PAPER.quiet}"' in draw_to_svg(chart)
