"""Each thing that can be wrong with results.db is found and named; nothing else is."""

from pathlib import Path

import pytest

from harness.store.integrity import Finding, FindingKind, ResultsInspector
from tests.store.whole import break_index, damage, write_table, write_whole_results

TRIAL = "experiment 1 ('fusion search'), trial {}, attempt {}"
SEARCH = "experiment 1 ('fusion search')"
RUNNING = "UPDATE {} SET status = 'running', ended_at = NULL WHERE {}"

#: What was done -> what must be said, in full.
DAMAGES = {
    "trial marked running": (
        "UPDATE experiments SET status = 'interrupted'; " + RUNNING.format("trials", "trial_id = 2"),
        FindingKind.NOBODY_RUNS_TRIAL,
        TRIAL.format(1, 1) + ": is marked running, and no process holds its experiment; expected an end",
    ),
    "unknown status": (
        "UPDATE trials SET status = 'gone fishing' WHERE trial_id = 4",
        FindingKind.UNKNOWN_TRIAL_STATUS,
        TRIAL.format(3, 1) + ": has the status 'gone fishing'; expected one of ['running', 'finished', 'crashed', "
        "'timed out', 'out of memory', 'diverged', 'killed', 'stopped']",
    ),
    "score of a failed trial": (
        "UPDATE trials SET score = 0.9 WHERE trial_id = 4",
        FindingKind.SCORE_OF_FAILED_TRIAL,
        TRIAL.format(3, 1) + ": is killed with the score 0.9; expected a score with 'finished' only",
    ),
    "another score than the result": (
        "UPDATE trials SET score = 0.9 WHERE trial_id = 1",
        FindingKind.WRONG_SCORE,
        TRIAL.format(0, 1) + ": is finished with the score 0.9; expected 0.25, which its own process recorded",
    ),
    "another result than epochs and predictions": (
        "UPDATE trial_results SET score = 0.9 WHERE trial_id = 1",
        FindingKind.WRONG_RESULT,
        TRIAL.format(0, 1) + ": its result is 0.9; expected 0.25, as its other records say",
    ),
    "another epoch than result and predictions": (
        "UPDATE epochs SET validation_accuracy = 0.9 WHERE trial_id = 1 AND epoch = 2",
        FindingKind.WRONG_MEASUREMENT,
        TRIAL.format(0, 1)
        + ": its validation accuracy at its best epoch, 2, is 0.9; expected 0.25, as its other records say",
    ),
    "other predictions than result and epoch": (
        "UPDATE validation_predictions SET predicted = emotion WHERE trial_id = 1",
        FindingKind.WRONG_MEASUREMENT,
        TRIAL.format(0, 1) + ": its accuracy by its predictions is 1.0; expected 0.25, as its other records say",
    ),
    "no result": (
        "DELETE FROM trial_results WHERE trial_id = 1",
        FindingKind.MISSING_RESULT,
        TRIAL.format(0, 1)
        + ": is finished, and recorded no result; expected the one that its own process recorded",
    ),
    "no hyperparameters": (
        "DELETE FROM hyperparameters WHERE trial_id = 5",
        FindingKind.MISSING_HYPERPARAMETERS,
        TRIAL.format(3, 2) + ": has no row in table 'hyperparameters'; expected its point there too",
    ),
    "point that is no JSON": (
        "UPDATE trials SET hyperparameters = '{dropout' WHERE trial_id = 1",
        FindingKind.UNREADABLE_JSON,
        TRIAL.format(0, 1) + ": hyperparameters is '{dropout'; expected a JSON text",
    ),
    "gap in the epochs": (
        "DELETE FROM epochs WHERE trial_id = 1 AND epoch = 1",
        FindingKind.MISSING_EPOCHS,
        TRIAL.format(0, 1) + ": recorded 2 epochs of which the last is 3; expected every one before it",
    ),
    "fewer epochs than the result": (
        "DELETE FROM epochs WHERE trial_id = 1 AND epoch = 3",
        FindingKind.MISSING_EPOCHS,
        TRIAL.format(0, 1) + ": recorded 2 epochs, and its result counts 3; expected as many",
    ),
    "no epochs at all": (
        "DELETE FROM epochs WHERE trial_id = 1",
        FindingKind.MISSING_EPOCHS,
        TRIAL.format(0, 1) + ": recorded 0 epochs, and its result counts 3; expected as many",
    ),
    "best epoch that never was": (
        "UPDATE trial_results SET best_epoch = 0 WHERE trial_id = 1",
        FindingKind.MISSING_EPOCHS,
        TRIAL.format(0, 1) + ": its best epoch is 0; expected one from 1 to 3",
    ),
    "run again after it finished": (
        "UPDATE trials SET attempt = 3 WHERE trial_id = 4",
        FindingKind.RUN_TWICE,
        TRIAL.format(3, 3) + ": was started though attempt 2 had finished; expected no attempt after a finished one",
    ),
    "another seed at another attempt": (
        "UPDATE trials SET seed = 99 WHERE trial_id = 5",
        FindingKind.CHANGED_ATTEMPT,
        TRIAL.format(3, 2) + ": has the seed 99; expected 3, as its first attempt has",
    ),
    "another point at another attempt": (
        "UPDATE trials SET hyperparameters = '{\"dropout\": 0.4}' WHERE trial_id = 5",
        FindingKind.CHANGED_ATTEMPT,
        TRIAL.format(3, 2) + ": has the point {'dropout': 0.4}; expected {'dropout': 0.3}, as its first attempt has",
    ),
    "experiment marked running": (
        RUNNING.format("experiments", "eid = 1"),
        FindingKind.NOBODY_RUNS_EXPERIMENT,
        SEARCH + ": is marked running, and no process holds it; expected an end",
    ),
    "experiment of unknown status": (
        "UPDATE experiments SET status = 'done' WHERE eid = 1",
        FindingKind.UNKNOWN_EXPERIMENT_STATUS,
        SEARCH + ": has the status 'done'; expected one of ['running', 'finished', 'failed', 'interrupted']",
    ),
    "experiment without an end": (
        "UPDATE experiments SET ended_at = NULL WHERE eid = 1",
        FindingKind.WRONG_ENDING,
        SEARCH + ": is finished, and ended at no time; expected the time of its end",
    ),
    "finished experiment that lacks a trial": (
        "UPDATE experiments SET num_samples = 5 WHERE eid = 1",
        FindingKind.MISSING_TRIALS,
        SEARCH + ": is finished, and 4 of its trials have ended; expected 5, its num_samples",
    ),
    "settings that are no JSON": (
        "UPDATE experiments SET settings = 'n_samples' WHERE eid = 1",
        FindingKind.UNREADABLE_JSON,
        SEARCH + ": settings is 'n_samples'; expected a JSON text",
    ),
    "opening that is not marked complete": (
        "UPDATE test_openings SET completed_at = NULL",
        FindingKind.UNFINISHED_OPENING,
        "opening 1 of the test set: has every score, and is not marked complete; expected the time of its last score",
    ),
    "complete opening that lacks a score": (
        "UPDATE test_openings SET seeds = '[1, 2, 3]'",
        FindingKind.UNFINISHED_OPENING,
        "opening 1 of the test set: is complete, and has no score of the seeds [3]; expected one of each",
    ),
    "another score on the test set than predicted": (
        "UPDATE test_scores SET weighted_accuracy = 0.9 WHERE seed = 2",
        FindingKind.WRONG_TEST_SCORE,
        "score of opening_id 1, seed 2, kind 'validation-chosen epoch' on the test set: the weighted accuracy is "
        "0.9; expected 0.75, the accuracy of its predictions",
    ),
    "another score in the tables than predicted": (
        "UPDATE trial_test_scores SET weighted_accuracy = 0.9",
        FindingKind.WRONG_TEST_SCORE,
        "score of trial_id 6, kind 'validation-chosen epoch' on the test set: the weighted accuracy is 0.9; "
        "expected 0.25, the accuracy of its predictions",
    ),
    "rows of nobody": (
        "INSERT INTO epochs (trial_id, epoch, recorded_at) VALUES (77, 1, ''), (77, 2, '')",
        FindingKind.MISSING_PARENT,
        "table 'epochs': 2 of its rows belong to a row of table 'trials' that is not there; expected none",
    ),
}


@pytest.fixture
def whole(results_path: Path) -> Path:
    write_whole_results(results_path)
    write_table(results_path)
    return results_path


def found_in(path: Path, eids: tuple[int, ...] = (1, 2)) -> list[Finding]:
    with ResultsInspector.open_readonly(path) as inspector:
        return inspector.find_damage() or inspector.find_contradictions(eids)


def test_nothing_is_found_where_nothing_is_wrong(whole: Path) -> None:
    before = whole.read_bytes()
    assert found_in(whole) == []
    assert whole.read_bytes() == before


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_wrong_is_found_and_named(whole: Path, name: str) -> None:
    statement, kind, sentence = DAMAGES[name]
    damage(whole, *statement.split("; "))
    assert [(found.kind, found.sentence) for found in found_in(whole)] == [(kind, sentence)]


def test_every_kind_that_a_database_can_show_is_tested_here() -> None:
    of_files = {
        FindingKind.LEFT_FILE, FindingKind.MISSING_TRIAL_FILE,
        FindingKind.MISSING_MODEL,
    }  # fmt: skip
    of_the_file_itself = {FindingKind.DAMAGED_DATABASE, FindingKind.DAMAGED_INDEX}
    assert {kind for _, kind, _ in DAMAGES.values()} | of_files | of_the_file_itself == set(FindingKind)


def test_an_experiment_that_is_not_looked_at_changes_nothing(whole: Path) -> None:
    for name in ("trial marked running", "experiment marked running", "gap in the epochs", "no hyperparameters"):
        damage(whole, *DAMAGES[name][0].split("; "))
    assert found_in(whole, eids=(2,)) == []
    assert len(found_in(whole)) == 4


def test_witnesses_that_are_divided_are_all_named(whole: Path) -> None:
    damage(
        whole,
        "UPDATE epochs SET validation_accuracy = 0.9 WHERE trial_id = 1 AND epoch = 2",
        "DELETE FROM validation_predictions WHERE trial_id = 1",
    )
    (found,) = found_in(whole)
    assert found.kind is FindingKind.WRONG_MEASUREMENT
    assert found.sentence == TRIAL.format(0, 1) + (
        ": its result is 0.25 and its validation accuracy at its best epoch, 2, is 0.9; expected the same number"
    )


def test_a_script_of_ones_own_needs_no_result_and_no_epochs(whole: Path) -> None:
    damage(
        whole,
        "UPDATE experiments SET system = ''",
        "DELETE FROM trial_results",
        "DELETE FROM epochs",
        "DELETE FROM validation_predictions",
    )
    assert found_in(whole) == []


def test_tables_may_finish_with_other_seeds_than_they_began_with(whole: Path) -> None:
    damage(whole, "UPDATE experiments SET num_samples = 9 WHERE kind = 'tables'")
    assert found_in(whole) == []


def test_a_broken_file_is_told_apart_from_a_broken_index(whole: Path) -> None:
    damage(whole, "UPDATE experiments SET is_synthetic = 7 WHERE eid = 1")
    (found,) = found_in(whole)
    assert (found.kind, found.sentence) == (
        FindingKind.DAMAGED_DATABASE,
        f"results database '{whole}': SQLite's integrity_check says 'CHECK constraint failed in experiments'; "
        "expected 'ok'",
    )


def test_an_index_that_lacks_a_row_is_named(whole: Path) -> None:
    break_index(whole)
    (found, *_) = found_in(whole)
    assert found.kind is FindingKind.DAMAGED_INDEX
    assert found.sentence.startswith(f"results database '{whole}': SQLite's integrity_check says ")
    assert "experiments_by_identity" in found.sentence and found.sentence.endswith("; expected 'ok'")
