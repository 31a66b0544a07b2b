"""A trial that the user stopped counted as failed in the report and by `aup`, and as left to do in `watch`."""

import json
import sqlite3
from contextlib import closing

import pytest

from harness.report.statements import describe_progress
from harness.report.tables import tabulate_causes, tabulate_failures
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.cli.commands import type_command
from tests.report.searches import begin_search, fail_trial, findings_of, run_trial


@pytest.fixture
def interrupted(tmp_path):
    """One trial finished, one crashed, one stopped by Ctrl-C; a fourth never began."""
    path = tmp_path / "results" / "results.db"
    with ResultsStore.open(path) as store:
        eid = begin_search(store, num_samples=4)
        run_trial(store, eid, 0, 4, 0.5)
        fail_trial(store, eid, 1)
        fail_trial(store, eid, 2, TrialStatus.STOPPED, "the search was ended while the job ran")
        store.update_experiment(eid, ExperimentStatus.INTERRUPTED, "2026-01-02T03:04:05.000+00:00")
    return path


def test_the_report_counts_a_stopped_trial_as_stopped(interrupted):
    findings = findings_of(interrupted)
    assert describe_progress(findings) == (
        "1 of 4 trials finished, 1 failed, 1 stopped; the search was interrupted."
    )
    assert tabulate_causes(findings).rows == (("crashed", "1"),)
    assert [row[0] for row in tabulate_failures(findings, 10).rows] == ["1"]


def test_watch_and_the_views_of_the_database_agree(interrupted):
    shown = type_command(interrupted.parent, "watch", ".", "--once", "--json").stdout
    assert json.loads(shown)["trials"] == {
        **{"total": 4, "finished": 1, "pruned": 0, "running": 0, "failed": 1, "left": 2}
    }
    with closing(sqlite3.connect(interrupted)) as database:
        assert database.execute("SELECT trial_index, status FROM failures").fetchall() == [(1, "crashed")]
        counts = "SELECT num_finished, num_failed, num_stopped FROM experiments_overview"
        assert database.execute(counts).fetchall() == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("status", "is_failure", "runs_again"),
    [
        (TrialStatus.RUNNING, False, False),
        (TrialStatus.FINISHED, False, False),
        (TrialStatus.PRUNED, False, False),
        (TrialStatus.CRASHED, True, False),
        (TrialStatus.KILLED, True, True),
        (TrialStatus.STOPPED, False, True),
    ],
    ids=lambda value: str(value),
)
def test_every_place_asks_the_status_itself(status, is_failure, runs_again):
    assert (status.is_failure, status.runs_again) == (is_failure, runs_again)
