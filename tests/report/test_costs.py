from dataclasses import replace
from pathlib import Path

import pytest

from harness.report.chart_style import PAPER
from harness.report.charts import draw_costs, draw_failures
from harness.report.findings import Findings
from harness.report.tables import tabulate_costs
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import begin_search, begin_trial, fail_trial, findings_of, run_search, run_trial


def taking(findings: Findings, seconds: float, num_bytes: int | None = 2**30) -> Findings:
    trials = tuple(
        replace(trial, duration_seconds=seconds * (1 + trial.trial_index), peak_memory_bytes=num_bytes)
        for trial in findings.trials
    )
    return replace(findings, trials=trials, failures=())


def test_time_and_memory_are_summed_up(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=2)
    table = tabulate_costs(taking(findings_of(results_path), 60))
    assert table.rows == (
        ("time of a trial", "1 min 0 s", "2 min 0 s", "3 min 0 s", "6 min 0 s"),
        ("time of an epoch", "1.5 s", "1.5 s", "1.5 s", "12 s"),
        ("peak memory of a trial", "1.1 GB", "1.1 GB", "1.1 GB", ""),
    )
    assert table.note == (
        "3 attempts took 6 min 0 s together; with 1 thread each, at most 6 min 0 s of processor time."
    )


def test_every_attempt_counts_also_those_that_were_made_again(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0)
    run_trial(store, eid, 0, 3, 0.5)
    begin_trial(store, eid, 1, 3)
    findings = findings_of(results_path)
    assert [(trial.trial_index, trial.attempt) for trial in findings.attempts] == [
        (0, 1),
        (0, 2),
        (1, 1),
    ]
    assert tabulate_costs(findings).note.startswith(
        "2 attempts took 1 min 35 s together, 0 s of it failed ones;"
    )
    picture = draw_costs(findings, PAPER)
    assert [row["status"] for row in rows_of(picture)] == ["crashed", "finished"]


@pytest.mark.parametrize(
    ("seconds", "num_bytes", "titles"),
    [
        (10.0, 2**29, ["time of a trial, seconds", "peak memory, MB"]),
        (100.0, 2**30, ["time of a trial, minutes", "peak memory, GB"]),
        (7200.0, None, ["time of a trial, hours"]),
    ],
)
def test_axes_name_their_unit(
    store: ResultsStore, results_path: Path, seconds: float, num_bytes: int | None, titles: list[str]
) -> None:
    run_search(store, num_trials=2)
    picture = draw_costs(taking(findings_of(results_path), seconds, num_bytes), PAPER)
    panels = picture.to_dict()["concat"]
    assert [panel["layer"][0]["encoding"]["y"]["title"] for panel in panels] == titles
    assert rows_of(picture)[0]["took"] in ("10 s", "1 min 40 s", "2 h 0 min")


def test_values_are_in_the_axis_unit(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=1)
    picture = draw_costs(taking(findings_of(results_path), 90, 10**9), PAPER)
    assert [(row["seconds"], row["bytes"]) for row in rows_of(picture)] == [(1.5, 1), (3, 1)]
    svg = draw_to_svg(picture)
    assert svg.count(f'stroke="{PAPER.warning}"') == 2 and svg.count(f'fill="{PAPER.quiet}"') == 2


def test_search_without_an_ended_trial_costs_nothing_yet(store: ResultsStore, results_path: Path) -> None:
    begin_trial(store, begin_search(store), 0, 3)
    findings = findings_of(results_path)
    assert draw_costs(findings, PAPER).chart is None
    assert tabulate_costs(findings).rows == () and tabulate_costs(findings).note == ""


def test_failures_are_counted_by_cause(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    for trial_index, status in enumerate([TrialStatus.DIVERGED, TrialStatus.CRASHED, TrialStatus.CRASHED]):
        fail_trial(store, eid, trial_index, status)
    picture = draw_failures(findings_of(results_path), PAPER)
    assert [(row["cause"], row["attempts"]) for row in rows_of(picture)] == [("crashed", 2), ("diverged", 1)]
    assert draw_to_svg(picture).count(f'fill="{PAPER.warning}"') == 2


def test_no_failures_are_not_drawn(store: ResultsStore, results_path: Path) -> None:
    run_trial(store, begin_search(store), 0, 1, 0.5)
    assert draw_failures(findings_of(results_path), PAPER).chart is None
