from pathlib import Path

import pytest

from harness.report.chart_style import FIGURE_HEIGHT, PAPER
from harness.report.charts import draw_history
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import begin_search, fail_trial, findings_of, run_search


@pytest.mark.parametrize("target", ["max", "min"])
def test_history_holds_the_best_so_far(store: ResultsStore, results_path: Path, target: str) -> None:
    run_search(store, num_trials=3, target=target)
    rows = [row for row in rows_of(draw_history(findings_of(results_path), PAPER)) if "best" in row]
    assert [row["score"] for row in rows] == [0.5, 0.625, 0.75, None]
    assert [row["best"] for row in rows] == ([0.5, 0.625, 0.75, 0.75] if target == "max" else [0.5] * 4)
    assert rows[3]["shown"] == "crashed"


def test_history_draws_each_trial_the_failure_and_the_baseline(
    store: ResultsStore, results_path: Path
) -> None:
    run_search(store, num_trials=5)
    svg = draw_to_svg(draw_history(findings_of(results_path), PAPER))
    assert svg.count(PAPER.warning) == 1
    assert svg.count(f'fill="{PAPER.quiet}"') == 5
    assert "always &#39;neutral&#39;: 50.0 %" in svg or "always 'neutral': 50.0 %" in svg


def test_history_of_failures_alone_is_drawn(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0)
    assert PAPER.warning in draw_to_svg(draw_history(findings_of(results_path), PAPER))


@pytest.mark.parametrize(("target", "height"), [("max", FIGURE_HEIGHT - 8), ("min", 8)])
def test_failures_stand_at_the_end_that_is_worse(
    store: ResultsStore, results_path: Path, target: str, height: int
) -> None:
    run_search(store, num_trials=3, target=target)
    layers = draw_history(findings_of(results_path), PAPER).to_dict()["layer"]
    assert layers[-1]["encoding"]["y"] == {"value": height}
