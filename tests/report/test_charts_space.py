"""The charts of the search space, and what is said of importance."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert

from harness.report import charts_space
from harness.report.chart_style import PAPER, count_columns, panel_width
from harness.report.charts_space import (
    Axis,
    build_axes,
    draw_importance,
    draw_parallel_coordinates,
    draw_scatter,
    list_drawn,
    list_lines,
    list_log_ticks,
)
from harness.report.importance import (
    Importance,
    JointImportance,
    describe_importance,
    list_importances,
    tabulate_importance,
)
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import (
    SEARCH_SPACE,
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    with_trials,
)


def scatter_of(path: Path) -> dict[str, Any]:
    picture = draw_scatter(findings_of(path), PAPER)
    return picture.to_dict()


def test_each_hyperparameter_has_a_panel_on_its_own_scale(searched: Path) -> None:
    panels = scatter_of(searched)["concat"]
    axes = [panel["layer"][0]["encoding"]["x"] for panel in panels]
    assert [axis["title"] for axis in axes] == ["adamlr (log scale)", "textlstm", "attention"]
    assert [axis["scale"].get("type") for axis in axes] == ["log", "linear", None]
    assert [axis["scale"]["domain"] for axis in axes] == [[0.0001, 0.001], [150, 300], [-0.5, 1.5]]


def test_a_single_choice_or_value_has_no_panel(searched: Path) -> None:
    """The spread of its dots looked like values."""
    space = [
        {"name": "batch_size", "range": [8], "type": "choice"},
        {"name": "textlstm", "range": [150, 300], "type": "int"},
        {"name": "dense", "range": [16, 16], "type": "int"},
    ]
    points = [{"batch_size": 8, "textlstm": 150 + number, "dense": 16} for number in range(3)]
    findings = with_trials(findings_of(searched), space, points, [0.5, 0.6, 0.7])
    panels = draw_scatter(findings, PAPER).to_dict()["concat"]
    assert [panel["layer"][0]["encoding"]["x"]["title"] for panel in panels] == ["textlstm"]
    alone = with_trials(findings_of(searched), space[:1], [{"batch_size": 8}] * 3, [0.5, 0.6, 0.7])
    assert draw_scatter(alone, PAPER).chart is None


def test_every_ended_trial_is_drawn_as_what_it_is(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=4)
    rows = scatter_of(results_path)["datasets"]["points"]
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
    marks = [layer["mark"]["type"] for layer in scatter_of(searched)["concat"][0]["layer"]]
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
    (row,) = scatter_of(results_path)["datasets"]["points"]
    assert row["x1"] == 200 and "x0" not in row and "x2" not in row
    assert (
        draw_to_svg(draw_scatter(findings_of(results_path), PAPER)).count(f'fill="{PAPER.accent}"') == 1
    )


def test_trials_of_a_long_search_are_drawn_evenly_with_the_best(
    searched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts_space, "MAX_TRIALS", 4)
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


def parallel_of(path: Path) -> dict[str, Any]:
    chart = draw_parallel_coordinates(findings_of(path), PAPER)
    spec: dict[str, Any] = chart.to_dict()
    return spec


def test_each_hyperparameter_has_an_axis_and_the_score_the_last(searched: Path) -> None:
    findings = findings_of(searched)
    axes = build_axes(findings, list_lines(findings))
    assert [axis.title for axis in axes] == ["adamlr", "textlstm", "attention", "score"]
    assert [axis.domain for axis in axes] == [(0.0001, 0.001), (150.0, 300.0), (-0.5, 1.5), (0.5, 0.75)]
    assert [axis.is_log for axis in axes] == [True, False, False, False]
    assert axes[2].values[:2] == (1.0, 0.0) and axes[2].choices == ("decoder", "pooling")


@pytest.mark.parametrize(
    ("axis", "value", "height"),
    [
        (Axis("dropout", (), (0.0, 0.4)), 0.1, 0.25),
        (Axis("adamlr", (), (0.0001, 0.01), is_log=True), 0.001, 0.5),
    ],
    ids=["linear", "log"],
)
def test_height_on_an_axis_follows_its_scale(axis: Axis, value: float, height: float) -> None:
    assert axis.height_of(value) == height


def test_every_axis_takes_its_own_brush_and_every_view_obeys_all(searched: Path) -> None:
    spec = parallel_of(searched)
    views = {param["name"]: param["views"] for param in spec["params"]}
    assert list(views) == ["brush0", "brush1", "brush2", "brush3"]
    assert all(len(named) == 1 and named[0].startswith(f"axis{brush[-1]}_") for brush, named in views.items())
    segments = [view for view in spec["hconcat"] if view.get("name", "").startswith(charts_space.SEGMENT_PREFIX)]
    assert len(segments) == 3
    for segment in segments:
        condition = json.dumps(segment["encoding"]["opacity"])
        assert all(f'"param": "brush{number}"' in condition for number in range(4))


def test_best_line_is_drawn_last(searched: Path) -> None:
    rows = parallel_of(searched)["datasets"]["lines"]
    assert [row["trial"] for row in rows] == list(range(10))
    assert (
        rows[-1]["score_height"] == 1 and rows[-1]["shown3"] == "75.0 %" and rows[-1]["shown2"] == "pooling"
    )


def test_picture_can_be_drawn(searched: Path) -> None:
    svg = vl_convert.vegalite_to_svg(parallel_of(searched))
    for text in ("adamlr", "textlstm", "attention", "score", "decoder", "0.001"):
        assert f">{text}<" in svg


def test_single_trial_and_single_value_have_room_on_their_axes(
    store: ResultsStore, results_path: Path
) -> None:
    space = [{"name": "textlstm", "range": [200, 200], "type": "int"}]
    eid = begin_search(store, search_space=json.dumps(space))
    trial_id = store.start_trial(eid, 0, 0, {"textlstm": 200})
    from harness.store.records import TrialStatus

    store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.0)
    findings = findings_of(results_path)
    axes = build_axes(findings, list_lines(findings))
    assert [axis.domain for axis in axes] == [(100.0, 300.0), (-0.5, 0.5)]
    assert vl_convert.vegalite_to_svg(parallel_of(results_path))


def test_only_the_best_lines_are_drawn_of_very_many(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts_space, "MAX_LINES", 3)
    assert [trial.trial_index for trial in list_lines(findings_of(searched))] == [9, 8, 7]


@pytest.mark.parametrize("search_space", [SEARCH_SPACE, []], ids=["no finished trial", "nothing searched"])
def test_nothing_is_drawn_of_nothing(
    store: ResultsStore, results_path: Path, search_space: list[dict[str, Any]]
) -> None:
    begin_trial(store, begin_search(store, search_space=json.dumps(search_space)), 0, 3, num_epochs=1)
    assert draw_parallel_coordinates(findings_of(results_path), PAPER).chart is None


CLEAR = Importance("adamlr", 0.61, 0.4, 0.82, 3, 30)
UNCLEAR = Importance("dropout", 0.04, 0.0, 0.31, 3, 30)
NOTHING = Importance("finalfc", 0.0, 0.0, 0.2, 3, 30)
WITHOUT = Importance("optimizer", 0.9, math.nan, math.nan, 29, 30)


def test_clear_and_unclear_hyperparameters_are_told_apart(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [CLEAR, UNCLEAR, NOTHING], None) == [
        "More than chance: adamlr (40 to 82 %).",
        "The intervals of the other 2 contain 0: the trials do not show that they matter.",
        "The rest is due to combinations of several, differences within a group, and chance: 35.0 %.",
    ]


def test_trials_that_show_nothing_are_said_to(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [UNCLEAR, NOTHING], None)[0] == (
        "Every interval contains 0: 30 trials do not show that any of them matters."
    )


def test_a_share_without_an_interval_is_not_said_to_hold_0(searched: Path) -> None:
    nothing_known = "No interval can be given for optimizer: too few trials share a value, or all do."
    findings = findings_of(searched)
    assert describe_importance(findings, [CLEAR, WITHOUT], None)[:2] == [
        "More than chance: adamlr (40 to 82 %).",
        nothing_known,
    ]
    assert describe_importance(findings, [UNCLEAR, WITHOUT], None)[:2] == [
        "Every interval contains 0: 30 trials do not show that any of them matters.",
        nothing_known,
    ]
    assert describe_importance(findings, [WITHOUT], None)[0] == nothing_known
    assert tabulate_importance([WITHOUT]).rows == (("optimizer", "90.0 %", "", "29", "30"),)


@pytest.mark.parametrize(("num_values", "said"), [(28, "%"), (30, "each trial has another value")])
def test_a_share_without_an_interval_comes_last(searched: Path, num_values: int, said: str) -> None:
    generator = np.random.default_rng(0)
    space = [
        {"name": "one by one", "range": [f"v{number}" for number in range(num_values)], "type": "choice"},
        {"name": "adamlr", "range": [0, 1], "type": "float"},
    ]
    values = generator.random(30)
    points = [{"one by one": f"v{number % num_values}", "adamlr": float(value)} for number, value in enumerate(values)]
    findings = with_trials(findings_of(searched), space, points, (values + 0.1 * generator.random(30)).tolist())
    first, last = list_importances(findings)
    assert (first.name, first.has_interval, last.name, last.has_interval) == ("adamlr", True, "one by one", False)
    assert describe_importance(findings, [first, last], None)[1].startswith("No interval can be given for one by")
    assert tabulate_importance([first, last]).rows[1][1].endswith(said)


@pytest.mark.parametrize(
    ("joint", "sentence"),
    [
        (
            JointImportance(("adamlr", "dropout"), 0.2, 0.001),
            "adamlr and dropout explain 20.0 % more together than separately: how much one matters depends on the "
            "other.",
        ),
        (
            JointImportance(("adamlr", "dropout"), 0.2, 0.2),
            "No pair clearly explains more together than the two explain separately.",
        ),
    ],
    ids=["more", "no more"],
)
def test_pairs_are_told(searched: Path, joint: JointImportance, sentence: str) -> None:
    assert describe_importance(findings_of(searched), [CLEAR], joint)[-1] == sentence


@pytest.mark.parametrize(("proposer", "is_warned"), [("random", False), ("hyperopt", True), ("", False)])
def test_proposer_that_learns_is_named(searched: Path, proposer: str, is_warned: bool) -> None:
    findings = findings_of(searched)
    changed = replace(findings.experiment, settings=f'{{"proposer": "{proposer}"}}')
    said = describe_importance(replace(findings, experiment=changed), [CLEAR], None)
    assert ("'hyperopt' may choose hyperparameters by earlier scores" in said[-1]) == is_warned


def test_few_trials_are_said_to_be_few(searched: Path) -> None:
    assert describe_importance(findings_of(searched), [], None) == [
        "This needs 12 finished trials; 10 finished so far."
    ]


def test_equal_scores_are_not_drawn(searched: Path) -> None:
    equal = replace(CLEAR, share=math.nan, low=math.nan, high=math.nan)
    assert draw_importance(findings_of(searched), [equal], None, PAPER).chart is None
    assert describe_importance(findings_of(searched), [equal], None) == [
        "All finished trials have the same score: there is nothing to explain."
    ]
    assert tabulate_importance([equal]).rows == (("adamlr", "all scores are equal", "", "3", "30"),)


def test_table_and_picture_have_every_share_with_its_interval(searched: Path) -> None:
    assert tabulate_importance([CLEAR, UNCLEAR]).rows == (
        ("adamlr", "61.0 %", "40 to 82 %", "3", "30"),
        ("dropout", "4.0 %", "0 to 31 %", "3", "30"),
    )
    picture = draw_importance(findings_of(searched), [CLEAR, UNCLEAR], None, PAPER)
    assert [(row["name"], row["low"], row["share"], row["high"]) for row in rows_of(picture)] == [
        ("adamlr", 0.4, 0.61, 0.82),
        ("dropout", 0.0, 0.04, 0.31),
    ]
    svg = draw_to_svg(picture)
    assert svg.index(">adamlr<") < svg.index(">dropout<") and svg.count(f'fill="{PAPER.accent}"') == 2
