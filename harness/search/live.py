"""A search as people see it: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import io
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from harness.corpus.utterances import Seconds
from harness.quantities import write_duration
from harness.search.time_left import (
    TrialTime,
    estimate_search,
    estimate_trial,
    list_durations,
    seconds_between,
)
from harness.search.trial_job import TrialJob
from harness.search.trial_outcome import TrialOutcome
from harness.search.view import (
    Ending,
    SearchPlan,
    SearchReport,
    format_point,
    name_measure,
    sum_up,
)
from harness.store.records import TrialRow, TrialStatus, utc_now
from harness.store.results import ResultsStore

#: Seconds between two looks at the running trials.
_REFRESH: Seconds = 1.0
#: Shares of the corpus that are reported where there is no live line.
_PROGRESS_STEPS = 4
#: Times as long as it takes to look at every running trial, nobody looks again: 1000 of them are a second's work.
_PAUSE = 20.0


class PatientConsole(Console):
    """A console that goes quiet when nobody reads it any more; rich's own would end the program."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def open_view(experiment_path: Path) -> PlainView:
    """Return the view that suits standard output: live on a terminal, lines in a file or a pipe."""
    if sys.stdout is None:  # closed by whoever started this
        return PlainView(PatientConsole(quiet=True, file=sys.stderr), experiment_path)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A hyperparameter or a folder may have letters that the terminal's encoding lacks.
        with suppress(OSError):  # it is closed
            sys.stdout.reconfigure(errors="backslashreplace")
    console = PatientConsole(highlight=False, markup=False, soft_wrap=True, emoji=False)
    view = LiveView if console.is_terminal and not console.is_dumb_terminal else PlainView
    return view(console, experiment_path)


class _Pace:
    """Keeps what grows with the running trials from taking more than a small share of the controller's time."""

    def __init__(self) -> None:
        self._next = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it may be done again."""
        return time.monotonic() >= self._next

    @contextmanager
    def doing(self) -> Iterator[None]:
        """Measure what is done in the block."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + _PAUSE * (ended - began)


class PlainView:
    """One line for each thing that happens."""

    def __init__(self, console: Console, experiment_path: Path) -> None:
        self._console = console
        self._experiment_path = experiment_path
        self._steps_shown: dict[str, int] = {}
        self._best: tuple[float, int] | None = None
        self._began: dict[int, float] = {}
        self._pace = _Pace()
        self._seconds_left: Seconds | None = None

    def note(self, sentence: str) -> None:
        """Print a sentence."""
        self._print(sentence)

    def progress(self, doing: str, done: int, total: int) -> None:
        """Print a line at each quarter."""
        step = _PROGRESS_STEPS * done // max(total, 1)
        if self._steps_shown.get(doing) != step:
            self._steps_shown[doing] = step
            self._print(f"{doing}: {done} of {total} dialogues")

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """Say what is about to be done."""
        self._plan, self._store = plan, store
        self._ended: set[int] = set()
        self._took = list_durations(store.trials(plan.experiment.eid))
        experiment = plan.experiment
        of = ""
        if experiment.system:
            of = f" of system {experiment.system} under protocol {experiment.protocol_name}"
        self._print(
            f"Experiment {experiment.eid}, {experiment.name!r}: {plan.num_trials} trials{of}, "
            f"{plan.num_parallel} at once with {_format_threads(plan.threads)} each."
        )
        if experiment.shortened:
            self._print(experiment.shortened)
        if plan.num_done or plan.num_interrupted:
            num_new = max(0, plan.num_trials - plan.num_done - plan.num_interrupted)
            self._print(
                f"Going on where it was left: {plan.num_done} trials have ended, {plan.num_interrupted} were "
                f"interrupted and run again, {num_new} are new."
            )
        best = store.best_trial(experiment.eid)
        if best is not None and best.score is not None:
            self._best = (best.score, best.trial_index)

    def trial_started(self, trial: TrialJob) -> None:
        """Print the trial's point."""
        self._begin_trial(trial)
        self._print(f"trial {trial.trial_index} begins: {format_point(trial.point)}")

    def trial_ended(self, trial: TrialJob, outcome: TrialOutcome) -> None:
        """Print what the trial came to, and the best so far."""
        if outcome.status is not TrialStatus.STOPPED:
            self._ended.add(trial.trial_index)
        began = self._began.pop(trial.trial_id, None)
        if began is not None and outcome.status is TrialStatus.FINISHED:
            self._took.append(time.monotonic() - began)
        if outcome.score is None:
            self._print(f"trial {trial.trial_index} {outcome.status.value}: {outcome.message}")
            return
        scored = (outcome.score, trial.trial_index)
        if self._best is None or self._rank(scored) > self._rank(self._best):
            self._best = scored
        measured = f"{name_measure(self._plan.experiment)} {outcome.score:.4f}"
        self._print(
            f"trial {trial.trial_index} finished: {measured}; best so far {self._best[0]:.4f} (trial {self._best[1]}); "
            f"{self._time_left()}"
        )

    def look(self) -> Seconds | None:
        """Nothing changes between two ends of jobs."""
        return None

    def end(self, report: SearchReport) -> None:
        """Print the best trial, what went wrong, and what to type next."""
        for sentence in sum_up(report):
            self._print(sentence)
        aup = f"aup {shlex.quote(os.path.relpath(self._experiment_path))}"
        if report.ending is Ending.INTERRUPTED:
            self._print(f"Interrupted. To go on:  {aup}")
        elif report.best is not None:
            results = os.path.relpath(self._experiment_path.parent / "results")
            self._print("Next:")
            self._print(f"  harness report {shlex.quote(results)}")
            if report.experiment.system:
                named = "" if results == "results" else f" {shlex.quote(results)}"
                self._print(f"  harness retrain-best --test{named}")

    def close(self) -> None:
        """Give back what the terminal lent."""

    def _begin_trial(self, trial: TrialJob) -> None:
        # Another attempt: what ended before was not the trial's end.
        self._ended.discard(trial.trial_index)
        self._began[trial.trial_id] = time.monotonic()

    def _rank(self, scored: tuple[float, int]) -> tuple[float, int]:
        """Order (score, trial index) by what the target calls better; of equals the first trial."""
        score, index = scored
        return (score if self._plan.experiment.target == "max" else -score, -index)

    def _time_left(self) -> str:
        """Tell how long the search will go on, as `harness watch` does."""
        num_left = self._plan.num_trials - self._plan.num_done - len(self._ended)
        if self._pace.is_due:
            with self._pace.doing():
                self._seconds_left = self._estimate(num_left)
        if num_left <= 0 or self._seconds_left is None:
            return f"{max(num_left, 0)} to go"
        return f"{num_left} to go, about {write_duration(self._seconds_left)}"

    def _estimate(self, num_left: int) -> Seconds | None:
        running = [
            TrialTime(seconds_between(trial.started_at, utc_now()), self._trial_seconds_left(trial))
            for trial in self._store.running_trials(self._plan.experiment.eid)
        ]
        return estimate_search(self._took, running, max(0, num_left - len(running)), self._plan.num_parallel)

    def _trial_seconds_left(self, trial: TrialRow) -> Seconds | None:
        max_epochs = self._plan.experiment.max_epochs or None
        return estimate_trial(self._store.epochs(trial.trial_id), max_epochs)

    def _print(self, text: str) -> None:
        try:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        except OSError:
            # Whatever has become of the output, the search goes on.
            self._console.quiet = True


class LiveView(PlainView):
    """Lines for what has ended, and below them a table of what runs."""

    def __init__(self, console: Console, experiment_path: Path) -> None:
        super().__init__(console, experiment_path)
        self._live: Live | None = None
        self._table_pace = _Pace()

    def progress(self, doing: str, done: int, total: int) -> None:
        """Keep one line up to date."""
        end = "\n" if done >= total else "\r"
        try:
            self._console.print(f"{doing}: {done} of {total} dialogues", end=end, highlight=False)
        except OSError:
            self._console.quiet = True

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """Say what is about to be done, and begin the table."""
        super().begin(plan, store)
        # Refreshed by look(): rich's own refreshing would be a thread more.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def trial_started(self, trial: TrialJob) -> None:
        """Leave it to the table to show the trial."""
        self._begin_trial(trial)

    def look(self) -> Seconds | None:
        """Show the running trials as their records stand."""
        if self._live is not None and self._table_pace.is_due:
            with self._table_pace.doing():
                running = self._store.running_trials(self._plan.experiment.eid)
                try:
                    self._live.update(self._table(running), refresh=True)
                except OSError:
                    self._console.quiet = True
        return _REFRESH

    def end(self, report: SearchReport) -> None:
        """Take the table away, and sum up."""
        self.close()
        super().end(report)

    def close(self) -> None:
        """Take the table away, and give the terminal its cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self, running: list[TrialRow]) -> Table:
        best = "none yet" if self._best is None else f"{self._best[0]:.4f} (trial {self._best[1]})"
        table = Table(caption=f"best so far {best}; {self._time_left()}", caption_justify="left")
        for title in ("trial", "point", "epoch", f"best {name_measure(self._plan.experiment)}", "time left"):
            table.add_column(title)
        max_epochs = self._plan.experiment.max_epochs
        for trial in running:
            accuracy = trial.best_validation_accuracy
            table.add_row(
                str(trial.trial_index),
                format_point(trial.hyperparameters),
                f"{trial.num_epochs} of {max_epochs}" if max_epochs else "",
                "" if accuracy is None else f"{accuracy:.4f}",
                "" if (left := self._trial_seconds_left(trial)) is None else f"at most {write_duration(left)}",
            )
        return table


def _format_threads(threads: int | None) -> str:
    if threads is None:
        return "its worker's threads"
    return f"{threads} thread{'s' if threads > 1 else ''}"
