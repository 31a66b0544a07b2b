"""A whole number of more than 64 bits, or a lone surrogate, ended a search with a traceback.

SQLite takes neither: a bound such as 10^20 in an experiment file, or a path whose bytes are no UTF-8, came out
of the store as ``OverflowError`` or ``UnicodeEncodeError``.
"""

from pathlib import Path

import pytest

from harness.errors import ExperimentFileError, StoreError
from harness.store.records import TrialStatus
from harness.store.reported import read_line
from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment


def test_a_point_may_hold_them(tmp_path: Path) -> None:
    point = {"bits": 10**20, "name": "caf\udce9"}
    with ResultsStore.open(tmp_path / "results.db") as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, point)
        assert store.trial(trial_id).hyperparameters == point


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"seed": 2**63}, "a whole number of more than 64 bits"),
        ({"corpus_path": "caf\udce9"}, "the text 'caf\\udce9'"),
    ],
    ids=["number", "path"],
)
def test_elsewhere_they_give_one_sentence(tmp_path: Path, changes: dict[str, object], cause: str) -> None:
    path = tmp_path / "results.db"
    with ResultsStore.open(path) as store:
        with pytest.raises(StoreError) as caught:
            store.create_experiment(an_experiment(**changes))
        assert str(caught.value) == (
            f"results database '{path}': {cause} cannot be stored; expected whole numbers of at most 64 bits, and "
            "texts of whole characters"
        )
        assert store.experiments() == []


def test_a_hyperparameters_name_gives_one_sentence(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        eid = store.create_experiment(an_experiment())
        with pytest.raises(StoreError) as caught:
            store.start_trial(eid, 0, 1, {"caf\udce9": 1})
    assert str(caught.value) == (
        "hyperparameter 'caf\\udce9': cannot be a column beside ['trial_id']; expected another name (upper and lower "
        "case are not told apart)"
    )


def test_one_in_a_list_that_a_script_reported_is_spelt_out_in_the_trials_message(tmp_path: Path) -> None:
    """The message could not be recorded, so the search ended, and so did every resumed one."""
    with pytest.raises(ExperimentFileError) as caught:
        read_line('#Auptimizer-epoch: {"epoch": ["\\ud800"], "validation_accuracy": 0.5}')
    message = str(caught.value)
    assert message.endswith(r'epoch is ["\ud800"]; expected a whole number from 1 on')
    with ResultsStore.open(tmp_path / "results.db") as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
        store.finish_trial(trial_id, TrialStatus.CRASHED, message=message)
        assert store.trial(trial_id).message == message
