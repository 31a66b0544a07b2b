"""Which trials are pruned, at which epoch and beside whom depends on trials of lower index alone."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from harness.errors import Pruned, WorkFailedError
from harness.splits.protocol import Protocol
from harness.store.pruning import EarlyStopping, Pruning, PruningRule, Rival, find_pruning, read_rivals
from harness.store.records import TrialStatus, last_attempts
from harness.store.schema import Database, create_schema
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec
from harness.training import early_stopping
from harness.training.early_stopping import MIN_RIVALS, Pruner, find_threshold, is_compared
from tests.store.experiments import a_result, an_epoch, an_experiment

MEDIAN = EarlyStopping(PruningRule.MEDIAN, min_epochs=2)
ASHA = EarlyStopping(PruningRule.ASHA, min_epochs=2, reduction_factor=2)


@pytest.mark.parametrize(
    ("rule", "accuracies", "threshold"),
    [
        (MEDIAN, [0.9] * (MIN_RIVALS - 1), None),
        (MEDIAN, [0.5, 0.1, 0.3, 0.2, 0.4], 0.3),
        (MEDIAN, [0.5, 0.1, 0.3, 0.2, 0.4, 0.6], 0.35),
        (ASHA, [], None),
        (ASHA, [0.4], 0.4),
        (ASHA, [0.4, 0.6], 0.6),
        (ASHA, [0.4, 0.6, 0.5], 0.5),
        (EarlyStopping(PruningRule.ASHA, reduction_factor=4), [0.4, 0.6], None),
        (EarlyStopping(PruningRule.ASHA, reduction_factor=4), [0.4, 0.6, 0.5], 0.6),
        (EarlyStopping(PruningRule.ASHA, reduction_factor=4), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], 0.6),
    ],
)
def test_a_trial_goes_on_from_an_accuracy_on(
    rule: EarlyStopping, accuracies: list[float], threshold: float | None
) -> None:
    assert find_threshold(rule, accuracies) == (None if threshold is None else pytest.approx(threshold))


@pytest.mark.parametrize(
    ("rule", "max_epochs", "epochs"),
    [(MEDIAN, 5, [2, 3, 4]), (ASHA, 17, [2, 4, 8, 16]), (ASHA, 16, [2, 4, 8]), (MEDIAN, 2, [])],
)
def test_a_trial_is_compared_at_every_epoch_or_at_rungs_and_never_at_the_last(
    rule: EarlyStopping, max_epochs: int, epochs: list[int]
) -> None:
    assert [epoch for epoch in range(1, 20) if is_compared(rule, epoch, max_epochs)] == epochs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(tmp_path / "results.db") as store:
        yield store


def begin(store: ResultsStore, eid: int, index: int, accuracies: list[float]) -> int:
    trial_id = store.start_trial(eid, index, index, {})
    for number, accuracy in enumerate(accuracies, start=1):
        store.record_epoch(trial_id, an_epoch(number, accuracy))
    return trial_id


def spec_of(store: ResultsStore, eid: int, index: int, trial_id: int, max_epochs: int) -> TrialSpec:
    folder = store.path.parent
    return TrialSpec(
        trial_id, eid, index, index, "mocap1", Protocol("paper"), folder, store.path, max_epochs, None, threads=1
    )


def test_a_trial_that_came_so_far_is_a_rival_however_it_ends(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    ends = [status for status in TrialStatus if status not in (TrialStatus.RUNNING, TrialStatus.FINISHED)]
    for index, status in enumerate(ends):
        store.finish_trial(begin(store, eid, index, [0.5, 0.25, 0.75]), status)
    begin(store, eid, len(ends), [0.5, 0.25, 0.75])
    expected = [Rival(index, 0.5) for index in range(len(ends) + 1)]
    assert read_rivals(store, eid, len(ends) + 1, epoch=2) == (expected, [])


def test_a_trial_that_ended_before_is_a_rival_only_if_it_finished(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    finished = begin(store, eid, 0, [0.5, 0.25])
    store.finish_trial(finished, TrialStatus.FINISHED, score=0.5)
    for index, status in enumerate([TrialStatus.PRUNED, TrialStatus.CRASHED, TrialStatus.DIVERGED], start=1):
        store.finish_trial(begin(store, eid, index, [0.9, 0.9]), status)
    assert read_rivals(store, eid, 4, epoch=3) == ([Rival(0, 0.5)], [])


def test_trials_of_another_experiment_and_of_higher_index_are_no_rivals(store: ResultsStore) -> None:
    eids = [store.create_experiment(an_experiment()) for _ in range(2)]
    begin(store, eids[0], 0, [0.9, 0.9])
    begin(store, eids[1], 1, [0.5])
    begin(store, eids[1], 2, [])
    assert read_rivals(store, eids[1], 1, epoch=1) == ([], [])


@pytest.mark.parametrize("status", [TrialStatus.KILLED, TrialStatus.STOPPED, TrialStatus.OUT_OF_MEMORY])
def test_a_trial_that_may_start_again_is_awaited_for_a_moment(
    store: ResultsStore, status: TrialStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    eid = store.create_experiment(an_experiment())
    store.finish_trial(begin(store, eid, 0, [0.5]), status)
    assert read_rivals(store, eid, 1, epoch=2) == ([], [0])
    monkeypatch.setattr("harness.store.pruning.utc_now", lambda: "2999-01-01T00:00:00.000+00:00")
    assert read_rivals(store, eid, 1, epoch=2) == ([], [])
    # The clock was set back: the moment of a retry may have passed long ago.
    monkeypatch.setattr("harness.store.pruning.utc_now", lambda: "2001-01-01T00:00:00.000+00:00")
    assert read_rivals(store, eid, 1, epoch=2) == ([], [])
    # Again at work: it is awaited for as long as it takes, and the first attempt that comes so far counts.
    begin(store, eid, 0, [0.25])
    assert read_rivals(store, eid, 1, epoch=2) == ([], [0])
    assert read_rivals(store, eid, 1, epoch=1) == ([Rival(0, 0.5)], [])


def test_the_reason_is_on_record_before_the_trial_ends(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    begin(store, eid, 0, [0.25, 0.75])
    trial_id = begin(store, eid, 1, [])
    pruner = Pruner(store, spec_of(store, eid, 1, trial_id, max_epochs=9), ASHA)
    for number, accuracy in enumerate([0.5, 0.25], start=1):
        epoch = an_epoch(number, accuracy)
        store.record_epoch(trial_id, epoch)
        if number == 1:
            pruner.compare(epoch)
    with pytest.raises(Pruned) as caught:
        pruner.compare(epoch)
    pruning = Pruning(PruningRule.ASHA, 2, accuracy=0.5, threshold=0.75, rivals=(Rival(0, 0.75),))
    assert find_pruning(store, trial_id) == pruning
    assert str(caught.value) == pruning.sentence == (
        "its best accuracy by epoch 2 is 0.5000; the asha rule over 1 earlier trial asks for at least 0.7500"
    )


def test_a_waiting_trial_ends_with_the_process_that_started_it(
    store: ResultsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    eid = store.create_experiment(an_experiment())
    begin(store, eid, 0, [])
    pruner = Pruner(store, spec_of(store, eid, 1, begin(store, eid, 1, []), max_epochs=9), ASHA)
    monkeypatch.setattr(early_stopping.time, "sleep", lambda seconds: monkeypatch.setattr(os, "getppid", lambda: 1))
    with pytest.raises(WorkFailedError) as caught:
        pruner.compare(an_epoch(2))
    assert str(caught.value) == (
        "trial 1: the process that started it ended while it waited at epoch 2 for trials [0]; resume the search to "
        "run it again"
    )


# Interleavings: every trial is a fixed curve with a fixed end, and the order of events is drawn.

NUM_TRIALS, MAX_EPOCHS = 14, 9


class Waiting(Exception):
    """A trial would wait now."""


@dataclass
class Curve:
    accuracies: list[float]
    crashes_after: int


def draw_curves(seed: int) -> list[Curve]:
    random = Random(seed)
    curves = []
    for _ in range(NUM_TRIALS):
        level = random.uniform(0.3, 0.7)
        accuracies = [round(level + 0.02 * number + random.uniform(-0.1, 0.1), 2) for number in range(MAX_EPOCHS)]
        num_epochs = random.choice([MAX_EPOCHS, MAX_EPOCHS, 5])  # the patience of some is at its end
        curves.append(Curve(accuracies[:num_epochs], crashes_after=random.choice([99, 99, 99, 1, 3])))
    return curves


@dataclass
class Running:
    """A trial's process, stopped between two of its statements."""

    index: int
    trial_id: int
    pruner: Pruner
    num_epochs: int = 0
    is_comparing: bool = False


class SimulatedSearch:
    """Trials in ``num_parallel`` slots; ``step`` lets one of them come one statement further."""

    def __init__(self, store: ResultsStore, rule: EarlyStopping, curves: list[Curve], num_parallel: int) -> None:
        self.store, self.rule, self.curves, self.num_parallel = store, rule, curves, num_parallel
        self.eid = store.create_experiment(an_experiment())
        self.to_run = list(range(len(curves)))
        self.running: list[Running] = []

    def start(self) -> None:
        while self.to_run and len(self.running) < self.num_parallel:
            index = self.to_run.pop(0)
            trial_id = self.store.start_trial(self.eid, index, index, {})
            spec = spec_of(self.store, self.eid, index, trial_id, MAX_EPOCHS)
            self.running.append(Running(index, trial_id, Pruner(self.store, spec, self.rule)))

    def kill_all(self) -> None:
        """Kill the controller with its trials, and resume."""
        for trial in self.running:
            self.store.finish_trial(trial.trial_id, TrialStatus.KILLED)
        self.to_run = sorted([*self.to_run, *(trial.index for trial in self.running)])
        self.running = []
        self.start()

    def step(self, trial: Running) -> bool:
        """Return whether it came further."""
        curve, store = self.curves[trial.index], self.store
        if trial.is_comparing:
            try:
                trial.pruner.compare(an_epoch(trial.num_epochs, curve.accuracies[trial.num_epochs - 1]))
            except Waiting:
                return False
            except Pruned:
                return self.end(trial, TrialStatus.PRUNED)
            trial.is_comparing = False
        elif trial.num_epochs == curve.crashes_after:
            return self.end(trial, TrialStatus.CRASHED)
        elif trial.num_epochs == len(curve.accuracies):
            store.record_result(trial.trial_id, a_result())
            return self.end(trial, TrialStatus.FINISHED, score=0.5)
        else:
            trial.num_epochs += 1
            trial.is_comparing = True
            store.record_epoch(trial.trial_id, an_epoch(trial.num_epochs, curve.accuracies[trial.num_epochs - 1]))
        return True

    def end(self, trial: Running, status: TrialStatus, score: float | None = None) -> bool:
        self.store.finish_trial(trial.trial_id, status, score)
        self.running.remove(trial)
        self.start()
        return True

    def run(self, random: Random, kills: float) -> list[tuple[TrialStatus, Pruning | None]]:
        self.start()
        # One trial comes far ahead before another does anything, as a large and a small model do.
        while self.running:
            if random.random() < kills:
                self.kill_all()
            moved = [self.step(trial) for trial in random.sample(self.running, len(self.running))[:1]]
            if not any(moved):
                assert any(self.step(trial) for trial in list(self.running)), "every trial waits for another"
        trials = last_attempts(self.store.trials(self.eid))
        return [(trial.status, find_pruning(self.store, trial.trial_id)) for trial in trials]


def store_in_memory(folder: Path) -> ResultsStore:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    create_schema(database)
    return ResultsStore(folder / "results.db", database)


@pytest.mark.parametrize("rule", [MEDIAN, ASHA], ids=["median", "asha"])
def test_the_same_trials_are_pruned_in_whatever_order_they_end(
    tmp_path: Path, rule: EarlyStopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(seconds: float) -> None:
        raise Waiting

    monkeypatch.setattr(early_stopping.time, "sleep", wait)
    num_pruned = 0
    for seed in range(3):
        curves = draw_curves(seed)
        with store_in_memory(tmp_path) as store:
            expected = SimulatedSearch(store, rule, curves, 1).run(Random(0), kills=0)
            num_pruned += sum(status is TrialStatus.PRUNED for status, _ in expected)
            for num_parallel, kills in [(2, 0), (4, 0), (14, 0), (1, 0.02), (3, 0.05), (5, 0.05)]:
                search = SimulatedSearch(store, rule, curves, num_parallel)
                assert search.run(Random(seed), kills) == expected
    assert 6 <= num_pruned <= 36
