import sqlite3
from pathlib import Path

import pytest

from harness.store.connection import NamedExperiment, name_experiments
from harness.store.records import ExperimentKind
from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment


def test_experiments_are_named_oldest_first(store: ResultsStore, results_path: Path) -> None:
    store.create_experiment(an_experiment())
    store.create_experiment(an_experiment(name="speech", system="speech4"))
    store.create_experiment(an_experiment(name="leaking", kind=ExperimentKind.LEAKS))
    expected = [
        NamedExperiment(1, "fusion search", "fusion"),
        NamedExperiment(2, "speech", "speech4"),
        NamedExperiment(3, "leaking", "fusion", "leaks"),
    ]
    assert [one.is_search for one in expected] == [True, True, False]
    assert name_experiments(results_path) == expected


def test_an_older_database_is_left_as_it_is(results_path: Path) -> None:
    results_path.parent.mkdir()
    old = sqlite3.connect(results_path)
    old.executescript(
        "CREATE TABLE experiments (eid, name, system); INSERT INTO experiments VALUES (1, 'a', 'b');"
        "PRAGMA user_version = 1"
    )
    old.close()
    before = results_path.read_bytes()
    assert name_experiments(results_path) == [NamedExperiment(1, "a", "b")]
    assert results_path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"no database at all"], ids=["no file", "empty", "something else"])
def test_what_cannot_be_read_has_no_names(results_path: Path, content: bytes | None) -> None:
    results_path.parent.mkdir()
    if content is not None:
        results_path.write_bytes(content)
    assert name_experiments(results_path) == []
    assert results_path.exists() == (content is not None)


def test_a_locked_database_is_not_waited_for(store: ResultsStore, results_path: Path) -> None:
    store.create_experiment(an_experiment())
    with store.writing():
        assert len(name_experiments(results_path)) == 1
