"""`harness watch`: the running search in the terminal, or as JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import EXPERIMENT_NUMBER, results_argument
from harness.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.search.snapshot import SearchSnapshot

_HINT = "q quits; the search continues"


@click.command("watch")
@results_argument
@click.option(
    "--experiment",
    "eid",
    type=EXPERIMENT_NUMBER,
    help="Number of the experiment.  [default: the running one, or else the latest]",
)
@click.option("--json", "is_json", is_flag=True, help="Print each look as one line of JSON, for scripts.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Print one look and exit.")
def watch(results: Path, eid: int | None, is_json: bool, interval_seconds: float, once: bool) -> int:
    """Show a running search: its trials, their epochs, the best, and the time that is left.

    RESULTS is the folder of a search on this machine; if the search has not begun, the command waits for it. It
    changes no result and never delays the search. The key q quits. Without a terminal, each change is one line.

    \b
    Example:
      harness watch results/
      harness watch --json --once

    Exit codes: 0 the search is done, or you quit with q, or --once; 1 too many trials failed, or no process runs
    the search; 2 wrong arguments or nothing to read; 130 the search was interrupted, or you pressed Ctrl-C.
    """
    try:
        if once:
            return _look_once(results, eid, is_json)
        if is_json:
            return _print_json(results, eid, interval_seconds)
        from harness.search.display import has_screen, open_console

        console = open_console()
        if has_screen(console):
            return _fill_screen(console, results, eid, interval_seconds)
        return _print_lines(results, eid, interval_seconds)
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _look_once(results: Path, eid: int | None, is_json: bool) -> int:
    from harness.search.display import Canvas, draw, open_console
    from harness.search.snapshot import watch_search

    snapshot = watch_search(results, eid)
    if snapshot.experiment is None and snapshot.controller is None:
        raise StoreError(
            f"results folder '{results}': no search has begun in it; expected one that aup has started; run aup first, "
            "or name another folder"
        )
    if is_json:
        click.echo(json.dumps(snapshot.to_json()))
        return 0
    console = open_console()
    for line in draw(snapshot, Canvas.of(console, height=1000)):
        console.print(line)
    return 0


def _print_json(results: Path, eid: int | None, interval_seconds: float) -> int:
    for snapshot in _looks(results, eid, interval_seconds):
        click.echo(json.dumps(snapshot.to_json()))
    return _exit_code(snapshot)


def _print_lines(results: Path, eid: int | None, interval_seconds: float) -> int:
    from harness.search.display import describe_changes, describe_end, describe_progress

    before = None
    for snapshot in _looks(results, eid, interval_seconds):
        for line in describe_changes(before, snapshot):
            click.echo(line)
        if before is not None and before.experiment is not None and before.num_finished < snapshot.num_finished:
            click.echo(describe_progress(snapshot))
        before = snapshot
    for line in describe_end(snapshot):
        click.echo(line)
    return _exit_code(snapshot)


def _fill_screen(console: Console, results: Path, eid: int | None, interval_seconds: float) -> int:
    from harness.search.display import (
        Canvas,
        FullScreen,
        Wake,
        describe_end,
        describe_heading,
        describe_progress,
        draw,
    )

    has_quit = False
    with FullScreen(console) as screen:
        for snapshot in _looks(results, eid, 0.0):
            wake = Wake.CHANGED_SIZE
            while wake is Wake.CHANGED_SIZE:
                screen.show(draw(snapshot, Canvas.of(console), _HINT))
                wake = Wake.TIME_IS_UP if _has_ended(snapshot) else screen.wait(interval_seconds)
            has_quit = wake is Wake.QUIT
            if has_quit:
                break
    if snapshot.experiment is None:
        lines = [snapshot.message or ""]
    else:
        end = [describe_progress(snapshot)] if has_quit else describe_end(snapshot)
        lines = [*describe_heading(snapshot), *end]
    for line in lines:
        click.echo(line)
    return 0 if has_quit else _exit_code(snapshot)


def _looks(results: Path, eid: int | None, interval_seconds: float) -> Iterator[SearchSnapshot]:
    """Look until the search has ended or no process runs it; stay with the experiment that was once seen running."""
    from harness.search.snapshot import SearchState, watch_search

    while True:
        snapshot = watch_search(results, eid)
        yield snapshot
        if _has_ended(snapshot):
            return
        if snapshot.state is SearchState.RUNNING and snapshot.experiment is not None:
            eid = snapshot.experiment.eid
        time.sleep(interval_seconds)


def _has_ended(snapshot: SearchSnapshot) -> bool:
    from harness.search.snapshot import SearchState

    return snapshot.state in (SearchState.ENDED, SearchState.ABANDONED)


def _exit_code(snapshot: SearchSnapshot) -> int:
    """Return the exit code of `aup`; a search that no process runs has failed."""
    from harness.cli.main import INTERRUPTED_EXIT_CODE
    from harness.store.records import ExperimentStatus

    assert snapshot.experiment is not None
    codes = {ExperimentStatus.FINISHED: 0, ExperimentStatus.INTERRUPTED: INTERRUPTED_EXIT_CODE}
    return codes.get(snapshot.experiment.status, 1)
