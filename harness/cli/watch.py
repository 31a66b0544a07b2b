"""`harness watch`: the running search in the terminal, or as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import EXPERIMENT_NUMBER, results_argument
from harness.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.search.snapshot import Watched

_HINT = "q quits; the search goes on"


@click.command("watch")
@results_argument
@click.option(
    "--experiment",
    "eid",
    type=EXPERIMENT_NUMBER,
    help="Number of the experiment.  [default: the running one, or else the latest]",
)
@click.option("--json", "is_json", is_flag=True, help="One JSON object a look and line, for scripts.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="One look, printed, instead of one after another until the search ends.")
def watch(results: Path, eid: int | None, is_json: bool, interval_seconds: float, once: bool) -> int:
    """Show a running search as it goes: its trials, their epochs, the best, and the time that is left.

    RESULTS is the folder of a search on this machine; one that has not begun is waited for. No result is changed,
    and the search never waits. The key q leaves; where there is no terminal, each change is a line.

    \b
    Example:
      harness watch results/
      harness watch --json --once

    Exit codes: 0 the search is done, you left with q, or --once; 1 too many trials failed, or nobody runs it any
    more; 2 wrong arguments or nothing to read; 130 it was interrupted, or you left with Ctrl-C.
    """
    try:
        if once:
            return _look_once(results, eid, is_json)
        if is_json:
            return _print_json(results, eid, interval_seconds)
        console = _open_console()
        if console.is_terminal and not console.is_dumb_terminal:
            return _fill_screen(console, results, eid, interval_seconds)
        return _print_lines(results, eid, interval_seconds)
    except BrokenPipeError:
        # Nobody reads any more; Python would say so once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _look_once(results: Path, eid: int | None, is_json: bool) -> int:
    from harness.search.snapshot import watch_search

    watched = watch_search(results, eid)
    if watched.experiment is None and watched.controller is None:
        raise StoreError(
            f"results folder '{results}': no search has begun in it; expected one that aup has started; run aup first, "
            "or name another folder"
        )
    if is_json:
        _print_object(watched)
        return 0
    from harness.search.display import Canvas, draw

    console = _open_console()
    for line in draw(watched, Canvas(console.width, 1000, _is_ascii(console))):
        console.print(line, soft_wrap=True, highlight=False)
    return 0


def _print_json(results: Path, eid: int | None, interval_seconds: float) -> int:
    for watched in _looks(results, eid, interval_seconds):
        _print_object(watched)
    return _exit_code(watched)


def _print_lines(results: Path, eid: int | None, interval_seconds: float) -> int:
    from harness.search.display import describe_changes, describe_end

    before = None
    for watched in _looks(results, eid, interval_seconds):
        for line in describe_changes(before, watched):
            click.echo(line)
        before = watched
    for line in describe_end(watched):
        click.echo(line)
    return _exit_code(watched)


def _fill_screen(console: Console, results: Path, eid: int | None, interval_seconds: float) -> int:
    from harness.search.display import (
        Canvas,
        FullScreen,
        Wake,
        describe_counts,
        describe_end,
        describe_heading,
        describe_rate,
        draw,
    )

    has_quit = False
    with FullScreen(console) as screen:
        for watched in _looks(results, eid, 0.0):
            wake = Wake.CHANGED_SIZE
            while wake is Wake.CHANGED_SIZE:
                screen.show(draw(watched, Canvas(console.width, console.height, _is_ascii(console)), _HINT))
                wake = Wake.TIME_IS_UP if _has_ended(watched) else screen.wait(interval_seconds)
            has_quit = wake is Wake.QUIT
            if has_quit:
                break
    if watched.experiment is None:
        said = [watched.message or ""]
    elif has_quit:
        said = [*describe_heading(watched), f"{describe_counts(watched)} {describe_rate(watched)}"]
    else:
        said = [*describe_heading(watched), *describe_end(watched)]
    for line in said:
        click.echo(line)
    return 0 if has_quit else _exit_code(watched)


def _looks(results: Path, eid: int | None, interval_seconds: float) -> Iterator[Watched]:
    """Look until the search has ended, or nobody runs it any more; what once ran is what is watched."""
    import time

    from harness.search.snapshot import WatchState, watch_search

    while True:
        watched = watch_search(results, eid)
        yield watched
        if _has_ended(watched):
            return
        if watched.state is WatchState.RUNNING and watched.experiment is not None:
            eid = watched.experiment.eid
        time.sleep(interval_seconds)


def _has_ended(watched: Watched) -> bool:
    from harness.search.snapshot import WatchState

    return watched.state in (WatchState.ENDED, WatchState.ABANDONED)


def _exit_code(watched: Watched) -> int:
    """Return what `aup` would: a search that nobody runs has failed to go on."""
    from harness.cli.main import INTERRUPTED_EXIT_CODE
    from harness.store.records import ExperimentStatus

    assert watched.experiment is not None
    codes = {ExperimentStatus.FINISHED: 0, ExperimentStatus.INTERRUPTED: INTERRUPTED_EXIT_CODE}
    return codes.get(watched.experiment.status, 1)


def _print_object(watched: Watched) -> None:
    import json

    click.echo(json.dumps(watched.to_json()))


def _open_console() -> Console:
    from rich.console import Console

    # A hyperparameter or a folder may have letters that the terminal's encoding lacks.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(highlight=False, markup=False, emoji=False)


def _is_ascii(console: Console) -> bool:
    return not console.encoding.lower().startswith("utf")
