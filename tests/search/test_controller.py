"""Searches that are broken off, resumed, refused and started again, and the traces of killed controllers."""

import json
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ExperimentFileError, StoreError
from harness.search.experiment import experiment_folder
from harness.search.view import Ending, SearchPlan
from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    WAITS_FOR_GO,
    SilentView,
    is_alive,
    kill,
    num_running,
    points_by_index,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

X = [{"name": "x", "range": [0.0, 1.0], "type": "float"}]


def test_a_search_is_recorded_with_all_that_it_was(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, remark="kept", runtime_args={"env": {"TOKEN": "secret"}})
    report = search(path)
    experiment = report.experiment
    assert (experiment.name, experiment.num_samples, experiment.seed) == ("a search", 3, 5)
    assert (experiment.status, experiment.system, experiment.target) == (ExperimentStatus.FINISHED, "", "max")
    assert json.loads(experiment.search_space) == X
    assert json.loads(experiment.settings)["remark"] == "kept"
    assert "secret" not in experiment.settings
    assert experiment.ended_at is not None


def test_the_best_trial_is_the_highest_or_the_lowest(folder: Path) -> None:
    highest = search(write_experiment(folder, SCORES_X)).best
    lowest = search(write_experiment(folder, SCORES_X, name="lowest", target="min")).best
    assert highest is not None and lowest is not None
    assert highest.hyperparameters["x"] == max(x for x, _ in points_by_index(folder / "experiment.json").values())
    assert lowest.hyperparameters["x"] == min(x for x, _ in points_by_index(folder / "experiment.json").values())


def test_the_same_seed_proposes_the_same_points_however_many_run_at_once(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=8, n_parallel=1)
    search(path)
    one_at_once = points_by_index(path)
    path = write_experiment(folder, SCORES_X, n_samples=8, n_parallel=4, name="parallel")
    search(path)
    assert points_by_index(path) == one_at_once


def test_a_resumed_search_gives_no_job_id_again(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    path = write_experiment(folder, SCORES_X, n_samples=5)
    search(path)
    assert sorted(trial.jid or 0 for trial in trials_of(path)) == [1, 2, 3, 4, 5]
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    for trial in trials_of(path):
        assert json.loads((jobs / f"{trial.jid}.json").read_text()) == trial.hyperparameters


def test_results_db_is_the_only_database_on_disk(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    found = sorted(path.name for path in (folder / "results").rglob("*.db*"))
    assert found == ["results.db", "results.db.lock"]
    kept = sorted(path.name for path in (folder / "results" / "experiments" / "1").iterdir())
    assert kept == ["identity.json", "jobs"]
    assert not (folder / "env.ini").exists()


def test_a_finished_search_runs_nothing_again_and_goes_on_with_more_samples(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    first = trials_of(path)
    assert search(path).num_by_status == {TrialStatus.FINISHED: 3}
    assert trials_of(path) == first
    path = write_experiment(folder, SCORES_X, n_samples=5)
    view = SilentView()
    assert search(path, view=view).num_by_status == {TrialStatus.FINISHED: 5}
    assert view.plan is not None
    assert (view.plan.num_done, view.plan.num_trials) == (3, 5)
    assert trials_of(path)[:3] == first


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        (
            {"parameter_config": [{"name": "x", "range": [0.0, 2.0], "type": "float"}]},
            (
                'parameter_config \'x\' was {"name": "x", "range": [0.0, 1.0], "type": "float"} and is'
                ' {"name": "x", "range": [0.0, 2.0], "type": "float"}'
            ),
        ),
        ({"random_seed": 6}, "random_seed was 5 and is 6"),
        ({"target": "min"}, 'target was "max" and is "min"'),
    ],
    ids=["bounds", "seed", "target"],
)
def test_a_changed_experiment_is_refused_with_what_differs(
    folder: Path, changes: dict[str, Any], difference: str
) -> None:
    search(write_experiment(folder, SCORES_X))
    path = write_experiment(folder, SCORES_X, **changes)
    with pytest.raises(ExperimentFileError) as caught:
        search(path)
    assert (
        str(caught.value)
        == f"experiment 'a search' was started as experiment 1 with other settings: {difference}; to resume it, change "
           "the settings back; otherwise choose another name, or start a new experiment with --fresh"
    )
    assert search(path, fresh=True).experiment.eid == 2
    assert len(trials_of(path, eid=1)) == len(trials_of(path, eid=2)) == 3


def test_a_changed_protocol_is_refused(prepared_folder: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "system": "mocap1",
        "parameter_config": [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
        "n_samples": 1,
    }
    script = RECORDS_ITS_SCORE.format(work="record(0.5)")
    search(write_experiment(prepared_folder, script, corpus=str(tiny_corpus), **keys))
    path = write_experiment(prepared_folder, script, corpus=str(tiny_corpus), protocol="strict", **keys)
    with pytest.raises(ExperimentFileError) as caught:
        search(path)
    assert 'protocol split_rule was "holdout-by-id" and is "last-session"' in str(caught.value)


def test_what_may_change_without_changing_the_search_may_change(folder: Path) -> None:
    search(write_experiment(folder, SCORES_X))
    path = write_experiment(folder, SCORES_X, n_parallel=3, timeout_seconds=60, max_failures=2)
    assert search(path).experiment.eid == 1


def test_more_failures_than_may_be_end_the_search(folder: Path) -> None:
    path = write_experiment(folder, "raise SystemExit(1)\n", n_samples=20, n_parallel=1, max_failures=2)
    report = search(path)
    assert report.ending is Ending.TOO_MANY_FAILURES
    assert report.experiment.status is ExperimentStatus.FAILED
    assert report.num_by_status == {TrialStatus.CRASHED: 3}
    assert search(path).num_by_status == {TrialStatus.CRASHED: 3}


def test_by_default_half_of_the_trials_may_fail(folder: Path) -> None:
    script = (
        "import pathlib, sys\nprint('#Auptimizer:1')\nsys.exit(int(pathlib.Path(sys.argv[1]).stem) % 2)\n"
    )
    report = search(write_experiment(folder, script, n_samples=6))
    assert (report.ending, report.max_failures) == (Ending.DONE, 3)


@pytest.mark.parametrize("num_points", [3, 1])
def test_a_finite_space_ends_early_and_says_so(folder: Path, num_points: int) -> None:
    entries = [{"name": "x", "range": [1, num_points], "type": "int"}]
    view = SilentView()
    report = search(write_experiment(folder, SCORES_X, parameter_config=entries, n_samples=30), view=view)
    assert sum(report.num_by_status.values()) == report.experiment.num_samples == num_points
    assert view.notes == [
        f"Combinations in the search space: {num_points}. Each is tried once, so the search ends before n_samples, 30."
    ]


def test_auptimizers_sequence_walks_its_grid(folder: Path) -> None:
    entries = [
        {"name": "x", "range": [0, 1], "type": "float", "n": 3},
        {"name": "y", "range": ["a", "b"], "type": "choice"},
    ]
    path = write_experiment(folder, SCORES_X, proposer="sequence", parameter_config=entries)
    assert sum(search(path).num_by_status.values()) == 6
    assert {(trial.hyperparameters["x"], trial.hyperparameters["y"]) for trial in trials_of(path)} == {
        (x, y) for x in (0.0, 0.5, 1.0) for y in "ab"
    }


def test_hyperopt_reaches_an_integers_upper_bound(folder: Path) -> None:
    pytest.importorskip("networkx")
    pytest.importorskip("future")
    entries = [{"name": "x", "range": [4, 5], "type": "int"}]
    path = write_experiment(folder, SCORES_X, proposer="hyperopt", parameter_config=entries, n_samples=8)
    assert search(path).num_by_status == {TrialStatus.FINISHED: 8}
    assert {trial.hyperparameters["x"] for trial in trials_of(path)} == {4, 5}


def test_killing_the_controller_ends_its_trials_and_the_next_goes_on(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=4)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    pids = [trial.pid for trial in trials_of(path)]
    kill(controller)
    wait_until(lambda: not any(is_alive(pid) for pid in pids if pid is not None), seconds=5)

    (folder / "go").touch()
    view = SilentView()
    report = search(path, view=view)
    assert view.plan is not None
    assert (view.plan.num_done, view.plan.num_interrupted) == (0, 2)
    assert report.num_by_status == {TrialStatus.FINISHED: 4}
    assert report.experiment.eid == 1
    assert sorted(points_by_index(path)) == [0, 1, 2, 3]
    killed = [trial for trial in trials_of(path) if trial.status is TrialStatus.KILLED]
    assert [(trial.trial_index, trial.message) for trial in killed] == [
        (index, "its controller disappeared while the job ran") for index in (0, 1)
    ]


def test_a_grandchild_that_left_its_group_does_not_outlive_the_controller(folder: Path) -> None:
    script = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
open("child", "w").write(str(child.pid))
os.rename("child", "child pid")
time.sleep(60)
"""
    path = write_experiment(folder, script, n_samples=1)
    controller = start_aup(path)
    wait_until((folder / "child pid").exists)
    child = int((folder / "child pid").read_text())
    assert is_alive(child)
    kill(controller)
    wait_until(lambda: not is_alive(child), seconds=5)


def test_a_result_that_was_recorded_survives_its_controller(prepared_folder: Path, tiny_corpus: Path) -> None:
    script = RECORDS_ITS_SCORE.format(work="record(0.75)\ntime.sleep(60)")
    path = write_experiment(
        prepared_folder,
        script,
        system="mocap1",
        corpus=str(tiny_corpus),
        n_samples=1,
        parameter_config=[{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
    )
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1 and trials_of(path)[0].result_score is not None)
    kill(controller)
    assert search(path).num_by_status == {TrialStatus.FINISHED: 1}
    (trial,) = trials_of(path)
    assert (trial.score, trial.message) == (
        0.75,
        "its controller did not see the job end; the result was recorded",
    )


def test_what_a_dead_controller_left_is_ended_even_without_its_guardian(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=1)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1)
    pid = trials_of(path)[0].pid
    assert pid is not None
    os.killpg(controller.pid, signal.SIGSTOP)
    for guardian in _guardians_of(controller.pid):
        os.kill(guardian, signal.SIGKILL)
    kill(controller)
    time.sleep(0.2)
    assert is_alive(pid)
    (folder / "go").touch()
    os.kill(pid, signal.SIGSTOP)
    assert search(path).num_by_status == {TrialStatus.FINISHED: 1}
    assert not is_alive(pid)


def _guardians_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            is_guardian = b"guardian.py" in (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and is_guardian:
            found.append(int(status.parent.name))
    return found


def test_two_experiments_share_a_folder_and_hurt_nobody(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=2)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    other = folder / "other.json"
    other.write_text(json.dumps({**json.loads(path.read_text()), "name": "another", "script": "quick.py"}))
    (folder / "quick.py").write_text(SCORES_X)
    assert search(other).num_by_status == {TrialStatus.FINISHED: 2}
    (folder / "go").touch()
    controller.communicate(timeout=20)
    assert controller.returncode == 0
    assert {trial.status for eid in (1, 2) for trial in trials_of(path, eid)} == {TrialStatus.FINISHED}


def test_a_results_folder_that_cannot_be_written_gets_one_sentence(folder: Path) -> None:
    (folder / "results").write_text("in the way")
    path = write_experiment(folder, SCORES_X)
    controller = start_aup(path)
    _, errors = controller.communicate(timeout=20)
    assert controller.returncode == 2
    assert errors.startswith("error: results '")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("damage", ["a text", "a folder"])
def test_a_damaged_database_is_refused_before_the_corpus_is_prepared(
    folder: Path, tiny_corpus: Path, damage: str
) -> None:
    database = folder / "results" / "results.db"
    database.parent.mkdir(parents=True)
    if damage == "a text":
        database.write_bytes(b"no database" * 1000)
    else:
        database.mkdir()
    space = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]
    path = write_experiment(folder, SCORES_X, corpus=str(tiny_corpus), system="mocap1", parameter_config=space)
    with pytest.raises(StoreError, match="results.db': damaged "):
        search(path)
    assert not (folder / "results" / "prepared").exists()


@pytest.mark.parametrize("name", ["results", "results/results.db"])
def test_a_link_to_nothing_in_place_of_the_results_is_refused_before_anything_is_made(folder: Path, name: str) -> None:
    path = write_experiment(folder, SCORES_X)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to("/nowhere/kept")
    before = sorted(folder.rglob("*"))
    with pytest.raises(StoreError, match="is a symbolic link to '/nowhere/kept', which is not there; expected"):
        search(path)
    assert sorted(folder.rglob("*")) == before


def test_a_trial_that_a_reader_watches_is_finished_all_the_same(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=1)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as reader, reader.snapshot():
        assert reader.trials(1)[0].status is TrialStatus.RUNNING
        (folder / "go").touch()
        controller.communicate(timeout=20)
    assert trials_of(path)[0].status is TrialStatus.FINISHED


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


class StoppingView(SilentView):
    """Presses Ctrl-C before the first trial starts."""

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_a_search_stopped_before_a_killed_trial_ran_again_is_interrupted(folder: Path) -> None:
    the_second_waits = "import os\nif not os.path.exists('one'):\n    open('one', 'w')\n    open('go', 'w')\n"
    script = the_second_waits + WAITS_FOR_GO + "os.remove('go')\n"
    path = write_experiment(folder, script, n_samples=2, n_parallel=1)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1 and len(trials_of(path)) == 2)
    kill(controller)
    report = search(path, view=StoppingView())
    assert report.num_by_status == {TrialStatus.FINISHED: 1, TrialStatus.KILLED: 1}
    assert report.ending is Ending.INTERRUPTED
    assert report.experiment.status is ExperimentStatus.INTERRUPTED
    (folder / "go").touch()
    assert search(path).num_by_status == {TrialStatus.FINISHED: 2}


def test_a_killed_trial_that_is_left_to_run_counts_against_no_limit(folder: Path) -> None:
    two_crash = (
        "import os\nfor name in ('one', 'two'):\n"
        "    if not os.path.exists(name):\n        open(name, 'w')\n        raise SystemExit(1)\n"
    )
    changes: dict[str, Any] = {"n_samples": 3, "n_parallel": 1}
    path = write_experiment(folder, two_crash + WAITS_FOR_GO, max_failures=2, **changes)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1 and len(trials_of(path)) == 3)
    kill(controller)
    report = search(write_experiment(folder, two_crash + WAITS_FOR_GO, max_failures=1, **changes))
    assert report.num_by_status == {TrialStatus.CRASHED: 2, TrialStatus.KILLED: 1}
    assert (report.ending, report.num_failed) == (Ending.TOO_MANY_FAILURES, 2)


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_job_that_crashes_on_a_full_disk_is_run_again(folder: Path) -> None:
    script = "import os, sys\nif not os.path.exists('room'):\n    sys.exit(1)\n" + SCORES_X
    path = write_experiment(folder, script, n_samples=2, n_parallel=1, max_failures=0)
    controller = start_aup(path, preexec_fn=lambda: limit_files(800_000))
    _, errors = controller.communicate(timeout=20)
    jobs = folder / "results" / "experiments" / "1" / "jobs"
    assert errors == (
        f"error: trial 0: its job crashed, and the disk of '{jobs}' cannot be written (File too large); recorded "
        "trials are safe, and this trial will run again; free some space and run the same command again\n"
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
    assert errors.endswith("expected a writable folder on a disk with free space\n") and errors.count("\n") == 1
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        assert store.experiment(1).status is ExperimentStatus.INTERRUPTED
        assert store.running_trials(1) == []
    assert search(path).num_by_status == {TrialStatus.FINISHED: 2}
