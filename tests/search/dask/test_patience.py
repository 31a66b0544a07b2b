"""What is said of a wait for workers or for the scheduler, and when a search ends for it."""

from pathlib import Path

import pytest

from harness.errors import WorkFailedError
from harness.search.dask.backend import Patience
from harness.search.experiment_file import read_experiment_file
from tests.search.searches import SCORES_X, write_experiment

SCHEDULER_IS_GONE = r"its Dask scheduler cannot be reached \(it has not answered for 300 s\)"
NO_WORKER = r"for 300 s there was no worker that may run a trial \(the scheduler has none\)"


class Search:
    """A search that has waited for no worker so far, with a patience of 300 s, and a clock that is turned by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.without_since = self.now
        self.notes: list[str] = []
        monkeypatch.setattr("harness.search.dask.backend.time.monotonic", lambda: self.now)
        settings = read_experiment_file(write_experiment(folder, SCORES_X))
        self.patience = Patience(settings, 300.0, self.notes.append)

    def look_after(self, seconds: float) -> None:
        self.now += seconds
        self.patience.check(self.now - self.without_since, {})


@pytest.fixture
def a_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(folder, monkeypatch)


def test_a_wait_for_a_worker_is_told_once_and_has_an_end(a_search: Search) -> None:
    a_search.patience.find_scheduler()
    for _ in range(10):
        a_search.look_after(29)
    assert a_search.notes == [
        "For 87 s no worker could run a trial; the search waits 300 s for one."
    ]
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        a_search.look_after(29)


def test_a_later_wait_is_told_again(a_search: Search) -> None:
    a_search.patience.find_scheduler()
    for _ in range(2):
        a_search.look_after(61)
        a_search.without_since = a_search.now
        a_search.look_after(0)
    assert len(a_search.notes) == 2


def test_a_scheduler_that_stays_away_is_called_that(a_search: Search) -> None:
    for _ in range(10):
        a_search.look_after(29)
        a_search.patience.lose_scheduler()
    assert a_search.notes == ["For 87 s the scheduler has not answered; the search waits 300 s for it."]
    with pytest.raises(WorkFailedError, match=SCHEDULER_IS_GONE):
        a_search.look_after(29)


def test_a_connection_that_was_only_just_lost_is_not_made_the_reason(a_search: Search) -> None:
    a_search.patience.find_scheduler()
    a_search.look_after(299)
    a_search.patience.lose_scheduler()
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        a_search.look_after(2)


def test_workers_have_a_moment_to_find_a_scheduler_that_came_back_late(a_search: Search) -> None:
    a_search.look_after(299)
    a_search.patience.find_scheduler()
    a_search.look_after(29)
    with pytest.raises(WorkFailedError, match=NO_WORKER):
        a_search.look_after(2)
