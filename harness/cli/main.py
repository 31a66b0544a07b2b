"""`harness`: the list of commands; each module is imported when its command is called."""

from __future__ import annotations

import difflib
import errno
import importlib
import os
import signal
import sys
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import click

from harness import __version__
from harness.cli.streams import StandardStreams
from harness.errors import HarnessError, one_line

INTERRUPTED_EXIT_CODE = 130

#: Seconds in which a finalizer has ended.
_INTERRUPT_DELAY = 0.02


@dataclass(frozen=True)
class LazyCommand:
    """The place of a command, and its line in `harness --help`."""

    module: str
    function: str
    summary: str


COMMANDS: Mapping[str, LazyCommand] = {
    "init": LazyCommand("harness.cli.init", "init", "Write a new experiment's files into a folder."),
    "schema": LazyCommand("harness.cli.schema", "schema", "Print the JSON Schema of experiment.json, for editors."),
    "synth": LazyCommand("harness.cli.synth", "synth", "Write the synthetic corpus into a folder."),
    "prepare": LazyCommand("harness.cli.prepare", "prepare", "Read a corpus and prepare its features."),
    "systems": LazyCommand("harness.cli.systems", "systems", "List the systems, or show one with its search space."),
    "watch": LazyCommand("harness.cli.watch", "watch", "Show a running search."),
    "report": LazyCommand("harness.cli.report", "report", "Show the results of a search, and write its page."),
    "note": LazyCommand("harness.cli.note", "note", "Write a note on a trial, for the report and exports."),
    "retrain-best": LazyCommand(
        "harness.cli.retrain", "retrain_best", "Train the best trial again on train + validation."
    ),
    "replicate": LazyCommand(
        "harness.cli.replicate", "replicate", "Train the best trial with new seeds, to measure luck."
    ),
    "leaks": LazyCommand("harness.cli.leaks", "leaks", "Train the best trial under other splits, to measure leaks."),
    "tables": LazyCommand(
        "harness.cli.tables", "tables", "Train the paper's systems, and print its tables beside ours."
    ),
    "compare": LazyCommand("harness.cli.compare", "compare", "Compare searches side by side."),
    "export": LazyCommand("harness.cli.export", "export", "Write trials, epochs or scores as CSV or Parquet."),
    "check": LazyCommand(
        "harness.cli.check", "check", "Check a corpus, a split or a results folder."
    ),
    "predict": LazyCommand("harness.cli.predict", "predict", "Classify a recording or a dialogue with a saved model."),
    "evaluate": LazyCommand("harness.cli.evaluate", "evaluate", "Score a saved model on another corpus."),
    "completion": LazyCommand("harness.cli.reference", "completion", "Print the script for completion in a shell."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, or its own help is shown."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        entry = COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(entry.module), entry.function)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            expected = f"{near[0]!r}, or another of" if near else "one of"
            raise click.UsageError(f"No such command {name!r:.80}; expected {expected} {', '.join(COMMANDS)}.", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def harness() -> None:
    """Find, train and honestly score multimodal emotion classifiers on IEMOCAP.

    The search itself is `aup experiment.json`. If no corpus is named, it makes and uses a synthetic one.

    \b
    Example:
      aup experiment.json
      harness report results/
      harness retrain-best --test
    """


def run(command: Callable[..., Any], program: str) -> int:
    """Run a click command; errors become one sentence on standard error and an exit code."""
    try:
        result = command(prog_name=program, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except HarnessError as error:
        # A path or a name in it may hold what a terminal would obey.
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        # A file or folder that may not be read or written, wherever it is met; anything else is a bug.
        if error.filename is None or error.strerror is None:
            raise
        what = f"error: '{error.filename}': {error.strerror}; make it readable and writable, or name another"
        print(one_line(what), file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_EXIT_CODE


class _Interrupts:
    """Remembers whether Ctrl-C or SIGTERM was pressed: a library may catch the exception that it raises."""

    def __init__(self) -> None:
        self.have_come = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise ``KeyboardInterrupt`` in whatever runs."""
        self.have_come = True
        raise KeyboardInterrupt

    def raise_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Interrupt once more where Python had nobody to give the exception to, such as a finalizer's caller."""
        if unraisable.exc_type is KeyboardInterrupt:
            # Not here: this runs inside the finalizer, which would swallow it again.
            start_new_thread(_interrupt_soon, ())
        else:
            sys.__unraisablehook__(unraisable)


def _interrupt_soon() -> None:
    time.sleep(_INTERRUPT_DELAY)
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def _interruptible() -> Iterator[_Interrupts]:
    """Turn Ctrl-C and SIGTERM into ``KeyboardInterrupt``, and ignore both from the end of the block on.

    What was pressed by then is done: pressing it again gets the exit code, and no traceback.
    """
    interrupts = _Interrupts()
    # A background job of a script has Ctrl-C ignored, and keeps it so.
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    sys.unraisablehook = interrupts.raise_again
    for number in numbers:
        signal.signal(number, interrupts.handle)
    try:
        yield interrupts
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def serve(command: Callable[..., Any], program: str, *, needs_output: bool = True) -> int:
    """Run a command as a program of its own, and return its exit code: with any standard streams and signals.

    Args:
        needs_output: whether the command has failed where standard output did not take all of it
    """
    streams = StandardStreams()
    try:
        with _interruptible() as interrupts:
            try:
                code = run(command, program)
            except Exception:
                # Of a library that an interrupt left half imported.
                if not interrupts.have_come:
                    raise
                code = INTERRUPTED_EXIT_CODE
            if interrupts.have_come:
                code = INTERRUPTED_EXIT_CODE
    except KeyboardInterrupt:  # a second one, while the first was being handled
        code = INTERRUPTED_EXIT_CODE
    failure = streams.close()
    # A reader that has left has seen enough.
    if failure is None or failure.errno == errno.EPIPE or not needs_output:
        return code
    print(
        f"error: standard output: {failure.strerror}; the command has done its work, but not all of its output was "
        "written; send it to a terminal, a pipe, or a file on a disk with room",
        file=sys.stderr,
        flush=True,
    )
    return code or 2


def main() -> None:
    """The entry point of the `harness` command."""
    sys.exit(serve(harness, "harness"))
