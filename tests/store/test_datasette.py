"""metadata.json describes every table, view and column for Datasette, and never replaces a user's own file."""

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.store.connection import connect
from harness.store.datasette import COLUMNS, write_metadata
from harness.store.schema import VIEWS
from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment


def described_in(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path.parent / "metadata.json").read_text("utf-8"))
    return found


def tables_of(path: Path) -> dict[str, Any]:
    tables: dict[str, Any] = described_in(path)["databases"]["results"]["tables"]
    return tables


def columns_of(store: ResultsStore) -> dict[str, list[str]]:
    names = store.database.table_names() + store.database.view_names()
    return {
        name: [row[1] for row in store.database.execute(f"PRAGMA table_info({name})")]
        for name in names
        if not name.startswith(("sqlite_", "_sqlite_"))
    }


def test_it_is_made_with_the_database_and_describes_every_table(store: ResultsStore, results_path: Path) -> None:
    described = tables_of(results_path)
    for name in ("sqlite_sequence", "_sqlite_migrations"):
        assert described.pop(name) == {"hidden": True}
    assert set(described) == set(columns_of(store))
    assert all(said["title"] and said["description_html"] for said in described.values())


def test_it_names_only_columns_that_are_there(store: ResultsStore, results_path: Path) -> None:
    there = columns_of(store)
    for name, said in tables_of(results_path).items():
        if name in there:
            assert set(said["columns"]) | set(said.get("facets", [])) <= set(there[name])
            assert said.get("label_column", there[name][0]) in there[name]
    assert set(COLUMNS) <= {column for columns in there.values() for column in columns}


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_every_number_in_a_view_has_its_unit(store: ResultsStore, view: str) -> None:
    says_itself = {
        *("seed", "name", "system", "experiment", "started_at", "ended_at", "created_at", "opened_at"),
        *("num_finished", "num_pruned", "num_running", "num_failed", "num_stopped"),
    }
    assert set(columns_of(store)[view]) - says_itself <= set(COLUMNS)


def test_it_says_that_a_synthetic_score_is_none_on_iemocap(store: ResultsStore, results_path: Path) -> None:
    described = described_in(results_path)
    for place in (described["description"], described["databases"]["results"]["description_html"]):
        assert "no score there is a score on IEMOCAP" in place


def test_a_kind_of_score_is_told_from_a_kind_of_experiment(store: ResultsStore, results_path: Path) -> None:
    described = tables_of(results_path)
    assert "search, tables" in described["experiments"]["columns"]["kind"]
    assert "Who chose the epoch" in described["test_results"]["columns"]["kind"]


def test_a_view_that_shows_a_score_shows_whether_its_corpus_is_synthetic(store: ResultsStore) -> None:
    scores = {"score", "best_score", "weighted_accuracy", "validation_accuracy", "num_utterances"}
    shown = {name: set(columns) for name, columns in columns_of(store).items() if name in VIEWS}
    assert all(columns & {"corpus", "is_synthetic"} for columns in shown.values() if columns & scores)


def test_a_file_whose_first_write_failed_is_written_at_a_later_opening(results_path: Path) -> None:
    """The first opening said that the folder cannot be written, and the second went well."""
    path = results_path.parent / "metadata.json"
    in_the_way = path.with_name(f"{path.name}.{os.getpid()}.partial")
    in_the_way.mkdir(parents=True)
    ResultsStore.open(results_path).close()
    in_the_way.rmdir()
    ResultsStore.open_readonly(results_path).close()
    assert not path.exists()
    ResultsStore.open(results_path).close()
    assert tables_of(results_path)


def test_it_can_be_written_anew(store: ResultsStore, results_path: Path) -> None:
    store.create_experiment(an_experiment())
    path = results_path.parent / "metadata.json"
    written = path.read_bytes()
    path.unlink()
    with ResultsStore.open_readonly(results_path) as reader:
        assert write_metadata(results_path, reader.database)
    assert path.read_bytes() == written


def test_a_file_of_somebody_elses_stays(results_path: Path) -> None:
    results_path.parent.mkdir()
    own = results_path.parent / "metadata.json"
    own.write_text('{"title": "mine"}')
    with closing(connect(results_path)) as database:
        assert not write_metadata(results_path, database)
    assert own.read_text() == '{"title": "mine"}'


def test_rankings_say_what_scores_are_comparable(store: ResultsStore, results_path: Path) -> None:
    described = tables_of(results_path)
    for view in ("experiments_overview", "best_trials"):
        said = described[view]["description_html"]
        assert "comparable where corpus, protocol, target, purpose and split are the same" in said
