"""What controllers leave that are killed between any two of their writes, and what the next one makes of it."""

import resource
from pathlib import Path

from harness.search.experiment import experiment_folder
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import SCORES_X, search, start_aup, trials_of, write_experiment


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
    left = [jobs / "4.json.77.partial", jobs.parent / "identity.json.77.partial"]
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
        f"error: trial 0: its job crashed, and the disk of '{jobs}' takes no more (File too large); "
        "recorded trials are safe, and this trial runs again; free some space and run the same command again\n"
    )
    assert controller.returncode == 2
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.KILLED]
    (folder / "room").touch()
    assert search(path).num_by_status == {TrialStatus.FINISHED: 2}


def test_a_search_that_cannot_go_on_leaves_nothing_marked_as_running(folder: Path) -> None:
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    script = f"import os\nos.makedirs({str(jobs / '2.json')!r}, exist_ok=True)\n" + SCORES_X
    path = write_experiment(folder, script, n_samples=2, n_parallel=1)
    controller = start_aup(path)
    _, errors = controller.communicate(timeout=20)
    assert controller.returncode == 2
    assert errors.startswith(f"error: results '{folder}/results': Is a directory ({jobs}/2.json")
    assert errors.endswith("expected a folder that can be written, on a disk with room\n") and errors.count("\n") == 1
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert store.experiment(1).status is ExperimentStatus.INTERRUPTED
        assert store.running_trials(1) == []
    assert search(path).num_by_status == {TrialStatus.FINISHED: 2}
