"""Evaluations on other corpora are whole or not there, and are read back as they were written."""

from dataclasses import replace

import pytest

from harness.errors import StoreError
from harness.store.evaluations import read_evaluations, record_evaluation
from harness.store.records import ScoreKind, TestScores
from harness.store.store import ResultsStore
from tests.store.experiments import a_prediction, an_evaluation, an_experiment

FIRST, SECOND = "Ses01F_impro01_F000", "Ses05F_impro01_F000"


def scores(seed: int, kind: ScoreKind = ScoreKind.VALIDATION_CHOSEN, epoch: int | None = 7) -> TestScores:
    return TestScores(seed, kind, 0.5, 0.25, 0.125, (a_prediction(FIRST), a_prediction(SECOND)), epoch)


def test_an_evaluation_is_read_back_with_the_model_first(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    evaluation = an_evaluation(eid)
    given = [scores(2, ScoreKind.BASELINE_MAJORITY, None), scores(2), scores(1)]
    is_seen = {FIRST: True, SECOND: None}
    assert record_evaluation(store, evaluation, given, is_seen) == 1
    (row,) = read_evaluations(store)
    assert all(getattr(row, name) == value for name, value in vars(evaluation).items())
    assert row.scores == (scores(1), scores(2), scores(2, ScoreKind.BASELINE_MAJORITY, None))
    assert row.of_model == (scores(1), scores(2)) and row.is_seen == is_seen


def test_evaluations_are_found_by_the_experiment_of_their_model(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    for owner in (eid, None):
        record_evaluation(store, an_evaluation(owner), [scores(1)], {})
    assert [row.evaluation_id for row in read_evaluations(store)] == [1, 2]
    assert [row.evaluation_id for row in read_evaluations(store, eid)] == [1]


@pytest.mark.parametrize(
    ("changes", "seeds"),
    [({}, (1, 1)), ({"corpus_hash": "c0ffee", "trained_on_hash": "c0ffee"}, (1,)), ({"eid": 77}, (1,))],
    ids=["a seed twice", "the training corpus", "an unknown experiment"],
)
def test_what_contradicts_itself_leaves_nothing(store: ResultsStore, changes: dict, seeds: tuple[int, ...]) -> None:
    with pytest.raises(StoreError):
        record_evaluation(store, replace(an_evaluation(None), **changes), map(scores, seeds), {FIRST: True})
    for table in ("evaluations", "evaluation_scores", "evaluation_predictions", "evaluation_utterances"):
        assert store.query(f"SELECT * FROM {table}") == []


def test_a_list_that_was_changed_by_hand_is_named(store: ResultsStore) -> None:
    record_evaluation(store, an_evaluation(None), [scores(1)], {})
    store.database.execute("UPDATE evaluations SET sessions = '[[1]]'")
    with pytest.raises(StoreError, match="row with evaluation_id 1: sessions is .*; expected tuple"):
        read_evaluations(store)
