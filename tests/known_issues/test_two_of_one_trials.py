"""A search that went on with another n_samples kept the old one in its row: "2 of 1 trials finished"."""

import json
from pathlib import Path

import pytest

from harness.search.view import SearchReport
from harness.store.records import TrialStatus
from tests.search.searches import SCORES_X, search, write_experiment


def run(folder: Path, num_samples: int) -> SearchReport:
    return search(write_experiment(folder, SCORES_X, n_samples=num_samples))


@pytest.mark.parametrize(
    ("second", "expected"), [(4, 4), (1, 3)], ids=["raised", "lowered below what has run"]
)
def test_the_experiments_row_says_how_many_trials_there_are(
    tmp_path: Path, second: int, expected: int
) -> None:
    run(tmp_path, 3)
    report = run(tmp_path, second)
    assert report.experiment.eid == 1
    assert report.num_by_status == {TrialStatus.FINISHED: expected}
    assert report.experiment.num_samples == expected
    assert json.loads(report.experiment.settings)["n_samples"] == second
