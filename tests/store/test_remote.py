"""Records of trials that ran elsewhere: each epoch is stored once, and the end brings what is missing."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.records import TrialRecords, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_prediction, a_result, an_environment, an_epoch, an_experiment


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


@pytest.fixture
def trial_id(store: ResultsStore) -> int:
    return store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})


def epochs_of(store: ResultsStore, trial_id: int) -> list[tuple[int, float]]:
    return [(epoch.epoch, epoch.validation_accuracy) for epoch in store.epochs(trial_id)]


def test_word_of_an_epoch_may_come_twice(store: ResultsStore, trial_id: int) -> None:
    for epoch in (an_epoch(1, 0.25), an_epoch(2, 0.5), an_epoch(2, 0.5)):
        store.record_live_epoch(trial_id, "first", epoch)
    assert epochs_of(store, trial_id) == [(1, 0.25), (2, 0.5)]


def test_an_execution_that_begins_again_takes_the_place_of_the_one_before(
    store: ResultsStore, trial_id: int
) -> None:
    store.record_live_epoch(trial_id, "first", an_epoch(1, 0.25))
    store.record_live_epoch(trial_id, "first", an_epoch(2, 0.5))
    store.record_live_epoch(trial_id, "second", an_epoch(1, 0.75))
    assert epochs_of(store, trial_id) == [(1, 0.75)]


def test_the_end_keeps_the_live_epochs_and_brings_what_is_missing(store: ResultsStore, trial_id: int) -> None:
    store.record_live_epoch(trial_id, "first", an_epoch(1, 0.5))
    (live,) = rows_of(store)
    result = replace(a_result(0.625), predictions=(a_prediction(),), embedding_source="trained")
    records = TrialRecords(an_environment(), (an_epoch(1, 0.5), an_epoch(2, 0.625)), result, "first")
    store.finish_trial(trial_id, TrialStatus.FINISHED, 0.625, records=records)
    assert store.environment(trial_id) == records.environment
    assert epochs_of(store, trial_id) == [(1, 0.5), (2, 0.625)]
    assert rows_of(store)[0] == live
    assert store.validation_predictions(trial_id) == [a_prediction()]
    trial = store.trial(trial_id)
    assert (trial.score, trial.result_score, trial.num_epochs) == (0.625, 0.625, 2)
    with pytest.raises(StoreError, match="has ended"):
        store.record_live_epoch(trial_id, "first", an_epoch(3))


def rows_of(store: ResultsStore) -> list[tuple[int, str]]:
    with sqlite3.connect(store.path) as database:
        return database.execute("SELECT epoch, recorded_at FROM epochs ORDER BY epoch").fetchall()


def test_live_epochs_of_another_execution_are_replaced_at_the_end(store: ResultsStore, trial_id: int) -> None:
    for epoch in (1, 2, 7):
        store.record_live_epoch(trial_id, "first", an_epoch(epoch, 0.25))
    records = TrialRecords(None, (an_epoch(1, 0.5),), None, "second")
    store.finish_trial(trial_id, TrialStatus.KILLED, message="lost", records=records)
    assert epochs_of(store, trial_id) == [(1, 0.5)]


def test_an_end_without_a_report_leaves_the_live_epochs(store: ResultsStore, trial_id: int) -> None:
    for epoch in (1, 2):
        store.record_live_epoch(trial_id, "first", an_epoch(epoch, 0.25))
    store.finish_trial(trial_id, TrialStatus.KILLED, message="lost", records=TrialRecords(None, (), None))
    assert epochs_of(store, trial_id) == [(1, 0.25), (2, 0.25)]


def test_records_that_cannot_be_stored_leave_the_trial_as_it_was(store: ResultsStore, trial_id: int) -> None:
    store.record_live_epoch(trial_id, "first", an_epoch(1, 0.25))
    records = TrialRecords(an_environment(), (an_epoch(1), an_epoch(1)), a_result(), "second")
    with pytest.raises((StoreError, sqlite3.Error)):
        store.finish_trial(trial_id, TrialStatus.FINISHED, 0.5, records=records)
    assert store.trial(trial_id).status is TrialStatus.RUNNING
    assert store.environment(trial_id) is None
    assert epochs_of(store, trial_id) == [(1, 0.25)]
