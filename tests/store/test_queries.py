from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.records import ExperimentKind, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_prediction, a_result, an_environment, an_epoch, an_experiment


def finish(store: ResultsStore, eid: int, trial_index: int, score: float | None) -> int:
    trial_id = store.start_trial(eid, trial_index, trial_index, {"dropout": 0.1})
    if score is not None:
        store.finish_trial(trial_id, TrialStatus.FINISHED, score=score)
    return trial_id


@pytest.mark.parametrize(("target", "best_index"), [("max", 2), ("min", 1)])
def test_best_trial_of_equals_is_the_first_and_is_finished(
    store: ResultsStore, target: str, best_index: int
) -> None:
    eid = store.create_experiment(an_experiment(target=target))
    for trial_index, score in ((3, 0.7), (2, 0.7), (1, 0.2), (0, None)):
        finish(store, eid, trial_index, score)
    crashed = finish(store, eid, 9, None)
    store.finish_trial(crashed, TrialStatus.CRASHED, message="exited with code 1")
    best = store.best_trial(eid)
    assert best is not None and best.trial_index == best_index


def test_experiment_without_a_finished_trial_has_no_best_one(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    finish(store, eid, 0, None)
    assert store.best_trial(eid) is None


def test_trials_of_one_experiment_are_not_mixed_with_another_ones(store: ResultsStore) -> None:
    first, second = (store.create_experiment(an_experiment(name=name)) for name in ("first", "second"))
    trial_id = finish(store, first, 0, 0.9)
    finish(store, second, 0, 0.1)
    assert [trial.trial_id for trial in store.trials(first)] == [trial_id]
    best = store.best_trial(second)
    assert best is not None and best.score == 0.1


def test_running_trials_are_those_nobody_ended(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    finish(store, eid, 0, 0.5)
    left = finish(store, eid, 1, None)
    assert [trial.trial_id for trial in store.running_trials(eid)] == [left]


def test_latest_experiment_of_an_identity_is_found(store: ResultsStore) -> None:
    assert store.latest_experiment() is None and store.find_experiment("a") is None
    for identity in ("a", "b", "a", "c"):
        store.create_experiment(an_experiment(identity=identity))
    found, latest = store.find_experiment("a"), store.latest_experiment()
    assert found is not None and found.eid == 3
    assert latest is not None and latest.eid == 4
    assert [experiment.eid for experiment in store.experiments()] == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", [ExperimentKind.TABLES, ExperimentKind.LEAKS])
def test_latest_experiment_is_a_search(store: ResultsStore, kind: ExperimentKind) -> None:
    store.create_experiment(an_experiment(kind=kind))
    assert store.latest_experiment() is None
    eid = store.create_experiment(an_experiment())
    other = store.create_experiment(an_experiment(kind=kind))
    latest = store.latest_experiment()
    assert latest is not None and latest.eid == eid
    assert store.experiment(other).kind is kind


def test_unknown_experiment_is_named_beside_the_known(store: ResultsStore, results_path: Path) -> None:
    store.create_experiment(an_experiment())
    with pytest.raises(StoreError) as caught:
        store.experiment(7)
    assert str(caught.value) == f"experiment 7: not in '{results_path}'; expected one of [1]"


def test_epochs_come_by_trial_and_in_order(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    other = store.create_experiment(an_experiment())
    trial_ids = [finish(store, eid, index, None) for index in range(3)]
    for epoch in (1, 2):
        for trial_id in trial_ids[:2]:
            store.record_epoch(trial_id, an_epoch(epoch))
    store.record_epoch(finish(store, other, 0, None), an_epoch())
    assert {
        trial_id: [epoch.epoch for epoch in epochs] for trial_id, epochs in store.epochs_of(eid).items()
    } == {
        trial_ids[0]: [1, 2],
        trial_ids[1]: [1, 2],
    }
    assert store.epochs(trial_ids[0]) == [an_epoch(1), an_epoch(2)]


def test_predictions_and_environment_are_read_back_as_written(store: ResultsStore) -> None:
    trial_id = finish(store, store.create_experiment(an_experiment()), 0, None)
    assert store.environment(trial_id) is None and store.validation_predictions(trial_id) == []
    store.record_environment(trial_id, an_environment())
    store.record_result(trial_id, a_result())
    assert store.environment(trial_id) == an_environment()
    assert store.validation_predictions(trial_id) == [a_prediction()]


def test_reads_inside_a_snapshot_see_one_moment(results_path: Path) -> None:
    with ResultsStore.open(results_path) as writer, ResultsStore.open_readonly(results_path) as reader:
        eid = writer.create_experiment(an_experiment())
        with reader.snapshot():
            assert reader.trials(eid) == []
            finish(writer, eid, 0, 0.5)
            assert reader.trials(eid) == []
        assert len(reader.trials(eid)) == 1
