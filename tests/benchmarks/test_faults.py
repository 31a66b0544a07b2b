"""A few faults, for real; and that each kind of loss would be counted."""

import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import choose_modes, main
from benchmarks.faults_count import Fault, Tally, compare_finished, count_faults, count_orphans, read_finished
from benchmarks.faults_disk import fill_the_disk
from benchmarks.faults_kills import kill_in_real, kill_in_trivial
from benchmarks.faults_locks import lock_the_database
from benchmarks.faults_search import FaultySearch, Prepared, invent_trivial, prepare


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> FaultySearch:
    """A search of three trials that nobody has disturbed."""
    search = invent_trivial(tmp_path_factory.mktemp("done") / "search", None, n_samples=3, n_parallel=2)
    assert search.finish().exit_code == 0
    return search


@pytest.fixture
def copied(done: FaultySearch, tmp_path: Path) -> FaultySearch:
    """The same search, to be tampered with."""
    subprocess.run(["cp", "-r", str(done.folder), str(tmp_path / "search")], check=True)
    return FaultySearch(tmp_path / "search", dict(done.values), tmp_path / "search")


@pytest.mark.long
def test_nothing_is_lost_by_five_kills(tmp_path: Path) -> None:
    # So few are those of the first search, whose trials need no corpus.
    tally = kill_in_trivial(tmp_path, 5, 2, 1, Prepared(tmp_path / "none", tmp_path / "none"))
    assert tally.faults == []
    assert tally.done["kills"] == 5
    assert tally.done["trials"] >= 10


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_is_lost_by_a_kill_while_a_model_trains(tmp_path: Path, prepared: Prepared) -> None:
    tally = kill_in_real(tmp_path, 1, 2, 2, prepared)
    assert tally.faults == []
    assert tally.done["kills"] == 1


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_is_lost_by_locks(tmp_path: Path, prepared: Prepared) -> None:
    tally = lock_the_database(tmp_path / "locks", 2, 8, prepared, seconds=1.0)
    assert tally.faults == []
    assert tally.done["locks"] == 2


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nothing_is_lost_on_a_full_disk(tmp_path: Path, prepared: Prepared) -> None:
    tally = fill_the_disk(tmp_path, 2, prepared, size_limits=(2**17,), rooms=(0,))
    assert tally.faults == []
    assert tally.done["of which failed"] >= 2


def test_an_undisturbed_search_has_no_fault(done: FaultySearch) -> None:
    tally = Tally()
    count_faults(done, tally)
    assert tally.faults == []
    assert tally.counts == "0 lost, 0 repeated, 0 orphaned, 0 inconsistent"
    assert (tally.done["trials"], tally.done["attempts"]) == (3, 3)


@pytest.mark.parametrize(
    ("statement", "fault", "sentence"),
    [
        (
            "UPDATE trials SET status = 'crashed', score = NULL, message = 'no' WHERE trial_index = 1",
            Fault.LOST,
            "trial 1 has not finished: ['crashed: no']",
        ),
        (
            "UPDATE trials SET score = 0.5 WHERE trial_index = 2",
            Fault.LOST,
            "trial 2 scored another trial's score, 0.5",
        ),
        (
            "UPDATE trials SET attempt = 2 WHERE trial_index = 0",
            Fault.REPEATED,
            "trial 0 has the attempts [2]",
        ),
        (
            "UPDATE trials SET seed = 5 WHERE trial_index = 0",
            Fault.REPEATED,
            "attempt 1 of trial 0 had ",
        ),
        (
            "UPDATE experiments SET status = 'running', ended_at = NULL",
            Fault.INCONSISTENT,
            "experiment 'a search' is running, ended at None",
        ),
    ],
    ids=["a trial without a score", "another score", "two attempts", "another seed", "no end"],
)
def test_what_must_not_be_is_counted(
    copied: FaultySearch, statement: str, fault: Fault, sentence: str
) -> None:
    with closing(sqlite3.connect(copied.results_db)) as connection:
        connection.execute(statement)
        connection.commit()
    tally = Tally()
    count_faults(copied, tally)
    assert [found for found in tally.faults if found[0] is fault and found[1].startswith(sentence)], tally.faults


def test_a_trial_that_began_more_often_than_is_recorded_is_counted(copied: FaultySearch) -> None:
    with (copied.folder / "begun").open("a") as stream:
        stream.write((copied.folder / "begun").read_text().splitlines()[0] + "\n")
    tally = Tally()
    count_faults(copied, tally)
    assert [fault for fault, _ in tally.faults] == [Fault.REPEATED]


def test_a_finished_trial_that_changed_is_lost(done: FaultySearch) -> None:
    before = read_finished(done)
    now = {**before, 0: replace(before[0], score=0.25)}
    del now[1]
    tally = Tally()
    compare_finished(before, now, tally)
    assert Counter(fault for fault, _ in tally.faults) == {Fault.LOST: 2}


def test_a_process_that_outlives_its_controller_is_counted_and_ended(
    done: FaultySearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.faults_count.GRACE", 0.1)
    search = FaultySearch(done.folder, dict(done.values), tmp_path)
    starts = "import subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)\nraise SystemExit"
    controller = search.start(before=starts)
    controller.wait()
    (pid,) = controller.descendants()
    time.sleep(0.2)
    tally = Tally()
    count_orphans(search, tally)
    assert [(fault, sentence.split(" outlived")[0]) for fault, sentence in tally.faults] == [
        (Fault.ORPHANED, f"process {pid} (sleep 60)")
    ]
    deadline = time.monotonic() + 5
    while controller.descendants() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert controller.descendants() == []


def test_without_an_option_all_modes_run(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[list[str]] = []

    def choose(options: object) -> dict[str, Callable[..., Tally]]:
        chosen.append(list(choose_modes(options)))  # type: ignore[arg-type]
        return {}

    monkeypatch.setattr("benchmarks.faults.choose_modes", choose)
    monkeypatch.setattr("benchmarks.faults.prepare", lambda folder: None)
    assert [main([]), main(["--kills", "5"]), main(["--locks", "--full-disk"])] == [0, 0, 0]
    assert chosen == [
        ["kills, trivial trials", "kills, real training", "locks", "full disk"],
        ["kills, trivial trials"],
        ["locks", "full disk"],
    ]


def test_the_exit_code_is_1_if_anything_was_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally()
    tally.add(Fault.LOST, "trial 3 has not finished")
    monkeypatch.setattr("benchmarks.faults.choose_modes", lambda options: {"kills": lambda *given: tally})
    monkeypatch.setattr("benchmarks.faults.prepare", lambda folder: None)
    assert main([]) == 1
    printed = capsys.readouterr().out
    assert "  lost: trial 3 has not finished\n" in printed
    assert "1 lost, 0 repeated, 0 orphaned, 0 inconsistent" in printed
