"""An experiment of our own trials with "seed": 4 ran with seed 0, and said nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.search.experiment_file import read_experiment_file
from harness.search.known_keys import EXPERIMENT
from tests.search.searches import SCORES_X, write_experiment

SPACE = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]
OUR_SCRIPT = "from harness.training.trial import main\n"
ORIGIN = "experiment file 'experiment.json'"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("seed", "'random_seed', or another of"),
        ("timeout", "'timeout_seconds', or another of"),
        ("epochs", "'max_epochs', or another of"),
        ("comment", "one of"),
    ],
)
@pytest.mark.parametrize(
    ("script", "system"), [(OUR_SCRIPT, {}), (SCORES_X, {"system": "mocap1"})], ids=["script", "system"]
)
def test_an_unknown_key_is_refused_for_our_own_trials(
    tmp_path: Path, script: str, system: dict[str, str], key: str, expected: str
) -> None:
    changes: dict[str, Any] = {key: 4}
    path = write_experiment(tmp_path, script, parameter_config=SPACE, **system, **changes)
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert (
        str(caught.value)
        == f"{ORIGIN}: unknown key {key!r}; expected {expected} {sorted(EXPERIMENT.keys)}"
    )


def test_a_foreign_script_keeps_its_unknown_keys(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, SCORES_X, seed=4, comment="kept")
    assert read_experiment_file(path).file["comment"] == "kept"


def test_an_unknown_key_of_a_parameter_is_refused_for_our_own_trials(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, OUR_SCRIPT, parameter_config=[{**SPACE[0], "distribution": "normal"}])
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert (
        str(caught.value) == f"{ORIGIN}: parameter 'dropout': unknown key 'distribution'; expected one of "
        "['interval', 'log', 'n', 'name', 'range', 'step', 'type']"
    )


def test_a_search_space_file_may_be_described_and_have_no_other_key(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, OUR_SCRIPT, search_space="space.json", description="a first try")
    values = json.loads(path.read_text())
    del values["parameter_config"]
    path.write_text(json.dumps(values))
    space = {"system": "fusion", "description": "narrow", "parameter_config": SPACE}
    (tmp_path / "space.json").write_text(json.dumps(space))
    assert read_experiment_file(path).space.parameters[0].name == "dropout"
    (tmp_path / "space.json").write_text(json.dumps({**space, "comment": "narrow"}))
    with pytest.raises(ExperimentFileError) as caught:
        read_experiment_file(path)
    assert (
        str(caught.value) == "search space 'space.json': unknown key 'comment'; expected one of "
        "['description', 'parameter_config', 'system']"
    )
