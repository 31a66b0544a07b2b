"""A watched search drawn on a screen of any size."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.quantities import write_bytes, write_duration
from harness.search.view import format_point
from harness.search.watch_lines import (
    describe_best,
    describe_controller,
    describe_counts,
    describe_experiment,
    describe_failure,
    describe_rate,
)
from harness.search.watched import RunningTrial, Watched, WatchState
from harness.store.records import TrialRow

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
