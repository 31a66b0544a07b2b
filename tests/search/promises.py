"""What every search must leave behind, however it ended."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.store.records import TrialRow
from harness.store.store import ResultsStore
from tests.search.searches import start_aup

#: A search that walks over ``case``, each value once; its trial's script does what CASES says.
ONE_TRIAL_A_CASE = """
import json, os, resource, signal, sys, time
case = json.load(open(sys.argv[1]))["case"]
CASES = json.loads({cases!r})
exec(CASES[case])
"""


def finish(process: subprocess.Popen[str], seconds: float = 50.0) -> tuple[int, list[str], str]:
    """Return the exit code, the lines of standard output, and standard error, empty where they go elsewhere."""
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, (output or "").splitlines(), errors or ""


def run_aup(path: Path, *options: str, **settings: Any) -> tuple[int, list[str], str]:
    """Run `aup` to its end, as a user does."""
    return finish(start_aup(path, *options, **settings))


def search_cases(folder: Path, cases: dict[str, str], **changes: Any) -> dict[str, list[TrialRow]]:
    """Run one trial for each case's code; return the attempts by case."""
    values = {
        "name": "cases",
        "script": "cases.py",
        "resource": "cpu",
        "target": "max",
        "proposer": "sequence",
        "parameter_config": [{"name": "case", "range": list(cases), "type": "choice"}],
        "n_parallel": 4,
        "max_failures": len(cases),
    }
    (folder / "cases.py").write_text(ONE_TRIAL_A_CASE.format(cases=json.dumps(cases)))
    path = folder / "experiment.json"
    path.write_text(json.dumps({**values, **changes}))
    code, _, errors = run_aup(path)
    assert (code, errors) == (0, "")
    check_database(folder)
    attempts: dict[str, list[TrialRow]] = {case: [] for case in cases}
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        for trial in store.trials(1):
            attempts[str(trial.hyperparameters["case"])].append(trial)
    return attempts


def check_database(folder: Path) -> None:
    """Check that results.db was closed clean, holds together, has nothing that runs, and is the only database."""
    database = folder / "results" / "results.db"
    # Not by "*.db*": the name of a part of the features may hold a hash that begins so.
    found = [path for path in (folder / "results").rglob("*") if path.suffix.startswith(".db")]
    assert found == [database]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        for table in ("trials", "experiments"):
            running = f"SELECT count(*) FROM {table} WHERE status = 'running'"
            assert connection.execute(running).fetchone() == (0,), f"a row of {table} is running"
