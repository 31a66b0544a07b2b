"""The rows are what was recorded, typed, and nobody's secret."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.store.export import ColumnType, ExportedRows, read_rows
from harness.store.records import ExperimentKind, ScoreKind, TestScores, TrialStatus
from harness.store.store import ResultsStore
from tests.report.scored import score_evaluation
from tests.report.searches import begin_search, fail_trial, run_search, run_trial, score_test
from tests.store.experiments import an_experiment, an_opening


def read(path: Path, what: ExportedRows, eids: Sequence[int]) -> list[dict[str, Any]]:
    with ResultsStore.open_readonly(path) as reader:
        found = read_rows(reader, what, eids)
        return [dict(zip([column.name for column in found.columns], row, strict=True)) for row in found.rows]


def types(path: Path, eids: Sequence[int] = (1,)) -> dict[str, ColumnType]:
    with ResultsStore.open_readonly(path) as reader:
        return {column.name: column.type for column in read_rows(reader, ExportedRows.TRIALS, eids).columns}


def begin_with(store: ResultsStore, *points: dict[str, Any]) -> None:
    eid = store.create_experiment(an_experiment())
    for index, point in enumerate(points):
        store.start_trial(eid, index, index, point)


def test_a_trial_is_one_row_with_its_point(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=3)
    rows = read(results_path, ExportedRows.TRIALS, [1])
    assert [row["trial_index"] for row in rows] == [0, 1, 2, 3]
    last, failed = rows[2], rows[3]
    assert (last["experiment"], last["protocol"], last["is_synthetic"]) == ("fusion search", "paper", True)
    assert (last["status"], last["score"], last["best_epoch"], last["num_epochs"]) == ("finished", 0.75, 4, 4)
    assert (last["duration_seconds"], last["peak_memory_bytes"], last["threads"]) == (95.0, 2**30, 1)
    with ResultsStore.open_readonly(results_path) as reader:
        recorded = reader.trials(1)[2].hyperparameters
    assert {name: last[f"hyperparameter_{name}"] for name in recorded} == recorded
    assert (failed["status"], failed["score"], failed["duration_seconds"]) == ("crashed", None, None)


def test_every_attempt_is_a_row(store: ResultsStore, results_path: Path) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0)
    run_trial(store, eid, 0, 1, 0.6)
    rows = read(results_path, ExportedRows.TRIALS, [eid])
    assert [(row["attempt"], row["status"]) for row in rows] == [(1, "crashed"), (2, "finished")]


def test_only_the_experiments_that_were_asked_for_are_there(store: ResultsStore, results_path: Path) -> None:
    for name in ("first", "second", "third"):
        run_search(store, num_trials=1, name=name)
    rows = read(results_path, ExportedRows.TRIALS, [1, 3])
    assert [row["experiment"] for row in rows] == ["first", "first", "third", "third"]


def test_experiments_share_the_columns_of_all_their_hyperparameters(store: ResultsStore, results_path: Path) -> None:
    begin_with(store, {"dropout": 0.1})
    begin_with(store, {"textlstm": 200})
    rows = read(results_path, ExportedRows.TRIALS, [1, 2])
    points = [(row["hyperparameter_dropout"], row["hyperparameter_textlstm"]) for row in rows]
    assert points == [(0.1, None), (None, 200)]


@pytest.mark.parametrize(
    ("values", "column_type", "exported"),
    [
        ([1, 2], ColumnType.WHOLE_NUMBER, [1, 2]),
        ([1, 0.5], ColumnType.NUMBER, [1.0, 0.5]),
        ([True, False], ColumnType.TRUTH, [True, False]),
        (["a", "b"], ColumnType.TEXT, ["a", "b"]),
        ([1, "a", None, True, 0.5], ColumnType.TEXT, ["1", "a", None, "true", "0.5"]),
        ([True, 1], ColumnType.TEXT, ["true", "1"]),
        ([2**70, 1], ColumnType.TEXT, [str(2**70), "1"]),
        ([None], ColumnType.TEXT, [None]),
    ],
    ids=["whole", "whole and not", "truths", "texts", "mixed", "truth and number", "beyond 64 bits", "nothing"],
)
def test_a_column_has_the_type_that_holds_all_its_values(
    store: ResultsStore, results_path: Path, values: list[Any], column_type: ColumnType, exported: list[Any]
) -> None:
    begin_with(store, *({"x": value} for value in values))
    assert types(results_path)["hyperparameter_x"] is column_type
    found = [row["hyperparameter_x"] for row in read(results_path, ExportedRows.TRIALS, [1])]
    assert [(type(value), value) for value in found] == [(type(value), value) for value in exported]


def test_a_hyperparameter_may_be_called_as_a_column_is(store: ResultsStore, results_path: Path) -> None:
    begin_with(store, {"score": 3, "status": "x"})
    (row,) = read(results_path, ExportedRows.TRIALS, [1])
    assert (row["score"], row["hyperparameter_score"], row["status"]) == (None, 3, "running")


def test_an_epoch_is_one_row_and_nan_is_missing(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=2)
    rows = read(results_path, ExportedRows.EPOCHS, [1])
    assert [(row["trial_index"], row["epoch"]) for row in rows] == [(0, n) for n in (1, 2, 3, 4)] + [
        (1, n) for n in (1, 2, 3, 4)
    ]
    assert (rows[0]["validation_loss_nats"], rows[1]["validation_loss_nats"], rows[1]["seconds"]) == (None, 1.0, 1.5)


def test_a_prediction_is_one_row(store: ResultsStore, results_path: Path) -> None:
    run_search(store, num_trials=1)
    rows = read(results_path, ExportedRows.PREDICTIONS, [1])
    assert len(rows) == 20 and len({row["utterance_id"] for row in rows}) == 20
    assert sum(row["emotion"] == row["predicted"] for row in rows) == 15
    assert rows[0]["is_synthetic"] is True
    assert {row["utterance_id"]: row["scene"] for row in rows} == {
        row["utterance_id"]: parse_utterance_id(row["utterance_id"]).scene for row in rows
    }
    assert sum(rows[0][f"probability_{emotion}"] for emotion in ("ang", "exc", "neu", "sad")) == pytest.approx(1)


def test_every_test_score_says_who_chose_its_epoch(store: ResultsStore, results_path: Path) -> None:
    eid = run_search(store, num_trials=1)
    score_test(store, eid, kinds=(ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM))
    tables = store.create_experiment(an_experiment(kind=ExperimentKind.TABLES, system="speech4"))
    trial_id = store.start_trial(tables, 0, 3, {})
    opening_id = store.record_opening(an_opening(None, seeds=(3,)))
    store.record_trial_test_scores(trial_id, opening_id, TestScores(3, ScoreKind.TEST_MAXIMUM, 0.6, 0.5, 0.4))
    rows = read(results_path, ExportedRows.TEST_SCORES, [eid, tables])
    found = [(row["opening_id"], row["trial_id"], row["seed"], row["score_kind"]) for row in rows]
    chosen, maximum = "validation-chosen epoch", "maximum over test epochs (optimistic)"
    assert found == [
        *[(1, None, 1, chosen), (1, None, 1, maximum), (1, None, 2, chosen), (1, None, 2, maximum)],
        (2, trial_id, 3, maximum),
    ]
    assert (rows[-1]["system"], rows[-1]["weighted_accuracy"], rows[-1]["macro_f1"]) == ("speech4", 0.6, 0.4)
    assert [row["opening_id"] for row in read(results_path, ExportedRows.TEST_SCORES, [tables])] == [2]


def test_every_score_on_another_corpus_names_both_corpora(store: ResultsStore, results_path: Path) -> None:
    first, second = run_search(store, num_trials=1), run_search(store, num_trials=1)
    for eid in (first, second, None):
        score_evaluation(store, eid)
    rows = read(results_path, ExportedRows.EVALUATIONS, [first])
    chosen, majority = "validation-chosen epoch", "baseline: majority class"
    kinds = [(1, chosen), (2, chosen), (1, majority)]
    assert [(row["eid"], row["seed"], row["score_kind"]) for row in rows] == [
        *[(first, *kind) for kind in kinds],
        *[(None, *kind) for kind in kinds],
    ]
    assert (rows[0]["trained_on_hash"], rows[0]["is_trained_on_synthetic"]) == ("c0ffee", True)
    assert (rows[0]["corpus_hash"], rows[0]["is_synthetic"]) == ("0ther0ther", False)
    assert (rows[0]["sessions"], rows[0]["num_utterances"], rows[0]["weighted_accuracy"]) == ("[1, 5]", 48, 0.75)


@pytest.mark.parametrize("what", ExportedRows, ids=str)
def test_what_a_job_printed_and_who_ran_it_where_stays_here(
    store: ResultsStore, results_path: Path, what: ExportedRows
) -> None:
    secrets = {"settings": json.dumps({"resource_args": {"password": "s3cret"}}), "corpus_path": "/home/s3cret"}
    eid = run_search(store, num_trials=1, **secrets)
    score_test(store, eid)
    trial_id = store.start_trial(eid, 7, 7, {})
    store.record_job(trial_id, 1, "s3cret-host", job_path="s3cret.json")
    store.finish_trial(trial_id, TrialStatus.CRASHED, message="no", last_output="token=s3cret")
    opening = an_opening(eid, command="harness s3cret", host="s3cret", user="s3cret")
    store.record_test_scores(store.record_opening(opening), TestScores(1, ScoreKind.VALIDATION_CHOSEN, 1, 1, 1))
    private = {"command": "harness s3cret", "host": "s3cret", "user": "s3cret", "corpus_path": "/home/s3cret"}
    score_evaluation(store, eid, **private)
    rows = read(results_path, what, [eid])
    assert rows and "s3cret" not in str(rows)


def test_no_trial_gives_columns_and_no_row(store: ResultsStore, results_path: Path) -> None:
    begin_search(store)
    assert read(results_path, ExportedRows.TRIALS, [1]) == []
    assert types(results_path)["is_synthetic"] is ColumnType.TRUTH
