"""The spec that stands beside a job file."""

import json

import pytest

from harness.errors import ExperimentFileError
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.trial import read_job


@pytest.fixture
def spec(tmp_path):
    return TrialSpec(
        trial_id=3,
        eid=1,
        trial_index=2,
        seed=77,
        system="fusion",
        protocol=PROTOCOLS["strict"],
        prepared_dir=tmp_path / "results" / "prepared" / "it's here",
        results_db=tmp_path / "results" / "results.db",
        max_epochs=30,
        patience=None,
        threads=1,
        word_vectors=tmp_path / "glove.txt",
        turn_model={"system": "text2", "num_epochs": 3, "hyperparameters": {"dropout": 0.1}},
    )


def test_a_spec_survives_its_file(spec, tmp_path):
    path = trial_spec_path(tmp_path / "7.json")
    spec.write(path)
    assert TrialSpec.read(path) == spec
    assert path.name == "7.trial.json"


def test_a_results_folder_can_be_moved(spec, tmp_path):
    path = trial_spec_path(tmp_path / "results" / "experiments" / "1" / "jobs" / "7.json")
    path.parent.mkdir(parents=True)
    spec.write(path)
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    moved = TrialSpec.read(tmp_path / "elsewhere" / path.relative_to(tmp_path / "results"))
    assert moved.prepared_dir == tmp_path / "elsewhere" / "prepared" / "it's here"
    assert moved.results_db == tmp_path / "elsewhere" / "results.db"
    assert moved.word_vectors == tmp_path / "glove.txt"


def test_a_missing_spec_says_how_trials_are_started(tmp_path):
    with pytest.raises(ExperimentFileError) as caught:
        TrialSpec.read(tmp_path / "7.trial.json")
    assert str(caught.value) == (
        f"trial '7.trial.json': not found in {str(tmp_path)!r}; expected the file that `aup` writes "
        "beside each job; start trials with `aup experiment.json`"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"eid": 1}'], ids=["broken", "list", "incomplete"])
def test_another_file_is_not_taken_for_a_spec(tmp_path, text):
    path = tmp_path / "7.trial.json"
    path.write_text(text)
    with pytest.raises(ExperimentFileError, match=r"cannot be read|not a trial's spec"):
        TrialSpec.read(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "7", r"not a trial's spec \(TrialSpec.seed is '7'; expected a whole number\); start "),
        ("protocol", 5, r"not a trial's spec \(TrialSpec.protocol is 5; expected the fields "),
    ],
)
def test_a_spec_of_other_types_is_refused(spec, tmp_path, key, value, message):
    path = tmp_path / "7.trial.json"
    spec.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ExperimentFileError, match=message):
        TrialSpec.read(path)


@pytest.mark.parametrize("text", ["[]", "5", "null"])
def test_a_job_file_that_is_no_object_is_refused(tmp_path, text):
    path = tmp_path / "7.json"
    path.write_text(text)
    with pytest.raises(ExperimentFileError) as caught:
        read_job(path)
    assert str(caught.value) == (
        f"job file {str(path)!r}: holds {text}; expected one object {{...}}; start trials with `aup experiment.json`"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_a_point_that_is_no_number_is_refused(value):
    with pytest.raises(ExperimentFileError, match="hyperparameter 'textlstm' is .*; expected an integer"):
        read_hyperparameters(SYSTEMS["fusion"], {"textlstm": value}, PROTOCOLS["paper"])
