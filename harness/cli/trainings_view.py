"""The trainings that a command carries out itself: a progress line, and one line for each that has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import WorkFailedError

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def open_view() -> Iterator[TrainingsProgress]:
    """Show the progress on standard error, so that standard output has the result alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, highlight=False)
    # In a file the bar would be noise; the lines are there all the same.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield TrainingsProgress(progress)


class TrainingsProgress:
    """A progress line, and one line for each training that has ended."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("preparing", total=None)
        self._title = ""

    def preparing(self, doing: str, done: int, total: int) -> None:
        """Show how far the corpus is."""
        self._progress.update(self._task, description=doing, completed=done, total=total)

    def name_corpus(self, *, is_synthetic: bool) -> None:
        """Say before anything is trained that no score will be one on IEMOCAP, where the corpus is synthetic."""
        from harness.corpus.disclaimer import SYNTHETIC_SENTENCE

        if is_synthetic:
            self._print(SYNTHETIC_SENTENCE)

    def begin(self, num_trainings: int, num_finished: int) -> None:
        """Show how many trainings there are, and how many were finished before."""
        self._progress.reset(self._task, description="training", completed=num_finished, total=num_trainings)
        if num_finished:
            self._print(f"{num_finished} of {num_trainings} trainings were finished before.")

    def training(self, title: str, seed: int) -> None:
        """Show which training begins."""
        self._title = f"{title}, seed {seed}"
        self._progress.update(self._task, description=self._title)

    def epoch(self, stage: str, epoch: int, max_epochs: int) -> None:
        """Show the epoch that has ended."""
        self._progress.update(self._task, description=f"{self._title}: epoch {epoch} of {max_epochs}, {stage}")

    def ended(self, title: str, seed: int, sentence: str) -> None:
        """Print what a training came to."""
        self._progress.advance(self._task)
        self._print(f"{title}, seed {seed}: {sentence}")

    def _print(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, soft_wrap=True)


def require_all_finished(num_failed: int, where: str = "above and in results.db") -> None:
    """Say that trainings failed, which makes the command exit with 1.

    Args:
        where: the cause stands

    Raises:
        WorkFailedError: some did
    """
    if num_failed:
        trainings = "one training" if num_failed == 1 else f"{num_failed} trainings"
        raise WorkFailedError(
            f"{trainings} failed, with the cause {where}; the same command tries them again"
        )
