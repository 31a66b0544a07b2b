import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.store.records import ExperimentKind
from harness.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, Database
from harness.store.store import ResultsStore
from tests.search.searches import environment
from tests.store.experiments import an_experiment

TABLES = {
    "experiments", "trials", "hyperparameters", "trial_environments", "epochs", "trial_results",
    "validation_predictions", "final_models", "test_openings", "test_scores", "test_predictions",
    "trial_test_scores", "trial_test_predictions", "test_utterances",
}  # fmt: skip


def tables(store: ResultsStore) -> set[str]:
    return {name for name in store._database.table_names() if not name.startswith("sqlite_")}


#: What a column of a filled table holds, where its type does not say it.
VALUES = {
    "target": "max", "is_synthetic": 0, "status": "finished", "hyperparameters": "{}", "seeds": "[1]",
    "kind": "tables",
}  # fmt: skip
BY_TYPE = {"INTEGER": 1, "REAL": 0.5, "TEXT": "search"}


def write_version(path: Path, version: int) -> dict[str, dict[str, object]]:
    """Write a database as it was at ``version``, with a row in each table, and return the rows by table."""
    path.parent.mkdir()
    old = sqlite3.connect(path, isolation_level=None)
    for migrate in MIGRATIONS[:version]:
        migrate(Database(old))
    written = {}
    if version:
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        for (table,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if not table.startswith("sqlite_"):
                columns = old.execute(f"PRAGMA table_info({table})").fetchall()
                row = {name: VALUES.get(name, BY_TYPE[kind]) for _, name, kind, *_ in columns}
                names, places = ", ".join(row), ", ".join("?" for _ in row)
                old.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", list(row.values()))
                written[table] = row
    assert old.execute("PRAGMA foreign_key_check").fetchall() == []
    old.close()
    return written


def schema_of(store: ResultsStore) -> list[tuple[str, str, str]]:
    return list(store._database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall())


@pytest.mark.parametrize("opening", [ResultsStore.open, ResultsStore.open_readonly], ids=["open", "readonly"])
@pytest.mark.parametrize("version", range(SCHEMA_VERSION + 1))
def test_every_earlier_schema_is_brought_up_to_date_with_its_rows(
    results_path: Path, tmp_path: Path, version: int, opening: Callable[[Path], ResultsStore]
) -> None:
    written = write_version(results_path, version)
    assert len(written) == len(TABLES) - 2 * (version < 2) - (version < 4) if version else not written
    with ResultsStore.open(tmp_path / "fresh.db") as fresh:
        expected = schema_of(fresh)
    with opening(results_path) as store:
        assert tables(store) == TABLES
        assert schema_of(store) == expected
        assert store._database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store._database.execute("PRAGMA foreign_key_check").fetchall() == []
        for table, row in written.items():
            (found,) = store._database.query(f"SELECT * FROM {table}")
            assert {name: found[name] for name in row} == row
        if written:
            (trial,) = store.trials(1)
            assert (trial.status, trial.score, trial.num_epochs) == ("finished", 0.5, 1)
            assert store.experiments()[0].kind == ("tables" if version > 1 else "search")


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_upgrade_that_is_killed_halfway_is_done_again(results_path: Path, version: int) -> None:
    written = write_version(results_path, version)
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom harness.store import connection\n"
        "from harness.store.store import ResultsStore\n"
        "def die(database):\n    migrate(database)\n    os.kill(os.getpid(), 9)\n"
        "*before, migrate = connection.MIGRATIONS\nconnection.MIGRATIONS = (*before, die)\n"
        "ResultsStore.open(Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(results_path)], env=environment())
    assert killed.returncode == -signal.SIGKILL
    with ResultsStore.open(results_path) as store:
        assert store._database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert len(store.trials(1)) == 1
        for table, row in written.items():
            (found,) = store._database.query(f"SELECT * FROM {table}")
            assert {name: found[name] for name in row} == row


def test_experiments_of_the_first_schema_are_searches_afterwards(results_path: Path) -> None:
    results_path.parent.mkdir()
    old = sqlite3.connect(results_path, isolation_level=None)
    MIGRATIONS[0](Database(old))
    old.execute("PRAGMA application_id = 0x4841524E")
    old.execute("PRAGMA user_version = 1")
    row = {**asdict(an_experiment()), "status": "finished"}
    del row["kind"]
    old.execute(
        f"INSERT INTO experiments ({', '.join(row)}) VALUES ({', '.join('?' for _ in row)})", list(row.values())
    )
    old.close()
    with ResultsStore.open(results_path) as store:
        (experiment,) = store.experiments()
        assert (experiment.kind, experiment.name) == (ExperimentKind.SEARCH, "fusion search")
        assert store.latest_experiment() == experiment


def test_views_of_the_fourth_schema_say_whose_trials_they_show_afterwards(results_path: Path) -> None:
    write_version(results_path, 4)
    old = sqlite3.connect(results_path, isolation_level=None)
    old.executescript(
        "DROP VIEW learning_curves; DROP VIEW best_trials; "
        "CREATE VIEW best_trials AS SELECT eid, trial_index, score, hyperparameters FROM trials"
    )
    old.close()
    with ResultsStore.open(results_path) as store:
        assert {"best_trials", "learning_curves"} <= set(store._database.view_names())
        (best,) = store._database.query("SELECT * FROM best_trials")
        assert (best["experiment"], best["corpus"], best["place"], best["score"]) == ("search", "search", 1, 0.5)


def test_scores_of_the_fifth_schema_name_no_model_afterwards(results_path: Path) -> None:
    write_version(results_path, 5)
    with ResultsStore.open(results_path) as store:
        (row,) = store._database.query("SELECT * FROM test_scores")
        assert (row["model"], row["seed"]) == (None, 1)
        (shown,) = store._database.query("SELECT * FROM test_results")
        assert shown["model"] is None


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
        store._database.execute(statement)
