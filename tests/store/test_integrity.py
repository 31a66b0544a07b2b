"""Each thing that can be wrong with a results folder is found and named; nothing else is."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.integrity import (
    Finding,
    FindingKind,
    back_up,
    find_contradictions,
    find_damage,
    find_left_files,
    find_missing_files,
)
from harness.store.records import FinalModel
from harness.store.store import ResultsStore
from tests.store.whole import break_index, damage, write_evaluation, write_table, write_whole_results

TRIAL = "experiment 1 ('fusion search'), trial {}, attempt {}"
SEARCH = "experiment 1 ('fusion search')"
FOUR_SCORES = (
    ": its score is {}, its result is {}, its validation accuracy at its best epoch, 2, is {}, its accuracy by its "
    "predictions is {}; expected the same number"
)
RUNNING = "UPDATE {} SET status = 'running', ended_at = NULL WHERE {}"

#: What was done -> what must be said, in full.
DAMAGES = {
    "trial marked running": (
        "UPDATE experiments SET status = 'interrupted'; " + RUNNING.format("trials", "trial_id = 2"),
        FindingKind.UNFINISHED_TRIAL,
        TRIAL.format(1, 1) + ": is marked running, and no process holds its experiment; expected an end",
    ),
    "another score than the result": (
        "UPDATE trials SET score = 0.9 WHERE trial_id = 1",
        FindingKind.WRONG_SCORE,
        TRIAL.format(0, 1) + FOUR_SCORES.format(0.9, 0.25, 0.25, 0.25),
    ),
    "another result than epochs and predictions": (
        "UPDATE trial_results SET score = 0.9 WHERE trial_id = 1",
        FindingKind.WRONG_SCORE,
        TRIAL.format(0, 1) + FOUR_SCORES.format(0.25, 0.9, 0.25, 0.25),
    ),
    "another epoch than result and predictions": (
        "UPDATE epochs SET validation_accuracy = 0.9 WHERE trial_id = 1 AND epoch = 2",
        FindingKind.WRONG_SCORE,
        TRIAL.format(0, 1) + FOUR_SCORES.format(0.25, 0.25, 0.9, 0.25),
    ),
    "other predictions than result and epoch": (
        "UPDATE validation_predictions SET predicted = emotion WHERE trial_id = 1",
        FindingKind.WRONG_SCORE,
        TRIAL.format(0, 1) + FOUR_SCORES.format(0.25, 0.25, 0.25, 1.0),
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
    "experiment marked running": (
        RUNNING.format("experiments", "eid = 1"),
        FindingKind.UNFINISHED_EXPERIMENT,
        SEARCH + ": is marked running, and no process holds it; expected an end",
    ),
    "another score on the test set than predicted": (
        "UPDATE test_scores SET weighted_accuracy = 0.9 WHERE seed = 2",
        FindingKind.WRONG_SCORE,
        "score of opening_id 1, seed 2, kind 'validation-chosen epoch' on the test set: the weighted accuracy is "
        "0.9; expected 0.75, the accuracy of its predictions",
    ),
    "another score in the tables than predicted": (
        "UPDATE trial_test_scores SET weighted_accuracy = 0.9",
        FindingKind.WRONG_SCORE,
        "score of trial_id 6, kind 'validation-chosen epoch' on the test set: the weighted accuracy is 0.9; "
        "expected 0.25, the accuracy of its predictions",
    ),
    "another score on another corpus than predicted": (
        "UPDATE evaluation_scores SET weighted_accuracy = 0.9 WHERE epoch = 2",
        FindingKind.WRONG_SCORE,
        "score of evaluation_id 1, seed 1, kind 'validation-chosen epoch' on another corpus: the weighted accuracy is "
        "0.9; expected 0.75, the accuracy of its predictions",
    ),
}


@pytest.fixture
def whole(results_path: Path) -> Path:
    write_whole_results(results_path)
    write_table(results_path)
    write_evaluation(results_path)
    return results_path


def found_in(path: Path, eids: tuple[int, ...] = (1, 2)) -> list[Finding]:
    with ResultsStore.open_readonly(path) as store:
        return find_damage(store) or find_contradictions(store, eids)


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
        FindingKind.DAMAGED_DATABASE, FindingKind.LEFT_FILE, FindingKind.MISSING_TRIAL_FILE, FindingKind.MISSING_MODEL,
    }  # fmt: skip
    assert {kind for _, kind, _ in DAMAGES.values()} | of_files == set(FindingKind)


def test_an_experiment_that_is_not_looked_at_changes_nothing(whole: Path) -> None:
    for name in ("trial marked running", "experiment marked running", "gap in the epochs"):
        damage(whole, *DAMAGES[name][0].split("; "))
    assert found_in(whole, eids=(2,)) == []
    assert len(found_in(whole)) == 3


def test_a_result_without_predictions_is_compared_with_its_epoch(whole: Path) -> None:
    damage(
        whole,
        "UPDATE epochs SET validation_accuracy = 0.9 WHERE trial_id = 1 AND epoch = 2",
        "DELETE FROM validation_predictions WHERE trial_id = 1",
    )
    (found,) = found_in(whole)
    assert found.sentence == TRIAL.format(0, 1) + (
        ": its score is 0.25, its result is 0.25, its validation accuracy at its best epoch, 2, is 0.9; expected the "
        "same number"
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


def test_what_sqlite_finds_wrong_with_the_file_is_named(whole: Path) -> None:
    damage(whole, "UPDATE experiments SET is_synthetic = 7 WHERE eid = 1")
    (found,) = found_in(whole)
    assert (found.kind, found.sentence) == (
        FindingKind.DAMAGED_DATABASE,
        f"results database '{whole}': SQLite's integrity_check says 'CHECK constraint failed in experiments'; "
        "expected 'ok'",
    )


def test_an_index_that_lacks_a_row_is_damage(whole: Path) -> None:
    break_index(whole)
    (found, *_) = found_in(whole)
    assert found.kind is FindingKind.DAMAGED_DATABASE
    assert found.sentence.startswith(f"results database '{whole}': SQLite's integrity_check says ")
    assert "experiments_by_identity" in found.sentence and found.sentence.endswith("; expected 'ok'")


@pytest.fixture
def results_dir(results_path: Path) -> Path:
    """A search with its trials' files and one final model."""
    write_whole_results(results_path)
    folder = results_path.parent
    (folder / "jobs").mkdir()
    damage(results_path, "UPDATE trials SET job_path = 'jobs/' || jid || '.json'")
    for jid in range(1, 6):
        (folder / "jobs" / f"{jid}.trial.json").write_text("{}")
    model_dir = folder / "models" / "experiment-1-trial-3-abc" / "seed-7"
    model_dir.mkdir(parents=True)
    with zipfile.ZipFile(model_dir / "model.keras", "w") as archive:
        archive.writestr("model.weights.h5", b"weights" * 1000)
    with ResultsStore.open(results_path) as store:
        for _ in range(2):
            store.record_final_training(FinalModel(1, 5, 7, 2, str(model_dir)))
    return folder


def missing_in(results_dir: Path) -> list[str]:
    with ResultsStore.open_readonly(results_dir / "results.db") as store:
        return [finding.sentence for finding in find_missing_files(store)]


def test_nothing_is_found_where_every_file_is_there(results_dir: Path) -> None:
    assert missing_in(results_dir) == []
    assert find_left_files(results_dir) == []


def test_results_that_were_moved_lack_nothing(results_dir: Path, tmp_path: Path) -> None:
    assert missing_in(results_dir.rename(tmp_path / "moved")) == []


def test_a_finished_trial_without_its_file_is_named_once(results_dir: Path) -> None:
    (results_dir / "jobs" / "2.trial.json").unlink()
    (results_dir / "jobs" / "4.trial.json").unlink()  # of an attempt that was killed
    assert missing_in(results_dir) == [
        f"experiment 1 ('fusion search'), trial 1, attempt 1: '{results_dir}/jobs/2.trial.json' is not there; "
        "expected the file that `aup` wrote beside its job"
    ]


@pytest.mark.parametrize("digests", ["no JSON", "[]", '{"model.keras": 1}'])
def test_digests_that_cannot_be_read_are_named(results_dir: Path, digests: str) -> None:
    """The model was called sound, and `harness predict` refused it."""
    path = results_dir / "models/experiment-1-trial-3-abc/seed-7/model.keras"
    (path.parent / "sha256.json").write_text(digests)
    (sentence,) = missing_in(results_dir)
    assert f"'{path}' stands beside a sha256.json that cannot be read (" in sentence


def test_a_missing_model_is_named_once(results_dir: Path) -> None:
    path = results_dir / "models/experiment-1-trial-3-abc/seed-7/model.keras"
    path.unlink()
    assert missing_in(results_dir) == [
        f"final model 2 (experiment 1, seed 7): '{path}' is not there; expected the file that "
        "`harness retrain-best` wrote"
    ]


@pytest.mark.parametrize(
    ("position", "change"),
    [(0, b""), (200, None), (1000, b"WEIGHTS")],
    ids=["empty", "truncated", "other bytes"],
)
def test_a_damaged_model_is_named(
    results_dir: Path, position: int, change: bytes | None
) -> None:
    path = results_dir / "models/experiment-1-trial-3-abc/seed-7/model.keras"
    content = path.read_bytes()
    rest = content[position + len(change) :] if change else b""
    path.write_bytes(content[:position] + (change or b"") + rest)
    (sentence,) = missing_in(results_dir)
    assert sentence.startswith(f"final model 2 (experiment 1, seed 7): '{path}' is damaged (")


def rest(path: Path, content: str) -> None:
    """Write a file that nobody has changed for two hours."""
    path.write_text(content)
    os.utime(path, (time.time() - 7200, time.time() - 7200))


def test_only_files_whose_writers_are_gone_were_left(results_dir: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = results_dir / "models" / f"model.json.{gone.pid}.partial"
    rest(left, "{")
    rest(results_dir / f"report.html.{os.getpid()}.partial", "being written")
    rest(results_dir / "notes.partial", "nobody's business")
    network = left.with_name(f"model.keras.{gone.pid}.partial.keras")
    rest(network, "PK")
    left.with_name(f"perhaps another machine's.{gone.pid}.partial").touch()
    held_folder = results_dir / "experiments" / "7"
    held_folder.mkdir(parents=True)
    rest(held_folder / f"4.json.{gone.pid}.partial", "of somebody at work")
    assert len(find_left_files(results_dir)) == 3
    found, of_network = find_left_files(results_dir, [held_folder])
    assert of_network.path == network
    assert (found.kind, found.path) == (FindingKind.LEFT_FILE, left)
    assert found.sentence == (
        f"file '{left}': was begun by process {gone.pid}, which is gone; expected whole files only"
    )


def rows(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


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
    with ResultsStore.open(path):
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
    assert found_in(whole) == []


def test_a_damaged_source_is_named_and_not_the_copy(whole: Path) -> None:
    before = sorted(whole.parent.iterdir())
    whole.write_bytes(b"\xff" * whole.stat().st_size)
    with pytest.raises(StoreError) as caught:
        back_up(whole)
    assert str(caught.value).startswith(f"results database '{whole}': damaged (")
    assert sorted(whole.parent.iterdir()) == before
