"""`harness watch`: the running search in the terminal, or as JSON."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import click

from harness.cli.options import EXPERIMENT_NUMBER, results_argument
from harness.cli.streams import takes_output
from harness.errors import StoreError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from harness.corpus.utterances import Seconds
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
@click.option("--json", "is_json", is_flag=True, help="Print each update as one line of JSON, for scripts.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two updates.",
)
@click.option("--once", is_flag=True, help="Print the current state and exit.")
def watch(results: Path, eid: int | None, is_json: bool, interval_seconds: float, once: bool) -> int:
    """Show a running search: its trials, their epochs, the best trial, and the time left.

    RESULTS is the folder of a search on this machine; if the search has not begun, the command waits for it. It
    changes no result and never delays the search. The key q quits. Without a terminal, each change is one line.

    \b
    Example:
      harness watch results/
      harness watch --json --once

    Exit codes: 0 the search is done, or you quit with q, or --once; 1 too many trials failed, or no process runs
    the search; 2 wrong arguments or nothing to read; 130 the search was interrupted, or you pressed Ctrl-C.
    """
    if once:
        return _look_once(results, eid, is_json)
    if is_json:
        return _print_json(results, eid, interval_seconds)
    from harness.search.display import has_screen, open_console

    console = open_console()
    if has_screen(console):
        return _fill_screen(console, results, eid, interval_seconds)
    return _print_lines(results, eid, interval_seconds)


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
    # With standard output closed, the loop ends before a search has begun.
    for line in [] if snapshot.experiment is None else describe_end(snapshot):
        click.echo(line)
    return _exit_code(snapshot)


def _fill_screen(console: Console, results: Path, eid: int | None, interval_seconds: float) -> int:
    from harness.search.display import Canvas, describe_end, describe_heading, describe_progress, draw

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
    """Look until the search has ended or no process runs it; stay with the experiment that was once seen running.

    A fold's search is followed by that of the next fold, unless the fold was named.
    """
    from harness.search.snapshot import SearchState, watch_search

    named = eid
    while True:
        snapshot = watch_search(results, eid)
        yield snapshot
        if not takes_output():
            return
        if _has_ended(snapshot):
            if named is not None or not _is_fold(snapshot) or _has_ended(watch_search(results, None)):
                return
            eid = None
        if snapshot.state is SearchState.RUNNING and snapshot.experiment is not None:
            eid = snapshot.experiment.eid
        time.sleep(interval_seconds)


def _has_ended(snapshot: SearchSnapshot) -> bool:
    from harness.search.snapshot import SearchState

    return snapshot.state in (SearchState.ENDED, SearchState.ABANDONED)


def _is_fold(snapshot: SearchSnapshot) -> bool:
    return snapshot.experiment is not None and snapshot.experiment.fold is not None


def _exit_code(snapshot: SearchSnapshot) -> int:
    """Return the exit code of `aup`; a search that no process runs has failed."""
    from harness.cli.main import INTERRUPTED_EXIT_CODE
    from harness.store.records import ExperimentStatus

    if not takes_output():
        return 0
    assert snapshot.experiment is not None
    codes = {ExperimentStatus.FINISHED: 0, ExperimentStatus.INTERRUPTED: INTERRUPTED_EXIT_CODE}
    return codes.get(snapshot.experiment.status, 1)


class Wake(Enum):
    """The reason why a wait has ended."""

    TIME_IS_UP = auto()
    CHANGED_SIZE = auto()  # or resumed after Ctrl-Z: the screen must be drawn again
    QUIT = auto()


class FullScreen:
    """The terminal's other screen and its keys one at a time; given back however the block ends.

    Of the main thread only, where Python delivers signals: Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, so
    that the terminal is given back first.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._keys: int | None = None
        self._modes: Any = None

    def __enter__(self) -> Self:
        from harness.search.interrupts import SignalPipe

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
        """Replace all lines of the screen."""
        from rich.console import Group

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
        from rich.live import Live

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
        """Stop this process, as Ctrl-Z asks for, with the terminal as it was; take it again on SIGCONT."""
        self._give()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _has_quit(self) -> bool:
        assert self._keys is not None
        typed = os.read(self._keys, 1024)
        if not typed:  # standard input is closed
            self._keys = None
        return b"q" in typed.lower()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
