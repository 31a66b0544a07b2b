"""What was exported is what Optuna itself reads."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import HarnessError
from harness.report.optuna_storage import _distribute, write_optuna
from harness.search.space import Parameter, ParameterType
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import command
from tests.report.reading import ask, serving
from tests.report.searches import begin_search, run_search
from tests.search.dask.processes import free_port
from tests.search.searches import environment, wait_until

optuna = pytest.importorskip("optuna")


def test_optuna_reads_studies_with_their_trials_ranges_and_epochs(store: ResultsStore, tmp_path: Path) -> None:
    run_search(store, num_trials=3)
    run_search(store, num_trials=1, name="another")
    path = tmp_path / "it's 100% here?" / "studies.db"
    assert write_optuna(path, store, store.experiments()) == 6
    assert [each.name for each in path.parent.iterdir()] == ["studies.db"]
    plain = path.rename(tmp_path / "studies.db")
    storage = f"sqlite:///{plain}"
    assert optuna.get_all_study_names(storage) == ["1: fusion search", "2: another"]
    study = optuna.load_study(study_name="1: fusion search", storage=storage)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.user_attrs["is_synthetic"] is True
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]
    best, recorded = study.best_trial, store.trials(1)[2]
    assert (best.value, best.params) == (0.75, dict(recorded.hyperparameters))
    assert best.distributions["adamlr"] == optuna.distributions.FloatDistribution(0.0001, 0.001, log=True)
    assert best.distributions["attention"].choices == ("decoder", "pooling")
    assert best.intermediate_values[4] == 0.75 and len(best.intermediate_values) == 4
    assert best.user_attrs["trial_index"] == 2 and best.datetime_complete is not None
    assert "exited with code 1" in study.trials[3].user_attrs["message"]


def test_a_fixed_hyperparameter_keeps_its_value_whatever_its_name(store: ResultsStore, tmp_path: Path) -> None:
    eid = begin_search(store)
    fixed = {"seed": 77, "attempt": 5, "status": "mine", "message": "of the user's", "rate": 0.5}
    trial_id = store.start_trial(eid, 0, 3, fixed, 3)
    store.finish_trial(trial_id, TrialStatus.CRASHED, message="the job exited with code 1")
    path = tmp_path / "studies.db"
    write_optuna(path, store, store.experiments())
    (trial,) = optuna.load_study(study_name=None, storage=f"sqlite:///{path}").trials
    assert trial.user_attrs == fixed | {"trial_index": 0}


def test_a_trial_outside_of_the_search_space_is_kept(store: ResultsStore, tmp_path: Path) -> None:
    """It ended the command in a traceback: a foreign proposer leaves the bounds, if only by rounding."""
    eid = run_search(store, num_trials=1)
    outside = {"adamlr": 0.0010000000000000002, "textlstm": 301, "attention": "none"}
    store.finish_trial(store.start_trial(eid, 5, 3, outside), TrialStatus.FINISHED, score=0.5)
    path = tmp_path / "studies.db"
    write_optuna(path, store, store.experiments())
    trial = optuna.load_study(study_name=None, storage=f"sqlite:///{path}").trials[-1]
    assert trial.params == outside and trial.distributions["attention"].choices == ("decoder", "pooling", "none")


@pytest.mark.parametrize(
    ("tried", "kind"),
    [
        ({"textlstm": 200.5}, "FloatDistribution"),
        ({"textlstm": 400.5}, "FloatDistribution"),
        ({"textlstm": "many"}, "CategoricalDistribution"),
        ({"adamlr": None}, "CategoricalDistribution"),
    ],
    ids=["no whole number", "neither whole nor inside", "a text", "nothing"],
)
def test_a_value_of_another_type_is_kept(
    store: ResultsStore, tmp_path: Path, tried: dict[str, object], kind: str
) -> None:
    eid = run_search(store, num_trials=1)
    point = {"adamlr": 0.0005, "textlstm": 250, "attention": "decoder"} | tried
    store.finish_trial(store.start_trial(eid, 5, 3, point), TrialStatus.FINISHED, score=0.5)
    write_optuna(tmp_path / "studies.db", store, store.experiments())
    trial = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 'studies.db'}").trials[-1]
    (name,) = tried
    assert trial.params == point and type(trial.distributions[name]).__name__ == kind


@pytest.mark.parametrize("kind", list(ParameterType)[:2])
def test_a_value_off_the_grid_is_kept(kind: ParameterType) -> None:
    parameter = Parameter("x", kind, low=0.0, high=10.0, step=2.0)
    trials = [SimpleNamespace(hyperparameters={"x": value}) for value in (4, 8)]
    assert _distribute(parameter, trials).step == 2
    off = _distribute(parameter, [*trials, SimpleNamespace(hyperparameters={"x": 3})])
    assert off._contains(3) and off.step in (None, 1)


def test_an_existing_file_is_replaced(store: ResultsStore, tmp_path: Path) -> None:
    run_search(store, num_trials=1)
    path = tmp_path / "studies.db"
    path.write_text("mine")
    write_optuna(path, store, store.experiments())
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (2,)


def test_without_optuna_it_says_what_to_install(
    store: ResultsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HarnessError, match=r"needs the package optuna; run: pip install 'harness-iemocap\[optuna\]'"):
        write_optuna(tmp_path / "studies.db", store, [])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_optuna_dashboard_opens_what_the_command_exports(
    store: ResultsStore, results_path: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna_dashboard")
    run_search(store, num_trials=3)
    run_search(store, num_trials=1, name="another")
    done = subprocess.run(
        command("export", results_path.parent, "--all", "--optuna", tmp_path / "studies.db"),
        capture_output=True, text=True, check=False, env=environment(), timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"Written: {tmp_path / 'studies.db'}, 6 rows (")
    port = free_port()
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    with serving(program, "sqlite:///studies.db", "--port", str(port), folder=tmp_path) as server:
        wait_until(lambda: server.poll() is not None or ask(port, "/api/studies") is not None, seconds=300)
        studies = json.loads(ask(port, "/api/studies"))["study_summaries"]
        assert [study["study_name"] for study in studies] == ["1: fusion search", "2: another"]
        study = json.loads(ask(port, f"/api/studies/{studies[0]['study_id']}"))
        ended = [(trial["state"], trial.get("values")) for trial in study["trials"][2:]]
        assert ended == [("Complete", [0.75]), ("Fail", None)]
        assert study["trials"][2]["intermediate_values"][3] == {"step": 4, "value": 0.75}
