from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from harness.report.figures import PAGE, PAPER, draw_confusion, draw_history, draw_learning_curves, style
from harness.store.results import ResultsStore
from tests.report.searches import begin_search, begin_trial, fail_trial, findings_of, run_search


def draw_to_svg(chart: Any) -> str:
    spec = chart.to_dict()
    spec["config"] = style(PAPER)
    return str(vl_convert.vegalite_to_svg(spec))


def rows_of(chart: Any) -> list[dict[str, Any]]:
    """Every row of the chart's data, wherever it stands."""

    def walk(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield from node.get("data", {}).get("values", [])
            for rows in node.get("datasets", {}).values():
                yield from rows
            for key, child in node.items():
                if key != "data":
                    yield from walk(child)
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return list(walk(chart.to_dict()))


@pytest.mark.parametrize("target", ["max", "min"])
def test_history_holds_the_best_so_far(store: ResultsStore, results_path: Path, target: str) -> None:
    run_search(store, num_trials=3, target=target)
    rows = [row for row in rows_of(draw_history(findings_of(results_path), PAPER, 400)) if "best" in row]
    assert [row["score"] for row in rows] == [0.5, 0.625, 0.75, None]
    assert [row["best"] for row in rows] == ([0.5, 0.625, 0.75, 0.75] if target == "max" else [0.5] * 4)
    assert rows[3]["shown"] == "crashed"


def test_history_draws_each_trial_the_failure_and_the_baseline(
    store: ResultsStore, results_path: Path
) -> None:
    run_search(store, num_trials=5)
    svg = draw_to_svg(draw_history(findings_of(results_path), PAPER, 400))
    assert svg.count(PAPER.warning) == 1
    assert svg.count(f'fill="{PAPER.quiet}"') == 5
    assert "always &#39;neutral&#39;: 50.0 %" in svg or "always 'neutral': 50.0 %" in svg


def test_learning_curves_have_the_best_in_front(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=4)
    chart = draw_learning_curves(findings_of(results_path), PAPER, 400)
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
    chart = draw_learning_curves(findings_of(results_path), PAPER, 400)
    assert [row["accuracy"] for row in rows_of(chart)] == [[0.1667, 0.3333, 0.5]]
    assert f'stroke="{PAPER.quiet}"' in draw_to_svg(chart)


def test_history_of_failures_alone_is_drawn(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0)
    assert PAPER.warning in draw_to_svg(draw_history(findings_of(results_path), PAPER, 400))


def test_confusion_shows_counts_and_shares_of_a_row(searched: Path) -> None:
    chart = draw_confusion(findings_of(searched), PAPER, 400)
    (cell,) = [row for row in rows_of(chart) if (row["said"], row["predicted"]) == ("neutral", "neutral")]
    assert (cell["count"], cell["share"]) == (8, 0.8)
    svg = draw_to_svg(chart)
    assert ">80%<" in svg and ">excitement<" in svg


def test_colours_of_the_page_are_left_to_its_style_sheet(searched: Path) -> None:
    text = str(draw_history(findings_of(searched), PAGE, "container").to_dict()) + str(style(PAGE))
    assert "var(--accent)" in text and "#" not in text.replace("#vega", "")
