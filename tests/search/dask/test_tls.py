"""Certificates made by the guide's own command: who has them takes part, and who has not is refused."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import WorkFailedError
from harness.search.view import Ending
from tests.search.dask.processes import DaskProcesses
from tests.search.promises import check_database, run_aup
from tests.search.searches import REPOSITORY, SCORES_X, search, trials_of, wait_until, write_experiment

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

FILES = {"ca_file": "cert.pem", "cert": "cert.pem", "key": "key.pem"}


def typed(program: str) -> list[str]:
    """The words of the last line that the guide has for a program: with certificates."""
    text = (REPOSITORY / "docs" / "cluster.md").read_text("utf-8")
    line = re.findall(rf"^{program} .*$", text, re.MULTILINE)[-1]
    return shlex.split(line)


def make_certificate(folder: Path) -> dict[str, str]:
    """Type the guide's command in a new folder; returns the key ``tls`` for what it has made."""
    if shutil.which("openssl") is None:
        pytest.skip("the command openssl is not here")
    folder.mkdir()
    subprocess.run(typed("openssl"), cwd=folder, check=True, capture_output=True)
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    return {name: str(folder / file) for name, file in FILES.items()}


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    return make_certificate(tmp_path / "of all")


@pytest.fixture
def dask(tmp_path: Path, tls: dict[str, str]) -> Iterator[DaskProcesses]:
    """A scheduler and two workers, with the options that the guide gives both commands."""
    words = typed("dask worker")
    options = words[words.index("--tls-ca-file") :]
    assert typed("dask scheduler")[-6:] == options
    folder = Path(tls["key"]).parent
    paths = [str(folder / word) if word.endswith(".pem") else word for word in options]
    with DaskProcesses(tmp_path / "dask", tls=paths) as processes:
        processes.folder.mkdir()
        processes.start_scheduler()
        for _ in range(2):
            processes.start_worker()
        yield processes


def on(dask: DaskProcesses, tls: dict[str, str] | None, address: str | None = None) -> dict[str, Any]:
    cluster: dict[str, Any] = {"scheduler": address or dask.address, "patience_seconds": 20}
    return {"resource": "dask", "cluster": cluster if tls is None else {**cluster, "tls": tls}}


@pytest.mark.long
@pytest.mark.timeout(120)
def test_who_has_the_certificate_takes_part_and_nobody_else(
    folder: Path, tmp_path: Path, dask: DaskProcesses, tls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dask.address.startswith("tls://")
    path = write_experiment(folder, SCORES_X, **on(dask, tls))
    assert run_aup(path)[::2] == (0, "")
    assert [trial.attempt for trial in trials_of(path)] == [1] * 3
    check_database(folder)

    monkeypatch.setattr("harness.search.dask.client.CONNECT_TIMEOUT", 2.0)
    refused = (
        "its Dask scheduler cannot be reached .*; expected one at the address in the key cluster of the experiment file"
    )
    path = write_experiment(tmp_path / "without", SCORES_X, **on(dask, None, dask.address.replace("tls", "tcp")))
    with pytest.raises(WorkFailedError, match=refused):
        search(path)
    # A certificate of one's own opens nothing, with the right authority or without.
    others = make_certificate(tmp_path / "of another")
    for given in (others, {**others, "ca_file": tls["ca_file"]}):
        path = write_experiment(tmp_path / "without", SCORES_X, **on(dask, given))
        with pytest.raises(WorkFailedError, match=f"{refused}, with certificates of the same authority"):
            search(path, fresh=True)


@pytest.mark.long
def test_a_worker_without_the_certificate_does_not_get_in(
    folder: Path, tmp_path: Path, dask: DaskProcesses, tls: dict[str, str]
) -> None:
    others = make_certificate(tmp_path / "of another")
    dask.tls = ["--tls-ca-file", tls["ca_file"], "--tls-cert", others["cert"], "--tls-key", others["key"]]
    stranger = dask.start_worker("--death-timeout", "4")
    path = write_experiment(folder, SCORES_X, **on(dask, tls))
    assert search(path).ending is Ending.DONE
    wait_until(lambda: stranger.poll() is not None, seconds=30)
    logs = [(dask.folder / f"worker {number}.log").read_text() for number in range(3)]
    assert ["Registered to" in log for log in logs] == [True, True, False]
