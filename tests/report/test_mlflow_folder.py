"""What was exported is what MLflow itself reads."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.report.mlflow_folder import write_mlflow
from harness.store.records import EpochRecord, TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import command
from tests.report.reading import ask, serving
from tests.report.searches import begin_search, begin_trial, run_search
from tests.search.dask.processes import free_port
from tests.search.searches import environment, wait_until

#: Hyperparameters of a user's own script, as many and with such names as MLflow does not take at once.
ODD = {
    "rate (first)": 0.5, "../up": None, "sizes": [3, 5], "optimizer/lr:0": 0.1, "rate//": 2, ".": 6, ".lr": 7,
    "long": "y" * 7000, "lr(": 1, "lr_28_": 2,
    "n" * 300: 3, "n" * 301: 4, **{f"weight {index}": index for index in range(100)},
}  # fmt: skip


def needs_mlflow() -> None:
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'harness-iemocap[mlflow]'")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search, and another with a pruned trial, one that was stopped and ran again, and a long one of odd names."""
    folder = tmp_path_factory.mktemp("results")
    with ResultsStore.open(folder / "results.db") as store:
        run_search(store, num_trials=2)
        eid = begin_search(store, num_samples=3, name="another", is_synthetic=False)
        pruned = begin_trial(store, eid, 0, 3, num_epochs=2)
        store.finish_trial(pruned, TrialStatus.PRUNED, message="it was worse than the median of 5 trials at epoch 2")
        stopped = begin_trial(store, eid, 1, 3, num_epochs=1)
        store.finish_trial(stopped, TrialStatus.STOPPED, message="the search was ended")
        begin_trial(store, eid, 1, 3)
        odd = store.start_trial(eid, 2, 2, ODD, 2)
        for epoch in range(1, 201):
            store.record_epoch(odd, EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 1.5))
        store.finish_trial(odd, TrialStatus.OUT_OF_MEMORY, message="it used more than 4 GB " + "x" * 9000)
    return folder


@pytest.fixture(scope="module")
def exported(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a user exports, in a process where every connection to a network is refused and counted."""
    needs_mlflow()
    parent = tmp_path_factory.mktemp("it's 100% #here?")
    watcher = parent / "watch.py"
    watcher.write_text(
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        open(sys.argv[0] + '.log', 'a').write(f'{event} {arguments}\\n')\n"
        "        raise OSError('no network here')\n"
        "sys.addaudithook(refuse)\n"
        "from harness.cli.main import main\n"
        "sys.exit(main())\n"
    )
    folder = parent / "new" / "mlflow-runs"
    folder.mkdir(parents=True)  # An empty one is taken.
    # MLflow sends nothing where it is tested, and must not send anything elsewhere.
    elsewhere = {name: value for name, value in environment().items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    done = subprocess.run(
        [sys.executable, str(watcher), "export", str(results), "--all", "--mlflow", str(folder)],
        capture_output=True, text=True, check=False, env=elsewhere, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith(f"Written: {folder}, 7 rows (runs of 2 experiments)\n")
    assert len(done.stderr.splitlines()) == 2, "MLflow says something too"
    assert sorted(path.name for path in parent.iterdir()) == ["new", "watch.py"], "a network was called"
    assert [path.name for path in folder.parent.iterdir()] == ["mlflow-runs"]
    return folder


@pytest.fixture(scope="module")
def mlflow(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow, which reads the folder after it was moved to a plain path."""
    found = pytest.importorskip("mlflow")
    moved = tmp_path_factory.mktemp("moved") / "mlflow.db"
    moved.write_bytes((exported / "mlflow.db").read_bytes())
    found.set_tracking_uri(f"sqlite:///{moved}")
    yield found
    found.set_tracking_uri(None)


@pytest.mark.timeout(300)
def test_mlflow_reads_runs_with_their_scores_hyperparameters_and_seeds(mlflow: Any, results: Path) -> None:
    runs = mlflow.search_runs(experiment_names=["1: fusion search"], order_by=["attributes.start_time"])
    assert list(runs["tags.mlflow.runName"]) == ["trial 0", "trial 1", "trial 2"]
    assert list(runs["status"]) == ["FINISHED", "FINISHED", "FAILED"]
    assert list(runs["metrics.score"])[:2] == [0.5, 0.75]
    assert "exited with code 1" in runs["tags.message"][2]
    with ResultsStore.open_readonly(results / "results.db") as store:
        trial, experiment = store.trials(1)[1], store.experiment(1)
    assert {name: runs[f"params.{name}"][1] for name in trial.hyperparameters} == {
        name: str(value) for name, value in trial.hyperparameters.items()
    }
    assert runs["end_time"][1].isoformat(timespec="milliseconds") == trial.ended_at
    tags = {"seed": "1", "trial_index": "1", "best_epoch": "4", "is_synthetic": "True", "protocol": "paper"}
    hashes = {"protocol_hash": experiment.protocol_hash, "corpus_hash": experiment.corpus_hash}
    assert {name: runs[f"tags.{name}"][1] for name in tags | hashes} == tags | hashes


@pytest.mark.timeout(300)
def test_epochs_are_steps_and_what_was_not_measured_is_left_out(mlflow: Any) -> None:
    run_id = mlflow.search_runs(experiment_names=["1: fusion search"], filter_string="tags.trial_index = '1'").run_id[0]
    client = mlflow.MlflowClient()
    accuracies = client.get_metric_history(run_id, "validation_accuracy")
    assert [(each.step, each.value) for each in accuracies] == [(1, 0.1875), (2, 0.375), (3, 0.5625), (4, 0.75)]
    assert [later.timestamp - accuracies[0].timestamp for later in accuracies] == [0, 1500, 3000, 4500]
    # The loss of the first epoch is NaN.
    assert [each.step for each in client.get_metric_history(run_id, "train_loss")] == [2, 3, 4]
    assert [(each.step, each.value) for each in client.get_metric_history(run_id, "score")] == [(4, 0.75)]


@pytest.mark.timeout(300)
def test_every_attempt_is_a_run_with_its_status(mlflow: Any) -> None:
    runs = mlflow.search_runs(experiment_names=["2: another"], order_by=["attributes.start_time"])
    assert list(zip(runs["tags.mlflow.runName"], runs["status"], runs["tags.status"], strict=True)) == [
        ("trial 0", "KILLED", "pruned"),
        ("trial 1", "KILLED", "stopped"),
        ("trial 1, attempt 2", "RUNNING", "running"),
        ("trial 2", "FAILED", "out of memory"),
    ]
    odd = mlflow.get_run(runs.run_id[3]).data
    assert len(odd.params) == len(ODD) and len(odd.metrics) == 7
    assert (odd.params["rate _28_first_29_"], odd.params["_2e__2e__2f_up"]) == ("0.5", "None")
    assert (odd.params["optimizer/lr:0"], odd.params["rate_2f__2f_"]) == ("0.1", "2")
    assert (odd.params["_2e_"], odd.params[".lr"]) == ("6", "7")
    assert (odd.params["lr_28_"], odd.params["lr_28__2"]) == ("2", "1"), "an allowed name keeps its value"
    assert (odd.params["n" * 250], odd.params["n" * 248 + "_2"]) == ("3", "4")
    assert odd.params["sizes"] == "[3, 5]"
    assert odd.params["long"] == "y" * 6000
    assert odd.tags["message"].startswith("it used more than 4 GB")
    assert len(mlflow.MlflowClient().get_metric_history(runs.run_id[3], "seconds")) == 200


@pytest.mark.timeout(300)
def test_the_synthetic_corpus_is_named_and_artifacts_would_lie_in_the_folder(mlflow: Any, exported: Path) -> None:
    real, synthetic = (mlflow.get_experiment_by_name(name) for name in ("2: another", "1: fusion search"))
    assert synthetic.tags["mlflow.note.content"] == "This corpus is synthetic: no score on it is a score on IEMOCAP."
    assert "mlflow.note.content" not in real.tags
    assert real.artifact_location == (exported / "artifacts" / "2").as_uri()


@pytest.mark.timeout(300)
def test_a_folder_with_an_export_is_refused_and_left_as_it_is(exported: Path, results: Path) -> None:
    before = (exported / "mlflow.db").read_bytes()
    done = subprocess.run(
        command("export", results, "--mlflow", exported),
        capture_output=True, text=True, check=False, env=environment(), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: --mlflow: folder '{exported}' is not empty; expected a new one; name another, or delete it\n"
    )
    assert (exported / "mlflow.db").read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == ["mlflow-runs"]


@pytest.mark.parametrize("missing", ["mlflow", "sqlalchemy", "alembic"])
def test_without_mlflow_it_says_what_to_install(
    store: ResultsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else object())
    expected = rf"--mlflow needs the package {missing}; run: pip install 'harness-iemocap\[mlflow\]'"
    with pytest.raises(HarnessError, match=expected):
        write_mlflow(tmp_path / "mlflow-runs", store, [])
    assert not (tmp_path / "mlflow-runs").exists()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_server_of_mlflow_serves_the_exported_folder(exported: Path, tmp_path: Path) -> None:
    """`mlflow` of the package of this name: that of mlflow-skinny has no server."""
    is_here = importlib.util.find_spec("flask_cors") is not None
    program = os.environ.get("MLFLOW_PROGRAM", str(Path(sys.executable).with_name("mlflow")) if is_here else "")
    if not program:
        pytest.skip("mlflow-skinny has no server: pip install mlflow, here or where MLFLOW_PROGRAM is its program")
    folder = exported.rename(tmp_path / "mlflow-runs")
    port = free_port()
    words = ("server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--port", str(port), "--workers", "1")
    # Its environment is another one: it must not find this one's packages.
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": "", "PATH": f"{Path(program).parent}:{os.defpath}"}
    try:
        with serving(program, *words, folder=tmp_path, **variables) as server:
            wait_until(lambda: server.poll() is not None or ask(port, "/health") is not None, seconds=300)
            found = ask(port, "/api/2.0/mlflow/experiments/search", {"max_results": 10})
            names = [each["name"] for each in json.loads(found)["experiments"]]
            assert names == ["2: another", "1: fusion search", "Default"]
            best = {"experiment_ids": ["1"], "order_by": ["metrics.score DESC"], "max_results": 1}
            (run,) = json.loads(ask(port, "/api/2.0/mlflow/runs/search", best))["runs"]
            metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
            assert (run["info"]["run_name"], run["info"]["status"], metrics["score"]) == ("trial 1", "FINISHED", 0.75)
    finally:
        folder.rename(exported)
