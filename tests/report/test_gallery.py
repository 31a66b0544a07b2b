from pathlib import Path

import pytest

from harness.report import charts_space
from harness.report.chart_style import PAPER, Figure
from harness.report.findings import Findings
from harness.report.page import draw_figures
from harness.store.store import ResultsStore
from tests.report.scored import score_whole_opening
from tests.report.searches import begin_search, fail_trial, findings_of, run_search, with_trials


def by_name(findings: Findings) -> dict[str, Figure]:
    return {figure.name: figure for figure in draw_figures(findings, PAPER)}


def test_every_picture_of_a_whole_search_is_drawn_and_described(
    store: ResultsStore, results_path: Path
) -> None:
    score_whole_opening(store, run_search(store, num_trials=14))
    figures = by_name(findings_of(results_path))
    assert all(figure.chart is not None for figure in figures.values())
    assert all(figure.title and figure.caption.endswith(".") for figure in figures.values())
    assert "n = 14 finished trials" in figures["importance"].caption
    assert figures["learning-curves"].reading == ("Validation chose epoch 4 of 4 for the best trial.",)
    assert figures["expected-best"].reading[0].startswith("Going from 7 to 14 trials")
    assert {name for name, figure in figures.items() if figure.table is not None} == {
        "expected-best",
        "importance",
        "costs",
        "failures",
    }


def test_what_is_left_out_of_a_picture_is_said(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_LINES", "MAX_TRIALS"):
        monkeypatch.setattr(charts_space, name, 3)
    findings = with_trials(findings_of(searched), [], [{}] * 9, [0.01 * number for number in range(9)])
    figures = by_name(findings)
    assert figures["parallel-coordinates"].caption.endswith("Only the best 3 are drawn.")
    assert figures["hyperparameters"].caption.endswith(
        "Only 3 of 9 trials, evenly over the search, are drawn."
    )


def test_pictures_that_cannot_be_drawn_say_why(store: ResultsStore, results_path: Path) -> None:
    fail_trial(store, begin_search(store), 0)
    figures = by_name(findings_of(results_path))
    assert {name for name, figure in figures.items() if figure.chart is None} == {
        "learning-curves",
        "expected-best",
        "importance",
        "parallel-coordinates",
        "confusion",
        "reliability",
    }
    assert figures["expected-best"].reading == ("From 3 finished trials on; 0 trials so far.",)
    assert figures["importance"].reading == ("From 12 finished trials on; 0 trials so far.",)
