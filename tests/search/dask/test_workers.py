"""Which workers are asked, which are hoped for, and what is sent to them."""

from collections.abc import Collection
from typing import Any

import pytest

from harness.search.cluster.feature_sender import FeatureSender
from harness.search.cluster.order import Answer, Expectations, ExpectedFeatures, Verdict
from harness.search.cluster.plain import to_plain
from harness.search.cluster.roster import Roster

FEATURES = ExpectedFeatures("/prepared", "h", "c", (1,), None, None)
A = frozenset(["a"])


class FakeLink:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.batches: list[str] = []

    def submit(self, key: str, function: Any, *arguments: Any, worker: str | None = None) -> None:
        self.keys.append(key)

    def perform(self, key: str, work: Any) -> None:
        self.batches.append(key)

    def cancel(self, keys: Collection[str]) -> None:
        pass


@pytest.fixture
def link() -> FakeLink:
    return FakeLink()


@pytest.fixture
def roster(link: Any) -> Roster:
    notes: list[str] = []
    sender = FeatureSender("n", link, FEATURES)
    return Roster("n", link, Expectations({}, {}, FEATURES), sender, notes.append)


def seconds_without(roster: Roster, monkeypatch: pytest.MonkeyPatch, seconds: float = 100.0) -> float:
    """What the roster says when it is asked again so much later."""
    roster.seconds_without
    now = roster._last_hope
    monkeypatch.setattr("harness.search.cluster.roster.time.monotonic", lambda: now + seconds)
    return roster.seconds_without


def test_a_worker_that_has_yet_to_answer_is_hoped_for(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 0
    roster.see(frozenset())
    assert seconds_without(roster, monkeypatch) == 100


def test_workers_that_are_lost_with_each_question_are_no_hope(
    roster: Roster, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        roster.see(A)
        roster.forget("a")
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 100
    roster.take(link.keys[-1], to_plain(Answer(Verdict.ACCEPTED)))
    roster.see(frozenset())
    roster.see(frozenset(["b"]))
    assert seconds_without(roster, monkeypatch) == 0


def test_questions_that_a_scheduler_took_with_it_are_not_held_against_anybody(
    roster: Roster, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        roster.see(A)
        # Dask cancels what was asked before it is known why.
        roster.lose(link.keys[-1])
        roster.see(A)
        roster.forget_all()
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 0


def test_workers_that_are_lost_together_are_one_loss(roster: Roster, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        roster.see(frozenset("abcdefgh"))
        roster.see(frozenset())
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 0


def test_a_worker_that_is_sent_features_is_hoped_for_whatever_became_of_those_that_were_asked(
    roster: Roster, link: FakeLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(9):
        roster.see(A)
        roster.forget("a")
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 100
    roster.take(link.keys[-1], to_plain(Answer(Verdict.NEEDS_FEATURES)))
    assert seconds_without(roster, monkeypatch) == 0


@pytest.mark.parametrize("has_them", [False, True], ids=["while they are sent", "when it has them"])
def test_workers_that_are_lost_with_the_features_are_no_hope(
    roster: Roster, link: FakeLink, monkeypatch: pytest.MonkeyPatch, has_them: bool
) -> None:
    for _ in range(4):
        roster.see(A)
        roster.take(link.keys[-1], to_plain(Answer(Verdict.NEEDS_FEATURES)))
        if has_them:
            num_asked = len(link.keys)
            roster.take(link.batches[-1], {"a": None})
            assert len(link.keys) == num_asked + 1
        roster.forget("a")
    roster.see(A)
    assert seconds_without(roster, monkeypatch) == 100


def test_who_needs_features_after_a_scheduler_came_back_is_sent_them_though_an_older_sending_is_lost(
    roster: Roster, link: FakeLink
) -> None:
    needs = to_plain(Answer(Verdict.NEEDS_FEATURES))
    roster.see(A)
    roster.take(link.keys[-1], needs)
    roster.forget_all()
    roster.see(A)
    roster.take(link.keys[-1], needs)
    assert len(link.batches) == 1
    roster.lose(link.batches[0])
    assert len(link.batches) == 2
    assert roster.take(link.batches[1], {"a": None})
    assert len(link.keys) == 3
