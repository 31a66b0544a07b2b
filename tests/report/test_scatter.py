import json
from pathlib import Path
from typing import Any

import pytest

from harness.report import charts_space as scatter
from harness.report.chart_style import PAPER, count_columns, panel_width
from harness.report.charts_space import draw_scatter, list_drawn, list_log_ticks
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg
from tests.report.searches import (
    SEARCH_SPACE,
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    with_trials,
)


def spec_of(path: Path) -> dict[str, Any]:
    picture = draw_scatter(findings_of(path), PAPER)
    return picture.to_dict()


def test_each_hyperparameter_has_a_panel_on_its_own_scale(searched: Path) -> None:
    panels = spec_of(searched)["concat"]
    axes = [panel["layer"][0]["encoding"]["x"] for panel in panels]
    assert [axis["title"] for axis in axes] == ["adamlr (log scale)", "textlstm", "attention"]
    assert [axis["scale"].get("type") for axis in axes] == ["log", "linear", None]
    assert [axis["scale"]["domain"] for axis in axes] == [[0.0001, 0.001], [150, 300], [-0.5, 1.5]]


def test_every_ended_trial_is_drawn_as_what_it_is(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=4)
    rows = spec_of(results_path)["datasets"]["points"]
    assert [row["kind"] for row in rows] == ["finished", "finished", "finished", "best", "failed"]
    assert [row["shown"] for row in rows] == ["50.0 %", "58.3 %", "66.7 %", "75.0 %", "crashed"]
    assert rows[1]["x0"] == pytest.approx(0.0001 * 10 ** (0.1 + 0.8 / 3), rel=1e-4) and rows[1]["x1"] == 200
    assert round(rows[1]["x2"]) == 1 and abs(rows[1]["x2"] - 1) <= 0.25
    svg = draw_to_svg(draw_scatter(findings_of(results_path), PAPER))
    assert svg.count(f'stroke="{PAPER.warning}"') == 3
    assert svg.count(f'fill="{PAPER.accent}"') == 3
    assert svg.count(f'fill="{PAPER.quiet}"') == 9


def test_medians_are_those_of_the_groups_that_the_importance_compares(searched: Path) -> None:
    points = [{"textlstm": 150 + 10 * number} for number in range(12)]
    findings = with_trials(
        findings_of(searched), SEARCH_SPACE[1:2], points, [0.01 * number for number in range(12)]
    )
    picture = draw_scatter(findings, PAPER)
    lines = [layer for layer in picture.to_dict()["concat"][0]["layer"] if layer["mark"]["type"] == "rule"]
    assert [list(row.values()) for row in lines[0]["data"]["values"]] == [
        [150, 180, 0.015],
        [190, 220, 0.055],
        [230, 260, 0.095],
    ]


def test_few_trials_have_no_medians(searched: Path) -> None:
    marks = [layer["mark"]["type"] for layer in spec_of(searched)["concat"][0]["layer"]]
    assert "rule" not in marks


def test_failures_alone_are_drawn(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0)
    begin_trial(store, eid, 1, 3)
    svg = draw_to_svg(draw_scatter(findings_of(results_path), PAPER))
    assert svg.count(f'stroke="{PAPER.warning}"') == 3 and f'fill="{PAPER.quiet}"' not in svg


def test_nothing_is_drawn_before_a_trial_has_ended(store: ResultsStore, results_path: Path) -> None:
    begin_trial(store, begin_search(store), 0, 3)
    assert draw_scatter(findings_of(results_path), PAPER).chart is None


def test_trial_without_a_hyperparameter_is_not_in_its_panel(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    trial_id = store.start_trial(eid, 0, 0, {"textlstm": 200})
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    (row,) = spec_of(results_path)["datasets"]["points"]
    assert row["x1"] == 200 and "x0" not in row and "x2" not in row
    assert (
        draw_to_svg(draw_scatter(findings_of(results_path), PAPER)).count(f'fill="{PAPER.accent}"') == 1
    )


def test_trials_of_a_long_search_are_drawn_evenly_with_the_best(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scatter, "MAX_TRIALS", 4)
    scores = [0.5, 0.9, *[0.4] * 8]
    findings = with_trials(findings_of(searched), [], [{}] * 10, scores)
    assert [trial.trial_index for trial in list_drawn(findings)] == [0, 1, 3, 6, 9]


@pytest.mark.parametrize(
    "name", ["</script>", 'it\'s "quoted"', "emoji 🎉", "back\\slash", "two\nlines", "a.b[0]", "é" * 200]
)
def test_hostile_names_are_drawn_as_they_are(store: ResultsStore, results_path: Path, name: str) -> None:
    space = [
        {"name": name, "range": [name, "other"], "type": "choice"},
        {"name": name + "2", "range": [1, 2], "type": "int"},
    ]
    eid = begin_search(store, search_space=json.dumps(space))
    trial_id = store.start_trial(eid, 0, 0, {name: name, name + "2": 1})
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    assert (
        draw_to_svg(draw_scatter(findings_of(results_path), PAPER)).count(f'fill="{PAPER.accent}"') == 2
    )


def test_panels_fold_to_one_column_on_a_phone() -> None:
    assert [count_columns(5, width) for width in (310, 620, 940)] == [1, 2, 3]
    assert [count_columns(number, 1100) for number in (1, 2, 3, 4, 7)] == [1, 2, 3, 2, 3]
    assert panel_width(1, 310) < 310 and 3 * panel_width(3, 940) < 940


def test_ticks_of_a_logarithmic_axis_have_room() -> None:
    assert list_log_ticks(1e-5, 1e-1) == [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert list_log_ticks(1e-4, 1e-3) == [1e-4, 2e-4, 5e-4, 1e-3]
    assert list_log_ticks(3.0, 4.0) == [3.0, 4.0]
