import re
from pathlib import Path

import pytest

from harness.store.records import PROBABILITY_COLUMNS, TrialRow, are_accuracies, best_of, rank_trials, utc_now
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, fail_trial, run_trial


def test_time_is_written_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", utc_now())


def test_probabilities_have_a_column_for_each_class_in_order() -> None:
    assert PROBABILITY_COLUMNS == ("probability_ang", "probability_exc", "probability_neu", "probability_sad")


@pytest.fixture
def trials(store: ResultsStore) -> list[TrialRow]:
    eid = begin_search(store)
    for index, score in enumerate([0.5, 0.8, 0.3, 0.8, 0.3]):
        run_trial(store, eid, index, 6, score)
    fail_trial(store, eid, 5)
    return store.trials(eid)


@pytest.mark.parametrize(("target", "order"), [("max", [1, 3, 0, 2, 4]), ("min", [2, 4, 0, 1, 3])])
def test_trials_with_a_score_are_ordered_the_first_of_equals_first(
    trials: list[TrialRow], target: str, order: list[int]
) -> None:
    assert [trial.trial_index for trial in rank_trials(reversed(trials), target)] == order
    best = best_of(reversed(trials), target)
    assert best is not None and best.trial_index == order[0]


def test_of_no_score_none_is_best(trials: list[TrialRow]) -> None:
    assert best_of(trials[5:], "max") is None


@pytest.mark.parametrize(
    ("system", "target", "expected"),
    [("fusion", "max", True), ("", "max", False), ("", "min", False), ("fusion", "min", False)],
)
def test_only_the_package_s_own_trials_score_accuracies(
    store: ResultsStore, results_path: Path, system: str, target: str, expected: bool
) -> None:
    eid = begin_search(store, system=system, target=target)
    assert are_accuracies(store.experiment(eid)) is expected
