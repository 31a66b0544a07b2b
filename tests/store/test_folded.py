"""An experiment of several folds: one row that its searches name, and one search a fold."""

import pytest

from harness.errors import StoreError
from harness.store.records import FoldedExperiment
from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment

FOLDED = FoldedExperiment("fusion", '{"folds": "sessions"}', ("Session 1", "Session 2"))


def test_it_is_read_back_with_the_searches_that_have_begun(store: ResultsStore) -> None:
    folded_id = store.create_folded(FOLDED)
    whole = store.create_experiment(an_experiment())
    eid = store.create_experiment(an_experiment(folded_id=folded_id, fold="Session 2"))
    (folded,) = store.folded_experiments()
    assert (folded.folded_id, folded.name, folded.folds) == (folded_id, "fusion", ("Session 1", "Session 2"))
    assert {fold: search.eid for fold, search in store.searches_of(folded_id).items()} == {"Session 2": eid}
    assert store.folded(store.experiment(eid)) == folded and store.folded(store.experiment(whole)) is None


def test_no_fold_has_two_searches_and_no_search_half_a_fold(store: ResultsStore) -> None:
    folded_id = store.create_folded(FOLDED)
    store.create_experiment(an_experiment(folded_id=folded_id, fold="Session 2"))
    for changes in ({"folded_id": folded_id, "fold": "Session 2"}, {"folded_id": folded_id}, {"fold": "Session 1"}):
        with pytest.raises(StoreError, match="constraint failed"):
            store.create_experiment(an_experiment(**changes))
