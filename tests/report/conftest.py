"""A results database in a folder whose name a careless program would trip over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store.store import ResultsStore
from tests.report.searches import run_search


@pytest.fixture
def results_path(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s a "folder"' / "results.db"


@pytest.fixture
def store(results_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(results_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of ten trials that tests only read."""
    path = tmp_path_factory.mktemp("searched") / "results.db"
    with ResultsStore.open(path) as opened:
        run_search(opened)
    return path
