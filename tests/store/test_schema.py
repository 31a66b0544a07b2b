import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.export import ExportedRows, read_rows
from harness.store.notes import read_notes, read_trial_notes
from harness.store.schema import APPLICATION_ID, MIGRATIONS, VIEWS
from harness.store.store import ResultsStore
from tests.search.searches import environment
from tests.store.experiments import an_experiment, forget_notes

TABLES = {
    "experiments", "trials", "hyperparameters", "trial_environments", "epochs", "trial_results", "prunings",
    "validation_predictions", "final_models", "test_openings", "test_scores", "test_predictions",
    "trial_test_scores", "trial_test_predictions", "test_utterances", "evaluations", "evaluation_scores",
    "evaluation_predictions", "evaluation_utterances", "folded_experiments", "trial_notes",
}  # fmt: skip


def tables(store: ResultsStore) -> set[str]:
    return {name for name in store.database.table_names() if not name.startswith(("sqlite_", "_sqlite_"))}


def test_a_new_database_has_every_table_and_every_view(store: ResultsStore) -> None:
    assert tables(store) == TABLES
    assert set(store.database.view_names()) == set(VIEWS)
    for view in VIEWS:
        assert list(store.database.query(f"SELECT * FROM {view}")) == []
    assert [migration.name for migration in MIGRATIONS.applied(store.database)] == [
        "1: experiments, trials and test evaluations",
        "2: notes on trials",
    ]
    assert store.database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_a_database_of_before_the_notes_gets_their_table_once_it_is_written_to(results_path: Path) -> None:
    """A reader made the table, so that an older file in a folder that cannot be written could not be reported."""
    with ResultsStore.open(results_path) as store:
        store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
    forget_notes(results_path)
    before = results_path.read_bytes()
    with ResultsStore.open_readonly(results_path) as store:
        assert tables(store) == TABLES - {"trial_notes"}
        assert read_notes(store, 1) == read_trial_notes(store, 1, 0) == []
        exported = read_rows(store, ExportedRows.TRIALS, [1])
        assert [row[[column.name for column in exported.columns].index("notes")] for row in exported.rows] == [None]
        assert [trial.trial_index for trial in store.trials(1)] == [0]
    assert results_path.read_bytes() == before
    with ResultsStore.open(results_path) as store:
        assert tables(store) == TABLES
        assert read_notes(store, 1) == []
        assert [trial.trial_index for trial in store.trials(1)] == [0]
    described = json.loads((results_path.parent / "metadata.json").read_text("utf-8"))
    assert "trial_notes" in described["databases"]["results"]["tables"]


ADDS_PICTURES = """
from harness.store.schema import MIGRATIONS

@MIGRATIONS(name="3: pictures")
def add_pictures(database):
    database.execute("CREATE TABLE pictures (x)")
    {then}
"""


def test_a_migration_that_is_killed_or_fails_is_done_again(results_path: Path) -> None:
    """A later version's migration; it is applied whole or not at all."""
    with ResultsStore.open(results_path) as store:
        store.create_experiment(an_experiment())
    opens = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.store.store import ResultsStore\n"
        "store = ResultsStore.open(Path(sys.argv[1]))\n"
        "print(len(store.experiments()), 'pictures' in store.database.table_names())\n"
    )
    said = []
    for then in ("import os; os.kill(os.getpid(), 9)", "raise ValueError('halfway')", "pass"):
        code = ADDS_PICTURES.format(then=then) + opens
        done = subprocess.run(
            [sys.executable, "-c", code, str(results_path)], env=environment(), capture_output=True, text=True
        )
        said.append((done.returncode, done.stdout))
        with closing(sqlite3.connect(results_path)) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert ("pictures" in names) == (then == "pass")
    assert said == [(-signal.SIGKILL, ""), (1, ""), (0, "1 True\n")]
    with pytest.raises(StoreError) as caught:
        ResultsStore.open(results_path)
    assert str(caught.value) == (
        f"results database '{results_path}': written by a newer harness (schema '3: pictures'; this one reads up to "
        "'2: notes on trials'); upgrade harness"
    )


def test_opening_a_current_database_changes_nothing(results_path: Path) -> None:
    ResultsStore.open(results_path).close()
    before = results_path.read_bytes()
    ResultsStore.open(results_path).close()
    assert results_path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trials SET status = 'finished', ended_at = 'now'",
        "UPDATE trials SET status = 'killed'",
        "INSERT INTO trials (eid, trial_index, attempt, seed, hyperparameters, status, started_at) "
        "VALUES (1, 0, 2, 0, '{}', 'running', 'now')",
        "INSERT INTO epochs (trial_id, epoch, recorded_at) VALUES (1, 0, 'now')",
        "INSERT INTO epochs (trial_id, epoch, recorded_at) VALUES (77, 1, 'now')",
        "UPDATE experiments SET kind = 'picnic'",
    ],
    ids=[
        "finished without score",
        "ended at no time",
        "two running attempts",
        "epoch zero",
        "epoch of nobody",
        "experiment of no kind",
    ],
)
def test_database_itself_refuses_what_contradicts(store: ResultsStore, statement: str) -> None:
    store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
    with pytest.raises(sqlite3.IntegrityError):
        store.database.execute(statement)


def test_store_does_without_pandas_and_leaves_it_to_others() -> None:
    code = (
        "import sys, harness.store.store\n"
        "print('pandas' in sys.modules)\n"
        "import pandas\n"
        "print(pandas.Series([1, 2]).sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "3"]
