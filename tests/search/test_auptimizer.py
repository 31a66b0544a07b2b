"""Auptimizer stands under the search: light, quiet, and with a database of its own."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from harness.search.auptimizer import (
    MAX_PARALLEL,
    AbstractResourceManager,
    SearchConnector,
    database_setup,
    open_environment,
    register_resource,
)
from tests.search.searches import environment


def run_python(code: str) -> list[object]:
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    read: list[object] = json.loads(done.stdout)
    return read


def test_importing_it_imports_nothing_heavy_and_takes_no_place_from_others() -> None:
    code = """
import json, sys
import harness.search.auptimizer
heavy = {"tensorflow", "scipy.optimize", "paramiko", "coloredlogs", "torch", "matplotlib"}
print(json.dumps(sorted(heavy & set(sys.modules))))
"""
    assert run_python(code) == []


def test_an_environment_is_made_without_a_question_and_found_again(folder: Path) -> None:
    connector, eid = open_environment(folder / "aup")
    assert eid is None
    first = connector.start_experiment("harness", {"name": "a search"})
    jid = connector.job_started(first, 1, {"x": 1})
    connector.close()
    connector, eid = open_environment(folder / "aup")
    assert eid == first
    connector.start_experiment_by_eid(first)
    assert connector.job_started(first, 1, {"x": 2}) == jid + 1, "an id was given twice"
    connector.close()
    assert sorted(path.name for path in (folder / "aup").iterdir() if "partial" in path.name) == []


def test_books_that_are_made_anew_give_no_id_again(folder: Path) -> None:
    connector, _ = open_environment(folder / "aup")
    connector.skip_jobs(0)
    eid = connector.start_experiment("harness", {"name": "a search"})
    assert connector.job_started(eid, 1, {"x": 1}) == 1
    for last_jid in (40, 7):
        connector.skip_jobs(last_jid)
    assert connector.open_jobs() == [1, 40]
    assert connector.job_started(eid, 1, {"x": 2}) == 41
    assert [jid for jid, *_ in connector.get_all_history(eid)] == [1, 41], "what was skipped is of no experiment"
    connector.close()


def test_auptimizer_itself_can_read_the_environment(folder: Path) -> None:
    connector, _ = open_environment(folder / "aup")
    connector.close()
    from aup.utils import get_default_connector

    connector = get_default_connector(auppath=str(folder / "aup"))
    assert connector.get_resource_type() == ["cpu", "passive"]
    connector.close()


def test_a_reader_of_auptimizers_database_keeps_nobody_waiting(folder: Path) -> None:
    connector, _ = open_environment(folder / "aup")
    with sqlite3.connect(folder / "aup" / "sqlite.db") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM job").fetchall()
        eid = connector.start_experiment("harness", {"name": "a search"})
        connector.job_started(eid, 1, {"x": 1})
    connector.close()


def test_a_resource_is_known_to_auptimizer_by_its_name(folder: Path) -> None:
    from aup.EE.Resource import get_resource_manager

    class PretendManager(AbstractResourceManager):  # type: ignore[misc]
        def run(
            self, job: object, rid: int, exp_config: object, call_back_func: object, **kwargs: object
        ) -> None:
            """Never called."""

    register_resource("pretend", PretendManager)
    connector = SearchConnector(folder / "some.db")
    assert isinstance(get_resource_manager("pretend", connector, 1), PretendManager)
    connector.close()


def test_a_jobs_attempts_are_found_without_going_through_those_of_all_jobs(folder: Path) -> None:
    connector, _ = open_environment(folder / "aup")
    plan = connector.connector.execute(
        "EXPLAIN QUERY PLAN SELECT jaid FROM job_attempt WHERE jid = 1 ORDER BY num DESC LIMIT 1"
    ).fetchall()
    connector.close()
    assert [step[-1] for step in plan] == [
        "SEARCH job_attempt USING COVERING INDEX job_attempts_by_jid (jid=?)"
    ]


def test_making_an_environment_leaves_auptimizer_as_it_was(folder: Path) -> None:
    connector, _ = open_environment(folder / "aup")
    connector.close()
    connection = database_setup._create_connection(str(folder / "another.db"))
    ((level,),) = connection.execute("PRAGMA synchronous").fetchall()
    connection.close()
    assert level == 2


def test_books_of_a_version_that_knew_fewer_jobs_at_once_get_the_rows_they_lack(tmp_path: Path) -> None:
    connector, _ = open_environment(tmp_path)
    connector.cursor.execute("DELETE FROM resource WHERE type = 'cpu' AND rid > 100")
    connector.connector.commit()
    connector.close()
    connector, _ = open_environment(tmp_path)
    connector.cursor.execute("SELECT count(*) FROM resource WHERE type = 'cpu' AND status = 'free'")
    assert connector.cursor.fetchone() == (MAX_PARALLEL,)
    connector.close()
