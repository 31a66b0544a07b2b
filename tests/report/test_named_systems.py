"""A system that reads dialogues is named with its context wherever it is named; the search that chooses it, without."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.report.comparison import Comparison, Contender, tabulate_experiments
from harness.report.page import render_page
from harness.report.tables import tabulate_settings
from harness.report.terminal import print_report
from harness.report.test_set import describe_scores, name_opening, tabulate_test_scores
from harness.search.display import describe_experiment
from harness.search.snapshot import watch_search
from harness.store.export import ExportedRows, read_rows
from harness.store.records import TrialResult, TrialStatus
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, findings_of, score_test, validation_predictions
from tests.report.test_model_card import a_record, card

BOTH = {"name": "context", "range": ["past", "dialogue"], "type": "choice"}
PAST = {"name": "context", "range": ["past"], "type": "choice"}
LABELLED = {"name": "turns", "range": ["labelled-only"], "type": "choice"}
FOLDER = "models/experiment-1-trial-3-0a1b2c3d"


def search(store: ResultsStore, space: list[dict[str, Any]], **point: str) -> int:
    """A search of one trial, whose model was scored on the test set."""
    eid = begin_search(store, system="chain", search_space=json.dumps(space))
    trial_id = store.start_trial(eid, 3, 0, point, 1)
    store.record_result(trial_id, TrialResult(0.75, 1, 1, validation_predictions(15), 2**30, 95.0))
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.75, exit_code=0)
    score_test(store, eid, model=FOLDER)
    return eid


def rows(path: Path, what: ExportedRows) -> list[dict[str, Any]]:
    with ResultsStore.open_readonly(path) as store:
        found = read_rows(store, what, [1])
        return [dict(zip((column.name for column in found.columns), row, strict=True)) for row in found.rows]


@pytest.mark.parametrize(
    ("space", "point", "searched", "trained"),
    [
        ([BOTH], {"context": "past"}, "chain", "chain (past)"),
        ([BOTH, LABELLED], {"context": "none", "turns": "labelled-only"}, "chain", "chain (no context)"),
        ([PAST], {"context": "past"}, "chain (past)", "chain (past)"),
        ([], {}, "chain (dialogue)", "chain (dialogue)"),
        ([LABELLED], {"turns": "labelled-only"}, "chain (dialogue, labelled-only)", "chain (dialogue, labelled-only)"),
    ],
    ids=["searched", "none", "fixed", "default", "labelled"],
)
def test_the_search_and_its_model_are_named_everywhere(
    store: ResultsStore,
    results_path: Path,
    space: list[dict[str, Any]],
    point: dict[str, str],
    searched: str,
    trained: str,
) -> None:
    eid = search(store, space, **point)
    findings = findings_of(results_path)
    assert ("system", searched) in tabulate_settings(findings).rows
    printed = io.StringIO()
    print_report(Console(file=printed, width=200), findings, 5)
    assert printed.getvalue().startswith(f"Experiment 1: fusion search (system {searched}), synthetic corpus\n")
    assert f"Experiment 1 · system {searched} · protocol paper" in render_page(findings)
    assert describe_experiment(watch_search(results_path.parent, None)).endswith(f": system {searched}, protocol paper")
    compared = dict(row for row in tabulate_experiments(Comparison((Contender("1", findings),))).rows if len(row) == 2)
    assert compared["system"] == searched
    assert findings.scored_opening is not None
    assert name_opening(findings.scored_opening).startswith(f"Test evaluation 1, system {trained}, validation-chosen")
    assert tabulate_test_scores(findings).rows[0][2] == f"validation; {trained}"
    said = describe_scores(findings.scored_opening)
    warned = [found.text for found in said if found.heading == "Turns chosen by labels"]
    assert bool(warned) is ("labelled-only" in trained)
    assert all(text.startswith(f"{trained} uses the test set's labels to choose the turns. ") for text in warned)
    complete = {"context": "dialogue", "turns": "all"} | point
    assert card(store, a_record(eid, system="chain", hyperparameters=complete), FOLDER).startswith(f"# {trained}: an ")
    assert [row["system"] for row in rows(results_path, ExportedRows.TRIALS)] == [trained]
    assert {row["system"] for row in rows(results_path, ExportedRows.TEST_SCORES)} == {trained}
