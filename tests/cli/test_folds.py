"""The commands for an experiment of folds: each takes all of them, goes from one to the next, or asks for one."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.compare import compare
from harness.cli.export import export
from harness.cli.report import report
from harness.cli.watch import _looks
from harness.search.lock import held, lock_path
from harness.search.snapshot import SearchState
from harness.store.records import ExperimentStatus
from harness.store.store import ResultsStore
from tests.folded import RIGHT, score_fold, write_folds

ENDED = "2026-01-02T03:04:05.000+00:00"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    with ResultsStore.open(tmp_path / "results" / "results.db") as store:
        write_folds(store, name="another")
        write_folds(store)
        for session in RIGHT:
            score_fold(store, 5 + session, session)
    return tmp_path / "results"


def test_export_writes_the_trials_of_all_folds(results: Path) -> None:
    done = CliRunner().invoke(export, [str(results), "--csv", str(results / "trials.csv")])
    assert done.exit_code == 0 and "15 rows (trials of 5 experiments)" in done.output
    text = (results / "trials.csv").read_text()
    assert all(f'"fusion search, Session {number}"' in text for number in RIGHT) and "another" not in text


def test_compare_sets_a_fold_beside_the_same_fold_of_another_and_asks_for_its_number(results: Path) -> None:
    done = CliRunner().invoke(compare, ["2", "7", "--results", str(results)])
    assert done.exit_code == 0 and done.output.startswith("Comparable")
    done = CliRunner().invoke(compare, ["2", "8", "--results", str(results)])
    assert done.output.startswith("NOT COMPARABLE: protocol differs")
    done = CliRunner().invoke(compare, ["2", str(results), "--results", str(results)])
    assert str(done.exception).startswith(
        f"results folder '{results}': its latest search is one fold of experiment 'fusion search', and a fold can be "
        "compared only with the same fold of another one; expected the number of one of: 1 ('another, Session 1'), 2 ("
    )


@pytest.mark.long
def test_report_shows_all_folds_or_the_one_that_is_named(results: Path) -> None:
    done = CliRunner().invoke(report, [str(results)], env={"COLUMNS": "200"})
    assert done.output.startswith("Experiment 'fusion search', 5 folds (system fusion), synthetic corpus")
    assert "pooled" in done.output and "Best trials" not in done.output
    done = CliRunner().invoke(report, [str(results), "--experiment", "8"], env={"COLUMNS": "200"})
    assert done.output.startswith("Experiment 8: fusion search, Session 3 (system fusion), synthetic corpus")
    assert "One of the 5 folds of experiment 'fusion search'" in done.output and "Best trials" in done.output


def test_watch_goes_on_to_the_next_fold_and_ends_with_the_last(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, num_searched=2)
        for eid in (1, 2):
            store.update_experiment(eid, ExperimentStatus.RUNNING)

        def end(eid: int) -> None:
            store.update_experiment(eid, ExperimentStatus.FINISHED, ENDED)

        store.update_experiment(2, ExperimentStatus.FINISHED, ENDED)
        seen = []
        with held(lock_path(tmp_path, "fusion search, Session 1"), "the first"):
            looks = _looks(tmp_path, None, 0.0)
            seen.append(next(looks))
            end(1)
            store.update_experiment(2, ExperimentStatus.RUNNING)
        with held(lock_path(tmp_path, "fusion search, Session 2"), "the second"):
            seen += [next(looks), next(looks)]
            end(2)
        seen += looks
    found = [(look.experiment.eid if look.experiment else None, look.state) for look in seen]
    assert found == [
        (1, SearchState.RUNNING),
        (1, SearchState.ENDED),
        (2, SearchState.RUNNING),
        (2, SearchState.ENDED),
    ]


def test_watch_stays_with_a_fold_that_is_named(tmp_path: Path) -> None:
    with ResultsStore.open(tmp_path / "results.db") as store:
        write_folds(store, num_searched=2)
        store.update_experiment(2, ExperimentStatus.RUNNING)
    with held(lock_path(tmp_path, "fusion search, Session 2"), "the second"):
        (look,) = _looks(tmp_path, 1, 0.0)
    assert look.experiment is not None and look.experiment.eid == 1
