"""The parts that several commands share: arguments and options, their completion in a shell, progress, follow-ups."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem
from click.types import IntParamType, StringParamType

from harness.errors import HarnessError, WorkFailedError

if TYPE_CHECKING:
    from rich.progress import Progress

    from harness.final.best_point import BestPoint
    from harness.store.records import TestOpeningRow
    from harness.store.store import ResultsStore
    from harness.training.runner import PlannedExperiment

#: As in `harness.store.store`, which takes longer to import than a command's help text.
DATABASE = "results.db"


def _results_of(context: click.Context) -> Path:
    return Path(context.params.get("results") or "results")


#: Completion waits no longer than this for a locked database.
_COMPLETION_PATIENCE = 0.2


def _offer_experiments(results: Path, before: str, begun: str, *, only_searches: bool) -> list[CompletionItem]:
    from harness.errors import StoreError
    from harness.store.connection import has_tables
    from harness.store.store import ResultsStore

    path = results / DATABASE
    try:
        if not has_tables(path, _COMPLETION_PATIENCE):
            return []
        with ResultsStore.open_readonly(path, _COMPLETION_PATIENCE) as store:
            experiments = store.experiments()
    except StoreError:
        return []
    return [
        CompletionItem(f"{before}{experiment.eid}", help=experiment.name)
        for experiment in experiments
        if str(experiment.eid).startswith(begun) and (experiment.is_search or not only_searches)
    ]


class ExperimentNumber(IntParamType):
    """The number of an experiment in the command's results folder.

    Args:
        only_searches: whether the command takes no other kind
    """

    def __init__(self, *, only_searches: bool) -> None:
        self._only_searches = only_searches

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the numbers, each with its experiment's name."""
        # click leaves what it has read of the line in args, where the option's value is what is missing.
        named = [Path(argument) for argument in context.args]
        results = next((path for path in named if (path / DATABASE).is_file()), _results_of(context))
        return _offer_experiments(results, "", incomplete, only_searches=self._only_searches)


class ExperimentName(StringParamType):
    """A search, in any results folder: ``3``, ``NAME``, ``FOLDER``, ``FOLDER:3`` or ``FOLDER:NAME``."""

    name = "experiment"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the numbers of the folder before the colon, and paths."""
        folder, colon, number = incomplete.rpartition(":")
        results = Path(folder) if colon else _results_of(context)
        given: list[str] = list(context.params.get("experiments") or [])
        if given[1:] and given[-1] == ":":
            # bash takes a colon for the end of a word.
            results = Path(given[-2])
        items = _offer_experiments(results, f"{folder}{colon}", number, only_searches=True)
        return items or [CompletionItem(incomplete, type="dir")]


class SystemName(StringParamType):
    """The name of a system."""

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the systems."""
        return self._offer("", incomplete, given=())

    @staticmethod
    def _offer(before: str, begun: str, given: Sequence[str]) -> list[CompletionItem]:
        from harness.models.systems import SYSTEMS

        names = [name for name in SYSTEMS if name.startswith(begun) and name not in given]
        return [CompletionItem(f"{before}{name}") for name in names]


class SystemNames(SystemName):
    """Names of systems with commas between them, or of baselines, which the shell does not offer."""

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the systems that are not yet in the list."""
        before, comma, begun = incomplete.rpartition(",")
        return self._offer(f"{before}{comma}", begun, given=before.split(","))


EXPERIMENT_NUMBER = ExperimentNumber(only_searches=False)
SEARCH_NUMBER = ExperimentNumber(only_searches=True)
EXPERIMENT_NAME = ExperimentName()
SYSTEM_NAME = SystemName()
SYSTEM_NAMES = SystemNames()


results_argument = click.argument("results", type=click.Path(path_type=Path), default="results")

search_option = click.option(
    "--experiment", "eid", type=SEARCH_NUMBER, help="Number of the search.  [default: the latest]"
)

threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processor threads.  [default: all]"
)


def seeds_option(*, default: int, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--seeds``; each command has its own default and help."""
    return click.option(
        "--seeds", "num_seeds", type=click.IntRange(min=1), default=default, show_default=True, help=help
    )


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, and nothing elsewhere; it goes away at the end.

    Yields:
        a function of the number of dialogues done and of all; there is no bar while the latter is 0
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True, markup=False, emoji=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None, visible=False)

        def show(num_done: int, num_all: int) -> None:
            bar.update(task, completed=num_done, total=num_all, visible=num_all > 0)

        yield show


def typed_command() -> str:
    """Return the command line of this process, quoted so that it can be run again; each test evaluation keeps it."""
    return shlex.join(["harness", *sys.argv[1:]])


@contextmanager
def open_view() -> Iterator[TrainingsProgress]:
    """Show the progress of trainings on standard error, so that standard output holds the result alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    # In a file the bar would be noise; the lines are printed there too.
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
        """Say before the first training that no score will be one on IEMOCAP, if the corpus is synthetic."""
        from harness.wording import SYNTHETIC_SENTENCE

        if is_synthetic:
            self._print(SYNTHETIC_SENTENCE)

    def announce(self, sentence: str) -> None:
        """Say before the first training what will be trained."""
        self._print(sentence)

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
        """Print the outcome of a training."""
        self._progress.advance(self._task)
        self._print(f"{title}, seed {seed}: {sentence}")

    def _print(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, soft_wrap=True)


def require_all_finished(num_failed: int, where: str = "above and in results.db") -> None:
    """Raise if trainings failed, so that the command exits with 1.

    Args:
        where: the user finds the cause

    Raises:
        WorkFailedError: ``num_failed`` is not 0
    """
    if num_failed:
        trainings = "one training" if num_failed == 1 else f"{num_failed} trainings"
        raise WorkFailedError(
            f"{trainings} failed, with the cause {where}; the same command tries them again"
        )


@contextmanager
def name_test_scores(results: Path) -> Iterator[list[ResultsStore]]:
    """Say at the end, whatever ends the block, where the scores are of each test evaluation that was begun in it.

    On standard error: standard output may be full, or hold JSON alone. Nothing is said where the record cannot be
    read, so that what ended the block is what the user sees.

    Yields:
        a list to which the block adds each store that it records test evaluations in: another process may begin some
        in the same folder meanwhile
    """
    from harness.store.store import ResultsStore

    database = results / DATABASE
    stores: list[ResultsStore] = []
    try:
        yield stores
    finally:
        begun = {number for store in stores for number in store.openings_begun}
        with suppress(HarnessError):
            if begun:
                with ResultsStore.open_readonly(database) as store:
                    openings = [opening for opening in store.openings() if opening.opening_id in begun]
                for opening in openings:
                    _name_scores(opening, results, database)


def _name_scores(opening: TestOpeningRow, results: Path, database: Path) -> None:
    ended = "" if opening.completed_at is not None else " It was not completed."
    of_search = "" if opening.eid is None else f" --experiment {opening.eid}"
    again = f"harness report {shlex.quote(str(results))}{of_search}"
    if opening.eid is None:
        again = f"harness export {shlex.quote(str(results))} --what test-scores --all --csv -"
    click.echo(
        f"Test evaluation {opening.opening_id} is on record in '{database}'.{ended} To see what it has recorded, "
        f"without another evaluation: {again}",
        err=True,
    )


@dataclass(frozen=True)
class FollowUp:
    """The best trial of a search, to be trained again by this process alone."""

    store: ResultsStore
    best: BestPoint
    view: TrainingsProgress
    threads: int

    def train(self, experiments: Sequence[PlannedExperiment], opening_id: int | None = None) -> int:
        """Run the trainings that are not finished yet, and return the number of those that failed.

        Args:
            opening_id: the record of the test evaluation; None where the test session stays sealed
        """
        from harness.training.runner import Execution, carry_out

        return carry_out(Execution(self.store, self.view, self.threads, opening_id), experiments)


def require_results(results: Path) -> None:
    """Check that a folder has results. A command calls this before it imports TensorFlow, which takes seconds.

    Raises:
        StoreError: there are none, or they cannot be read
    """
    from harness.store.store import ResultsStore

    ResultsStore.open_readonly(results / DATABASE).close()


@contextmanager
def open_follow_up(results: Path, eid: int | None, threads: int, name: str) -> Iterator[FollowUp]:
    """Start TensorFlow, find the best trial of a search, and show the progress of its trainings.

    Args:
        eid: the search; None for the latest
        name: of the work, which only one process does at a time in ``results``

    Raises:
        WorkFailedError: no trial has finished
        ModelError: there is no search, the experiment is none, or its trials were not of this package
        StoreError: there are no results, no such experiment, or another process is at this work
    """
    from harness.search.lock import held
    from harness.store.store import ResultsStore

    require_results(results)
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)
    # Imported here: it imports TensorFlow, which has to be started before.
    from harness.final.best_point import find_best_point

    lock_path, what = results / f"{name}.lock", f"{name} in {str(results)!r}"
    with open_view() as view, held(lock_path, what), ResultsStore.open(results / DATABASE) as store:
        best = find_best_point(store, results, eid)
        view.name_corpus(is_synthetic=best.experiment.is_synthetic)
        yield FollowUp(store, best, view, threads)
