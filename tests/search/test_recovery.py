"""What controllers leave that are killed between any two of their writes, and what the next one makes of it."""

import resource
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.search.auptimizer import DatabaseError, SearchConnector, explain
from harness.search.experiment import experiment_folder
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import SCORES_X, search, start_aup, trials_of, write_experiment


def books_of(path: Path) -> Path:
    return path.parent / "results" / "experiments" / "1" / "aup" / "sqlite.db"


def read_books(path: Path) -> tuple[list[Any], int, int]:
    """Return each job's (jid, status, score), and how many attempts have no end and resources are not free."""
    with closing(sqlite3.connect(books_of(path))) as connection:
        jobs = connection.execute("SELECT jid, status, score FROM job ORDER BY jid").fetchall()
        ((num_open,),) = connection.execute("SELECT count(*) FROM job_attempt WHERE end_time IS NULL")
        ((num_busy,),) = connection.execute("SELECT count(*) FROM resource WHERE status <> 'free'")
    return jobs, num_open, num_busy


def test_a_job_whose_trial_was_not_recorded_any_more_is_closed(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    with closing(SearchConnector(books_of(path))) as connector:
        # What comes before the trial's row in results.db.
        jid = connector.job_started(1, 2, {"x": 0.5})
    search(path)
    jobs, num_open, num_busy = read_books(path)
    assert jobs[-1] == (jid, "FAILED", None)
    assert (num_open, num_busy) == (0, 0)
    assert len(trials_of(path)) == 3


def test_a_job_whose_trial_was_finished_first_is_closed_with_its_score(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    before = read_books(path)
    with closing(sqlite3.connect(books_of(path))) as connection:
        connection.execute("UPDATE job SET status = 'RUNNING', score = NULL, end_time = NULL WHERE jid = 2")
        connection.execute("UPDATE job_attempt SET end_time = NULL WHERE jid = 2")
        connection.execute("UPDATE resource SET status = 'busy' WHERE rid = 4")
        connection.commit()
    finished = trials_of(path)
    search(path)
    assert read_books(path) == before
    assert trials_of(path) == finished


def test_an_attempt_that_was_about_to_be_repeated_is_closed(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    with closing(SearchConnector(books_of(path))) as connector:
        connector.job_retry(3, 1)
    search(path)
    assert read_books(path)[1:] == (0, 0)


def test_an_experiment_that_got_no_further_than_its_row_gets_its_identity(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    identity = experiment_folder(folder / "results", 1).identity_path
    expected = identity.read_text()
    identity.unlink()
    search(path)
    assert identity.read_text() == expected


def test_half_written_files_are_removed(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    left = [jobs / "4.json.77.partial", books_of(path).with_name("sqlite.db.77.partial-journal")]
    for file in left:
        file.write_text("half")
    search(path)
    assert not any(file.exists() for file in left)
    assert (jobs / "1.json").exists()


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_job_that_crashes_on_a_full_disk_is_run_again(folder: Path) -> None:
    script = "import os, sys\nif not os.path.exists('room'):\n    sys.exit(1)\n" + SCORES_X
    path = write_experiment(folder, script, n_samples=2, n_parallel=1, max_failures=0)
    controller = start_aup(path, preexec_fn=lambda: limit_files(800_000))
    _, errors = controller.communicate(timeout=20)
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    assert errors == (
        f"error: trial 0: its job crashed, and the disk of '{jobs}' takes no more (File too large); what was "
        "recorded before is safe, and this trial runs again; free some space and start again\n"
    )
    assert controller.returncode == 2
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.KILLED]
    (folder / "room").touch()
    assert search(path).num_by_status == {TrialStatus.FINISHED: 2}


def test_a_search_that_cannot_go_on_leaves_nothing_marked_as_running(folder: Path) -> None:
    books = books_of(folder / "experiment.json")
    script = f"import sqlite3\nsqlite3.connect({str(books)!r}).execute('DROP TABLE resource')\n" + SCORES_X
    path = write_experiment(folder, script, n_samples=2, n_parallel=2)
    controller = start_aup(path)
    _, errors = controller.communicate(timeout=20)
    assert controller.returncode == 1
    assert errors == (
        f"error: Auptimizer's own database in '{books.parent}': cannot be used (no such table: resource); results.db "
        "has all that matters: delete that folder, and start again\n"
    )
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert store.experiment(1).status is ExperimentStatus.INTERRUPTED
        assert store.running_trials(1) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            sqlite3.SQLITE_FULL,
            (
                "the disk did not take the write (said); what was recorded before is safe; free some space and start"
                " again"
            ),
        ),
        (
            sqlite3.SQLITE_BUSY,
            (
                "another process kept it locked for longer than this one waits; end that process, and start again"
            ),
        ),
        (
            sqlite3.SQLITE_READONLY,
            "cannot be written (said); make the folder and what is in it writable, and start again",
        ),
    ],
    ids=["full", "locked", "read-only"],
)
def test_auptimizers_database_is_not_to_be_deleted_for_what_is_no_fault_of_its(code: int, expected: str) -> None:
    error = DatabaseError("said")
    error.sqlite_errorcode = code  # type: ignore[attr-defined]
    found = explain(Path("aup"), error)
    assert str(found) == f"Auptimizer's own database in 'aup': {expected}"
    assert type(found) is HarnessError
