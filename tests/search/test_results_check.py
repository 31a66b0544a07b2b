"""Who is at work on a results folder, and what dead controllers left in it."""

import os
from pathlib import Path

import pytest

from harness.search.lock import held, lock_path
from harness.search.repair import find_all, find_holders, hold_free, look_through, repair_all
from harness.store.integrity import REASONS, Finding, FindingKind
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    WAITS_FOR_GO,
    is_alive,
    kill,
    num_running,
    search,
    start_aup,
    start_running,
    trials_of,
    wait_until,
    wait_until_gone,
    write_experiment,
)
from tests.store.whole import damage, write_table, write_whole_results


def look(path: Path) -> tuple[dict[int, str], list[Finding]]:
    with ResultsStore.open_readonly(path.parent / "results" / "results.db") as store:
        return look_through(store)


def repair(path: Path) -> list[str]:
    """Repair all of an experiment's results folder, and return the sentences about it."""
    results_dir, told = path.parent / "results", []
    with ResultsStore.open(results_dir / "results.db") as store:
        experiments = store.experiments()
        with hold_free(results_dir, experiments) as holders:
            eids = [each.eid for each in experiments if each.eid not in holders]
            repair_all(store, eids, told.append)
            assert find_all(store, eids) == []
    return told


def test_nothing_is_found_in_a_search_that_ended(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    assert look(path) == ({}, [])
    assert repair(path) == []


def test_nothing_is_found_after_retries_and_failures(folder: Path) -> None:
    script = "import os, pathlib, sys\nprint('#Auptimizer:1')\n" "os.kill(os.getpid(), 9)\n"
    path = write_experiment(folder, script, job_failure={"job_retries": 1}, max_failures=9)
    assert search(path).num_by_status == {TrialStatus.KILLED: 3}
    assert len(trials_of(path)) == 6
    assert look(path) == ({}, [])


def test_a_running_experiment_is_named_and_left_alone(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    controller = start_running(path, 2)
    holders, found = look(path)
    assert found == []
    assert list(holders) == [1]
    assert holders[1].startswith(f"experiment 'a search': process {controller.pid} on ")
    assert repair(path) == []
    (folder / "go").touch()
    assert controller.wait(timeout=30) == 0
    assert look(path) == ({}, [])
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3


def test_looking_twice_at_once_is_no_controller(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    results_dir = path.parent / "results"
    with ResultsStore.open_readonly(results_dir / "results.db") as store:
        names = store.experiments()
        assert find_holders(results_dir, names) == {}
        with held(lock_path(results_dir, "a search"), "experiment 'a search'"):
            assert list(find_holders(results_dir, names)) == [1]
        assert find_holders(results_dir, names) == {}


def test_what_a_killed_controller_left_is_found_and_repaired(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=4)
    controller = start_running(path, 2)
    pids = [trial.pid for trial in trials_of(path)]
    kill(controller)
    wait_until_gone(pids)
    holders, found = look(path)
    assert holders == {}
    assert [finding.kind for finding in found] == [
        FindingKind.UNFINISHED_TRIAL,
        FindingKind.UNFINISHED_TRIAL,
        FindingKind.UNFINISHED_EXPERIMENT,
    ]
    told = repair(path)
    assert told[0].startswith(f"The original database was copied to '{path.parent}/results/results.before-repair-")
    assert told[1:] == [
        *(
            f"experiment 1 ('a search'), trial {index}, attempt 1: is marked running, and no process holds its "
            "experiment; expected an end. Repaired: it is now marked killed: its controller disappeared while the job "
            "ran."
            for index in (0, 1)
        ),
        "experiment 1 ('a search'): is marked running, and no process holds it; expected an end. Repaired: it is now "
        "marked interrupted; the command that started it resumes it.",
    ]
    (folder / "go").touch()
    assert search(path).num_by_status == {TrialStatus.FINISHED: 4}
    assert look(path) == ({}, [])


def test_a_repair_ends_the_jobs_that_are_left_first(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=1)
    controller = start_running(path, 1)
    (pid,) = [trial.pid for trial in trials_of(path)]
    assert pid is not None and is_alive(pid)
    kill(controller)
    repair(path)
    assert not is_alive(pid)
    (trial,) = trials_of(path)
    assert (trial.status, trial.last_output) == (TrialStatus.KILLED, "")


def test_a_result_that_was_recorded_is_kept_by_a_repair(prepared_folder: Path, tiny_corpus: Path) -> None:
    path = write_experiment(
        prepared_folder,
        RECORDS_ITS_SCORE.format(work="record(0.75)\ntime.sleep(60)"),
        system="mocap1",
        corpus=str(tiny_corpus),
        n_samples=1,
        parameter_config=[{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
    )
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 1 and trials_of(path)[0].result_score is not None)
    kill(controller)
    repair(path)
    (trial,) = trials_of(path)
    assert (trial.status, trial.score) == (TrialStatus.FINISHED, 0.75)


def test_a_left_file_is_renamed_and_found_no_more(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    left = path.parent / "results" / f"report.html.{2**22 + 1}.partial"
    left.write_text("<html>")
    os.utime(left, (0, 0))
    assert [finding.kind for finding in look(path)[1]] == [FindingKind.LEFT_FILE]
    told = repair(path)
    assert told[1] == (
        f"file '{left}': was begun by process {2**22 + 1}, which is gone; expected whole files only. Repaired: it was "
        f"renamed to '{left.name}.kept'; delete it if nobody needs what it holds."
    )
    assert not left.exists()
    assert left.with_name(f"{left.name}.kept").read_text() == "<html>"
    assert not look(path)[1]
    # Another of its name takes nothing from the first.
    left.write_text("<svg>")
    os.utime(left, (0, 0))
    assert f"it was renamed to '{left.name}.kept2'" in repair(path)[1]
    assert [left.with_name(f"{left.name}.{end}").read_text() for end in ("kept", "kept2")] == ["<html>", "<svg>"]


def test_a_left_file_that_vanishes_before_it_is_renamed_is_said_to_be_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    left = path.parent / "results" / f"report.html.{2**22 + 1}.partial"
    left.write_text("<html>")
    os.utime(left, (0, 0))
    monkeypatch.setattr("harness.search.repair.back_up", lambda path: left.unlink())
    assert repair(path)[1].endswith("Repaired: it is gone: another process has deleted or renamed it meanwhile.")


def test_a_resumed_search_leaves_what_only_looks_half_written(folder: Path) -> None:
    """A folder whose name held ".partial" ended the resumed search; a file of such a name was deleted."""
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    experiment = next(each for each in (path.parent / "results" / "experiments").iterdir() if each.is_dir())
    (experiment / "plots.partial").mkdir()
    (experiment / "notes.partial.txt").write_text("mine")
    left = experiment / f"9.json.{2**22 + 1}.partial"
    left.write_text("{")
    assert search(path).num_by_status == {TrialStatus.FINISHED: 1}
    assert (experiment / "plots.partial").is_dir() and (experiment / "notes.partial.txt").read_text() == "mine"
    assert not left.exists()


def test_a_finished_search_with_a_trial_marked_running_is_whole_after_its_repair(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    damage(
        path.parent / "results" / "results.db",
        "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL WHERE trial_index = 1",
    )
    assert [finding.kind for finding in look(path)[1]] == [FindingKind.UNFINISHED_TRIAL]
    assert len(repair(path)) == 2
    assert search(path).num_by_status == {TrialStatus.FINISHED: 3}


def test_a_score_that_its_own_job_printed_otherwise_is_named_and_left(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    database_path = path.parent / "results" / "results.db"
    second = trials_of(path)[1]
    damage(database_path, "UPDATE trials SET score = 99 WHERE trial_index = 1")
    before = database_path.read_bytes()
    ((finding,), told) = look(path)[1], []
    assert finding.kind is FindingKind.WRONG_SCORE
    assert finding.sentence == (
        "experiment 1 ('a search'), trial 1, attempt 1: its score is 99.0, its last score in last_output is "
        f"{second.score}, its last score in '{second.jid}.0.out' is {second.score}; expected the same number"
    )
    with ResultsStore.open(database_path) as store:
        assert repair_all(store, [1], told.append) == 0
    assert told == []
    assert database_path.read_bytes() == before


@pytest.mark.parametrize("witness", ["last_output", "output file"])
def test_one_witness_is_enough_to_doubt_a_score(folder: Path, witness: str) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    (trial,) = trials_of(path)
    assert trial.job_path is not None
    if witness == "last_output":
        Path(trial.job_path).with_name(f"{trial.jid}.0.out").unlink()
        damage(path.parent / "results" / "results.db", "UPDATE trials SET score = 99")
    else:
        damage(path.parent / "results" / "results.db", "UPDATE trials SET score = 99, last_output = 'nothing'")
    assert [finding.kind for finding in look(path)[1]] == [FindingKind.WRONG_SCORE]


def test_each_attempt_is_compared_with_its_own_output(folder: Path) -> None:
    script = (
        "import os, pathlib\n"
        "again = pathlib.Path('begun').exists()\n"
        "pathlib.Path('begun').touch()\n"
        "print('#Auptimizer:%d' % (2 if again else 1), flush=True)\n"
        "again or os.kill(os.getpid(), 9)\n"
    )
    path = write_experiment(folder, script, n_samples=1, job_failure={"job_retries": 1}, max_failures=9)
    search(path)
    assert [(trial.status, trial.score) for trial in trials_of(path)] == [
        (TrialStatus.KILLED, None),
        (TrialStatus.FINISHED, 2.0),
    ]
    assert look(path) == ({}, [])


@pytest.mark.parametrize("by_resuming", [False, True], ids=["repair", "resume"])
def test_a_result_that_its_records_contradict_never_becomes_a_score(folder: Path, by_resuming: bool) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=1)
    search(path)
    result = "trial_id, score, best_epoch, num_epochs, duration_seconds, recorded_at"
    damage(
        path.parent / "results" / "results.db",
        "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL",
        f"INSERT INTO trial_results ({result}) VALUES (1, 99, 1, 1, 1, '')",
    )
    if by_resuming:
        search(path)
    else:
        with ResultsStore.open(path.parent / "results" / "results.db") as store:
            repair_all(store, [1], lambda sentence: None)
    first = trials_of(path)[0]
    assert (first.status, first.score) == (TrialStatus.KILLED, None)
    assert first.message == (
        "its controller disappeared while the job ran, and its records contradict its score"
    )
    assert [finding.kind for finding in look(path)[1]] == [FindingKind.WRONG_SCORE]


def test_a_training_of_the_tables_is_never_made_to_have_finished(folder: Path) -> None:
    """It has its result, but perhaps not all of its test scores."""
    database_path = folder / "results" / "results.db"
    write_table(database_path)
    damage(database_path, "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL")
    told = repair(folder / "experiment.json")
    assert told[1].endswith("Repaired: it is now marked killed: its process disappeared while the trial ran.")
    with ResultsStore.open_readonly(database_path) as store:
        (trial,) = store.trials(1)
    assert (trial.status, trial.score, trial.result_score) == (TrialStatus.KILLED, None, 0.5)
    assert trial.message == "its process disappeared while the trial ran"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trials SET score = 0.9 WHERE trial_id = 1",
        "UPDATE test_scores SET weighted_accuracy = 0.9 WHERE seed = 2",
        "DELETE FROM epochs WHERE trial_id = 1 AND epoch = 1",
    ],
    ids=["score", "test score", "epochs"],
)
def test_what_the_records_do_not_decide_stays_as_it_is_and_has_a_reason(folder: Path, statement: str) -> None:
    database_path = folder / "results" / "results.db"
    write_whole_results(database_path)
    damage(database_path, statement)
    before = database_path.read_bytes()
    with ResultsStore.open(database_path) as store:
        assert repair_all(store, [1], pytest.fail) == 0
        (finding,) = find_all(store, [1])
    assert database_path.read_bytes() == before
    assert REASONS[finding.kind]


def test_the_tables_have_a_lock_of_their_own(folder: Path) -> None:
    results_dir = folder / "results"
    write_table(results_dir / "results.db")
    damage(results_dir / "results.db", "UPDATE experiments SET status = 'running', ended_at = NULL")
    path = folder / "experiment.json"
    assert [finding.kind for finding in look(path)[1]] == [FindingKind.UNFINISHED_EXPERIMENT]
    with held(results_dir / "tables.lock", "tables"):
        holders, found = look(path)
    assert found == []
    assert holders[1].startswith(f"tables in {str(results_dir)!r}: process {os.getpid()} on ")
