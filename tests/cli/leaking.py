"""The commands on a small search, as they are typed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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


def command(*words, program=PROGRAM):
    return [sys.executable, "-c", program, *map(str, words)]


def environment(**variables):
    known = {name: value for name, value in os.environ.items() if name != "HARNESS_CORPUS"}
    path = os.pathsep.join(filter(None, [str(ROOT), known.get("PYTHONPATH")]))
    return {**known, "PYTHONPATH": path, "COLUMNS": "160", **variables}


def type_command(folder, *words, program=PROGRAM, **variables):
    """Run what a user types in ``folder``; returns the finished process."""
    return subprocess.run(
        command(*words, program=program), cwd=folder, env=environment(**variables), capture_output=True, text=True
    )
