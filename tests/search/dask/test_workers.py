"""Which workers are checked, which may become ready, and which are sent the features."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.codec import to_plain
from harness.errors import WorkFailedError
from harness.features.copies import ExpectedFeatures
from harness.search.dask.client import Task, TaskLost
from harness.search.dask.messages import CheckResult, Expectations
from harness.search.dask.settings import ClusterSettings
from harness.search.dask.workers import Workers
from harness.search.experiment_file import read_experiment_file
from tests.search.searches import SCORES_X, write_experiment

FEATURES = ExpectedFeatures("/prepared", "h", "c", (1,), None, None)
A = frozenset(["a"])
ACCEPTED = CheckResult()
NEEDS_FEATURES = CheckResult(needs_features=True)


class FakeClient:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.checks: list[Task] = []
        self.sendings: list[Task] = []

    def submit(self, function: Any, *arguments: Any, on_end: Callable[[Task], None], worker: str | None = None) -> Task:
        self.checks.append(Task(f"check {len(self.checks)}", on_end))
        return self.checks[-1]

    def perform(self, work: Any, on_end: Callable[[Task], None]) -> Task:
        self.sendings.append(Task(f"sending {len(self.sendings)}", on_end))
        return self.sendings[-1]

    def cancel(self, tasks: Collection[Task]) -> None:
        pass

    def answer(self, result: CheckResult, number: int = -1) -> None:
        """Have a check, the latest by default, come back with a result."""
        end(self.checks[number], to_plain(result))


def end(task: Task, value: Any = None, error: BaseException | None = None) -> None:
    task.value, task.error = value, error
    task.on_end(task)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def workers(client: Any, notes: list[str], folder: Path) -> Workers:
    settings = read_experiment_file(write_experiment(folder, SCORES_X))
    settings = replace(settings, cluster=ClusterSettings(scheduler="tcp://127.0.0.1:1", patience_seconds=300.0))
    return Workers(client, Expectations({}, {}, FEATURES), settings, notes.append, lambda: notes.append("none left"))


def seconds_without(workers: Workers, monkeypatch: pytest.MonkeyPatch, seconds: float = 100.0) -> float:
    """The wait so much later."""
    workers.seconds_without
    now = workers._last_promising
    monkeypatch.setattr("harness.search.dask.workers.time.monotonic", lambda: now + seconds)
    # The clock's own digits are cut: it has been running for any time.
    return round(workers.seconds_without, 3)


def test_a_worker_that_has_yet_to_answer_may_become_ready(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 0
    workers.see(frozenset())
    assert seconds_without(workers, monkeypatch) == 100


def test_workers_that_are_lost_with_each_check_are_not_waited_for(
    workers: Workers, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        workers.see(A)
        workers.remove("a")
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 100
    client.answer(ACCEPTED)
    assert workers.accepted == {"a"}
    workers.see(frozenset())
    workers.see(frozenset(["b"]))
    assert seconds_without(workers, monkeypatch) == 0


def test_checks_that_a_scheduler_took_with_it_count_as_nobodys_loss(
    workers: Workers, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        workers.see(A)
        # Dask cancels the check before it is known why.
        end(client.checks[-1], error=TaskLost())
        workers.see(A)
        workers.clear()
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 0


def test_the_answer_of_a_worker_that_has_left_is_ignored(workers: Workers, client: FakeClient) -> None:
    workers.see(A)
    workers.remove("a")
    workers.see(A)
    client.answer(ACCEPTED, 0)
    assert workers.accepted == set()
    client.answer(ACCEPTED, 1)
    assert workers.accepted == {"a"}


def test_only_the_loss_of_the_last_accepted_worker_is_reported(
    workers: Workers, client: FakeClient, notes: list[str]
) -> None:
    workers.see(frozenset("abc"))
    client.answer(ACCEPTED, 0)
    client.answer(ACCEPTED, 1)
    workers.remove("c")
    workers.see(frozenset("b"))
    assert notes == []
    workers.clear()
    assert notes == ["none left"]


def test_workers_that_are_lost_together_are_one_loss(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        workers.see(frozenset("abcdefgh"))
        workers.see(frozenset())
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 0


def test_a_worker_that_is_sent_features_may_become_ready_though_others_were_lost_before(
    workers: Workers, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        workers.see(A)
        workers.remove("a")
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 100
    client.answer(NEEDS_FEATURES)
    assert seconds_without(workers, monkeypatch) == 0


@pytest.mark.parametrize("has_them", [False, True], ids=["while they are sent", "when it has them"])
def test_workers_that_are_lost_with_the_features_are_not_waited_for(
    workers: Workers, client: FakeClient, monkeypatch: pytest.MonkeyPatch, has_them: bool
) -> None:
    for _ in range(4):
        workers.see(A)
        client.answer(NEEDS_FEATURES)
        if has_them:
            num_checks = len(client.checks)
            workers.see(A)
            end(client.sendings[-1], {"a": None})
            assert len(client.checks) == num_checks + 1
        workers.remove("a")
    workers.see(A)
    assert seconds_without(workers, monkeypatch) == 100


def test_workers_that_need_features_by_the_next_look_are_sent_them_together(
    workers: Workers, client: FakeClient
) -> None:
    both = frozenset("ab")
    workers.see(both)
    for number in (0, 1):
        client.answer(NEEDS_FEATURES, number)
    assert client.sendings == []
    workers.see(both)
    workers.see(both)
    assert len(client.sendings) == 1
    end(client.sendings[0], {"a": None, "b": "disk full"})
    for number in (2, 3):
        client.answer(ACCEPTED if number == 2 else NEEDS_FEATURES, number)
    workers.see(both)
    assert workers.accepted == {"a"}
    assert len(client.sendings) == 2


def test_a_worker_to_which_the_features_cannot_be_sent_is_refused(
    workers: Workers, client: FakeClient, notes: list[str]
) -> None:
    workers.see(A)
    for _ in range(3):
        client.answer(NEEDS_FEATURES)
        workers.see(A)
        end(client.sendings[-1], {"a": "OSError: disk full"})
    client.answer(NEEDS_FEATURES)
    assert workers.complaints == {"a": "the features could not be sent to it (OSError: disk full)"}
    assert len(client.sendings) == 3
    assert len(notes) == 1 and notes[0].startswith("Worker a gets no trials: the features could not be sent to it")


def test_who_needs_features_after_a_scheduler_came_back_is_sent_them_though_an_older_sending_is_lost(
    workers: Workers, client: FakeClient
) -> None:
    workers.see(A)
    client.answer(NEEDS_FEATURES)
    workers.see(A)
    workers.clear()
    workers.see(A)
    client.answer(NEEDS_FEATURES)
    workers.see(A)
    assert len(client.sendings) == 2
    end(client.sendings[0], error=TaskLost())
    assert len(client.checks) == 2
    end(client.sendings[1], {"a": None})
    assert len(client.checks) == 3


def test_an_answer_of_another_version_is_a_refusal(workers: Workers, client: FakeClient) -> None:
    workers.see(A)
    end(client.checks[-1], {"verdict": "accepted"})
    said = "its answer is not one of this version (CheckResult has the fields ['verdict']; expected"
    assert workers.complaints["a"].startswith(said)
    workers.see(frozenset("ab"))
    end(client.checks[-1], error=ModuleNotFoundError("No module named 'harness'"))
    assert workers.complaints["b"] == "it could not answer (ModuleNotFoundError: No module named 'harness')"


SCHEDULER_IS_GONE = r"its Dask scheduler cannot be reached \(it has not answered for 300 s\)"
NO_WORKER = r"for 300 s there was no worker that may run a trial \(the scheduler has none\)"


class Clock:
    """A clock that is turned by hand; the search looks at its workers with every turn."""

    def __init__(self, workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
        self._workers, self._now = workers, workers._last_promising
        workers._disconnected_at = self._now
        monkeypatch.setattr("harness.search.dask.workers.time.monotonic", lambda: self._now)

    def turn(self, seconds: float) -> None:
        self._now += seconds
        self._workers.check_patience()


@pytest.fixture
def clock(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(workers, monkeypatch)


def test_a_wait_for_a_worker_is_noted_once_and_has_an_end(workers: Workers, clock: Clock, notes: list[str]) -> None:
    workers.see(frozenset())
    for _ in range(10):
        clock.turn(29)
    assert notes == ["For 87 s no worker could run a trial; the search waits 300 s for one."]
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        clock.turn(29)


def test_a_later_wait_is_noted_again(workers: Workers, client: FakeClient, clock: Clock, notes: list[str]) -> None:
    for _ in range(2):
        workers.see(frozenset())
        clock.turn(61)
        workers.see(A)
        client.answer(ACCEPTED)
        clock.turn(1)
    assert len([note for note in notes if note.startswith("For ")]) == 2


def test_a_scheduler_that_stays_away_is_named_as_the_reason(workers: Workers, clock: Clock, notes: list[str]) -> None:
    for _ in range(10):
        clock.turn(29)
        workers.clear()
    assert notes == ["For 87 s the scheduler has not answered; the search waits 300 s for it."]
    with pytest.raises(WorkFailedError, match=SCHEDULER_IS_GONE):
        clock.turn(29)


def test_a_connection_that_was_only_just_lost_is_not_named_as_the_reason(workers: Workers, clock: Clock) -> None:
    workers.see(frozenset())
    clock.turn(299)
    workers.clear()
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        clock.turn(2)


def test_workers_have_a_moment_to_find_a_scheduler_that_came_back_late(workers: Workers, clock: Clock) -> None:
    clock.turn(299)
    workers.see(frozenset())
    clock.turn(29)
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        clock.turn(2)


def test_a_refused_worker_is_in_the_sentence_that_ends_the_search(
    workers: Workers, client: FakeClient, clock: Clock
) -> None:
    workers.see(A)
    client.answer(CheckResult(differences=("harness is 0.0.1 there and 0.1.0 here",)))
    refused = "worker a was refused: harness is 0.0.1 there and 0.1.0 here"
    with pytest.raises(WorkFailedError, match=rf"may run a trial \({refused}\); recorded trials are safe: start such"):
        clock.turn(301)
