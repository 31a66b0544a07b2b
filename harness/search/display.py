"""A search on the user's screen, the same for `aup` and `harness watch`.

Lines for what has changed between two snapshots, a drawing of one snapshot for a terminal of any size, and the display
of `aup`.
"""

from __future__ import annotations

import math
import os
import platform
import shlex
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from harness.corpus.utterances import Seconds
from harness.errors import one_line, visible_lines
from harness.search.lock import Holder
from harness.search.snapshot import RunningTrial, SearchSnapshot, SearchState, read_search
from harness.search.view import Ending, FoldOutcome, SearchPlan, SearchReport
from harness.splits.protocol import adapts_to_speakers
from harness.store.records import ExperimentRecord, TrialRow, TrialStatus, are_accuracies, best_of, utc_now
from harness.store.store import ResultsStore
from harness.wording import (
    ADAPTED_SENTENCE,
    SYNTHETIC_SENTENCE,
    note_last_epoch,
    plural,
    write_bytes,
    write_duration,
    write_time,
)


def format_hyperparameters(point: Mapping[str, Any]) -> str:
    """Show a trial's hyperparameters on one line.

    Example:
        >>> format_hyperparameters({"textlstm": 238, "dropout": 0.1533766075303111})
        'textlstm=238, dropout=0.1534'
    """
    return ", ".join(
        f"{one_line(name)}={value:.4g}" if isinstance(value, float) else one_line(f"{name}={value}")
        for name, value in point.items()
    )


def sum_up(snapshot: SearchSnapshot) -> list[str]:
    """Say how many trials ended how, and which one is best; what a dead controller left running has not ended."""
    is_abandoned = snapshot.state is SearchState.ABANDONED
    statuses = [trial.status for trial in snapshot.trials]
    counts = Counter(status for status in statuses if not (is_abandoned and status is TrialStatus.RUNNING))
    listed = ", ".join(f"{counts[status]} {status.value}" for status in sorted(counts)) or "none started"
    lines = [f"{counts.total()} of {plural(snapshot.num_trials, 'trial')}: {listed}."]
    if snapshot.best is not None:
        lines.append(
            f"Best trial {snapshot.best.trial_index}: {snapshot.measure} {snapshot.best.score:.4f} at "
            f"{format_hyperparameters(snapshot.best.hyperparameters)}"
        )
        experiment = snapshot.experiment
        if experiment is not None:
            note = note_last_epoch(snapshot.best.best_epoch, experiment.max_epochs, experiment.shortened)
            lines += [note] if note else []
    return lines


def describe_changes(before: SearchSnapshot | None, now: SearchSnapshot, with_begins: bool = True) -> list[str]:
    """Describe what has changed since an earlier snapshot, a line a change; at first, how things stand.

    Args:
        with_begins: also a line for each trial that has begun
    """
    if now.experiment is None:
        return [] if before is not None and before.message == now.message else [now.message or ""]
    if before is None or before.experiment is None or before.experiment.eid != now.experiment.eid:
        return _describe_standing(now)
    pids = [None if each.controller is None else each.controller.pid for each in (before, now)]
    is_resumed = pids[0] != pids[1] and now.state is SearchState.RUNNING
    return [*([describe_controller(now)] if is_resumed else []), *_describe_trials(before, now, with_begins)]


def _describe_trials(before: SearchSnapshot, now: SearchSnapshot, with_begins: bool) -> list[str]:
    """Describe each attempt that has begun or ended, in order of time, each as it was at that time."""
    assert now.experiment is not None
    known = {trial.trial_id: trial.ended_at for trial in before.attempts}
    changes: list[tuple[str, int, bool, TrialRow]] = []
    for trial in now.attempts:
        if trial.trial_id not in known:
            changes.append((trial.started_at, trial.trial_id, False, trial))
        if trial.ended_at is not None and known.get(trial.trial_id) is None:
            changes.append((trial.ended_at, trial.trial_id, True, trial))
    lines, best = [], before.best
    # An attempt that another one has followed was not its trial's end.
    last = {trial.trial_id for trial in now.trials if trial.status.counts_as_ended}
    num_ended = sum(trial.trial_id in last for trial in before.trials if trial.ended_at is not None)
    for _, _, has_ended, trial in sorted(changes, key=lambda change: change[:3]):
        if not has_ended:
            if with_begins:
                lines.append(f"trial {trial.trial_index} begins: {format_hyperparameters(trial.hyperparameters)}")
            continue
        num_ended += trial.trial_id in last
        if trial.status is not TrialStatus.FINISHED:
            lines.append(describe_unscored(trial))
            continue
        best = best_of([trial] if best is None else [best, trial], now.experiment.target)
        assert best is not None
        num_to_go = max(0, now.num_trials - num_ended)
        is_estimated = num_to_go and now.seconds_left is not None
        lines.append(
            f"trial {trial.trial_index} finished: {now.measure} {trial.score:.4f}{describe_seeds(trial)}; "
            f"best so far {best.score:.4f} (trial {best.trial_index}); {num_to_go} to go"
            + (f", about {write_duration(now.seconds_left)}" if is_estimated else "")
        )
    return lines


def _describe_standing(snapshot: SearchSnapshot) -> list[str]:
    """Name the search, and say how it stands."""
    lines = describe_heading(snapshot)
    if snapshot.state is SearchState.RUNNING:
        lines += [describe_controller(snapshot), describe_progress(snapshot)]
        lines += [] if snapshot.best is None else [describe_best(snapshot)]
    return lines


def describe_heading(snapshot: SearchSnapshot) -> list[str]:
    """Name the experiment, and say what must stand beside its scores."""
    assert snapshot.experiment is not None
    return [describe_experiment(snapshot), *describe_scores(snapshot.experiment)]


def describe_scores(experiment: ExperimentRecord) -> list[str]:
    """Say what the corpus is where it is known not to be the complete IEMOCAP, and whether scores are adapted."""
    corpus = SYNTHETIC_SENTENCE if experiment.is_synthetic else experiment.corpus_note
    adapted = ADAPTED_SENTENCE if adapts_to_speakers(experiment.protocol_name) else None
    return [sentence for sentence in (corpus, adapted) if sentence]


def describe_end(snapshot: SearchSnapshot) -> list[str]:
    """Sum up a search that has ended, or that no process runs any more."""
    return [*sum_up(snapshot), describe_controller(snapshot)]


def describe_experiment(snapshot: SearchSnapshot) -> str:
    """Name the experiment, its system and its protocol."""
    assert snapshot.experiment is not None
    experiment = snapshot.experiment
    named = f"Experiment {experiment.eid}, {one_line(repr(experiment.name))}"
    if not experiment.system:
        return named
    return f"{named}: system {experiment.named_system}, protocol {one_line(experiment.protocol_name)}"


def describe_controller(snapshot: SearchSnapshot) -> str:
    """Say which process runs the experiment, or that none does."""
    assert snapshot.experiment is not None
    if snapshot.state is SearchState.ENDED:
        return f"The experiment has ended: {snapshot.experiment.status.value}."
    if snapshot.state is SearchState.ABANDONED:
        return f"No process is running this experiment. Resume with: {snapshot.experiment.kind.command}"
    controller = snapshot.controller
    if controller is None or controller.pid is None:
        return "A process that has just started is running it."
    host, since = one_line(str(controller.host)), write_time(controller.since)
    return f"Process {controller.pid} on {host} has been running it since {since} UTC."


def describe_counts(snapshot: SearchSnapshot) -> str:
    """Say how many trials are finished, pruned where any is, running, failed and left."""
    pruned = f"{snapshot.num_pruned} pruned, " if snapshot.num_pruned else ""
    return (
        f"{plural(snapshot.num_trials, 'trial')}: {snapshot.num_finished} finished, {pruned}"
        f"{snapshot.num_running} running, "
        f"{snapshot.num_failed} failed, {snapshot.num_left} left."
    )


def describe_rate(snapshot: SearchSnapshot) -> str:
    """Say how many trials end an hour, and how long the search still takes; empty where no process runs it."""
    if snapshot.state is not SearchState.RUNNING:
        return ""
    rate = snapshot.trials_per_hour
    said = "No trial has ended yet"
    if rate is not None:
        said = f"{f'{rate:.0f}' if rate >= 100 else f'{rate:.3g}'} trials an hour"
    left = "" if snapshot.seconds_left is None else f", about {write_duration(snapshot.seconds_left)} left"
    return f"{said}{left}."


def describe_progress(snapshot: SearchSnapshot) -> str:
    """Say how many trials are where, and how fast they end."""
    return f"{describe_counts(snapshot)} {describe_rate(snapshot)}".rstrip()


def describe_best(snapshot: SearchSnapshot) -> str:
    """Name the best trial so far, and its score."""
    assert snapshot.best is not None
    epoch = f", epoch {snapshot.best.best_epoch}" if snapshot.best.best_epoch else ""
    seeds = describe_seeds(snapshot.best)
    return f"Best {snapshot.measure} {snapshot.best.score:.4f}{seeds} (trial {snapshot.best.trial_index}{epoch})"


def describe_seeds(trial: TrialRow) -> str:
    """Say how far the seeds of a trial differ; empty for one seed.

    Example:
        >>> from types import SimpleNamespace
        >>> describe_seeds(SimpleNamespace(seed_scores=(0.5, 0.6), score_spread=0.0707))
        ' as the mean of 2 seeds, standard deviation 0.0707'
    """
    if trial.score_spread is None:
        return ""
    return f" as the mean of {len(trial.seed_scores)} seeds, standard deviation {trial.score_spread:.4f}"


def describe_outcome(outcome: FoldOutcome) -> str:
    """Say in one line what a fold's search found."""
    experiment, best = outcome.experiment, outcome.best
    counts = f"{outcome.num_finished} of {plural(experiment.num_samples, 'trial')}"
    found = f"{experiment.fold} (experiment {experiment.eid}): {counts}"
    if best is None:
        return f"{found} finished."
    measure = "validation accuracy" if are_accuracies(experiment) else "score"
    return f"{found} finished; best trial {best.trial_index}, {measure} {best.score:.4f}."


def describe_unscored(trial: TrialRow) -> str:
    """Say how a trial ended without a score."""
    return f"trial {trial.trial_index} {trial.status.value}: {one_line(trial.message or 'no cause is recorded')}"


#: Heights of a curve, lowest first.
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*%#"
#: Letters of a bar: done, pruned, failed, running, left.
_BAR = ("█", "▚", "▒", "▓", "░")
_ASCII_BAR = ("#", "-", "x", "=", ".")
#: Of a curve in the table, in cells: enough for a shape, and as many as the default of epochs.
_CURVE_WIDTHS = (6, 30)


@dataclass(frozen=True)
class Canvas:
    """The room for a drawing.

    Attributes:
        width, height: in cells
        is_ascii: whether it has no letters but ASCII's
    """

    width: int
    height: int
    is_ascii: bool = False

    @classmethod
    def of(cls, console: Console, height: int | None = None) -> Canvas:
        """Return a console's whole screen, or so many of its lines."""
        is_ascii = not console.encoding.lower().startswith("utf")
        return cls(console.width, console.height if height is None else height, is_ascii)


@dataclass(frozen=True)
class _Column:
    """A column of the table of running trials; those of the highest ``rank`` go first where the width lacks."""

    title: str
    rank: int
    cells: Sequence[str]

    @property
    def width(self) -> int:
        return max(len(cell) for cell in (self.title, *self.cells))


def draw(snapshot: SearchSnapshot, canvas: Canvas, hint: str = "") -> list[Text]:
    """Draw everything that has room, the most important first.

    Args:
        hint: the last line, about the keys

    Returns:
        at most ``canvas.height`` lines of at most ``canvas.width`` cells
    """
    if snapshot.experiment is None:
        head = _fold(snapshot.message or "", canvas)
    else:
        head = _fold(describe_experiment(snapshot), canvas, "bold")
        for sentence in describe_scores(snapshot.experiment):
            head += _fold(sentence, canvas, "yellow")
        process = describe_controller(snapshot)
        if snapshot.controller is not None and snapshot.controller.memory_bytes is not None:
            process = f"{process.removesuffix('.')}, {write_bytes(snapshot.controller.memory_bytes)}."
        head += _fold(process, canvas, "" if snapshot.state is SearchState.RUNNING else "bold red")
        head += [Text(), *_draw_standing(snapshot, canvas)]
    return _fit(head, snapshot, canvas, snapshot.failures, hint)


def draw_below_lines(snapshot: SearchSnapshot, canvas: Canvas) -> list[Text]:
    """Draw what stands below lines that name the search and every failure: as ``draw``, without those."""
    return _fit([Text(), *_draw_standing(snapshot, canvas)], snapshot, canvas, (), "")


def _fit(
    head: list[Text], snapshot: SearchSnapshot, canvas: Canvas, failed: Sequence[TrialRow], hint: str
) -> list[Text]:
    below = [Text(hint, style="dim")] if hint else []
    room = canvas.height - len(head) - len(below)
    # A cause of failure matters more than the running trials: its title and its latest line keep their room.
    trials = _draw_trials(snapshot.running, canvas, room - (2 if failed else 0))
    failures = [Text("Latest failures", style="dim")] if failed and room - len(trials) > 1 else []
    failures += [Text(f"  {describe_unscored(trial)}", style="red") for trial in failed]
    lines = [*head, *trials, *failures][: canvas.height - len(below)] + below
    for line in lines:
        line.truncate(canvas.width, overflow="ellipsis")
    return lines


def _draw_standing(snapshot: SearchSnapshot, canvas: Canvas) -> list[Text]:
    lines = [_draw_bar(snapshot, canvas), *_fold(describe_counts(snapshot), canvas)]
    lines += [*_fold(describe_rate(snapshot), canvas), Text()]
    if snapshot.best is not None:
        lines += _fold(describe_best(snapshot), canvas, "bold green")
        lines.append(Text(f"  {format_hyperparameters(snapshot.best.hyperparameters)}", style="green"))
        if len(snapshot.scores) > 1:
            lines.append(Text(f"Scores  {_draw_curve(snapshot.scores, canvas.width - 8, canvas)}", style="cyan"))
        lines.append(Text())
    return lines


def _draw_bar(snapshot: SearchSnapshot, canvas: Canvas) -> Text:
    counts = (
        *(snapshot.num_finished, snapshot.num_pruned, snapshot.num_failed),
        *(snapshot.num_running, snapshot.num_left),
    )
    letters = _ASCII_BAR if canvas.is_ascii else _BAR
    bar, num_counted = Text(), 0
    for letter, count, style in zip(letters, counts, ("green", "yellow", "red", "cyan", "dim"), strict=True):
        num_counted += count
        end = round(canvas.width * num_counted / max(1, snapshot.num_trials))
        bar.append(letter * (end - len(bar)), style=style)
    return bar


def _draw_trials(running: Sequence[RunningTrial], canvas: Canvas, room: int) -> list[Text]:
    """Draw a table with a line a trial, and its hyperparameters below where all have the room for it."""
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
            lines.append(Text(f"  {format_hyperparameters(trial.point)}", style="dim"))
    if num_shown < len(running):
        lines.append(Text(f"and {plural(len(running) - len(shown), 'more running trial')}", style="dim"))
    return [*lines, Text()]


def _choose_columns(trials: Sequence[RunningTrial], canvas: Canvas) -> list[_Column]:
    unknown = "-" if canvas.is_ascii else "—"
    columns = [
        _Column("trial", 0, [str(trial.trial_index) for trial in trials]),
        _Column("epoch", 1, [_write_epoch(trial) for trial in trials]),
        _Column("now", 4, [_write_number(trial.validation_accuracy, ".4f") for trial in trials]),
        _Column("best", 2, [_write_number(trial.best_validation_accuracy, ".4f") for trial in trials]),
        _Column("s/epoch", 6, [_write_number(trial.seconds_per_epoch, ".3g") for trial in trials]),
        _Column("left", 3, [write_duration(trial.seconds_left) for trial in trials]),
        _Column("for", 7, [write_duration(trial.seconds_so_far) for trial in trials]),
        _Column("memory", 5, [write_bytes(trial.memory_bytes) or unknown for trial in trials]),
    ]
    columns = [each for each in columns if any(each.cells)]
    while sum(each.width + 2 for each in columns) - 2 > canvas.width and len(columns) > 1:
        columns.remove(max(columns, key=lambda each: each.rank))
    room = canvas.width - sum(each.width + 2 for each in columns)
    if room >= _CURVE_WIDTHS[0] and any(trial.num_epochs for trial in trials):
        width = min(room, _CURVE_WIDTHS[1])
        curves = [_draw_curve(trial.validation_accuracies, width, canvas).ljust(width) for trial in trials]
        columns.append(_Column("validation accuracy" if width >= 19 else "accuracy"[:width], 8, curves))
    return columns


def _join(columns: Sequence[_Column], cells: Sequence[str]) -> str:
    return "  ".join(
        cell.ljust(column.width) if column is columns[-1] else cell.rjust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    )


def _write_epoch(trial: RunningTrial) -> str:
    if trial.max_epochs is None:
        return str(trial.num_epochs) if trial.num_epochs else ""
    return f"{trial.num_epochs}/{trial.max_epochs}"


def _write_number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _draw_curve(values: Sequence[float | None], width: int, canvas: Canvas) -> str:
    """Draw the latest values as bars between their lowest and their highest, with a gap where one is no number."""
    blocks = _ASCII_BLOCKS if canvas.is_ascii else _BLOCKS
    shown = [None if value is None or not math.isfinite(value) else value for value in values[-max(1, width) :]]
    known = [value for value in shown if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(blocks) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if value is None else blocks[round((value - low) * scale)] for value in shown)


def _fold(text: str, canvas: Canvas, style: str = "") -> list[Text]:
    return [Text(line, style=style) for line in textwrap.wrap(text, max(1, canvas.width))]


class PatientConsole(Console):
    """A console that goes quiet when its reader has gone; rich's own would end the program."""

    def on_broken_pipe(self) -> None:
        """Print nothing from here on."""
        self.quiet = True


def open_console() -> PatientConsole:
    """Return a console on standard output, a quiet one where whoever started this process has closed it."""
    if sys.stdout is None:
        return PatientConsole(quiet=True, file=sys.stderr)
    return PatientConsole(highlight=False, markup=False, soft_wrap=True, emoji=False)


def has_screen(console: Console) -> bool:
    """Return True for a console that can move its cursor."""
    return console.is_terminal and not console.is_dumb_terminal


#: Seconds between two looks of `aup` at its running trials on a terminal.
_REFRESH: Seconds = 1.0
#: The least of them where there are only lines.
_LEAST_PAUSE: Seconds = 0.25
#: A look is followed by a pause of so many times its processor time: with 1000 running trials that is a second.
_PAUSE = 20.0
#: Shares of the corpus that are reported where there is no live line.
_PROGRESS_STEPS = 4


class SearchDisplay:
    """The display of `aup`, a ``SearchView``: lines for what happens, and on a terminal the running trials below."""

    def __init__(self, console: Console, experiment_path: Path) -> None:
        self._console = console
        self._experiment_path = experiment_path
        self._steps_shown: dict[str, int] = {}
        self._live: Live | None = None
        self._next_look = 0.0

    def note(self, sentence: str) -> None:
        """Print a sentence."""
        self._print(sentence)

    def progress(self, doing: str, done: int, total: int) -> None:
        """Keep one line up to date on a terminal; elsewhere print a line at each quarter."""
        line = f"{doing}: {done} of {total} dialogues"
        step = _PROGRESS_STEPS * done // max(total, 1)
        if has_screen(self._console):
            self._print(line, end="\n" if done >= total else "\r")
        elif self._steps_shown.get(doing) != step:
            self._steps_shown[doing] = step
            self._print(line)

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """Print the plan, and begin the drawing below."""
        experiment = plan.experiment
        of = f" of system {experiment.named_system} under protocol {experiment.protocol_name}"
        of = of if experiment.system else ""
        threads = "its worker's threads" if plan.threads is None else f"{plan.threads} threads"
        if plan.threads == 1:
            threads = "1 thread"
        self._print(
            f"Experiment {experiment.eid}, {experiment.name!r}: {plural(plan.num_trials, 'trial')}{of}, "
            f"{plan.num_parallel} at once with {threads} each."
        )
        if experiment.shortened and experiment.fold is None:
            self._print(experiment.shortened)
        if experiment.corpus_note:
            self._print(experiment.corpus_note)
        if adapts_to_speakers(experiment.protocol_name):
            self._print(ADAPTED_SENTENCE)
        if plan.num_done or plan.num_interrupted:
            num_new = max(0, plan.num_trials - plan.num_done - plan.num_interrupted)
            self._print(
                f"Resuming: {plural(plan.num_done, 'trial')} ended before, {plan.num_interrupted} interrupted and run "
                f"again, {num_new} new."
            )
        self._store, self._eid = store, experiment.eid
        self._holder = Holder(os.getpid(), platform.node(), utc_now())
        self._snapshot = self._read()
        if has_screen(self._console):
            # Refreshed by look(): rich's own refreshing would be a thread more.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()

    def look(self) -> Seconds | None:
        """Print what has changed and draw the running trials, unless the last look was just now."""
        pause = self._next_look - time.monotonic()
        if pause > 0:
            return pause
        # Processor time: on a busy machine a look takes long, and is no more work.
        began = time.thread_time()
        self._show()
        pause = max(_LEAST_PAUSE, _PAUSE * (time.thread_time() - began))
        self._next_look = time.monotonic() + pause
        return None if self._live is None else max(_REFRESH, pause)

    def end(self, report: SearchReport) -> None:
        """Print the last changes, the best trial, and what to type next."""
        self._show()
        self.close()
        for line in sum_up(self._snapshot):
            self._print(line)
        if report.ending is Ending.INTERRUPTED:
            self._print(f"Interrupted. Resume with:  aup {shlex.quote(os.path.relpath(self._experiment_path))}")
        elif report.best is not None and report.experiment.fold is None:
            self._print_next(*(("replicate", "retrain-best") if report.experiment.system else ()))

    def end_folds(self, outcomes: Sequence[FoldOutcome]) -> None:
        """Print a line for each fold, and what to type next."""
        for line in map(describe_outcome, outcomes):
            self._print(line)
        if any(outcome.experiment.is_synthetic for outcome in outcomes):
            self._print(SYNTHETIC_SENTENCE)
        self._print_next("retrain-best")

    def _print_next(self, *commands: str) -> None:
        results = os.path.relpath(self._experiment_path.parent / "results")
        self._print("Next:")
        self._print(f"  harness report {shlex.quote(results)}")
        named = "" if results == "results" else f" {shlex.quote(results)}"
        for command in commands:
            # Without --test: the test session is for the end of the work, not for the first search of many.
            self._print(f"  harness {command}{named}")

    def close(self) -> None:
        """Take the drawing away, and give the terminal its cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self) -> None:
        before, self._snapshot = self._snapshot, self._read()
        for line in describe_changes(before, self._snapshot, with_begins=self._live is None):
            self._print(line)
        if self._live is not None:
            lines = draw_below_lines(self._snapshot, Canvas.of(self._console, self._console.height - 1))
            try:
                self._live.update(Group(*lines), refresh=True)
            except OSError:
                self._console.quiet = True

    def _read(self) -> SearchSnapshot:
        results_dir = self._experiment_path.parent / "results"
        return read_search(self._store, results_dir, self._eid, self._holder, measure_memory=self._live is not None)

    def _print(self, text: str, end: str = "\n") -> None:
        try:
            self._console.print(visible_lines(text), end=end, highlight=False, markup=False, soft_wrap=True)
        except OSError:
            # The search continues without its output.
            self._console.quiet = True
