"""What the trials' own records decide is put right, after a copy has been made; the rest stays as it is."""

import resource
import signal
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.integrity import REASONS, FindingKind, ResultsInspector, ResultsRepairer, back_up
from harness.store.records import ExperimentStatus, TrialStatus
from tests.store.test_checks import DAMAGES, found_in
from tests.store.whole import break_index, damage, write_table, write_whole_results

REPAIRED = {
    "trial marked running": "it is marked finished now: the result was recorded",
    "unknown status": "it is marked killed now: no result was recorded",
    "score of a failed trial": "the score was removed",
    "another score than the result": "the score is now 0.25",
    "another result than epochs and predictions": "the result is now 0.25",
    "no hyperparameters": "the row was written from the trial's own record",
    "experiment marked running": "it is marked interrupted now; the command that began it goes on with it",
    "experiment of unknown status": "it is marked interrupted now; the command that began it goes on with it",
    "experiment without an end": "its end is the one of its last trial now",
    "finished experiment that lacks a trial": "it is marked interrupted now; the command that began it goes on with it",
    "opening that is not marked complete": "it is marked complete now, at the time of its last score",
}


@pytest.fixture
def whole(results_path: Path) -> Path:
    write_whole_results(results_path)
    write_table(results_path)
    return results_path


def rows(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


@pytest.mark.parametrize("name", REPAIRED)
def test_what_the_records_decide_is_put_right(whole: Path, name: str) -> None:
    damage(whole, *DAMAGES[name][0].split("; "))
    (finding,) = found_in(whole)
    with ResultsRepairer.open(whole) as repairer:
        assert repairer.repair(finding) == REPAIRED[name]
    assert found_in(whole) == []


@pytest.mark.parametrize("name", sorted(set(DAMAGES) - set(REPAIRED)))
def test_what_they_do_not_decide_stays_as_it_is_and_has_a_reason(whole: Path, name: str) -> None:
    damage(whole, *DAMAGES[name][0].split("; "))
    before = rows(whole)
    (finding,) = found_in(whole)
    with ResultsRepairer.open(whole) as repairer:
        assert repairer.repair(finding) is None
    assert rows(whole) == before
    assert REASONS[finding.kind]


def test_a_repaired_score_is_the_one_that_was_recorded(whole: Path) -> None:
    before = rows(whole)
    damage(whole, *DAMAGES["another score than the result"][0].split("; "))
    with ResultsRepairer.open(whole) as repairer:
        repairer.repair(found_in(whole)[0])
    assert rows(whole) == before


def test_a_trial_without_a_result_was_killed(whole: Path) -> None:
    damage(
        whole,
        "DELETE FROM trial_results WHERE trial_id = 2",
        "DELETE FROM validation_predictions WHERE trial_id = 2",
        "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL WHERE trial_id = 2",
        "UPDATE experiments SET status = 'interrupted' WHERE eid = 1",
    )
    (finding,) = found_in(whole)
    with ResultsRepairer.open(whole) as repairer:
        assert repairer.repair(finding) == "it is marked killed now: no result was recorded"
        trial = repairer.trial(2)
        assert (trial.status, trial.score, trial.num_epochs) == (TrialStatus.KILLED, None, 3)
        assert trial.message == "nobody was left to see how it ended; no result was recorded"
        assert trial.ended_at is not None


def test_a_training_of_the_tables_is_never_made_to_have_finished(whole: Path) -> None:
    damage(
        whole,
        "UPDATE trials SET status = 'running', score = NULL, ended_at = NULL WHERE trial_id = 6",
    )
    (finding,) = found_in(whole)
    with ResultsRepairer.open(whole) as repairer:
        repairer.repair(finding)
        assert repairer.trial(6).status is TrialStatus.KILLED


def test_an_attempt_beside_a_finished_one_is_not_made_to_have_finished_too(whole: Path) -> None:
    damage(
        whole,
        "UPDATE trials SET status = 'unheard of' WHERE trial_id = 4",
        "INSERT INTO trial_results (trial_id, score, best_epoch, num_epochs, duration_seconds, recorded_at) "
        "VALUES (4, 0.5, 1, 1, 1.0, '')",
    )
    (finding,) = found_in(whole)
    with ResultsRepairer.open(whole) as repairer:
        repairer.repair(finding)
        assert repairer.trial(4).status is TrialStatus.KILLED
        assert repairer.trial(5).status is TrialStatus.FINISHED


def test_an_index_is_built_anew(whole: Path) -> None:
    break_index(whole)
    (finding, *_) = found_in(whole)
    assert finding.kind is FindingKind.DAMAGED_INDEX
    with ResultsRepairer.open(whole) as repairer:
        assert repairer.repair(finding) == "every index was built anew from its table"
        found = repairer.find_experiment("changed")
        assert found is not None and found.status is ExperimentStatus.FINISHED
    assert found_in(whole) == []


def test_the_copy_is_a_whole_database_and_is_never_written_over(whole: Path) -> None:
    copies = [back_up(whole) for _ in range(2)]
    assert len(set(copies)) == 2
    for copy in copies:
        assert copy.parent == whole.parent and copy.name.startswith("results.before-repair-")
        assert rows(copy) == rows(whole)
    assert not list(whole.parent.glob("*.partial"))


def back_up_without_room(path: Path) -> str:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # While it is open its side files are there, and need no room.
    with ResultsRepairer.open(path):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        try:
            return str(back_up(path))
        except StoreError as error:
            return f"error: {error}"


def test_a_disk_without_room_for_the_copy_leaves_nothing_behind(whole: Path) -> None:
    before = sorted(whole.parent.iterdir())
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        said = pool.submit(back_up_without_room, whole).result()
    assert said.startswith(f"error: results database '{whole.parent}/results.before-repair-")
    assert "the disk did not take the write" in said or "database or disk is full" in said
    assert sorted(whole.parent.iterdir()) == before
    with ResultsInspector.open_readonly(whole) as inspector:
        assert inspector.find_contradictions((1, 2)) == []


def test_a_scored_trial_of_an_unknown_status_keeps_its_score(whole: Path) -> None:
    damage(whole, "UPDATE trials SET status = 'done', score = 0.9 WHERE trial_id = 4")
    before = rows(whole)
    (finding,) = found_in(whole)
    assert finding.kind is FindingKind.UNKNOWN_TRIAL_STATUS
    with ResultsRepairer.open(whole) as repairer:
        assert repairer.repair(finding) is None
    assert rows(whole) == before
    assert REASONS[finding.kind] == "it has a score, and nothing tells how it ended; do not trust this trial"


@pytest.mark.parametrize("seeds", ["7", "{\"7\": 1}", "[[7]]", "[7, \"8\"]"])
def test_seeds_that_are_no_list_of_numbers_are_named(whole: Path, seeds: str) -> None:
    damage(whole, f"UPDATE test_openings SET seeds = '{seeds}' WHERE opening_id = 1")
    (finding,) = found_in(whole)
    assert finding.kind is FindingKind.UNREADABLE_JSON
    assert finding.sentence == (
        f"opening 1 of the test set: seeds is {seeds!r}; expected a JSON list of whole numbers"
    )


def test_what_comes_before_the_first_change_comes_once_and_only_then(whole: Path) -> None:
    damage(whole, "UPDATE trials SET score = 0.9 WHERE trial_id = 1", "DELETE FROM epochs WHERE trial_id = 2")
    changes: list[bool] = []
    with ResultsRepairer.open(whole) as repairer:
        repairer.on_first_change = lambda: changes.append(True)
        for finding in sorted(found_in(whole), key=lambda finding: finding.kind is FindingKind.WRONG_SCORE):
            assert changes == []
            repairer.repair(finding)
        repairer.prepare_change()
    assert changes == [True]


def test_a_damaged_source_is_named_and_not_the_copy(whole: Path) -> None:
    before = sorted(whole.parent.iterdir())
    whole.write_bytes(b"\xff" * whole.stat().st_size)
    with pytest.raises(StoreError) as caught:
        back_up(whole)
    assert str(caught.value).startswith(f"results database '{whole}': damaged (")
    assert sorted(whole.parent.iterdir()) == before
