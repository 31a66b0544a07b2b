"""Which workers are checked, which may become ready, and which are sent the features."""

from collections.abc import Callable, Collection
from typing import Any

import pytest

from harness.codec import to_plain
from harness.features.copies import ExpectedFeatures
from harness.search.dask.client import Task, TaskLost
from harness.search.dask.messages import CheckResult, Expectations
from harness.search.dask.workers import Workers

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
def workers(client: Any, notes: list[str]) -> Workers:
    return Workers(client, Expectations({}, {}, FEATURES), notes.append)


def seconds_without(workers: Workers, monkeypatch: pytest.MonkeyPatch, seconds: float = 100.0) -> float:
    """The wait so much later."""
    workers.seconds_without
    now = workers._last_promising
    monkeypatch.setattr("harness.search.dask.workers.time.monotonic", lambda: now + seconds)
    return workers.seconds_without


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
    assert workers.complaints["a"].startswith("its answer is not one of this version (CheckResult is ['verdict'];")
    workers.see(frozenset("ab"))
    end(client.checks[-1], error=ModuleNotFoundError("No module named 'harness'"))
    assert workers.complaints["b"] == "it could not answer (ModuleNotFoundError: No module named 'harness')"
