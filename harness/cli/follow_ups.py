"""What the commands share that train the best point of a search again, each in experiments of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.best_point import BestPoint
    from harness.cli.trainings_view import TrainingsProgress
    from harness.store.results import ResultsStore
    from harness.trainings.execution import PlannedExperiment


@dataclass(frozen=True)
class FollowUp:
    """The best point of a search, where nobody else trains it again in the same way meanwhile."""

    store: ResultsStore
    best: BestPoint
    view: TrainingsProgress
    threads: int

    def train(self, experiments: Sequence[PlannedExperiment], opening_id: int | None = None) -> int:
        """Train what is not finished yet, and return the number of trainings that failed.

        Args:
            opening_id: the record that the test session was opened; None where it stays sealed
        """
        from harness.trainings.execution import Execution, carry_out

        return carry_out(Execution(self.store, self.view, self.threads, opening_id), experiments)


@contextmanager
def open_follow_up(results: Path, eid: int | None, threads: int, name: str) -> Iterator[FollowUp]:
    """Start TensorFlow, find the best trial of a search and show how its trainings go.

    Args:
        eid: the search; None for the latest
        name: of the work, which only one process does at a time in ``results``

    Raises:
        WorkFailedError: no trial has finished
        ModelError: there is no search, the experiment is none, or its trials were not of this package
        StoreError: there are no results, no such experiment, or another process is at this work
    """
    from harness.best_point import find_best_point
    from harness.cli.trainings_view import open_view
    from harness.search.lock import held
    from harness.store.queries import ResultsReader
    from harness.store.results import ResultsStore
    from harness.tensorflow_start import start_tensorflow

    database = results / "results.db"
    ResultsReader.open_readonly(database).close()
    start_tensorflow(threads)
    lock_path, what = results / f"{name}.lock", f"{name} in {str(results)!r}"
    with open_view() as view, held(lock_path, what), ResultsStore.open(database) as store:
        best = find_best_point(store, results, eid)
        view.name_corpus(is_synthetic=best.experiment.is_synthetic)
        yield FollowUp(store, best, view, threads)
