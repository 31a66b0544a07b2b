"""Snapshots of searches in every state, their JSON, and the estimate of the time that is left."""

import json
import math
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.search.display import sum_up
from harness.search.jobs import process_started_at
from harness.search.lock import held, lock_path
from harness.search.snapshot import (
    SearchSnapshot,
    SearchState,
    estimate_search,
    estimate_trial,
    measure_epoch,
    seconds_between,
    watch_search,
)
from harness.store.records import EpochRecord, ExperimentStatus
from harness.store.store import ResultsStore
from tests.report.searches import begin_search, begin_trial, fail_trial, run_search, run_trial
from tests.search.searches import environment
from tests.search.watched_searches import NAME, running_search

GUIDE = Path(__file__).parents[2] / "docs" / "watch.md"


def counts(watched: SearchSnapshot) -> tuple[int, int, int, int]:
    return watched.num_finished, watched.num_running, watched.num_failed, watched.num_left


@pytest.mark.parametrize("is_empty", [False, True], ids=["no folder", "a database that is being made"])
def test_before_a_search_there_is_something_to_wait_for(folder: Path, is_empty: bool) -> None:
    if is_empty:
        (folder / "results.db").touch()
    watched = watch_search(folder, None)
    assert (watched.state, watched.experiment) == (SearchState.WAITING, None)
    assert watched.message == f"No search has begun in '{folder}' yet."
    assert not is_empty or (folder / "results.db").stat().st_size == 0


@pytest.mark.parametrize("has_earlier", [False, True])
def test_a_controller_that_prepares_its_corpus_is_waited_for(folder: Path, has_earlier: bool) -> None:
    if has_earlier:
        with ResultsStore.open(folder / "results.db") as store:
            run_search(store, 2, name="an earlier one")
    with held(lock_path(folder, NAME), "it"):
        watched = watch_search(folder, None)
    assert watched.state is SearchState.WAITING
    assert watched.message == f"Process {os.getpid()} on {platform.node()} is preparing a search in '{folder}'."
    assert watched.controller is not None and (watched.controller.memory_bytes or 0) > 1_000_000


def test_a_running_search_is_told_trial_by_trial(folder: Path) -> None:
    with running_search(folder):
        watched = watch_search(folder, None)
    assert watched.state is SearchState.RUNNING
    assert counts(watched) == (2, 2, 1, 5)
    assert watched.best is not None and (watched.best.trial_index, watched.best.score) == (0, 0.75)
    assert watched.scores == (0.75, 0.5)
    assert [trial.message for trial in watched.failures] == ["the loss is \x1b[31mno number\x1b[0m"]
    assert watched.controller is not None and watched.controller.pid == os.getpid()
    trial, other = watched.running
    assert (trial.trial_index, trial.num_epochs, trial.max_epochs) == (3, 3, 30)
    assert trial.validation_accuracies == pytest.approx((0.2, 0.4, 0.6))
    assert trial.validation_accuracy == trial.best_validation_accuracy == pytest.approx(0.6)
    assert (trial.seconds_per_epoch, trial.seconds_left) == (1.5, 1.5 * 27)
    assert trial.memory_bytes is None and other.trial_index == 4


def test_an_accuracy_that_is_no_number_is_none(folder: Path) -> None:
    with running_search(folder, num_running=1):
        with sqlite3.connect(folder / "results.db") as database:
            database.execute("UPDATE epochs SET validation_accuracy = NULL WHERE epoch = 3")
        [trial] = watch_search(folder, None).running
    assert trial.validation_accuracies == pytest.approx((0.2, 0.4, None))
    assert (trial.validation_accuracy, trial.best_validation_accuracy) == (None, pytest.approx(0.4))


@pytest.mark.parametrize(("host", "is_known"), [(platform.node(), True), ("another host", False)])
def test_memory_is_that_of_the_trials_processes_on_this_machine(folder: Path, host: str, is_known: bool) -> None:
    code = "kept = bytearray(30_000_000); print(flush=True); input()"
    job = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with job, running_search(folder, num_running=1) as store:
        assert job.stdout is not None
        job.stdout.readline()
        [running] = store.running_trials(1)
        store.record_job(running.trial_id, job.pid, host, process_started_at(job.pid))
        [trial] = watch_search(folder, None).running
        job.communicate(b"\n")
    assert (trial.memory_bytes or 0) > 30_000_000 if is_known else trial.memory_bytes is None


def test_a_search_whose_controller_is_gone_is_abandoned_and_its_trials_are_left_to_do(folder: Path) -> None:
    with running_search(folder):
        pass
    watched = watch_search(folder, None)
    assert watched.state is SearchState.ABANDONED
    assert counts(watched) == (2, 0, 1, 7)
    assert (watched.running, watched.controller, watched.seconds_left) == ((), None, None)
    assert sum_up(watched)[0] == "3 of 10 trials: 1 diverged, 2 finished."


def test_watching_what_a_killed_search_has_left_changes_no_result(folder: Path) -> None:
    killed = (
        "import os, sys; from pathlib import Path; from tests.search.watched_searches import running_search\n"
        "with running_search(Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)\n"
    )
    folder.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", killed, str(folder)], env=environment(), check=False)
    assert done.returncode == -9 and (folder / "results.db-wal").stat().st_size > 0
    copy = shutil.copytree(folder, folder.with_name("copy"))
    assert watch_search(folder, None).state is SearchState.ABANDONED
    dumps = []
    for path in (folder / "results.db", copy / "results.db"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            dumps.append(list(database.iterdump()))
    assert dumps[0] == dumps[1] and any("trial_results" in line for line in dumps[0])


def test_a_search_that_has_ended_is_told_as_ended(folder: Path) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        run_search(store, 3)
    watched = watch_search(folder, None)
    assert (watched.state, counts(watched)) == (SearchState.ENDED, (3, 0, 1, 0))


def test_the_running_search_comes_before_one_that_was_begun_later(folder: Path) -> None:
    with running_search(folder) as store:
        run_search(store, 2, name="a later one")
        watched = watch_search(folder, None)
        later = watch_search(folder, 2)
    assert watched.experiment is not None and watched.experiment.eid == 1
    assert later.experiment is not None and (later.experiment.eid, later.state) == (2, SearchState.ENDED)


def test_an_unknown_experiment_is_refused(folder: Path) -> None:
    with running_search(folder), pytest.raises(StoreError) as caught:
        watch_search(folder, 7)
    assert str(caught.value) == f"experiment 7: not in '{folder / 'results.db'}'; expected one of [1]"


def test_a_database_of_another_version_is_refused_and_left_as_it_is(folder: Path) -> None:
    with running_search(folder) as store:
        with sqlite3.connect(folder / "results.db") as database:
            database.execute("PRAGMA user_version = 2")
        with pytest.raises(StoreError, match="written by an unreleased harness"):
            watch_search(folder, None)
        assert store.experiment(1).status is ExperimentStatus.RUNNING
    with closing(sqlite3.connect(folder / "results.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_database_that_is_being_made_is_waited_for(folder: Path) -> None:
    """SQLite's file is there before the transaction that makes the tables."""
    (folder / "results.db").touch()
    assert watch_search(folder, None).state is SearchState.WAITING
    with closing(sqlite3.connect(folder / "results.db", isolation_level=None)) as maker:
        maker.execute("PRAGMA journal_mode = WAL")
        maker.execute("BEGIN IMMEDIATE")
        maker.execute("CREATE TABLE experiments (eid)")
        assert watch_search(folder, None).state is SearchState.WAITING
        maker.execute("ROLLBACK")


def test_a_search_on_another_machine_is_not_touched(folder: Path) -> None:
    with running_search(folder):
        path = lock_path(folder, NAME)
        path.write_text(path.read_text().replace(f'"{platform.node()}"', '"node17"'))
        with pytest.raises(StoreError) as caught:
            watch_search(folder, None)
    pattern = (
        r"results folder '.*': process \d+ on node17 has used it since .*, and its database can be read on that "
        r"machine alone; run harness watch on node17, or, if that process was killed, resume the search first"
    )
    assert re.fullmatch(pattern, str(caught.value))


def test_a_look_writes_nothing_and_keeps_no_reader(folder: Path) -> None:
    with running_search(folder):
        files = [folder / "results.db", folder / "results.db-wal"]
        before = [path.read_bytes() for path in files]
        for _ in range(3):
            watch_search(folder, None)
        assert [path.read_bytes() for path in files] == before
        with closing(sqlite3.connect(folder / "results.db")) as database:
            # Busy, pages in the log, pages moved: a reader that is left would keep the log from being emptied.
            assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_rate_and_time_left_follow_what_this_controller_has_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trials of 60 s have ended in two minutes; two run since 20 s; five are left."""
    with ResultsStore.open(folder / "results.db") as store:
        eid = begin_search(store, num_samples=9, name=NAME)
        for index in range(2):
            run_trial(store, eid, index, 9, 0.5)
        for index in range(2, 4):
            begin_trial(store, eid, index, 9)
        with held(lock_path(folder, NAME), "it"):
            times = {0: ("10:00:00", "10:01:00"), 1: ("10:00:40", "10:01:40")}
            with sqlite3.connect(folder / "results.db") as database:
                for index, (start, end) in times.items():
                    stamps = [f"2999-01-01T{start}.000+00:00", f"2999-01-01T{end}.000+00:00", index]
                    database.execute("UPDATE trials SET started_at = ?, ended_at = ? WHERE trial_index = ?", stamps)
                database.execute("UPDATE trials SET started_at = '2999-01-01T10:01:40.000+00:00' WHERE trial_index > 1")
            monkeypatch.setattr("harness.search.snapshot.utc_now", lambda: "2999-01-01T10:02:00.000+00:00")
            watched = watch_search(folder, None)
    assert watched.trials_per_hour == pytest.approx(60)
    assert watched.seconds_left == pytest.approx((5 * 60 + 2 * 40) / 2)


def test_before_an_end_the_epochs_tell_how_long_it_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        eid = begin_search(store, num_samples=3, name=NAME)
        begin_trial(store, eid, 0, 3, num_epochs=10)
        with held(lock_path(folder, NAME), "it"):
            started_at = store.running_trials(eid)[0].started_at
            monkeypatch.setattr("harness.search.snapshot.utc_now", lambda: started_at)
            watched = watch_search(folder, None)
    assert watched.trials_per_hour is None
    assert watched.seconds_left == pytest.approx(3 * 20 * 1.5)


def names(value: Any, prefix: str = "") -> set[str]:
    """Every name in a JSON object, as ``running[].pid``; a point's own names are the user's."""
    if isinstance(value, list):
        return set().union(*(names(item, f"{prefix}[]") for item in value))
    if not isinstance(value, dict) or prefix.endswith("point"):
        return {prefix}
    return set().union(*(names(item, f"{prefix}.{name}".lstrip(".")) for name, item in value.items()))


def test_what_scripts_read_is_plain_json(folder: Path) -> None:
    with running_search(folder):
        found = json.loads(json.dumps(watch_search(folder, None).to_json(), allow_nan=False))
    assert found["trials"] == {"total": 10, "finished": 2, "pruned": 0, "running": 2, "failed": 1, "left": 5}
    assert found["best"] == {
        "trial_index": 0,
        "score": 0.75,
        "best_epoch": 4,
        "point": {"adamlr": 0.000125893, "textlstm": 150, "attention": "decoder"},
        "seed_scores": [],
    }
    assert found["experiment"]["measure"] == "validation accuracy"
    assert [trial["num_epochs"] for trial in found["running"]] == [3, 4]
    assert found["failures"][0]["status"] == "diverged"


def test_every_name_that_scripts_read_is_in_the_guide(folder: Path) -> None:
    with running_search(folder):
        found = names(json.loads(json.dumps(watch_search(folder, None).to_json())))
    text = GUIDE.read_text("utf-8")
    assert {name for name in found if f"| `{name}` |" not in text} == set()


def epochs(*seconds: float) -> list[EpochRecord]:
    return [EpochRecord(number, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, took) for number, took in enumerate(seconds, start=1)]


def test_the_first_epochs_compilation_does_not_count() -> None:
    assert measure_epoch(epochs(20.0, 2.0, 2.0)) == 2.0
    assert estimate_trial(epochs(20.0, 2.0, 2.0), 30) == 54.0


@pytest.mark.parametrize(
    ("num_done", "seconds_since", "expected"),
    [(1, 0.0, 2.0 * 11), (4, 0.0, 2.0 * 8), (4, 9.0, 7.0), (4, 99.0, 0.0), (3, 99.0, 2.0)],
    ids=["first seed", "first seed is done", "second seed", "longer than foreseen", "the first seed waits"],
)
def test_the_seeds_that_come_after_the_first_are_left_too(
    num_done: int, seconds_since: float, expected: float
) -> None:
    assert estimate_trial(epochs(*[2.0] * num_done), 4, num_seeds=3, seconds_since=seconds_since) == expected


def test_a_trial_whose_first_seed_is_done_has_its_other_seeds_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ResultsStore.open(folder / "results.db") as store:
        settings = json.dumps({"seeds_per_trial": 3})
        eid = begin_search(store, num_samples=1, name=NAME, settings=settings, max_epochs=10)
        begin_trial(store, eid, 0, 1, num_epochs=10)
        with held(lock_path(folder, NAME), "it"):
            with sqlite3.connect(folder / "results.db") as database:
                database.execute("UPDATE epochs SET recorded_at = '2999-01-01T10:00:00.000+00:00'")
                database.execute("UPDATE trials SET started_at = '2999-01-01T09:59:40.000+00:00'")
            monkeypatch.setattr("harness.search.snapshot.utc_now", lambda: "2999-01-01T10:00:06.000+00:00")
            watched = watch_search(folder, None)
    assert watched.running[0].seconds_left == watched.seconds_left == pytest.approx(2 * 10 * 1.5 - 6)


@pytest.mark.parametrize(
    ("recorded", "max_epochs"), [([], 30), (epochs(math.nan), 30), (epochs(2.0), None)]
)
def test_where_nothing_is_known_nothing_is_foreseen(recorded: list[EpochRecord], max_epochs: int | None) -> None:
    assert estimate_trial(recorded, max_epochs) is None


@pytest.mark.parametrize(
    ("took", "running", "num_waiting", "num_at_once", "expected"),
    [
        ([], [], 3, 2, None),
        ([], [(10.0, None)], 3, 2, None),
        ([], [(10.0, 50.0)], 1, 1, 110.0),
        ([60.0, 80.0], [], 4, 2, 140.0),
        ([60.0], [(20.0, 5.0), (0.0, None)], 0, 2, 60.0),
        ([60.0], [(90.0, 30.0)], 0, 1, 30.0),
    ],
    ids=["nothing", "no epoch", "only a running one", "two at once", "the longest counts", "longer than usual"],
)
def test_what_is_left_is_shared_among_those_at_once(
    took: list[float],
    running: list[tuple[float, float | None]],
    num_waiting: int,
    num_at_once: int,
    expected: float | None,
) -> None:
    assert estimate_search(took, running, num_waiting, num_at_once) == expected


def test_only_finished_trials_say_how_long_one_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took: list[float] = []
    monkeypatch.setattr("harness.search.snapshot.estimate_search", lambda seconds, *rest, **more: took.extend(seconds))
    with ResultsStore.open(folder / "results.db") as store:
        eid = begin_search(store, num_samples=3, name=NAME)
        run_trial(store, eid, 0, 3, 0.5)
        fail_trial(store, eid, 1)
        begin_trial(store, eid, 2, 3)
        with held(lock_path(folder, NAME), "it"):
            watch_search(folder, None)
    assert len(took) == 1


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    assert seconds_between("2026-01-01T00:01:00.000+00:00", "2026-01-01T00:00:00.000+00:00") == 0.0
    assert seconds_between("2026-01-01T00:01:00.000+00:00", "2026-01-01T00:01:30") == 30.0
