"""Trials on a Dask cluster keep the contract of every way of running them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.search.dask.processes import DaskProcesses
from tests.search.resource_manager_contract import ResourceManagerContract

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler and two workers."""
    with DaskProcesses(tmp_path_factory.mktemp("dask")) as processes:
        processes.start_scheduler()
        for _ in range(2):
            processes.start_worker()
        yield processes


class TestDask(ResourceManagerContract):
    @pytest.fixture
    def resource(self, dask: DaskProcesses) -> dict[str, Any]:
        return {"resource": "dask", "cluster": {"scheduler": dask.address, "patience_seconds": 30}}
