import fcntl
import multiprocessing
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.search.snapshot import watch_search
from harness.store import connection
from harness.store.connection import has_tables
from harness.store.store import ResultsStore
from tests.store.experiments import an_epoch, an_experiment, forget_notes

SPAWN = multiprocessing.get_context("spawn")


def create_experiment_in(path: Path) -> int:
    with ResultsStore.open(path) as store:
        return store.create_experiment(an_experiment())


def count_experiments_in(path: Path) -> int | str:
    try:
        with ResultsStore.open_readonly(path) as store:
            return len(store.experiments())
    except StoreError as error:
        return str(error)


def read_in_folder_of_another_user(path: Path) -> str:
    """Read and then write as ``nobody``, for whom the folder's permissions count, unlike for root."""
    if os.getuid() == 0:
        os.setuid(65534)
    with ResultsStore.open_readonly(path) as store:
        name = store.experiments()[0].name
    try:
        ResultsStore.open(path).close()
    except StoreError as error:
        return f"{name} | {error}"
    return name


def write_until_the_disk_is_full(path: Path, max_bytes: int) -> tuple[int, str]:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with ResultsStore.open(path) as store:
        trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {"dropout": 0.1})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, limits[1]))
        num_recorded = 0
        try:
            while True:
                store.record_epoch(trial_id, an_epoch(num_recorded + 1))
                num_recorded += 1
        except StoreError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            return num_recorded, str(error)


def test_eight_processes_create_one_database_at_once(results_path: Path) -> None:
    with ProcessPoolExecutor(8, mp_context=SPAWN) as pool:
        eids = list(pool.map(create_experiment_in, [results_path] * 8))
    assert sorted(eids) == list(range(1, 9))
    with ResultsStore.open_readonly(results_path) as store:
        assert len(store.experiments()) == 8


def test_readers_of_a_database_that_is_being_created_find_none_or_what_is_there(results_path: Path) -> None:
    with ProcessPoolExecutor(8, mp_context=SPAWN) as pool:
        written = [pool.submit(create_experiment_in, results_path) for _ in range(4)]
        found = [pool.submit(count_experiments_in, results_path) for _ in range(12)]
    assert sorted(job.result() for job in written) == [1, 2, 3, 4]
    for count in (job.result() for job in found):
        assert count in range(5) or "not found" in str(count)


def test_database_is_in_wal_mode_with_foreign_keys(store: ResultsStore, results_path: Path) -> None:
    pragmas = {
        name: store.database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "foreign_keys", "busy_timeout")
    }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30000}


def test_closing_the_last_connection_leaves_one_database_file(results_path: Path) -> None:
    create_experiment_in(results_path)
    names = {path.name for path in results_path.parent.iterdir()}
    assert names == {"results.db", "results.db.lock", "metadata.json"}


@pytest.mark.parametrize("opening", [ResultsStore.open, ResultsStore.open_readonly], ids=["open", "readonly"])
def test_file_that_is_no_database_gives_one_sentence(results_path: Path, opening: object) -> None:
    results_path.parent.mkdir()
    results_path.write_bytes(b"this is text, and long enough to hold a header of SQLite's " * 4)
    with pytest.raises(StoreError) as caught:
        opening(results_path)  # type: ignore[operator]
    assert str(caught.value) == (
        f"results database '{results_path}': damaged (file is not a database); expected a SQLite file "
        "written by harness; restore a copy, or move it away to start anew"
    )


def test_damage_inside_the_file_gives_one_sentence(results_path: Path) -> None:
    create_experiment_in(results_path)
    content = bytearray(results_path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    results_path.write_bytes(content)
    with pytest.raises(StoreError) as caught, ResultsStore.open_readonly(results_path) as store:
        store.experiments()
    assert str(caught.value) == (
        f"results database '{results_path}': damaged (database disk image is malformed); expected a SQLite "
        "file written by harness; restore a copy, or move it away to start anew"
    )


@pytest.mark.parametrize("opening", [ResultsStore.open, ResultsStore.open_readonly], ids=["open", "readonly"])
def test_database_of_another_program_is_left_alone(results_path: Path, opening: object) -> None:
    results_path.parent.mkdir()
    with sqlite3.connect(results_path) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = results_path.read_bytes()
    with pytest.raises(StoreError) as caught:
        opening(results_path)  # type: ignore[operator]
    assert str(caught.value) == (
        f"results database '{results_path}': a SQLite file of another program; expected one written by "
        "harness; name another folder"
    )
    assert results_path.read_bytes() == before


NEWER = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('harness', '9: picnics', 'later')"


@pytest.mark.parametrize("opening", [ResultsStore.open, ResultsStore.open_readonly, has_tables])
@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (
            NEWER,
            "written by a newer harness (schema '9: picnics'; this one reads up to '2: notes on "
            "trials'); upgrade harness",
        ),
        (
            "PRAGMA user_version = 6",
            "written by an unreleased harness (schema 6); expected one of this version; move its folder away and run "
            "the search again",
        ),
    ],
    ids=["newer", "unreleased"],
)
def test_database_of_another_version_is_left_alone(
    results_path: Path, opening: Callable[[Path], object], statement: str, complaint: str
) -> None:
    create_experiment_in(results_path)
    with closing(sqlite3.connect(results_path, isolation_level=None)) as other:
        other.execute(statement)
    before = results_path.read_bytes()
    with pytest.raises(StoreError) as caught:
        opening(results_path)
    assert str(caught.value) == f"results database '{results_path}': {complaint}"
    assert results_path.read_bytes() == before


def test_a_database_has_tables_once_it_is_there_be_they_of_an_earlier_version(results_path: Path) -> None:
    """`harness watch` said beside an earlier version's results.db that no search had begun."""
    assert not has_tables(results_path)
    results_path.parent.mkdir()
    results_path.touch()
    assert not has_tables(results_path) and results_path.stat().st_size == 0
    eid = create_experiment_in(results_path)
    assert has_tables(results_path)
    forget_notes(results_path)
    assert has_tables(results_path)
    experiment = watch_search(results_path.parent, None).experiment
    assert experiment is not None and experiment.eid == eid


def test_reading_where_nothing_was_searched_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        ResultsStore.open_readonly(tmp_path / "results.db")
    assert str(caught.value) == (
        f"results database '{tmp_path}/results.db': not found; expected the folder of a search that has been "
        "started; run aup first"
    )
    assert list(tmp_path.iterdir()) == []


def test_reading_an_empty_file_that_is_being_created_finds_no_experiment(results_path: Path) -> None:
    results_path.parent.mkdir()
    results_path.touch()
    with ResultsStore.open_readonly(results_path) as store:
        assert store.experiments() == []


def test_readonly_store_refuses_to_write(results_path: Path) -> None:
    create_experiment_in(results_path)
    with ResultsStore.open_readonly(results_path) as store, pytest.raises(StoreError) as caught:
        store.create_experiment(an_experiment())
    assert str(caught.value) == (
        f"results database '{results_path}': cannot be written (attempt to write a readonly database); make "
        "the file and its folder writable, or name another folder"
    )


@pytest.mark.parametrize("is_older", [False, True], ids=["current", "older"])
def test_folder_that_cannot_be_written_is_read_and_not_written(is_older: bool) -> None:
    # The folders of pytest are closed to other users, and root needs to become one.
    with tempfile.TemporaryDirectory() as folder:
        results_path = Path(folder) / "results.db"
        create_experiment_in(results_path)
        if is_older:
            forget_notes(results_path)
        (Path(folder) / "results.db.lock").unlink()
        results_path.chmod(0o444)
        Path(folder).chmod(0o555)
        with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
            said = pool.submit(read_in_folder_of_another_user, results_path).result()
        Path(folder).chmod(0o755)
    assert said == (
        f"fusion search | results database '{results_path}': its folder cannot be written (Permission "
        "denied); make it writable, or name another folder"
    )


def test_folder_that_is_a_file_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError) as caught:
        ResultsStore.open(tmp_path / "results" / "results.db")
    assert str(caught.value) == (
        f"results database '{tmp_path}/results/results.db': its folder cannot be written (File exists); make "
        "it writable, or name another folder"
    )


def test_database_locked_by_another_program_gives_one_sentence_and_then_works(results_path: Path) -> None:
    with ResultsStore.open(results_path, busy_timeout=0.1) as store:
        other = sqlite3.connect(results_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as caught:
            store.create_experiment(an_experiment())
        assert str(caught.value) == (
            f"results database '{results_path}': another process kept it locked for longer than this one "
            "waits; end that process, or try again"
        )
        assert store.experiments() == []
        other.execute("ROLLBACK")
        other.close()
        assert store.create_experiment(an_experiment()) == 1


def test_lock_held_for_less_than_the_timeout_is_waited_for(results_path: Path) -> None:
    create_experiment_in(results_path)
    holding = (
        "import sqlite3, sys, time\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "held.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "time.sleep(1)\n"
        "held.execute('COMMIT')\n"
    )
    command = [sys.executable, "-c", holding, str(results_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert create_experiment_in(results_path) == 2


def test_creation_that_another_process_never_ends_gives_one_sentence(results_path: Path) -> None:
    results_path.parent.mkdir()
    lock_path = results_path.with_name("results.db.lock")
    with lock_path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError) as caught:
            ResultsStore.open(results_path, busy_timeout=0.1)
    assert str(caught.value) == (
        f"results database '{results_path}': another process has been creating it for 0.1 s; end the process "
        f"that holds '{lock_path}'"
    )


def test_full_disk_gives_one_sentence_and_loses_nothing_recorded(results_path: Path) -> None:
    with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        num_recorded, said = pool.submit(write_until_the_disk_is_full, results_path, 400_000).result()
    assert said.startswith(f"results database '{results_path}': the disk did not take the write (")
    assert said.endswith("); recorded trials are safe; free some space and run the same command again")
    with ResultsStore.open(results_path) as store:
        assert [epoch.epoch for epoch in store.epochs(1)] == list(range(1, num_recorded + 1))
        assert store.trial(1).num_epochs == num_recorded > 0


def test_a_database_that_was_moved_away_is_forgotten_before_another_is_begun(results_path: Path) -> None:
    create_experiment_in(results_path)
    results_path.rename(results_path.with_name("moved.db"))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AttributeError, match="killed"):
        patch.setattr(connection, "_open_current", lambda path, _: path.touch().killed)
        create_experiment_in(results_path)
    assert create_experiment_in(results_path) == 1


EVERY_COMMAND = pytest.mark.parametrize(
    "judge",
    [has_tables, ResultsStore.open_readonly, ResultsStore.open, lambda path: watch_search(path.parent, None)],
    ids=["has tables", "read", "write", "watch"],
)


@EVERY_COMMAND
def test_a_folder_whose_name_is_too_long_is_one_sentence(tmp_path: Path, judge: Callable[[Path], object]) -> None:
    with pytest.raises(StoreError, match=r"cannot be read \(File name too long\); make its folder readable"):
        judge(tmp_path / ("r" * 300) / "results.db")


@EVERY_COMMAND
@pytest.mark.parametrize("link", ["results.db", "its folder"])
@pytest.mark.parametrize("target", ["gone", "itself"])
def test_a_link_that_leads_nowhere_is_no_new_database(
    tmp_path: Path, judge: Callable[[Path], object], link: str, target: str
) -> None:
    folder = tmp_path / "results"
    if link == "results.db":
        folder.mkdir()
    linked = folder / "results.db" if link == "results.db" else folder
    aim = linked if target == "itself" else tmp_path / "not mounted" / "results.db"
    linked.symlink_to(aim)
    with pytest.raises(StoreError) as raised:
        judge(folder / "results.db")
    what = "" if link == "results.db" else f"its folder '{folder}' "
    assert str(raised.value) == (
        f"results database '{folder / 'results.db'}': {what}is a symbolic link to '{aim}', which is not there; "
        "expected a SQLite file written by harness; restore what the link leads to, or move the link away to start anew"
    )
    assert linked.is_symlink() and not aim.exists()
    assert sorted(tmp_path.rglob("*")) == sorted({folder, linked})


@pytest.mark.timeout(30)
@EVERY_COMMAND
@pytest.mark.parametrize(
    "damage", ["0 bytes, and it has held results before", "it is a folder", "it is no regular file"]
)
def test_every_command_judges_a_results_folder_alike(
    results_path: Path, judge: Callable[[Path], object], damage: str
) -> None:
    """`harness watch` waited for ever beside an emptied database, and advised `aup`, which refused it."""
    create_experiment_in(results_path)
    results_path.unlink()
    if damage == "it is a folder":
        results_path.mkdir()
    elif damage == "it is no regular file":
        os.mkfifo(results_path)
    else:
        results_path.touch()
    with pytest.raises(StoreError) as raised:
        judge(results_path)
    assert str(raised.value) == (
        f"results database '{results_path}': damaged ({damage}); expected a SQLite file written by harness; restore a "
        "copy, or move it away to start anew"
    )
