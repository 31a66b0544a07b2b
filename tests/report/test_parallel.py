import json
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from harness.report import charts_space as parallel
from harness.report.chart_style import PAPER
from harness.report.charts_space import Axis, build_axes, draw_parallel_coordinates, list_lines
from harness.store.store import ResultsStore
from tests.report.searches import SEARCH_SPACE, begin_search, begin_trial, findings_of


def spec_of(path: Path) -> dict[str, Any]:
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
    spec = spec_of(searched)
    views = {param["name"]: param["views"] for param in spec["params"]}
    assert list(views) == ["brush0", "brush1", "brush2", "brush3"]
    assert all(len(named) == 1 and named[0].startswith(f"axis{brush[-1]}_") for brush, named in views.items())
    segments = [view for view in spec["hconcat"] if view.get("name", "").startswith(parallel.SEGMENT_PREFIX)]
    assert len(segments) == 3
    for segment in segments:
        condition = json.dumps(segment["encoding"]["opacity"])
        assert all(f'"param": "brush{number}"' in condition for number in range(4))


def test_best_line_is_drawn_last(searched: Path) -> None:
    rows = spec_of(searched)["datasets"]["lines"]
    assert [row["trial"] for row in rows] == list(range(10))
    assert (
        rows[-1]["score_height"] == 1 and rows[-1]["shown3"] == "75.0 %" and rows[-1]["shown2"] == "pooling"
    )


def test_picture_can_be_drawn(searched: Path) -> None:
    svg = vl_convert.vegalite_to_svg(spec_of(searched))
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
    assert vl_convert.vegalite_to_svg(spec_of(results_path))


def test_only_the_best_lines_are_drawn_of_very_many(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "MAX_LINES", 3)
    assert [trial.trial_index for trial in list_lines(findings_of(searched))] == [9, 8, 7]


@pytest.mark.parametrize("search_space", [SEARCH_SPACE, []], ids=["no finished trial", "nothing searched"])
def test_nothing_is_drawn_of_nothing(
    store: ResultsStore, results_path: Path, search_space: list[dict[str, Any]]
) -> None:
    begin_trial(store, begin_search(store, search_space=json.dumps(search_space)), 0, 3, num_epochs=1)
    assert draw_parallel_coordinates(findings_of(results_path), PAPER).chart is None
