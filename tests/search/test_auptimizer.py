"""Auptimizer stands under the search: light, quiet, and with its own database in memory."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.search.auptimizer import AbstractResourceManager, JobTable, database_setup, register_resource
from tests.search.searches import environment


@pytest.fixture
def job_table() -> Iterator[JobTable]:
    with closing(JobTable(num_parallel=2, last_jid=0)) as table:
        yield table


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


def test_a_resource_is_free_for_each_job_that_runs_at_once(job_table: JobTable) -> None:
    eid = job_table.start_experiment("harness", {"name": "a search"})
    taken = []
    while free := job_table.get_available_resource("harness", "cpu"):
        taken.append(free[0])
        job_table.job_started(eid, free[0], {"x": 1})
    assert len(taken) == 2
    job_table.job_finished(taken[0], 1, 0.5, "FINISHED")
    assert job_table.get_available_resource("harness", "cpu") == taken[:1]


@pytest.mark.parametrize("last_jid", [0, 40])
def test_the_ids_of_jobs_go_on_after_those_of_earlier_controllers(last_jid: int) -> None:
    with closing(JobTable(num_parallel=1, last_jid=last_jid)) as job_table:
        eid = job_table.start_experiment("harness", {"name": "a search"})
        assert job_table.job_started(eid, 1, {"x": 1}) == last_jid + 1
        assert [jid for jid, *_ in job_table.get_all_history(eid)] == [last_jid + 1]


def test_each_controller_has_a_database_of_its_own(job_table: JobTable) -> None:
    eid = job_table.start_experiment("harness", {"name": "a search"})
    with closing(JobTable(num_parallel=2, last_jid=0)) as other:
        assert other.get_all_experiment() == []
    assert job_table.get_all_experiment() == [eid]


def test_a_resource_is_known_to_auptimizer_by_its_name(job_table: JobTable) -> None:
    from aup.EE.Resource import get_resource_manager

    class PretendManager(AbstractResourceManager):  # type: ignore[misc]
        def run(
            self, job: object, rid: int, exp_config: object, call_back_func: object, **kwargs: object
        ) -> None:
            """Never called."""

    register_resource("pretend", PretendManager)
    assert isinstance(get_resource_manager("pretend", job_table, 1), PretendManager)


def test_a_jobs_attempts_are_found_without_going_through_those_of_all_jobs(job_table: JobTable) -> None:
    plan = job_table.connector.execute(
        "EXPLAIN QUERY PLAN SELECT jaid FROM job_attempt WHERE jid = 1 ORDER BY num DESC LIMIT 1"
    ).fetchall()
    assert [step[-1] for step in plan] == [
        "SEARCH job_attempt USING COVERING INDEX job_attempts_by_jid (jid=?)"
    ]


def test_making_the_tables_leaves_auptimizer_as_it_was() -> None:
    connect = database_setup._create_connection
    JobTable(num_parallel=1, last_jid=0).close()
    assert database_setup._create_connection is connect
