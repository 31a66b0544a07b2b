"""Full disks, folders that cannot be written, locks and damage: one sentence, and no finished trial is lost."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.integrity import FindingKind, find_contradictions, find_damage
from harness.store.records import TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import (
    SCORES_X,
    end_started,
    environment,
    num_running,
    search,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)
from tests.store.experiments import an_experiment
from tests.store.whole import train, write_whole_results

SPAWN = get_context("spawn")


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_started()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s; a "folder" 100%?#'
    folder.mkdir()
    return folder


def limit_files(num_bytes: int) -> None:
    """Let no file of this process grow beyond some bytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def finish_trials_until_the_disk_is_full(path: Path, num_bytes: int) -> tuple[int, str]:
    with ResultsStore.open(path) as store:
        eid = store.create_experiment(an_experiment(num_samples=10**6))
        limit_files(num_bytes)
        num_finished = 0
        try:
            while True:
                train(store, store.start_trial(eid, num_finished, 1, {"dropout": 0.1}), 0.5)
                num_finished += 1
        except StoreError as error:
            return num_finished, str(error)


@pytest.mark.parametrize("num_bytes", [250_000, 1_000_003])
def test_a_full_disk_loses_no_finished_trial(results_path: Path, num_bytes: int) -> None:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        num_finished, said = pool.submit(finish_trials_until_the_disk_is_full, results_path, num_bytes).result()
    assert said.startswith(f"results database '{results_path}': the disk did not take the write (")
    assert said.endswith("); recorded trials are safe; free some space and run the same command again")
    with ResultsStore.open(results_path) as store:
        trials = store.trials(1)
        finished = [trial for trial in trials if trial.status is TrialStatus.FINISHED]
        assert len(finished) == num_finished > 0
        assert all((trial.score, trial.result_score, trial.num_epochs) == (0.5, 0.5, 3) for trial in finished)
        # The one that was at work is as far as its last record, and whatever it holds is sound.
        for trial in trials[num_finished:]:
            store.finish_trial(trial.trial_id, TrialStatus.KILLED)
    with ResultsStore.open_readonly(results_path) as store:
        assert find_damage(store) == []
        kinds = {finding.kind for finding in find_contradictions(store, (1,))}
    assert kinds == {FindingKind.UNFINISHED_EXPERIMENT}


def test_a_search_on_a_full_disk_ends_with_one_sentence_and_goes_on_later(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=400)
    controller = start_aup(path, preexec_fn=lambda: limit_files(200_000))
    _, errors = controller.communicate(timeout=50)
    assert controller.returncode in (1, 2), errors
    assert errors.startswith("error: ") and errors.count("\n") == 1, errors
    finished = {trial.trial_index: trial for trial in trials_of(path) if trial.status is TrialStatus.FINISHED}
    assert finished
    path = write_experiment(folder, SCORES_X, n_samples=len(finished) + 3)
    report = search(path)
    after = {trial.trial_index: trial for trial in trials_of(path) if trial.status is TrialStatus.FINISHED}
    assert report.num_by_status == {TrialStatus.FINISHED: len(after)}
    assert {index: after[index] for index in finished} == finished


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have another process hold the write lock inside the block."""
    program = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n"
        "held.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\nheld.execute('COMMIT')\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()


IMPATIENT = """
import sys
from harness.store.store import ResultsStore
ResultsStore.open.__func__.__defaults__ = (0.3,)
from harness.cli.aup import main
sys.argv = ["aup", sys.argv[1]]
main()
"""

TAKES_A_WHILE = """
import json, sys, time
time.sleep(0.1)
print("#Auptimizer:%r" % json.load(open(sys.argv[1]))["x"])
"""


def num_finished(path: Path) -> int:
    """Count the finished trials, 0 before there is a database."""
    if not (path.parent / "results" / "results.db").exists():
        return 0
    return sum(trial.status is TrialStatus.FINISHED for trial in trials_of(path))


def test_a_lock_that_outlasts_our_patience_gives_one_sentence_and_loses_nothing(folder: Path) -> None:
    path = write_experiment(folder, TAKES_A_WHILE, n_samples=60)
    controller = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(path)], stderr=subprocess.PIPE, text=True, env=environment(),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: num_finished(path) >= 3)
    with locked(path.parent / "results" / "results.db"):
        _, errors = controller.communicate(timeout=30)
        assert controller.returncode == 2
        assert errors == (
            f"error: results database '{path.parent}/results/results.db': another process kept it locked for longer "
            "than this one waits; end that process, or try again\n"
        )
    finished = [trial for trial in trials_of(path) if trial.status is TrialStatus.FINISHED]
    path = write_experiment(folder, TAKES_A_WHILE, n_samples=len(finished) + 2)
    search(path)
    after = {trial.trial_id: trial for trial in trials_of(path)}
    assert [after[trial.trial_id] for trial in finished] == finished
    ended = [trial.trial_index for trial in after.values() if trial.status is TrialStatus.FINISHED]
    assert len(ended) == len(set(ended)) >= len(finished) + 2


@pytest.mark.long
def test_a_lock_that_is_shorter_than_our_patience_is_waited_for(folder: Path) -> None:
    path = write_experiment(folder, TAKES_A_WHILE, n_samples=80)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) > 0)
    with locked(path.parent / "results" / "results.db"):
        time.sleep(1.5)
        assert controller.poll() is None
    assert controller.wait(timeout=30) == 0
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 80


def overwrite_randomly(path: Path) -> None:
    path.write_bytes(random.Random(7).randbytes(path.stat().st_size))


def truncate(path: Path) -> None:
    os.truncate(path, 5 * 4096 + 100)


def truncate_in_the_header(path: Path) -> None:
    os.truncate(path, 50)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def garble_the_schema(path: Path) -> None:
    """SQLite then names a table in its message, in bytes that are no UTF-8: Python cannot read the message."""
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xcc"))


DAMAGES = [overwrite_randomly, truncate, truncate_in_the_header, empty, garble_the_schema]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["aup", "report", "check"])
def test_a_damaged_database_gives_every_command_one_sentence_and_stays_as_it_is(
    folder: Path, damage: Callable[[Path], None], command: str
) -> None:
    path = write_experiment(folder, SCORES_X, name="fusion search")
    database_path = folder / "results" / "results.db"
    write_whole_results(database_path)
    damage(database_path)
    before = database_path.read_bytes()
    if command == "aup":
        code, arguments = "from harness.cli.aup import main; main()", [str(path)]
    else:
        code = f"import sys; sys.argv[1:1] = ['{command}']; from harness.cli.main import main; main()"
        arguments = ["--results", str(folder / "results")] if command == "check" else [str(folder / "results")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment(), timeout=50
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert "Traceback" not in done.stderr
    if command == "check" and done.returncode == 1:
        assert "integrity_check" in done.stdout
    else:
        assert done.returncode == 2, done.stderr
        (sentence,) = said
        assert sentence.startswith(f"error: results database '{database_path}': damaged (")
        assert sentence.endswith("; restore a copy, or move it away to start anew")
    assert database_path.read_bytes() == before


def test_an_empty_file_that_never_held_anything_is_a_new_database(results_path: Path) -> None:
    results_path.parent.mkdir()
    results_path.touch()
    with ResultsStore.open(results_path) as store:
        assert store.experiments() == []


def test_a_database_that_was_moved_away_is_begun_anew(results_path: Path) -> None:
    write_whole_results(results_path)
    results_path.rename(results_path.with_name("kept.db"))
    with ResultsStore.open(results_path) as store:
        assert store.experiments() == []


def test_side_files_of_a_killed_writer_are_folded_in(results_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom tests.store.whole import write_whole_results\n"
        "from harness.store.store import ResultsStore\npath = Path(sys.argv[1])\n"
        "kept = ResultsStore.open(path)\nkept.experiments()\nwrite_whole_results(path)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(results_path)], env=environment())
    assert done.returncode == -signal.SIGKILL
    assert results_path.with_name("results.db-wal").stat().st_size > 0
    with ResultsStore.open_readonly(results_path) as store:
        assert len(store.trials(1)) == 5
        assert find_damage(store) + find_contradictions(store, (1,)) == []


def test_a_torn_last_write_costs_that_write_alone(results_path: Path) -> None:
    """A power loss tears the write-ahead log: what was committed before the tear is there."""
    torn = results_path.with_name("torn.db")
    with ResultsStore.open(results_path) as store:
        eid = store.create_experiment(an_experiment())
        num_bytes = []
        for index in range(4):
            train(store, store.start_trial(eid, index, 1, {}), 0.5)
            num_bytes.append(results_path.with_name("results.db-wal").stat().st_size)
        torn.write_bytes(results_path.read_bytes())
        log = results_path.with_name("results.db-wal").read_bytes()
        torn.with_name("torn.db-wal").write_bytes(log[: num_bytes[2] - 100])
    with closing(sqlite3.connect(torn)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT status FROM trials ORDER BY trial_id").fetchall()
    assert rows == [("finished",), ("finished",), ("running",)]
