import json
import math
import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import StoreError, UnknownNameError
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_result, an_environment, an_epoch, an_experiment

SPAWN = multiprocessing.get_context("spawn")


def run_as_trial(path: Path, trial_id: int, num_epochs: int) -> int:
    """What a trial's process writes, from its own connection."""
    with ResultsStore.open(path) as store:
        store.record_environment(trial_id, an_environment(os.getpid()))
        for epoch in range(1, num_epochs + 1):
            store.record_epoch(trial_id, an_epoch(epoch, validation_accuracy=epoch / 100))
        store.record_result(trial_id, replace(a_result(num_epochs / 100), num_epochs=num_epochs))
    return trial_id


def record_epochs_until_killed(path: Path, trial_id: int) -> None:
    with ResultsStore.open(path) as store:
        for epoch in range(1, 1_000_000):
            store.record_epoch(trial_id, an_epoch(epoch))


def start(store: ResultsStore, trial_index: int = 0) -> int:
    experiment = store.latest_experiment()
    eid = store.create_experiment(an_experiment()) if experiment is None else experiment.eid
    return store.start_trial(
        eid, trial_index, 1000 + trial_index, {"dropout": 0.25, "textlstm": 200}, trial_index
    )


def test_trials_and_controller_write_at_once_and_none_overwrites_the_other(
    store: ResultsStore, results_path: Path
) -> None:
    trial_ids = [start(store, trial_index) for trial_index in range(8)]
    with ProcessPoolExecutor(4, mp_context=SPAWN) as pool:
        jobs = [pool.submit(run_as_trial, results_path, trial_id, 20) for trial_id in trial_ids]
        for trial_id in trial_ids:
            store.record_job(trial_id, 1000 + trial_id, "controller's host", job_path=f"{trial_id}.json")
        for job in jobs:
            trial_id = job.result()
            store.finish_trial(trial_id, TrialStatus.FINISHED, score=store.trial(trial_id).result_score)
    for trial in store.trials(1):
        assert (trial.status, trial.score, trial.num_epochs) == (TrialStatus.FINISHED, 0.2, 20)
        assert (trial.pid, trial.host) == (1000 + trial.trial_id, "controller's host")
        assert trial.best_validation_accuracy == 0.2
        environment = store.environment(trial.trial_id)
        assert environment is not None and environment.host == "host"
        assert [epoch.epoch for epoch in store.epochs(trial.trial_id)] == list(range(1, 21))


def test_killed_trial_leaves_whole_epochs_and_no_lock(store: ResultsStore, results_path: Path) -> None:
    trial_id = start(store)
    process = SPAWN.Process(target=record_epochs_until_killed, args=(results_path, trial_id))
    process.start()
    deadline = time.monotonic() + 30
    while store.trial(trial_id).num_epochs < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    store.finish_trial(trial_id, TrialStatus.KILLED, message="killed by signal 9", signal=signal.SIGKILL)
    epochs = [epoch.epoch for epoch in store.epochs(trial_id)]
    assert epochs == list(range(1, len(epochs) + 1)) and len(epochs) >= 20
    assert store.trial(trial_id).signal == 9


def test_trial_that_was_given_up_writes_nothing_more(store: ResultsStore, results_path: Path) -> None:
    trial_id = start(store)
    store.finish_trial(trial_id, TrialStatus.TIMED_OUT, message="ran longer than 60 s")
    for record in (
        lambda: store.record_epoch(trial_id, an_epoch()),
        lambda: store.record_result(trial_id, a_result()),
        lambda: store.record_environment(trial_id, an_environment()),
        lambda: store.finish_trial(trial_id, TrialStatus.FINISHED, score=0.9),
    ):
        with pytest.raises(StoreError) as caught:
            record()
        assert str(caught.value) == (
            f"trial 1: has ended (timed out) in '{results_path}'; expected a trial that is running"
        )
    assert store.trial(trial_id).status is TrialStatus.TIMED_OUT
    assert store.epochs(trial_id) == []


def test_recording_for_a_trial_that_was_never_started_is_refused(
    store: ResultsStore, results_path: Path
) -> None:
    with pytest.raises(StoreError) as caught:
        store.record_epoch(99, an_epoch())
    assert str(caught.value) == f"trial 99: not in '{results_path}'; expected one that start_trial returned"


@pytest.mark.parametrize(
    "status", [TrialStatus.RUNNING, TrialStatus.FINISHED], ids=["while it runs", "after it finished"]
)
def test_trial_index_is_never_run_twice(store: ResultsStore, status: TrialStatus) -> None:
    trial_id = start(store)
    if status is TrialStatus.FINISHED:
        store.finish_trial(trial_id, status, score=0.5)
    with pytest.raises(StoreError) as caught:
        start(store)
    assert str(caught.value) == (
        f"trial index 0 of experiment 1: is {status} already; expected one that failed or was interrupted"
    )


def test_interrupted_trial_starts_again_as_its_next_attempt(store: ResultsStore) -> None:
    first = start(store)
    store.record_epoch(first, an_epoch())
    store.finish_trial(first, TrialStatus.KILLED, message="its controller died")
    second = start(store)
    rows = [(trial.trial_id, trial.attempt, trial.status, trial.num_epochs) for trial in store.trials(1)]
    assert rows == [(first, 1, TrialStatus.KILLED, 1), (second, 2, TrialStatus.RUNNING, 0)]


def test_starting_a_trial_of_an_unknown_experiment_is_refused(
    store: ResultsStore, results_path: Path
) -> None:
    with pytest.raises(StoreError) as caught:
        store.start_trial(5, 0, 1, {})
    assert str(caught.value) == f"experiment 5: not in '{results_path}'; expected one of []"


def test_hyperparameters_have_typed_columns_that_grow(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    store.start_trial(eid, 0, 1, {"textlstm": 200, "dropout": 0.25})
    store.start_trial(
        eid, 1, 1, {"dropout": 0.5, "attention": "bahdanau", 'it\'s "odd"; DROP TABLE trials': True}
    )
    columns = {column.name: column.type for column in store.database.table("hyperparameters").columns}
    assert columns == {
        "trial_id": "INTEGER",
        "textlstm": "INTEGER",
        "dropout": "REAL",
        "attention": "TEXT",
        'it\'s "odd"; DROP TABLE trials': "INTEGER",
    }
    assert list(store.database.table("hyperparameters").rows) == [
        {
            "trial_id": 1,
            "textlstm": 200,
            "dropout": 0.25,
            "attention": None,
            'it\'s "odd"; DROP TABLE trials': None,
        },
        {
            "trial_id": 2,
            "textlstm": None,
            "dropout": 0.5,
            "attention": "bahdanau",
            'it\'s "odd"; DROP TABLE trials': 1,
        },
    ]
    assert store.trial(2).hyperparameters['it\'s "odd"; DROP TABLE trials'] is True


@pytest.mark.parametrize(
    ("point", "name", "beside"),
    [
        ({"lr": 1, "LR": 2}, "LR", ["lr", "trial_id"]),
        ({"Trial_ID": 1}, "Trial_ID", ["trial_id"]),
        ({"": 1}, "", ["trial_id"]),
    ],
    ids=["two cases of one name", "the key", "empty"],
)
def test_hyperparameter_that_cannot_be_a_column_is_refused_and_no_trial_started(
    store: ResultsStore, point: dict[str, int], name: str, beside: list[str]
) -> None:
    eid = store.create_experiment(an_experiment())
    with pytest.raises(StoreError) as caught:
        store.start_trial(eid, 0, 1, point)
    assert str(caught.value) == (
        f"hyperparameter {name!r}: cannot be a column beside {beside}; expected another name (upper and "
        "lower case are not told apart)"
    )
    assert store.trials(eid) == []


def test_same_hyperparameter_in_another_case_shares_a_column(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    store.start_trial(eid, 0, 1, {"lr": 0.5})
    store.start_trial(eid, 1, 1, {"LR": 0.25})
    assert [row["lr"] for row in store.database.table("hyperparameters").rows] == [0.5, 0.25]
    assert store.trial(2).hyperparameters == {"LR": 0.25}


def test_numpy_scalars_are_stored_as_numbers(store: ResultsStore) -> None:
    trial_id = start(store)
    store.record_epoch(trial_id, replace(an_epoch(), epoch=np.int64(1), train_loss=np.float32(0.5)))
    store.record_result(trial_id, replace(a_result(), score=np.float32(0.75), best_epoch=np.int64(1)))
    trial = store.trial(trial_id)
    assert (store.epochs(trial_id)[0].train_loss, trial.result_score, trial.best_epoch) == (0.5, 0.75, 1)


def test_loss_that_is_not_a_number_is_read_back_as_nan(store: ResultsStore) -> None:
    trial_id = start(store)
    store.record_epoch(trial_id, replace(an_epoch(), train_loss=math.nan, validation_loss=math.inf))
    epoch = store.epochs(trial_id)[0]
    assert math.isnan(epoch.train_loss) and epoch.validation_loss == math.inf


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_score_that_is_not_finite_is_refused(store: ResultsStore, score: float) -> None:
    trial_id = start(store)
    for record in (
        lambda: store.record_result(trial_id, a_result(score)),
        lambda: store.finish_trial(trial_id, TrialStatus.FINISHED, score=score),
    ):
        with pytest.raises(StoreError) as caught:
            record()
        assert str(caught.value) == f"trial 1: score {score}; expected a finite number"
    assert store.trial(trial_id).status is TrialStatus.RUNNING


@pytest.mark.parametrize(
    ("status", "score"),
    [(TrialStatus.FINISHED, None), (TrialStatus.CRASHED, 0.5), (TrialStatus.RUNNING, None)],
    ids=["finished without", "crashed with", "running"],
)
def test_end_that_contradicts_its_score_is_refused(
    store: ResultsStore, status: TrialStatus, score: float | None
) -> None:
    trial_id = start(store)
    with pytest.raises(StoreError) as caught:
        store.finish_trial(trial_id, status, score=score)
    assert str(caught.value) == (
        f"trial 1: cannot end as '{status}' with score {score}; expected a score with 'finished' and none "
        "with any other end"
    )


def test_epoch_recorded_twice_is_refused(store: ResultsStore) -> None:
    trial_id = start(store)
    store.record_epoch(trial_id, an_epoch(validation_accuracy=0.5))
    with pytest.raises(StoreError, match="UNIQUE constraint failed: epochs.trial_id, epochs.epoch"):
        store.record_epoch(trial_id, an_epoch(validation_accuracy=0.9))
    assert [epoch.validation_accuracy for epoch in store.epochs(trial_id)] == [0.5]


def test_only_the_end_of_a_long_output_is_kept(store: ResultsStore) -> None:
    trial_id = start(store)
    store.finish_trial(
        trial_id, TrialStatus.CRASHED, message="MemoryError", exit_code=1, last_output="x" * 9000 + "the end"
    )
    last_output = store.trial(trial_id).last_output
    assert last_output is not None and len(last_output) == 4000 and last_output.endswith("xthe end")


def test_experiment_is_read_back_as_it_was_written(store: ResultsStore) -> None:
    record = an_experiment(shortened="max_epochs 4 in place of 30", patience=2, is_synthetic=False)
    eid = store.create_experiment(record)
    row = store.experiment(eid)
    assert (row.eid, row.ended_at) == (1, None)
    assert all(getattr(row, name) == value for name, value in vars(record).items())


def test_experiment_ends_and_goes_on(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    store.update_experiment(eid, ExperimentStatus.INTERRUPTED, "2026-01-02T03:04:05.000+00:00")
    ended = store.experiment(eid)
    store.update_experiment(eid, "running")
    again = store.experiment(eid)
    assert (ended.status, ended.ended_at) == ("interrupted", "2026-01-02T03:04:05.000+00:00")
    assert (again.status, again.ended_at) == ("running", None)


def test_experiment_that_goes_on_may_have_more_trials(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment(num_samples=1))
    store.update_experiment(eid, ExperimentStatus.FINISHED, "2026-01-02T03:04:05.000+00:00")
    store.resume_experiment(eid, 2, '{"n_samples": 2}')
    again = store.experiment(eid)
    assert (again.num_samples, again.settings) == (2, '{"n_samples": 2}')
    assert (again.status, again.ended_at) == ("running", None)
    with pytest.raises(StoreError) as caught:
        store.resume_experiment(eid, 3, "n_samples")
    assert (
        str(caught.value) == "experiment 'fusion search': settings is 'n_samples'; expected a JSON text"
    )
    assert store.experiment(eid) == again


def test_unknown_experiment_status_is_refused(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    with pytest.raises(UnknownNameError) as caught:
        store.update_experiment(eid, "done")
    assert str(caught.value) == (
        "unknown experiment status 'done'; expected one of ['failed', 'finished', 'interrupted', 'running']"
    )


def test_updating_an_unknown_experiment_is_refused(store: ResultsStore, results_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.update_experiment(3, "finished")
    assert (
        str(caught.value)
        == f"experiment 3: not in '{results_path}'; expected one that create_experiment returned"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "MAX"}, "experiment 'fusion search': target 'MAX'; expected one of ['max', 'min']"),
        ({"settings": "{"}, "experiment 'fusion search': settings is '{'; expected a JSON text"),
    ],
    ids=["target", "json"],
)
def test_experiment_with_a_wrong_value_is_refused(
    store: ResultsStore, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(StoreError) as caught:
        store.create_experiment(an_experiment(**changes))
    assert str(caught.value) == message


def test_a_trial_that_waited_for_a_machine_begins_with_its_job(store: ResultsStore) -> None:
    trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 0, {})
    asked_at = store.trial(trial_id).started_at
    time.sleep(0.01)
    store.record_job(trial_id, 1, "host")
    assert store.trial(trial_id).started_at > asked_at


def test_only_what_cannot_be_done_again_waits_for_the_disk(store: ResultsStore) -> None:
    def waits_for_the_disk() -> bool:
        ((level,),) = store.database.execute("PRAGMA synchronous").fetchall()
        return int(level) == 2

    eid = store.create_experiment(an_experiment())
    assert waits_for_the_disk()
    trial_id = store.start_trial(eid, 0, 0, {})
    assert not waits_for_the_disk()
    store.record_job(trial_id, 1, "host")
    assert not waits_for_the_disk()
    store.finish_trial(trial_id, TrialStatus.FINISHED, 0.5)
    assert waits_for_the_disk()


def test_more_hyperparameters_than_columns_are_refused_before_the_first_record(store: ResultsStore) -> None:
    """3000 of them failed in SQLite's words, and left an experiment that could never run."""
    space = [{"name": f"x{number}", "range": [0, 1], "type": "int"} for number in range(1950)]
    with pytest.raises(StoreError) as raised:
        store.create_experiment(an_experiment(search_space=json.dumps(space)))
    assert str(raised.value) == (
        "experiment 'fusion search': its 1950 hyperparameters and those of earlier searches would be 1951 columns of "
        "results.db; expected at most 1900; move the results folder away and start anew"
    )
    assert store.experiments() == []
