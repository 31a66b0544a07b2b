"""This package's own trials come to the same on a cluster as on one machine, to the last probability."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.store.store import ResultsStore
from tests.search.cluster.processes import DaskProcesses
from tests.search.promises import check_database, run_aup
from tests.search.searches import REPOSITORY, trials_of, write_experiment

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

#: A worker that cannot see the controller's files, as far as the features go.
BLIND = """
from harness.search.cluster import enlisting
enlisting._is_whole = lambda prepared_dir, expected: False
"""


def run(folder: Path, prepared_results: Path, corpus: Path, **changes: Any) -> list[Any]:
    """Run two real trials; return all that they came to."""
    shutil.copytree(prepared_results, folder / "results")
    values = {
        "script": str(REPOSITORY / "jobs" / "trial.py"),
        "system": "mocap1",
        "corpus": str(corpus),
        "parameter_config": [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
        "n_samples": 2,
        "max_epochs": 2,
    }
    path = write_experiment(folder, "", **{**values, **changes})
    code, _, errors = run_aup(path)
    assert (code, errors) == (0, "")
    check_database(folder)
    found: list[Any] = []
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        for trial in trials_of(path):
            epochs = [(epoch.epoch, epoch.train_loss, epoch.validation_loss) for epoch in store.epochs(trial.trial_id)]
            environment = store.environment(trial.trial_id)
            assert environment is not None and environment.pid == trial.pid
            found.append(
                (trial.trial_index, trial.seed, trial.hyperparameters, trial.status, trial.score, trial.best_epoch)
                + (epochs, store.validation_predictions(trial.trial_id), environment.versions, environment.corpus_hash)
            )
    return found


@pytest.fixture(scope="module")
def on_one_machine(
    tmp_path_factory: pytest.TempPathFactory, prepared_results: Path, tiny_corpus: Path
) -> list[Any]:
    return run(tmp_path_factory.mktemp("one machine") / "here", prepared_results, tiny_corpus)


@pytest.fixture
def blind(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler and two workers, to which the features must be sent."""
    (tmp_path / "preload.py").write_text(BLIND)
    with DaskProcesses(tmp_path / "dask") as processes:
        processes.folder.mkdir()
        processes.start_scheduler()
        for _ in range(2):
            processes.start_worker("--preload", str(tmp_path / "preload.py"))
        yield processes


def test_a_cluster_made_here_comes_to_the_same(
    folder: Path, prepared_results: Path, tiny_corpus: Path, on_one_machine: list[Any]
) -> None:
    found = run(folder / "x", prepared_results, tiny_corpus, resource="dask", cluster={"local": 2})
    assert found == on_one_machine
    assert len(found[0][7]) > 5


def test_workers_that_were_sent_the_features_come_to_the_same_and_never_see_the_test_session(
    folder: Path, prepared_results: Path, tiny_corpus: Path, on_one_machine: list[Any], blind: DaskProcesses
) -> None:
    cluster = {"scheduler": blind.address}
    assert run(folder / "x", prepared_results, tiny_corpus, resource="dask", cluster=cluster) == on_one_machine
    sent = sorted(path.parent.name for path in blind.folder.rglob("utterances.jsonl"))
    assert sent == sorted(["Session1", "Session2", "Session3", "Session4"] * 2)
    assert not list(blind.folder.rglob("*Session5*"))
    manifests = list(blind.folder.rglob("manifest.json"))
    assert len(manifests) == 2
    assert not [path for path in manifests if '"5"' in path.read_text()]
