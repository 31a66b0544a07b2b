from typing import Any

import pytest

from harness.store.records import ExperimentKind, ScoreKind, TestScores, TrialStatus
from harness.store.schema import VIEWS
from harness.store.store import ResultsStore
from tests.store.experiments import a_result, an_epoch, an_experiment, an_opening


@pytest.fixture
def filled(store: ResultsStore) -> ResultsStore:
    eid = store.create_experiment(an_experiment())
    for index, (end, score) in enumerate(
        [(TrialStatus.FINISHED, 0.5), (TrialStatus.FINISHED, 0.7), (TrialStatus.CRASHED, None), (None, None)]
    ):
        trial_id = store.start_trial(eid, index, index, {"dropout": index / 10, "textlstm": 200 + index})
        store.record_epoch(trial_id, an_epoch())
        if score is not None:
            store.record_result(trial_id, a_result(score))
        if end is not None:
            store.finish_trial(trial_id, end, score=score, message=None if score else "MemoryError")
    opening_id = store.record_opening(an_opening(eid, seeds=(1,)))
    store.record_test_scores(opening_id, TestScores(1, ScoreKind.VALIDATION_CHOSEN, 0.6, 0.61, 0.59))
    return store


def rows(store: ResultsStore, view: str) -> list[dict[str, Any]]:
    return list(store.database.query(f"SELECT * FROM {view}"))


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_every_view_can_be_browsed_in_an_empty_database(store: ResultsStore, view: str) -> None:
    assert rows(store, view) == []


def test_overview_counts_the_trials_of_each_experiment(filled: ResultsStore) -> None:
    (row,) = rows(filled, "experiments_overview")
    assert (row["num_attempts"], row["num_finished"], row["num_running"], row["num_failed"]) == (4, 2, 1, 1)
    assert row["best_score"] == 0.7


def test_trials_are_shown_with_a_column_for_each_hyperparameter(filled: ResultsStore) -> None:
    found = [(row["trial_index"], row["dropout"], row["textlstm"]) for row in rows(filled, "trials_overview")]
    assert found == [(0, 0.0, 200), (1, 0.1, 201), (2, 0.2, 202), (3, 0.3, 203)]


def test_best_trials_are_ranked(filled: ResultsStore) -> None:
    found = [(row["place"], row["trial_index"], row["score"]) for row in rows(filled, "best_trials")]
    assert found == [(1, 1, 0.7), (2, 0, 0.5)]
    assert [(row["dropout"], row["textlstm"]) for row in rows(filled, "best_trials")] == [(0.1, 201), (0.0, 200)]


def test_best_trials_are_ranked_within_their_experiment_alone(filled: ResultsStore) -> None:
    eid = filled.create_experiment(an_experiment(name="lowest", target="min", is_synthetic=False))
    for index, score in enumerate((0.9, 0.1)):
        filled.finish_trial(filled.start_trial(eid, index, index, {}), TrialStatus.FINISHED, score=score)
    found = [
        (row["experiment"], row["corpus"], row["place"], row["score"]) for row in rows(filled, "best_trials")
    ]
    assert found == [
        *[("lowest", "c0ffee", 1, 0.1), ("lowest", "c0ffee", 2, 0.9)],
        *[("fusion search", "synthetic", 1, 0.7), ("fusion search", "synthetic", 2, 0.5)],
    ]


def test_learning_curves_say_whose_they_are(filled: ResultsStore) -> None:
    found = [
        (row["experiment"], row["trial_index"], row["epoch"], row["validation_accuracy"])
        for row in rows(filled, "learning_curves")
    ]
    assert found == [("fusion search", index, 1, 0.5) for index in (3, 2, 1, 0)]


def test_a_script_of_its_own_has_no_known_corpus(filled: ResultsStore) -> None:
    filled.create_experiment(an_experiment(is_synthetic=False, corpus_hash=""))
    assert [row["corpus"] for row in rows(filled, "experiments_overview")] == ["unknown", "synthetic"]


def test_failures_name_their_cause(filled: ResultsStore) -> None:
    found = [(row["trial_index"], row["status"], row["message"]) for row in rows(filled, "failures")]
    assert found == [(2, "crashed", "MemoryError")]


def test_confusion_counts_utterances(filled: ResultsStore) -> None:
    found = [
        (row["emotion"], row["predicted"], row["num_utterances"])
        for row in rows(filled, "validation_confusion")
    ]
    assert found == [("ang", "exc", 1), ("ang", "exc", 1)]


def test_test_results_say_whether_the_corpus_is_synthetic(filled: ResultsStore) -> None:
    (row,) = rows(filled, "test_results")
    assert (row["weighted_accuracy"], row["is_synthetic"], row["kind"]) == (0.6, 1, "validation-chosen epoch")


def test_scores_of_the_tables_are_shown_with_their_system(filled: ResultsStore) -> None:
    eid = filled.create_experiment(an_experiment(kind=ExperimentKind.TABLES, system="speech4"))
    trial_id = filled.start_trial(eid, 0, 3, {})
    filled.record_trial_test_scores(
        trial_id, 1, TestScores(3, ScoreKind.TEST_MAXIMUM, 0.6, 0.61, 0.59, epoch=2)
    )
    (row,) = rows(filled, "trial_test_results")
    assert (row["command"], row["system"], row["seed"], row["weighted_accuracy"]) == ("tables", "speech4", 3, 0.6)
    assert row["kind"] == "maximum over test epochs (optimistic)"


@pytest.mark.parametrize(
    "view",
    ["experiments_overview", "trials_overview", "best_trials", "learning_curves", "validation_confusion"],
)
def test_every_score_stands_beside_what_it_is_comparable_with(filled: ResultsStore, view: str) -> None:
    found = rows(filled, view)
    assert found
    assert {(row["corpus"], row["purpose"], row["protocol_name"]) for row in found} == {
        ("synthetic", "search", "paper")
    }
