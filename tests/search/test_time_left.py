import math
from pathlib import Path

import pytest

from harness.search.view import (
    TrialTime,
    estimate_search,
    estimate_trial,
    list_durations,
    measure_epoch,
    seconds_between,
)
from harness.store.records import EpochRecord
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, begin_trial, fail_trial, run_trial


def epochs(*seconds: float) -> list[EpochRecord]:
    return [EpochRecord(number, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, took) for number, took in enumerate(seconds, start=1)]


def test_the_first_epochs_compilation_does_not_count() -> None:
    assert measure_epoch(epochs(20.0, 2.0, 2.0)) == 2.0
    assert estimate_trial(epochs(20.0, 2.0, 2.0), 30) == 54.0


@pytest.mark.parametrize(
    ("recorded", "max_epochs"), [([], 30), (epochs(math.nan), 30), (epochs(2.0), None)]
)
def test_where_nothing_is_known_nothing_is_foreseen(recorded: list[EpochRecord], max_epochs: int | None) -> None:
    assert estimate_trial(recorded, max_epochs) is None


@pytest.mark.parametrize(
    ("took", "running", "num_waiting", "num_at_once", "expected"),
    [
        ([], [], 3, 2, None),
        ([], [TrialTime(10.0, None)], 3, 2, None),
        ([], [TrialTime(10.0, 50.0)], 1, 1, 110.0),
        ([60.0, 80.0], [], 4, 2, 140.0),
        ([60.0], [TrialTime(20.0, 5.0), TrialTime(0.0, None)], 0, 2, 60.0),
        ([60.0], [TrialTime(90.0, 30.0)], 0, 1, 30.0),
    ],
    ids=["nothing", "no epoch", "only a running one", "two at once", "the longest counts", "longer than usual"],
)
def test_what_is_left_is_shared_among_those_at_once(
    took: list[float], running: list[TrialTime], num_waiting: int, num_at_once: int, expected: float | None
) -> None:
    assert estimate_search(took, running, num_waiting, num_at_once) == expected


def test_only_finished_trials_say_how_long_one_takes(folder: Path) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        eid = begin_search(store)
        run_trial(store, eid, 0, 3, 0.5)
        fail_trial(store, eid, 1)
        begin_trial(store, eid, 2, 3)
        assert len(list_durations(store.trials(eid))) == 1


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert seconds_between("2026-01-01T00:01:00.000+00:00", "2026-01-01T00:00:00.000+00:00") == 0.0
    assert seconds_between("2026-01-01T00:01:00.000+00:00", "2026-01-01T00:01:30") == 30.0
