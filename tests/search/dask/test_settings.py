"""The key ``cluster``: what it may say, and a sentence for everything else."""

import json
import shlex
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError
from harness.search.dask import settings as cluster_settings
from harness.search.dask.settings import (
    DEFAULT_PATIENCE,
    QUEUE_PATIENCE,
    ClusterSettings,
    JobQueue,
    TLSFiles,
)
from harness.search.experiment import identity_of
from harness.search.experiment_file import read_experiment_file
from harness.search.keys import SECRET_OPTIONS
from tests.search.searches import SCORES_X, search, write_experiment

security = pytest.importorskip("distributed.security", reason="the extra 'cluster' is not installed")

ORIGIN = "experiment file 'experiment.json'"
TLS = {"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


def read(folder: Path, cluster: Any, **changes: Any) -> ClusterSettings:
    made = security.Security.temporary()
    for name, content in zip(TLS.values(), (made.tls_ca_file, made.tls_client_cert, made.tls_client_key), strict=True):
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
    (folder / "other.pem").write_text(security.Security.temporary().tls_client_key)
    (folder / "other.pem").chmod(0o600)
    (folder / "empty.pem").touch()
    path = write_experiment(folder, SCORES_X, **{"resource": "dask", "cluster": cluster, **changes})
    settings = read_experiment_file(path).cluster
    assert settings is not None
    return settings


def test_a_running_scheduler_is_named_by_its_address(folder: Path) -> None:
    resources = {"GPU": 1, "memory.fast": 2}
    found = read(folder, {"scheduler": "tcp://host:8786", "resources": resources, "patience_seconds": 7})
    assert found == ClusterSettings(scheduler="tcp://host:8786", resources=resources, patience_seconds=7.0)
    assert read(folder, {"scheduler": "tls://[::1]:8786", "tls": TLS}).tls == TLSFiles(
        folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    )


def test_a_cluster_of_this_machine_runs_as_many_trials_as_it_has_workers(folder: Path) -> None:
    assert read(folder, {"local": 4}) == ClusterSettings(num_local=4, patience_seconds=DEFAULT_PATIENCE)
    path = folder / "experiment.json"
    values = json.loads(path.read_text())
    del values["n_parallel"]
    path.write_text(json.dumps(values))
    assert read_experiment_file(path).num_parallel == 4


def test_a_batch_system_gets_its_options_and_more_patience(folder: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    found = read(folder, {"slurm": {"cores": 2, "memory": "4GB", "jobs": 3, "processes": 2}})
    assert found.job_queue == JobQueue("slurm", 3, {"cores": 2, "memory": "4GB", "processes": 2})
    assert (found.num_workers, found.patience_seconds) == (6, QUEUE_PATIENCE)


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        ({}, "cluster names no cluster; expected exactly one of ['htcondor', 'local', 'lsf',"),
        ({"local": 1, "scheduler": "tcp://a:1"}, "cluster names scheduler and local; expected exactly one of"),
        ({"local": 0}, "cluster.local is 0; expected a whole number from 1 to 1024"),
        ({"local": 2, "patience": 3}, "cluster: unknown key 'patience'; expected 'patience_seconds'"),
        ({"local": 2, "patience_seconds": 0}, "cluster.patience_seconds is 0; expected a number above 0"),
        ({"local": 2, "resources": {"GPU": "one"}}, "cluster.resources.GPU is 'one'; expected a number above 0"),
        ({"local": 2, "resources": {"GPU": None}}, "cluster.resources.GPU is null; expected a number above 0"),
        ({"local": 2, "resources": {" ": 1}}, "cluster.resources has the name ' '; expected the name of a Dask worker"),
        ({"local": 2, "resources": 1}, "cluster.resources is 1; expected an object {...}"),
        ({"scheduler": "host:8786"}, "cluster.scheduler is 'host:8786'; expected an address such as tcp://host:8786"),
        ({"scheduler": "tls://h:1"}, "cluster.scheduler is 'tls://h:1' without tls; expected tls:// and the key tls"),
        ({"scheduler": "tcp://h:1", "tls": TLS}, "cluster.scheduler is 'tcp://h:1' beside tls; expected tls://"),
        ({"local": 1, "tls": {"cert": "cert.pem", "key": "key.pem"}}, "cluster.tls.ca_file is missing; expected a"),
        ({"local": 1, "tls": {**TLS, "key": "no.pem"}}, "no.pem'; expected a PEM file"),
        ({"local": 1, "tls": {**TLS, "key": "other.pem"}}, "key values mismatch"),
        ({"local": 1, "tls": {**TLS, "ca_file": "empty.pem"}}, "of which OpenSSL says: "),
        ({"local": 1, "tls": {**TLS, "password": "x"}}, "cluster.tls: unknown key 'password'"),
        ({"slurm": {"jobs": 0}}, "cluster.slurm.jobs is 0; expected a whole number from 1 to 1024"),
        ({"slurm": {"core": 1}}, "cluster.slurm: unknown key 'core'; expected 'cores'"),
        ({"slurm": {"worker_extra_args": "--lifetime 1h"}}, "cluster.slurm.worker_extra_args has a value of another "),
        ({"slurm": {"scheduler_options": []}}, "cluster.slurm.scheduler_options has a value of another "),
        ({"slurm": 3}, "cluster.slurm is 3; expected an object {...}"),
        (3, "cluster is 3; expected an object {...}"),
    ],
)
def test_anything_else_gets_one_sentence(folder: Path, cluster: Any, complaint: str) -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ExperimentFileError) as raised:
        read(folder, cluster)
    assert str(raised.value).startswith(ORIGIN)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o700])
def test_a_key_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    read(folder, {"local": 1, "tls": TLS})
    (folder / "key.pem").chmod(mode)
    if mode & 0o077 == 0:
        read_experiment_file(folder / "experiment.json")
        return
    with pytest.raises(ExperimentFileError) as raised:
        read_experiment_file(folder / "experiment.json")
    path = folder / "key.pem"
    assert str(raised.value) == (
        f"{ORIGIN}: cluster.tls.key is '{path}', with the mode {mode:04o}; expected a key that you alone may read: "
        f"chmod 600 {shlex.quote(str(path))}"
    )


def test_a_key_of_another_owner_may_be_a_groups(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder, {"local": 1, "tls": TLS})
    (folder / "key.pem").chmod(0o640)
    owner = (folder / "key.pem").stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    assert read_experiment_file(folder / "experiment.json").cluster is not None


def test_a_cluster_and_the_resource_dask_come_together(folder: Path) -> None:
    with pytest.raises(ExperimentFileError, match="cluster is given; expected 'dask' as the resource beside it"):
        read(folder, {"local": 2}, resource="cpu")
    path = write_experiment(folder, SCORES_X, resource="dask")
    with pytest.raises(ExperimentFileError, match="cluster is missing; expected .*as the resource is 'dask'"):
        read_experiment_file(path)


def test_without_dask_the_sentence_says_what_to_type(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_settings, "find_spec", lambda name: None)
    with pytest.raises(ExperimentFileError) as raised:
        read(folder, {"local": 2})
    assert str(raised.value) == (
        f"{ORIGIN}: resource is 'dask', and the package 'distributed' is not installed; expected it here and on every "
        "worker: pip install 'harness-iemocap[cluster]'"
    )


def test_where_trials_run_is_no_part_of_what_a_search_is(folder: Path) -> None:
    here = read_experiment_file(write_experiment(folder, SCORES_X))
    there = read_experiment_file(write_experiment(folder, SCORES_X, resource="dask", cluster={"local": 2}))
    assert identity_of(here, None) == identity_of(there, None)


@pytest.mark.parametrize("name", [name for name in SECRET_OPTIONS if "command" not in name])
def test_what_may_hold_secrets_is_not_stored(folder: Path, name: str) -> None:
    pytest.importorskip("dask_jobqueue")
    options = {"cores": 1, "memory": "1GB", name: ["export TOKEN=secret"]}
    path = write_experiment(folder, SCORES_X, resource="dask", cluster={"slurm": options})
    settings = read_experiment_file(path)
    assert settings.cluster is not None and settings.cluster.job_queue is not None
    assert settings.cluster.job_queue.options[name] == ["export TOKEN=secret"]
    assert settings.file["cluster"] == {"slurm": {"cores": 1, "memory": "1GB"}}


@pytest.mark.parametrize("module", ["harness.search.controller", "harness.search.experiment_file", "harness.cli.aup"])
def test_dask_is_imported_only_for_a_cluster(module: str) -> None:
    import subprocess
    import sys

    from tests.search.searches import environment

    code = f"import sys, {module}; print([name for name in ('dask', 'distributed') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_search_goes_on_elsewhere_than_where_it_began(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=2)
    search(path)
    path = write_experiment(folder, SCORES_X, n_samples=4, resource="dask", cluster={"local": 2})
    search(path)
    with sqlite3.connect(folder / "results" / "results.db") as database:
        rows = database.execute("SELECT eid, trial_index, status FROM trials ORDER BY trial_index").fetchall()
    assert rows == [(1, index, "finished") for index in range(4)]
