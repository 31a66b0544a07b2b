"""What every store of results must do, whatever keeps them: inherited by the tests of each.

A plain model of dicts says what a store must hold; calls in any order, with the store closed and opened
again between them, must leave the two alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from harness.errors import StoreError
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_result, an_environment, an_epoch, an_experiment

#: How a store is opened on a folder of its own.
OpenStore = Callable[[Path], ResultsStore]

ENDS = [status for status in TrialStatus if status is not TrialStatus.RUNNING]
#: Beside such an attempt, no other one of its trial is started.
LIVE = (TrialStatus.RUNNING, TrialStatus.FINISHED, TrialStatus.PRUNED)
TEXTS = st.sampled_from(
    ["", "fusion", "it's; DROP TABLE trials --", 'a "name"\nwith lines', "名前 🙂", "\udcff", "%s {} \\"]
)
SCORES = st.floats(allow_nan=False, allow_infinity=False)
#: Names of hyperparameters that a column can have, in one case each.
NAMES = st.sampled_from(["dropout", "lr", "text lstm", 'it\'s "odd"; --', "名前", "select", "Attention"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), SCORES, st.sampled_from(["bahdanau", "", "\0", "\udcff", "1e5"])
)
POINTS = st.dictionaries(NAMES, VALUES, max_size=4)


@dataclass
class ModelTrial:
    """What a store must know of one attempt."""

    eid: int
    trial_index: int
    attempt: int
    seed: int
    point: dict[str, Any]
    status: TrialStatus = TrialStatus.RUNNING
    score: float | None = None
    message: str | None = None
    pid: int | None = None
    result_score: float | None = None
    has_environment: bool = False
    epochs: dict[int, float] = field(default_factory=dict)


class StoreMachine(RuleBasedStateMachine):
    """Drives a store and its model through the same calls."""

    open_store: OpenStore

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory(prefix="it's a \"store\" ")
        self.path = Path(self.folder.name) / "results.db"
        self.store = type(self).open_store(self.path)
        self.experiments: dict[int, tuple[str, ExperimentStatus]] = {}
        self.trials: dict[int, ModelTrial] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def call(self, is_allowed: bool, do: Callable[[], Any]) -> Any:
        """Do what is allowed, and see that what is not is refused with a sentence."""
        if is_allowed:
            return do()
        with pytest.raises(StoreError) as caught:
            do()
        assert str(caught.value)
        return None

    def pick(self, number: int) -> tuple[int, ModelTrial]:
        """One of the trials there are."""
        trial_id = sorted(self.trials)[number % len(self.trials)]
        return trial_id, self.trials[trial_id]

    @initialize(name=TEXTS)
    def begin(self, name: str) -> None:
        self.create_experiment(name)

    @rule(name=TEXTS)
    def create_experiment(self, name: str) -> None:
        if len(self.experiments) < 3:
            eid = self.call("\udcff" not in name, lambda: self.store.create_experiment(an_experiment(name=name)))
            if eid is not None:
                assert eid not in self.experiments
                self.experiments[eid] = (name, ExperimentStatus.RUNNING)

    @rule(eid=st.integers(1, 4), status=st.sampled_from(ExperimentStatus))
    def update_experiment(self, eid: int, status: ExperimentStatus) -> None:
        self.call(eid in self.experiments, lambda: self.store.update_experiment(eid, status))
        if eid in self.experiments:
            self.experiments[eid] = (self.experiments[eid][0], status)

    @rule(eid=st.integers(1, 3), index=st.integers(0, 2), seed=st.integers(0, 2**31), point=POINTS)
    def start_trial(self, eid: int, index: int, seed: int, point: dict[str, Any]) -> None:
        attempts = [t for t in self.trials.values() if (t.eid, t.trial_index) == (eid, index)]
        is_free = not any(t.status in LIVE for t in attempts)
        trial_id = self.call(
            eid in self.experiments and is_free, lambda: self.store.start_trial(eid, index, seed, point)
        )
        if trial_id is not None:
            assert trial_id not in self.trials
            self.trials[trial_id] = ModelTrial(eid, index, len(attempts) + 1, seed, point)

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20), pid=st.integers(1, 2**22))
    def record_job(self, number: int, pid: int) -> None:
        trial_id, trial = self.pick(number)
        is_running = trial.status is TrialStatus.RUNNING
        self.call(is_running, lambda: self.store.record_job(trial_id, pid, "host", 12.5, "a job.json"))
        if is_running:
            trial.pid = pid

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20))
    def record_environment(self, number: int) -> None:
        trial_id, trial = self.pick(number)
        is_allowed = trial.status is TrialStatus.RUNNING and not trial.has_environment
        self.call(is_allowed, lambda: self.store.record_environment(trial_id, an_environment()))
        trial.has_environment |= is_allowed

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20), epoch=st.integers(0, 3), accuracy=st.floats(0, 1) | st.just(math.nan))
    def record_epoch(self, number: int, epoch: int, accuracy: float) -> None:
        trial_id, trial = self.pick(number)
        is_allowed = trial.status is TrialStatus.RUNNING and epoch not in trial.epochs and epoch >= 1
        self.call(is_allowed, lambda: self.store.record_epoch(trial_id, an_epoch(epoch, accuracy)))
        if is_allowed:
            trial.epochs[epoch] = accuracy

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20), score=SCORES | st.sampled_from([math.nan, math.inf]))
    def record_result(self, number: int, score: float) -> None:
        trial_id, trial = self.pick(number)
        is_allowed = trial.status is TrialStatus.RUNNING and trial.result_score is None and math.isfinite(score)
        self.call(is_allowed, lambda: self.store.record_result(trial_id, a_result(score)))
        if is_allowed:
            trial.result_score = score

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20), score=SCORES)
    def finish(self, number: int, score: float) -> None:
        self.end(number, TrialStatus.FINISHED, score, None)

    @precondition(lambda self: self.trials)
    @rule(number=st.integers(0, 20), status=st.sampled_from(TrialStatus), score=st.none() | SCORES, message=TEXTS)
    def end(self, number: int, status: TrialStatus, score: float | None, message: str | None) -> None:
        trial_id, trial = self.pick(number)
        is_sound = status is not TrialStatus.RUNNING and (status is TrialStatus.FINISHED) == (score is not None)
        is_allowed = is_sound and trial.status is TrialStatus.RUNNING
        said = None if message is None else message.encode("utf-8", "replace").decode()
        self.call(is_allowed, lambda: self.store.finish_trial(trial_id, status, score, said))
        if is_allowed:
            trial.status, trial.score, trial.message = status, score, said

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = type(self).open_store(self.path)

    @rule()
    def open_beside(self) -> None:
        with type(self).open_store(self.path) as other:
            self.compare(other)

    @invariant()
    def is_as_the_model_says(self) -> None:
        self.compare(self.store)

    def compare(self, store: ResultsStore) -> None:
        """See that a store and the model hold the same."""
        found = {row.eid: (row.name, row.status) for row in store.experiments()}
        assert found == self.experiments
        for eid in self.experiments:
            rows = store.trials(eid)
            known = {trial_id: trial for trial_id, trial in self.trials.items() if trial.eid == eid}
            assert {row.trial_id for row in rows} == set(known)
            assert [(row.trial_index, row.attempt) for row in rows] == sorted(
                (trial.trial_index, trial.attempt) for trial in known.values()
            )
            for row in rows:
                trial = known[row.trial_id]
                assert (row.seed, row.hyperparameters, row.status) == (trial.seed, trial.point, trial.status)
                assert (row.score, row.message, row.pid) == (trial.score, trial.message, trial.pid)
                assert (row.result_score, row.num_epochs) == (trial.result_score, len(trial.epochs))
                assert (row.ended_at is None) == (trial.status is TrialStatus.RUNNING)
                assert (store.environment(row.trial_id) is not None) == trial.has_environment
                recorded = {epoch.epoch: epoch.validation_accuracy for epoch in store.epochs(row.trial_id)}
                assert list(recorded) == sorted(trial.epochs)
                for epoch, accuracy in trial.epochs.items():
                    assert recorded[epoch] == accuracy or math.isnan(accuracy) and math.isnan(recorded[epoch])
            running = {row.trial_id for row in store.running_trials(eid)}
            assert running == {row.trial_id for row in rows if row.status is TrialStatus.RUNNING}
            best = store.best_trial(eid)
            scores = [trial.score for trial in known.values() if trial.score is not None]
            assert (None if best is None else best.score) == max(scores, default=None)


class StoreContract:
    """The properties of a store; a subclass says how one is opened."""

    def open(self, path: Path) -> ResultsStore:
        """Open the store that is kept at ``path``, new or not."""
        raise NotImplementedError

    def drive(self, **changes: Any) -> None:
        """Call a store in random orders, and compare it with the model after each call."""
        machine = type("Machine", (StoreMachine,), {"open_store": staticmethod(self.open)})
        health = [HealthCheck.too_slow, HealthCheck.filter_too_much]
        chosen = {"max_examples": 25, "stateful_step_count": 25, "derandomize": True, **changes}
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine, settings=settings(deadline=None, database=None, suppress_health_check=health, **chosen)
        )

    def test_calls_in_any_order_agree_with_a_plain_model(self) -> None:
        self.drive()

    @pytest.mark.long
    @pytest.mark.timeout(300)
    def test_many_more_calls_in_any_order_agree_with_a_plain_model(self) -> None:
        self.drive(max_examples=150, stateful_step_count=50, derandomize=False)

    def test_a_new_store_holds_nothing(self, results_path: Path) -> None:
        with self.open(results_path) as store:
            assert store.experiments() == [] and store.openings() == []
            assert store.latest_experiment() is None

    def test_what_was_recorded_is_there_after_opening_again(self, results_path: Path) -> None:
        with self.open(results_path) as store:
            eid = store.create_experiment(an_experiment())
            trial_id = store.start_trial(eid, 0, 1, {"dropout": 0.25})
            store.record_epoch(trial_id, an_epoch())
            store.record_result(trial_id, a_result(0.5))
            store.finish_trial(trial_id, TrialStatus.FINISHED, 0.5)
            before = (store.experiments(), store.trials(eid), store.epochs(trial_id))
            predictions = store.validation_predictions(trial_id)
        with self.open(results_path) as store:
            assert (store.experiments(), store.trials(eid), store.epochs(trial_id)) == before
            assert store.validation_predictions(trial_id) == predictions != []

    def test_what_one_records_another_sees_at_once(self, results_path: Path) -> None:
        with self.open(results_path) as one, self.open(results_path) as other:
            eid = one.create_experiment(an_experiment())
            trial_id = other.start_trial(eid, 0, 1, {})
            one.record_epoch(trial_id, an_epoch())
            assert other.trial(trial_id).num_epochs == 1
            other.finish_trial(trial_id, TrialStatus.KILLED)
            with pytest.raises(StoreError):
                one.record_result(trial_id, a_result())

    @pytest.mark.parametrize("end", ENDS)
    def test_an_end_is_final(self, results_path: Path, end: TrialStatus) -> None:
        with self.open(results_path) as store:
            trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
            store.finish_trial(trial_id, end, 0.5 if end is TrialStatus.FINISHED else None)
            ended = store.trial(trial_id)
            for change in (
                lambda: store.finish_trial(trial_id, TrialStatus.FINISHED, 0.9),
                lambda: store.finish_trial(trial_id, TrialStatus.CRASHED),
                lambda: store.record_epoch(trial_id, an_epoch()),
                lambda: store.record_result(trial_id, a_result()),
                lambda: store.record_environment(trial_id, an_environment()),
                lambda: store.record_job(trial_id, 1, "host"),
            ):
                with pytest.raises(StoreError):
                    change()
            assert store.trial(trial_id) == ended

    @pytest.mark.parametrize("end", ENDS)
    def test_only_a_trial_without_a_valid_end_is_started_again(self, results_path: Path, end: TrialStatus) -> None:
        with self.open(results_path) as store:
            eid = store.create_experiment(an_experiment())
            trial_id = store.start_trial(eid, 0, 1, {})
            store.finish_trial(trial_id, end, 0.5 if end is TrialStatus.FINISHED else None)
            if end in LIVE:
                with pytest.raises(StoreError):
                    store.start_trial(eid, 0, 1, {})
            else:
                assert store.trial(store.start_trial(eid, 0, 1, {})).attempt == 2

    def test_a_call_that_fails_changes_nothing(self, results_path: Path) -> None:
        with self.open(results_path) as store:
            eid = store.create_experiment(an_experiment())
            trial_id = store.start_trial(eid, 0, 1, {})
            result = a_result()
            with pytest.raises(StoreError):
                store.record_result(trial_id, replace(result, predictions=result.predictions * 2))
            assert store.trial(trial_id).result_score is None
            assert store.validation_predictions(trial_id) == []
            store.record_result(trial_id, result)
