"""A pruned trial is counted and drawn apart: it has neither finished nor failed, and no statistic reads it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.report.chart_style import PAPER
from harness.report.charts import draw_costs, draw_history
from harness.report.charts_space import draw_scatter, list_drawn
from harness.report.findings import Findings
from harness.report.statements import describe_progress, describe_search
from harness.report.tables import tabulate_all_trials, tabulate_causes, tabulate_settings
from harness.search.display import describe_end
from harness.search.display import describe_progress as describe_standing
from harness.search.snapshot import watch_search
from harness.store.integrity import FindingKind, find_contradictions
from harness.store.pruning import Pruning, PruningRule, Rival, record_pruning
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.searches import begin_search, begin_trial, fail_trial, findings_of, run_trial

PRUNING = Pruning(PruningRule.ASHA, 2, accuracy=0.375, threshold=0.5, rivals=(Rival(0, 0.5), Rival(1, 0.75)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two trials finished, one was pruned, one crashed; the last has not begun."""
    path = tmp_path / "results" / "results.db"
    with ResultsStore.open(path) as store:
        eid = begin_search(store, num_samples=5, settings=json.dumps({"early_stopping": "asha"}))
        run_trial(store, eid, 0, 5, 0.5)
        run_trial(store, eid, 1, 5, 0.75)
        trial_id = begin_trial(store, eid, 2, 5, 0.375, num_epochs=2)
        record_pruning(store, trial_id, PRUNING)
        store.finish_trial(trial_id, TrialStatus.PRUNED, message=PRUNING.sentence, exit_code=4)
        fail_trial(store, eid, 3)
        store.update_experiment(eid, ExperimentStatus.INTERRUPTED, "2026-01-02T03:04:05.000+00:00")
    return path


@pytest.fixture
def findings(results: Path) -> Findings:
    return findings_of(results)


def test_the_report_counts_it_apart(findings: Findings) -> None:
    assert describe_progress(findings) == "2 of 5 trials finished, 1 pruned, 1 failed; the search was interrupted."
    assert tabulate_causes(findings).rows == (("crashed", "1"),)
    assert [row[:3] for row in tabulate_all_trials(findings).rows][2] == ("2", "pruned", "")
    assert ("early stopping", "asha") in tabulate_settings(findings).rows
    (said,) = [each.text for each in describe_search(findings) if each.heading == "Early stopping"]
    assert said.startswith("1 trial ended early because others were better at that epoch, and have no score:")
    assert "first seeds" not in said


def test_the_report_says_that_first_seeds_were_compared(results: Path) -> None:
    with closing(sqlite3.connect(results)) as database, database:
        settings = json.dumps({"early_stopping": "asha", "seeds_per_trial": 3})
        database.execute("UPDATE experiments SET settings = ?", [settings])
    (said,) = [each.text for each in describe_search(findings_of(results)) if each.heading == "Early stopping"]
    assert said.endswith(
        "Their first seeds were compared, with no others; a trial that went on trained with every seed."
    )


def test_no_statistic_reads_it(findings: Findings) -> None:
    assert [trial.trial_index for trial in findings.finished] == [1, 0]
    assert [trial.trial_index for trial in list_drawn(findings)] == [0, 1, 3]
    assert draw_scatter(findings, PAPER).caption.endswith("Pruned trials are left out.")


def test_the_history_has_a_ring_at_the_best_accuracy_that_it_came_to(findings: Findings) -> None:
    figure = draw_history(findings, PAPER)
    rows = [row for row in rows_of(figure) if "best" in row]
    assert [row.get("pruned") for row in rows] == [None, None, 0.375, None]
    svg = draw_to_svg(figure)
    assert svg.count(PAPER.warning) == 1
    assert svg.count(f'fill="{PAPER.quiet}"') == 2
    ring = figure.to_dict()["layer"][-1]
    assert (ring["mark"]["filled"], ring["encoding"]["y"]["field"]) == (False, "pruned")
    assert draw_to_svg(draw_costs(findings, PAPER)).count(PAPER.warning) == 1


def test_watch_and_the_views_of_the_database_agree(results: Path) -> None:
    shown = type_command(results.parent, "watch", ".", "--once", "--json").stdout
    assert json.loads(shown)["trials"] == {
        **{"total": 5, "finished": 2, "pruned": 1, "running": 0, "failed": 1, "left": 1}
    }
    snapshot = watch_search(results.parent, None)
    assert describe_end(snapshot)[0] == "4 of 5 trials: 1 crashed, 2 finished, 1 pruned."
    assert describe_standing(snapshot).startswith("5 trials: 2 finished, 1 pruned, 0 running, 1 failed, 1 left.")
    with closing(sqlite3.connect(results)) as database:
        assert database.execute("SELECT trial_index, status FROM failures").fetchall() == [(3, "crashed")]
        counts = "SELECT num_finished, num_pruned, num_failed FROM experiments_overview"
        assert database.execute(counts).fetchall() == [(2, 1, 1)]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("DELETE FROM prunings", "was pruned for no reason on record, and recorded 2 epochs"),
        ("DELETE FROM epochs WHERE trial_id = 3 AND epoch = 2", "was pruned at epoch 2, and recorded 1 epoch"),
    ],
)
def test_a_pruned_trial_without_its_record_is_a_contradiction(results: Path, damage: str, found: str) -> None:
    with ResultsStore.open(results) as store:
        assert find_contradictions(store, [1]) == []
        store.database.execute(damage)
        (finding,) = find_contradictions(store, [1])
    assert (finding.kind, finding.found) == (FindingKind.MISSING_EPOCHS, found)
