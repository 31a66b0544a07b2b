"""A Dask scheduler of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.dask.processes import IMPATIENT, DaskProcesses


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler without a worker."""
    with DaskProcesses(tmp_path / "dask") as processes:
        processes.folder.mkdir()
        processes.start_scheduler(**IMPATIENT)
        yield processes
