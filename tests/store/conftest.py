"""A results database in a folder whose name a careless program would trip over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store.store import ResultsStore


@pytest.fixture
def results_path(tmp_path: Path) -> Path:
    return tmp_path / 'it\'s; a "folder" 100%?#' / "results.db"


@pytest.fixture
def store(results_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(results_path) as opened:
        yield opened
