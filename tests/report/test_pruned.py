"""A pruned trial is counted and drawn apart: it has neither finished nor failed, and no statistic reads it."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.report.chart_style import PAPER
from harness.report.charts import draw_costs, draw_history
from harness.report.charts_space import draw_importance, draw_parallel_coordinates, draw_scatter, list_drawn
from harness.report.findings import Findings
from harness.report.importance import describe_importance, list_importances
from harness.report.statements import describe_progress, describe_search
from harness.report.tables import (
    tabulate_all_trials,
    tabulate_best_trials,
    tabulate_causes,
    tabulate_search_space,
    tabulate_settings,
)
from harness.search.display import describe_end
from harness.search.display import describe_progress as describe_standing
from harness.search.snapshot import watch_search
from harness.store.integrity import FindingKind, find_contradictions
from harness.store.pruning import Pruning, PruningRule, Rival, record_pruning
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.report.pictures import draw_to_svg, rows_of
from tests.report.reading import Reader
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
    assert said.startswith("1 trial ended early, without a score, because others were better at that epoch:")
    assert "first seeds" not in said


def test_the_report_says_that_first_seeds_were_compared(results: Path) -> None:
    with closing(sqlite3.connect(results)) as database, database:
        settings = json.dumps({"early_stopping": "asha", "seeds_per_trial": 3})
        database.execute("UPDATE experiments SET settings = ?", [settings])
    compared = "Their first seeds were compared, with no others; a trial that went on trained with every seed."
    for counts_pruned, end in (
        (False, compared),
        (True, f"{compared} The accuracy that stands for a score is of the first seed."),
    ):
        statements = describe_search(findings_of(results, counts_pruned=counts_pruned))
        (said,) = [each.text for each in statements if each.heading == "Early stopping"]
        assert said.endswith(end)


def test_no_statistic_reads_it(findings: Findings) -> None:
    assert [trial.trial_index for trial in findings.finished] == [1, 0]
    assert [trial.trial_index for trial in list_drawn(findings)] == [0, 1, 3]
    assert draw_scatter(findings, PAPER).caption.endswith("Pruned trials are left out.")


@pytest.fixture
def counted(results: Path) -> Findings:
    return findings_of(results, counts_pruned=True)


def test_a_report_that_is_asked_to_ranks_it_by_the_best_accuracy_that_it_came_to(counted: Findings) -> None:
    assert [(trial.trial_index, trial.score) for trial in counted.ranked] == [(1, 0.75), (0, 0.5), (2, 0.375)]
    assert counted.best is not None and counted.best.trial_index == 1
    table = tabulate_best_trials(counted, 10)
    assert [row[1:4] for row in table.rows] == [
        ("1", "75.0 %", "4 of 4"),
        ("0", "50.0 %", "4 of 4"),
        ("2", "37.5 %", "pruned at 2"),
    ]
    assert [row[:3] for row in tabulate_all_trials(counted).rows][2] == ("2", "pruned", "37.5 %")
    (said,) = [each.text for each in describe_search(counted) if each.heading == "Early stopping"]
    assert said == (
        "1 trial ended early, without a score, because others were better at that epoch. As `--pruned` asks for, the "
        "best validation accuracy that each came to stands for it in the list of the best trials, the importance and "
        "the pictures of hyperparameters; the best trial and the expected best are of the finished trials alone."
    )


def test_a_pruned_trial_that_came_higher_than_the_best_is_not_the_best(results: Path) -> None:
    with closing(sqlite3.connect(results)) as database, database:
        database.execute("UPDATE epochs SET validation_accuracy = 0.9 WHERE trial_id = 3 AND epoch = 1")
    counted = findings_of(results, counts_pruned=True)
    table = tabulate_best_trials(counted, 10)
    assert ([row[1] for row in table.rows], table.highlighted_row) == (["2", "1", "0"], 1)
    assert tabulate_best_trials(counted, 1).highlighted_row is None
    assert tabulate_search_space(counted).rows[1][2] == "188"
    assert [row["kind"] for row in rows_of(draw_scatter(counted, PAPER)) if "kind" in row] == [
        *("finished", "best", "pruned", "failed")
    ]


def test_a_report_that_is_asked_to_draws_it_apart(counted: Findings) -> None:
    scatter, lines = draw_scatter(counted, PAPER), draw_parallel_coordinates(counted, PAPER)
    rows = [row for row in rows_of(scatter) if "kind" in row]
    assert [(row["kind"], row["shown"]) for row in rows][2] == ("pruned", "37.5 %, pruned")
    assert scatter.caption.endswith("Rings are pruned trials, at the best accuracy that they came to.")
    # A ring in each of the three panels.
    assert draw_to_svg(scatter).count(f'stroke="{PAPER.quiet}" stroke-width="2"') == 3
    assert "a dashed line a pruned one" in lines.caption
    assert [row.get("status") for row in rows_of(lines) if "score_height" in row] == ["pruned", None, None]
    assert 'stroke-dasharray="4,3"' in draw_to_svg(lines)
    history, uncounted = (draw_history(each, PAPER) for each in (counted, replace(counted, counts_pruned=False)))
    assert history.to_dict() == uncounted.to_dict()


def test_importance_reads_it_where_it_is_asked_to_and_the_expected_best_never(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with ResultsStore.open(path) as store:
        eid = begin_search(store, num_samples=14, settings=json.dumps({"early_stopping": "asha"}))
        for index in range(14):
            if index < 11:
                run_trial(store, eid, index, 14, 0.5 + index / 40)
                continue
            trial_id = begin_trial(store, eid, index, 14, 0.3, num_epochs=2)
            record_pruning(store, trial_id, PRUNING)
            store.finish_trial(trial_id, TrialStatus.PRUNED, message=PRUNING.sentence, exit_code=4)
    findings, counted = findings_of(path), findings_of(path, counts_pruned=True)
    assert list_importances(findings) == []
    assert describe_importance(findings, [], None) == ["This needs 12 finished trials; 11 finished so far."]
    importances = list_importances(counted)
    assert {one.num_trials for one in importances} == {14}
    assert "n = 14 finished or pruned trials" in draw_importance(counted, importances, None, PAPER).caption
    for each in (findings, counted):
        assert each.expected_best is not None and each.expected_best.num_trials[-1] == 11


def test_the_command_says_in_the_terminal_and_on_the_page_that_it_was_asked_to(results: Path) -> None:
    words = "As --pruned asks for, the best validation accuracy that each came to stands for it"
    shown = type_command(results.parent, "report", ".", "--pruned")
    assert shown.returncode == 0
    assert words in " ".join(shown.stdout.replace("`", "").split()) and "pruned at 2" in shown.stdout
    assert words in Reader((results.parent / "report.html").read_text()).text
    assert "--pruned" not in type_command(results.parent, "report", ".").stdout


@pytest.mark.parametrize(("score", "is_refused"), [(0.75, False), (0.7500001, False), (17.0, True)])
def test_an_accuracy_never_stands_beside_scores_that_are_none(results: Path, score: float, is_refused: bool) -> None:
    with closing(sqlite3.connect(results)) as database, database:
        database.execute("UPDATE experiments SET system = ''")
        database.execute("UPDATE trials SET score = ? WHERE trial_index = 1", [score])
    assert len(findings_of(results).ranked) == 2
    if not is_refused:
        assert len(findings_of(results, counts_pruned=True).ranked) == 3
        return
    with pytest.raises(StoreError) as caught:
        findings_of(results, counts_pruned=True)
    assert str(caught.value) == (
        "experiment 1, 'fusion search': trial 1 has the score 17, and the best validation accuracy of its epochs is "
        "0.75; expected the same, or a pruned trial's accuracy cannot stand for its score; leave out --pruned"
    )


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
