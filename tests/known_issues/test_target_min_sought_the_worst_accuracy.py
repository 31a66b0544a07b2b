"""With "target": "min", our own trials' search sought, and retrained, the worst accuracy."""

from pathlib import Path

import pytest

from harness.errors import ExperimentFileError
from harness.search.experiment_file import read_experiment_file
from tests.search.searches import SCORES_X, write_experiment

SPACE = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]


def test_our_own_trials_have_no_target_min(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, SCORES_X, system="mocap1", parameter_config=SPACE, target="min")
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert (
        str(caught.value)
        == "experiment file 'experiment.json': target is 'min'; expected 'max': the score of harness's own"
        " trials is an accuracy"
    )
