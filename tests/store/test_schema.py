import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.store.database import Database
from harness.store.records import ExperimentKind
from harness.store.results import ResultsStore
from harness.store.schema import MIGRATIONS, SCHEMA_VERSION
from tests.store.experiments import an_experiment

TABLES = {
    "experiments", "trials", "hyperparameters", "trial_environments", "epochs", "trial_results",
    "validation_predictions", "final_models", "test_openings", "test_scores", "test_predictions",
    "trial_test_scores", "trial_test_predictions",
}  # fmt: skip


def tables(store: ResultsStore) -> set[str]:
    return {name for name in store._database.table_names() if not name.startswith("sqlite_")}


@pytest.mark.parametrize("version", range(SCHEMA_VERSION + 1))
def test_every_earlier_schema_is_brought_up_to_date(results_path: Path, version: int) -> None:
    results_path.parent.mkdir()
    old = sqlite3.connect(results_path, isolation_level=None)
    for migrate in MIGRATIONS[:version]:
        migrate(Database(old))
    if version:
        old.execute("PRAGMA application_id = 0x4841524E")
        old.execute(f"PRAGMA user_version = {version}")
    old.close()
    with ResultsStore.open(results_path) as store:
        assert tables(store) == TABLES
        assert store._database.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert store._database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


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
