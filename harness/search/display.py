"""A search as people see it: a live table on a terminal, plain lines anywhere else.

A watched search in plain lines: what has changed between two looks, and how it ended.

A watched search drawn on a screen of any size.

A terminal's other screen, its keys one at a time, and its changes of size; given back however it ends.
"""

from __future__ import annotations

import io
import math
import os
import select
import shlex
import signal
import sys
import termios
import textwrap
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.search.interrupts import SignalPipe
from harness.search.outcome import TrialJob, TrialOutcome
from harness.search.snapshot import RunningTrial, Watched, WatchState
from harness.search.view import (
    Ending,
    SearchPlan,
    SearchReport,
    TrialTime,
    estimate_search,
    estimate_trial,
    format_point,
    list_durations,
    name_measure,
    seconds_between,
    sum_up,
)
from harness.store.records import ExperimentKind, TrialRow, TrialStatus, utc_now
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE, write_bytes, write_duration, write_time

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


def describe_changes(before: Watched | None, now: Watched) -> list[str]:
    """Say what is new since the last look; at the first one, how things stand."""
    if now.experiment is None:
        return [] if before is not None and before.message == now.message else [now.message or ""]
    if before is None or before.experiment is None:
        return _describe_standing(now)
    controllers = [None if each.controller is None else each.controller.pid for each in (before, now)]
    said = [] if controllers[0] == controllers[1] else [describe_controller(now)]
    known = {trial.trial_id for trial in before.failures}
    said += [describe_failure(trial) for trial in reversed(now.failures) if trial.trial_id not in known]
    stood = {trial.trial_index: (trial.attempt, trial.status) for trial in before.attempts}
    for trial in now.attempts:
        if stood.get(trial.trial_index) == (trial.attempt, trial.status) or trial.status.is_failure:
            continue
        if trial.status is TrialStatus.RUNNING:
            said.append(f"trial {trial.trial_index} begins: {format_point(trial.hyperparameters)}")
        elif trial.status is TrialStatus.FINISHED:
            measure = f"{name_measure(now.experiment)} {trial.score:.4f}"
            said.append(f"trial {trial.trial_index} finished: {measure}; {describe_counts(now)} {describe_rate(now)}")
        else:
            said.append(f"trial {trial.trial_index} {trial.status.value}")
    return [line.rstrip() for line in said]


def _describe_standing(watched: Watched) -> list[str]:
    """Say what is being watched, and how it stands."""
    said = describe_heading(watched)
    if watched.state is WatchState.RUNNING:
        said += [describe_controller(watched), f"{describe_counts(watched)} {describe_rate(watched)}"]
        said += [] if watched.best is None else [describe_best(watched)]
    return said


def describe_heading(watched: Watched) -> list[str]:
    """Name the experiment, and say where its scores are none on IEMOCAP."""
    assert watched.experiment is not None
    return [describe_experiment(watched), *([SYNTHETIC_SENTENCE] if watched.experiment.is_synthetic else [])]


def describe_end(watched: Watched) -> list[str]:
    """Sum up a search that has ended, or that nobody runs any more."""
    return [*sum_up(watched.report()), describe_controller(watched)]


def describe_experiment(watched: Watched) -> str:
    """Name the experiment, what it trains and under which protocol."""
    assert watched.experiment is not None
    experiment = watched.experiment
    said = f"Experiment {experiment.eid}, {one_line(repr(experiment.name))}"
    return f"{said}: system {experiment.system}, protocol {experiment.protocol_name}" if experiment.system else said


def describe_controller(watched: Watched) -> str:
    """Say who runs the experiment, or that nobody does."""
    assert watched.experiment is not None
    if watched.state is WatchState.ENDED:
        return f"The experiment has ended: {watched.experiment.status.value}."
    if watched.state is WatchState.ABANDONED:
        kind = watched.experiment.kind
        its_file = " with its file" if kind is ExperimentKind.SEARCH else ""
        return f"Nobody runs this experiment; `{kind.command}`{its_file} goes on with it."
    controller = watched.controller
    if controller is None or controller.pid is None:
        return "A process that has only just begun runs it."
    since = write_time(controller.since)
    return f"Process {controller.pid} on {one_line(str(controller.host))} runs it since {since} UTC."


def describe_counts(watched: Watched) -> str:
    """Say how many trials are finished, running, failed and left."""
    counts = {"finished": watched.num_finished, "running": watched.num_running, "failed": watched.num_failed}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    return f"{watched.num_trials} trials: {told}, {watched.num_left} left."


def describe_rate(watched: Watched) -> str:
    """Say how fast it goes, and for how long it will; empty where nobody runs it."""
    if watched.state is not WatchState.RUNNING:
        return ""
    rate = watched.trials_per_hour
    said = "No trial has ended yet" if rate is None else f"{_format_rate(rate)} trials an hour"
    return f"{said}." if watched.seconds_left is None else f"{said}, about {write_duration(watched.seconds_left)} left."


def describe_best(watched: Watched) -> str:
    """Name the best trial so far, and its score."""
    assert watched.experiment is not None and watched.best is not None
    best = watched.best
    epoch = f", epoch {best.best_epoch}" if best.best_epoch else ""
    return f"Best {name_measure(watched.experiment)} {best.score:.4f} (trial {best.trial_index}{epoch})"


def describe_failure(trial: TrialRow) -> str:
    """Say of a trial how it failed."""
    return f"trial {trial.trial_index} {trial.status.value}: {one_line(trial.message or 'no cause is recorded')}"


def _format_rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


#: Heights of a curve, lowest first.
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*%#"
#: What is drawn of a bar: done, failed, running, left.
_BAR = ("█", "▒", "▓", "░")
_ASCII_BAR = ("#", "x", "=", ".")
#: Of a curve in the table, in cells: enough for a shape, and as many as the default of epochs.
_CURVE_WIDTHS = (6, 30)


@dataclass(frozen=True)
class Canvas:
    """What there is to draw on.

    Attributes:
        width, height: in cells
        is_ascii: whether it has no letters but ASCII's
    """

    width: int
    height: int
    is_ascii: bool = False


@dataclass(frozen=True)
class _Column:
    """A column of the table of running trials; those of the highest ``rank`` go first where the width lacks."""

    title: str
    rank: int
    cells: tuple[str, ...]

    @property
    def width(self) -> int:
        return max(len(cell) for cell in (self.title, *self.cells))


def draw(watched: Watched, canvas: Canvas, hint: str = "") -> list[Text]:
    """Draw everything that has room, the most important first.

    Args:
        hint: what the last line says of the keys

    Returns:
        at most ``canvas.height`` lines of at most ``canvas.width`` cells
    """
    above = _draw_head(watched, canvas)
    below = [Text(hint, style="dim")] if hint else []
    room = canvas.height - len(above) - len(below)
    # Why something failed is worth more than the running points: its title and its latest line have their room.
    trials = _draw_trials(watched.running, canvas, room - (2 if watched.failures else 0))
    failures = _draw_failures(watched.failures, canvas, room - len(trials))
    lines = [*above, *trials, *failures][: canvas.height - len(below)] + below
    for line in lines:
        line.truncate(canvas.width, overflow="ellipsis")
    return lines


def _draw_head(watched: Watched, canvas: Canvas) -> list[Text]:
    if watched.experiment is None:
        return _fold(watched.message or "", canvas)
    lines = _fold(describe_experiment(watched), canvas, "bold")
    if watched.experiment.is_synthetic:
        lines += _fold(SYNTHETIC_SENTENCE, canvas, "yellow")
    lines += _fold(_describe_process(watched), canvas, "" if watched.state is WatchState.RUNNING else "bold red")
    lines += [Text(), _draw_bar(watched, canvas), *_fold(describe_counts(watched), canvas)]
    lines += [*_fold(describe_rate(watched), canvas), Text()]
    if watched.best is not None:
        lines += _fold(describe_best(watched), canvas, "bold green")
        lines.append(Text(f"  {format_point(watched.best.hyperparameters)}", style="green"))
        if len(watched.scores) > 1:
            lines.append(Text(f"Scores  {_draw_curve(watched.scores, canvas.width - 8, canvas)}", style="cyan"))
        lines.append(Text())
    return lines


def _describe_process(watched: Watched) -> str:
    said = describe_controller(watched)
    controller = watched.controller
    if controller is None or controller.memory_bytes is None:
        return said
    return f"{said.removesuffix('.')}, {write_bytes(controller.memory_bytes)}."


def _draw_bar(watched: Watched, canvas: Canvas) -> Text:
    done, failed, runs, left = _ASCII_BAR if canvas.is_ascii else _BAR
    parts = [
        (done, watched.num_finished, "green"),
        (failed, watched.num_failed, "red"),
        (runs, watched.num_running, "cyan"),
        (left, watched.num_left, "dim"),
    ]
    bar, num_drawn, num_told = Text(), 0, 0
    for letter, count, style in parts:
        num_told += count
        end = round(canvas.width * num_told / max(1, watched.num_trials))
        bar.append(letter * (end - num_drawn), style=style)
        num_drawn = end
    return bar


def _draw_trials(running: Sequence[RunningTrial], canvas: Canvas, room: int) -> list[Text]:
    """Draw a table with a line a trial, and its point below where all have the room for it."""
    if not running or room < 2:
        return []
    has_points = room >= 2 + 2 * len(running)
    num_shown = len(running) if room >= 1 + len(running) else room - 2
    shown = running[: max(0, num_shown)]
    columns = _choose_columns(shown, canvas)
    lines = [Text(_join(columns, [column.title for column in columns]), style="dim")] if shown else []
    for number, trial in enumerate(shown):
        lines.append(Text(_join(columns, [column.cells[number] for column in columns])))
        if has_points:
            lines.append(Text(f"  {format_point(trial.point)}", style="dim"))
    if num_shown < len(running):
        lines.append(Text(f"and {len(running) - len(shown)} running trials more", style="dim"))
    return [*lines, Text()]


def _choose_columns(trials: Sequence[RunningTrial], canvas: Canvas) -> list[_Column]:
    def column(title: str, rank: int, cells: Sequence[str]) -> _Column:
        return _Column(title, rank, tuple(cells))

    columns = [
        column("trial", 0, [str(trial.trial_index) for trial in trials]),
        column("epoch", 1, [_of_max(trial) for trial in trials]),
        column("now", 4, [_share(trial.validation_accuracy) for trial in trials]),
        column("best", 2, [_share(trial.best_validation_accuracy) for trial in trials]),
        column("s/epoch", 6, [_epoch_seconds(trial) for trial in trials]),
        column("left", 3, [_left(trial) for trial in trials]),
        column("for", 7, [write_duration(trial.seconds_so_far) for trial in trials]),
        column("memory", 5, [_memory(trial.memory_bytes, canvas) for trial in trials]),
    ]
    columns = [each for each in columns if any(each.cells)]
    while sum(each.width + 2 for each in columns) - 2 > canvas.width and len(columns) > 1:
        columns.remove(max(columns, key=lambda each: each.rank))
    room = canvas.width - sum(each.width + 2 for each in columns)
    if room >= _CURVE_WIDTHS[0] and any(trial.num_epochs for trial in trials):
        width = min(room, _CURVE_WIDTHS[1])
        curves = [_draw_curve(trial.validation_accuracies, width, canvas).ljust(width) for trial in trials]
        columns.append(column("validation accuracy" if width >= 19 else "accuracy"[:width], 8, curves))
    return columns


def _join(columns: Sequence[_Column], cells: Sequence[str]) -> str:
    return "  ".join(
        cell.ljust(column.width) if column is columns[-1] else cell.rjust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    )


def _draw_failures(failures: Sequence[TrialRow], canvas: Canvas, room: int) -> list[Text]:
    if not failures or room < 1:
        return []
    lines = [Text("Latest failures", style="dim")] if room > 1 else []
    return [*lines, *(Text(f"  {describe_failure(trial)}", style="red") for trial in failures)][:room]


def _draw_curve(values: Sequence[float | None], width: int, canvas: Canvas) -> str:
    """Draw the latest values as bars between their lowest and their highest; what is no number is a gap."""
    blocks = _ASCII_BLOCKS if canvas.is_ascii else _BLOCKS
    shown = values[-max(1, width) :]
    known = [value for value in shown if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(
        " " if value is None or not math.isfinite(value) else blocks[round((value - low) * scale)] for value in shown
    )


def _fold(text: str, canvas: Canvas, style: str = "") -> list[Text]:
    return [Text(line, style=style) for line in textwrap.wrap(text, max(1, canvas.width))]


def _of_max(trial: RunningTrial) -> str:
    if trial.max_epochs is None:
        return str(trial.num_epochs) if trial.num_epochs else ""
    return f"{trial.num_epochs}/{trial.max_epochs}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _epoch_seconds(trial: RunningTrial) -> str:
    return "" if trial.seconds_per_epoch is None else f"{trial.seconds_per_epoch:.3g}"


def _left(trial: RunningTrial) -> str:
    return write_duration(trial.seconds_left)


def _memory(memory_bytes: int | None, canvas: Canvas) -> str:
    unknown = "-" if canvas.is_ascii else "—"
    return unknown if memory_bytes is None else write_bytes(memory_bytes)


class Wake(Enum):
    """Why a wait has ended."""

    TIME_IS_UP = auto()
    CHANGED_SIZE = auto()  # or come back after Ctrl-Z: what is on the screen is void
    QUIT = auto()


class FullScreen:
    """A context manager, of the main thread only: Python delivers signals there.

    Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, so that the terminal is given back first.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._keys: int | None = None
        self._modes: Any = None

    def __enter__(self) -> Self:
        self._signals = SignalPipe()
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._signals.handle(number, _interrupt)
        # Their numbers wake the wait; without a handler they would not, or would stop this process at once.
        for number in (signal.SIGWINCH, signal.SIGTSTP):
            self._signals.handle(number, lambda number, frame: None)
        self._take()
        return self

    def __exit__(self, *exception: object) -> None:
        self._give()
        self._signals.close()

    def show(self, lines: Sequence[Text]) -> None:
        """Put lines in the place of what is there."""
        assert self._live is not None
        self._live.update(Group(*lines), refresh=True)

    def wait(self, seconds: Seconds) -> Wake:
        """Wait for the time, the key q, or another size."""
        signals = self._signals.fileno()
        sources = [signals] if self._keys is None else [signals, self._keys]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._keys in ready and self._has_quit():
            return Wake.QUIT
        if signals in ready:
            if signal.SIGTSTP in self._signals.read():
                self._stop()
            return Wake.CHANGED_SIZE
        return Wake.CHANGED_SIZE if ready else Wake.TIME_IS_UP

    def _take(self) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self._keys = sys.stdin.fileno()
            self._modes = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _give(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._keys is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._modes)
            self._keys = None

    def _stop(self) -> None:
        """Stop as Ctrl-Z asks for, with the terminal as it was; take it again when told to go on."""
        self._give()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _has_quit(self) -> bool:
        assert self._keys is not None
        typed = os.read(self._keys, 1024)
        if not typed:  # nobody is there to type
            self._keys = None
        return b"q" in typed.lower()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
