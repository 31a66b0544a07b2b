"""Searches in every state that a watcher can meet, in a real results.db with a real lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.search.lock import held, lock_path
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, begin_trial, fail_trial, run_trial

NAME = "fusion search"


@contextmanager
def running_search(results_dir: Path, num_running: int = 2) -> Iterator[ResultsStore]:
    """A search of ten trials, held by this process: two finished, one failed, and some that run."""
    with ResultsStore.open(results_dir / "results.db") as store:
        eid = begin_search(store, num_samples=max(10, 3 + num_running), name=NAME)
        with held(lock_path(results_dir, NAME), "it"):
            run_trial(store, eid, 0, 10, 0.75)
            run_trial(store, eid, 1, 10, 0.5)
            fail_trial(store, eid, 2, TrialStatus.DIVERGED, "the loss is \x1b[31mno number\x1b[0m")
            for index in range(3, 3 + num_running):
                begin_trial(store, eid, index, 10, 0.6, num_epochs=index)
            yield store
