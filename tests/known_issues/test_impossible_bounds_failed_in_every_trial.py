"""A range that no model can be built from was found by the trials, one after another."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.search.experiment_file import read_experiment_file
from tests.search.searches import SCORES_X, write_experiment


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        (
            {"name": "dropout", "range": [-0.1, 0.4], "type": "float"},
            "'dropout' is -0.1; expected from 0 to below 1",
        ),
        (
            {"name": "dropout", "range": [0.5, 1.5], "type": "float"},
            "'dropout' is 1.5; expected from 0 to below 1",
        ),
        ({"name": "dense", "range": [0, 64], "type": "int"}, "'dense' is 0; expected at least 1"),
        ({"name": "dense", "range": [64, -1], "type": "choice"}, "'dense' is -1; expected at least 1"),
    ],
    ids=["low", "high", "count", "choice"],
)
def test_bounds_and_choices_are_tried_on_the_system_before_the_first_trial(
    tmp_path: Path, entry: dict[str, Any], cause: str
) -> None:
    path = write_experiment(tmp_path, SCORES_X, system="mocap1", search_space="space.json")
    values = json.loads(path.read_text())
    del values["parameter_config"]
    path.write_text(json.dumps(values))
    (tmp_path / "space.json").write_text(json.dumps({"system": "mocap1", "parameter_config": [entry]}))
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert (
        str(caught.value) == f"search space 'space.json': parameter {entry['name']!r}: system 'mocap1': "
        f"hyperparameter {cause}"
    )
