"""The SQLite store, on a file, keeps the contract of every store."""

from pathlib import Path

from harness.store.store import ResultsStore
from tests.store.contract import StoreContract


class TestSQLiteStore(StoreContract):
    def open(self, path: Path) -> ResultsStore:
        return ResultsStore.open(path)
