"""After the results folder was moved or restored elsewhere, its trials' job files were not found."""

import shutil
from pathlib import Path

from harness.store.store import ResultsStore
from tests.store.experiments import an_experiment


def test_job_files_are_found_from_the_database(tmp_path: Path) -> None:
    results, moved = tmp_path / "results", tmp_path / "else where" / "results"
    job = results / "experiments" / "1" / "jobs" / "1.json"
    job.parent.mkdir(parents=True)
    job.write_text("{}")
    with ResultsStore.open(results / "results.db") as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
        store.record_job(trial_id, 1, "host", job_path=str(job))
        assert store.trial(trial_id).job_path == str(job)
    moved.parent.mkdir()
    shutil.move(results, moved)
    with ResultsStore.open_readonly(moved / "results.db") as store:
        found = store.trial(trial_id).job_path
    assert found == str(moved / "experiments" / "1" / "jobs" / "1.json")
    assert Path(found).read_text() == "{}"


def test_a_job_file_that_lies_elsewhere_keeps_its_path(tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "jobs" / "1.json")
    with ResultsStore.open(tmp_path / "results" / "results.db") as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
        store.record_job(trial_id, 1, "host", job_path=elsewhere)
        assert store.trial(trial_id).job_path == elsewhere


def test_an_older_absolute_path_is_still_found(tmp_path: Path) -> None:
    job = str(tmp_path / "results" / "experiments" / "1.json")
    with ResultsStore.open(tmp_path / "results" / "results.db") as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
        with store.writing() as database:
            database.execute("UPDATE trials SET job_path = ? WHERE trial_id = ?", [job, trial_id])
        assert store.trial(trial_id).job_path == job
