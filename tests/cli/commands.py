"""The commands as they are typed: each a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.search.searches import environment

PROGRAM = "import sys; from harness.cli.main import main; sys.argv[0] = 'harness'; main()"
#: Says of each prepared file of the test session how many openings are on record when it is opened.
WATCHED = """
import sqlite3, sys

def watch(event, arguments):
    if event == "open" and "prepared" in str(arguments[0]) and "Session5" in str(arguments[0]):
        count = sqlite3.connect("results/results.db").execute("SELECT count(*) FROM test_openings").fetchone()[0]
        print(f"opened after {count}", file=sys.stderr)

sys.addaudithook(watch)
""" + PROGRAM


def command(*words: object, program: str = PROGRAM) -> list[str]:
    """Return what starts `harness` with these words."""
    return [sys.executable, "-c", program, *map(str, words)]


def type_command(
    folder: Path, *words: object, program: str = PROGRAM, columns: int = 160
) -> subprocess.CompletedProcess[str]:
    """Run what a user types in ``folder``, in a terminal of so many columns."""
    return subprocess.run(
        command(*words, program=program),
        cwd=folder,
        env=environment() | {"COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=False,
    )


def break_off(folder: Path, *words: object, at: str, number: signal.Signals) -> tuple[int, str, str]:
    """Signal a command when it prints a line that begins with ``at``; return its end and what else it printed."""
    with subprocess.Popen(
        command(*words),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(at):
                break
        process.send_signal(number)
        printed, rest = process.communicate()
    return process.returncode, printed, rest
