"""Files that are recorded and not there, damaged, or half-written."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from harness.store.integrity import FindingKind, ResultsInspector, find_left_files, find_missing_files
from harness.store.records import FinalModel
from harness.store.store import ResultsStore
from tests.store.whole import damage, write_whole_results


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
    with ResultsInspector.open_readonly(results_dir / "results.db") as inspector:
        return [finding.sentence for finding in find_missing_files(inspector)]


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
def test_a_damaged_model_is_told_from_a_whole_one(
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
