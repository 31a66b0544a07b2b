"""A folder whose name a careless program would trip over, and a corpus that is prepared already."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.features.prepare import prepare_corpus, prepared_dir_for
from harness.features.speech import SpeechSettings
from tests.search.searches import end_started, environment


@pytest.fixture(autouse=True)
def package_in_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trials find the package, installed or not."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HARNESS_CORPUS", raising=False)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End what a failed test has left behind."""
    yield
    end_started()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s; a "folder" 100%?#'
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus of some fifty utterances."""
    path = tmp_path_factory.mktemp("corpus") / "IEMOCAP_full_release"
    write_synthetic(path, SyntheticSettings(scale=0.01))
    return path


@pytest.fixture(scope="session")
def prepared_results(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with the tiny corpus's features."""
    results = tmp_path_factory.mktemp("prepared") / "results"
    settings = SpeechSettings()
    prepare_corpus(tiny_corpus, prepared_dir_for(results, tiny_corpus, settings), settings)
    return results


@pytest.fixture
def prepared_folder(folder: Path, prepared_results: Path) -> Path:
    """A folder in which the tiny corpus is prepared already."""
    shutil.copytree(prepared_results, folder / "results")
    return folder
