"""One task on a worker: a real subprocess whose records come through a pipe, and what is kept for the next task."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.codec import CodecError, from_plain, to_plain
from harness.features.copies import ExpectedFeatures, FoundFeatures
from harness.search import guardian, warm
from harness.search.dask import worker
from harness.search.dask.messages import Event, Expectations, JobEpoch, JobReturn, JobStarted, TaskMessage
from harness.search.dask.worker import KeptJobs, TrialPlace, differing_versions, installed_versions, run_trial
from harness.search.jobs import JobLimits, RunningJobs
from harness.search.keys import JobScript
from harness.search.process import EndedBy
from harness.splits.protocol import read_protocol
from harness.store.trial_spec import TrialSpec
from tests.search.resource_manager_contract import RECORDS_EVERYTHING
from tests.search.searches import RECORDS_ITS_SCORE, SCORES_X, is_alive, wait_until_gone
from tests.search.test_warm import QUICK_CODE, warm_processes

only_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process adopt orphans")

#: Says the name of its process: that of a fork, or another.
SAYS_ITS_NAME = "import sys\nprint(open('/proc/self/comm').read().strip(), sys.path[0])\n"


def a_script(path: Path, *arguments: str, is_ours: bool = False) -> JobScript:
    """A Python script that runs in its own folder, on a machine whose Python is elsewhere."""
    return JobScript(path, path.parent, ("/no/such/python", str(path), *arguments), str(path), is_ours)


def a_task(text: str = "", **changes: Any) -> TaskMessage:
    """A task whose script, ``text``, and working folder are not on this machine."""
    task = TaskMessage(
        trial_id=17,
        jid=4,
        job_file='{"x": 0.25}',
        script=a_script(Path("/no/such/folder/trial.py")),
        script_content=text.encode(),
        limits=JobLimits(None, None, 0),
        environment={},
        mark="HARNESS_EXPERIMENT=test",
        sees_cards=False,
        digest="0",
        topic="t",
        spec=None,
    )
    return replace(task, **changes)


def run(task: TaskMessage, folder: Path, **changes: Any) -> tuple[JobReturn, list[Event]]:
    """Run a task in a new folder of a worker; return its result and what it logged."""
    events: list[Event] = []
    folder.mkdir()
    given: dict[str, Any] = {"is_wanted": lambda: True, "log": events.append, "features": None, **changes}
    with closing(KeptJobs()) as kept:
        place = TrialPlace(folder, 3, given["features"], given.get("kept", kept))
        return run_trial(task, place, given["is_wanted"], given["log"]), events


def test_a_script_that_is_not_here_is_brought_along(folder: Path) -> None:
    returned, events = run(a_task(SCORES_X), folder / "job")
    assert (returned.end.exit_code, returned.output.score_text) == (0, "0.25")
    assert returned.started is not None and events == [returned.started]
    assert (returned.trial_id, returned.started.trial_id) == (17, 17)


def test_the_same_script_here_is_run_in_its_place(folder: Path) -> None:
    path = folder / "trial.py"
    path.write_text("import os, sys\nprint(sys.argv[0], os.getcwd(), *sys.argv[1:-1], sep='|')\n")
    task = a_task(path.read_text(), script=a_script(path, "--twice", "a b"))
    returned, _ = run(task, folder / "job")
    assert returned.output.tail == f"{path}|{folder}|--twice|a b\n"
    other = replace(task, script_content=b"print('another')\n")
    assert run(other, folder / "another job")[0].output.tail == "another\n"


def test_a_job_has_the_threads_of_its_worker_and_what_the_message_adds(folder: Path) -> None:
    script = "import os\nprint(*(os.environ.get(n) for n in ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'TOKEN')))\n"
    returned, _ = run(a_task(script, environment={"TOKEN": "t"}), folder / "job")
    assert returned.output.tail == "3  t\n"


def test_a_job_that_is_no_longer_wanted_is_ended_and_its_end_is_logged(folder: Path) -> None:
    began = time.monotonic()
    task = a_task("import time\nprint('words', flush=True)\ntime.sleep(60)\n")
    returned, events = run(task, folder / "job", is_wanted=lambda: time.monotonic() < began + 3.0)
    assert time.monotonic() - began < 20
    assert (returned.end.ended_by, returned.output.tail) == (EndedBy.STOP, "words\n")
    assert [type(event) for event in events] == [JobStarted, JobReturn]
    assert events[-1] == returned
    assert returned.started is not None and not is_alive(returned.started.pid)


def test_an_end_that_comes_while_the_job_is_cancelled_is_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reap = RunningJobs.reap
    monkeypatch.setattr(RunningJobs, "reap", lambda *given: (cancelled.append(1), reap(*given))[1])
    cancelled: list[int] = []
    returned, events = run(a_task(SCORES_X), folder / "job", is_wanted=lambda: not cancelled)
    assert (returned.end.exit_code, returned.output.score_text) == (0, "0.25")
    assert events[-1] == returned


def test_our_own_trials_records_come_back_as_plain_values(prepared_folder: Path) -> None:
    (prepared_dir,) = (prepared_folder / "results" / "prepared").iterdir()
    elsewhere = Path("/no/such/folder")
    protocol = read_protocol("paper")
    spec = TrialSpec(17, 1, 3, 11, "mocap1", protocol, elsewhere, elsewhere / "results.db", 2, None, 64)
    script = RECORDS_ITS_SCORE.format(work="assert (spec.seed, spec.threads) == (11, 3)\n" + RECORDS_EVERYTHING)
    task = a_task(script, spec=spec, job_file='{"dropout": 0.5, "job_id": 4}')
    task = from_plain(TaskMessage, to_plain(task))
    assert task.spec == spec
    returned, events = run(task, prepared_folder / "job", features=FoundFeatures(prepared_dir, None))
    assert (returned.end.exit_code, returned.output.tail) == (0, "")
    assert returned.records.environment is not None and returned.records.result is not None
    assert returned.started is not None and returned.execution == returned.started.execution
    assert [epoch.epoch for epoch in returned.records.epochs] == [1, 2]
    assert {event.epoch.epoch for event in events if isinstance(event, JobEpoch)} <= {1, 2}
    assert not list((prepared_folder / "job").glob("*.db"))
    plain = to_plain(returned)
    again = from_plain(JobReturn, plain)
    assert to_plain(again)["records"]["result"] == plain["records"]["result"]
    assert again.records.result == returned.records.result
    assert json.dumps({key: value for key, value in plain.items() if key != "output"})


def test_a_job_that_writes_no_records_to_its_pipe_is_ended(prepared_folder: Path) -> None:
    script = "import os, pathlib, time\npathlib.Path('records').write_text('?\\n')\ntime.sleep(60)\n"
    folder, events = prepared_folder / "job", list[Event]()
    with pytest.raises(ValueError):
        run(a_task(script, script=a_script(folder / "trial.py")), folder, log=events.append)
    (started,) = events
    assert isinstance(started, JobStarted) and not is_alive(started.pid)


def test_a_return_that_is_none_is_refused_with_what_differs(folder: Path) -> None:
    plain = to_plain(run(a_task(SCORES_X), folder / "job")[0])
    plain["end"]["exit_code"] = "0"
    with pytest.raises(CodecError, match="JobReturn.end.exit_code is '0'; expected a whole number"):
        from_plain(JobReturn, plain)


def test_versions_that_change_no_score_of_a_foreign_script_are_not_compared() -> None:
    assert sorted(installed_versions(with_training=False)) == ["harness", "python"]
    assert sorted(installed_versions(with_training=True)) == ["harness", "keras", "numpy", "python", "tensorflow"]
    here = installed_versions(with_training=True)
    assert differing_versions(here) == ()
    assert differing_versions({**here, "numpy": "1.0"}) == (f"numpy is {here['numpy']} there and 1.0 here",)


def test_workers_are_known_by_all_that_was_compared() -> None:
    expected = ExpectedFeatures("/prepared", "h", "c", (1,), None, None)
    versions = installed_versions(with_training=True)
    known = Expectations(versions, {"GPU": 1.0}, expected)
    others = [
        Expectations({**versions, "numpy": "1"}, {"GPU": 1.0}, expected),
        Expectations(versions, {}, expected),
        Expectations(versions, {"GPU": 1.0}, replace(expected, manifest_hash="0")),
    ]
    assert len({one.digest for one in [known, *others]}) == 4
    assert known.taken == {"GPU": 1.0, "harness-trial": 1, f"harness-{known.digest}": 1}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptJobs]:
    """What a worker keeps, whose warm process imports nothing."""
    monkeypatch.setattr(warm, "_CODE", QUICK_CODE)
    with closing(KeptJobs()) as kept:
        yield kept


def our_task(text: str = SAYS_ITS_NAME, **changes: Any) -> TaskMessage:
    return a_task(text, **{"script": a_script(Path("/no/such/folder/trial.py"), is_ours=True), **changes})


def guardians() -> list[int]:
    return [child.pid for child in psutil.Process().children() if guardian.__file__ in child.cmdline()]


def name_of(returned: JobReturn) -> str:
    """The name of the process that a trial of SAYS_ITS_NAME was."""
    assert returned.end.exit_code == 0, returned.output.tail
    return returned.output.tail.split()[0]


@only_linux
def test_the_trials_of_a_search_are_forks_of_one_process_and_import_from_their_scripts_folder(
    folder: Path, kept: KeptJobs
) -> None:
    first, _ = run(our_task(), folder / "0", kept=kept)
    (pid,) = warm_processes(os.getpid())
    path = folder / "trial.py"
    path.write_text(SAYS_ITS_NAME)
    found = [first, *(run(our_task(), folder / name, kept=kept)[0] for name in "12")]
    assert [each.output.tail for each in found] == [f"harness-trial {folder / name / 'script'}\n" for name in "012"]
    assert warm_processes(os.getpid()) == [pid]
    here = run(our_task(script=a_script(path, is_ours=True)), folder / "3", kept=kept)[0]
    assert here.output.tail == f"harness-trial {folder}\n"
    kept.close()
    wait_until_gone([pid])
    assert guardians() == warm_processes(os.getpid()) == []


@only_linux
def test_a_fork_has_the_marks_and_the_environment_of_its_own_search_and_ends_with_its_worker(
    folder: Path, kept: KeptJobs
) -> None:
    script = """
import os
began = open("/proc/self/environ", "rb").read().split(b"\\0")
now = [os.environ.get(name) for name in ("HARNESS_EXPERIMENT", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "TOKEN")]
print(open("/proc/self/comm").read().strip(), b"HARNESS_EXPERIMENT=" + now[0].encode() in began, *now, sep="|")
"""
    pids = []
    for number, changes in enumerate(
        [{}, {"mark": "HARNESS_EXPERIMENT=another"}, {"environment": {"TOKEN": "t"}}, {"limits": JobLimits(9, None, 0)}]
    ):
        returned, _ = run(our_task(script, **changes), folder / str(number), kept=kept)
        mark = changes.get("mark", "HARNESS_EXPERIMENT=test").partition("=")[2]
        token = changes.get("environment", {}).get("TOKEN")
        assert returned.output.tail == f"harness-trial|True|{mark}|3||{token}\n"
        pids += warm_processes(os.getpid())
    # Each began with something else, so the one before has ended.
    assert len(set(pids)) == 4
    wait_until_gone(pids[:3])


@only_linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_end_of_a_warm_process_between_two_trials_costs_one_cold_start(
    folder: Path, kept: KeptJobs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(warm, "_LONGEST_FORK", 1.0)
    starts = [name_of(run(our_task(), folder / "0", kept=kept)[0])]
    os.kill(warm_processes(os.getpid())[0], number)
    starts += [name_of(run(our_task(), folder / name, kept=kept)[0]) for name in "12"]
    assert [start == "harness-trial" for start in starts] == [True, False, True]


@only_linux
def test_the_end_of_a_warm_process_ends_no_running_trial(folder: Path, kept: KeptJobs) -> None:
    waits = f"import os, time\nwhile not os.path.exists({str(folder / 'go')!r}): time.sleep(0.02)\n"

    def log(event: Event) -> None:
        os.kill(warm_processes(os.getpid())[0], signal.SIGKILL)
        (folder / "go").touch()

    assert name_of(run(our_task(waits + SAYS_ITS_NAME), folder / "0", kept=kept, log=log)[0]) == "harness-trial"


@only_linux
def test_what_is_kept_ends_when_it_is_idle(folder: Path, kept: KeptJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LONGEST_IDLE", 0.5)
    # Not while a trial runs, however long it takes.
    task = our_task("import time\ntime.sleep(1)\n" + SAYS_ITS_NAME)
    for name in "01":
        assert name_of(run(task, folder / name, kept=kept)[0]) == "harness-trial"
    pids = guardians() + warm_processes(os.getpid())
    assert len(pids) == 2
    wait_until_gone(pids, seconds=20)
    assert name_of(run(task, folder / "2", kept=kept)[0]) == "harness-trial"


def test_nothing_is_kept_of_a_script_that_does_not_use_this_package(folder: Path, kept: KeptJobs) -> None:
    returned, _ = run(a_task(SCORES_X), folder / "0", kept=kept)
    assert returned.output.score_text == "0.25"
    assert guardians() == warm_processes(os.getpid()) == []


@only_linux
def test_nothing_is_kept_of_a_trial_that_ends_with_an_error_of_its_worker(folder: Path, kept: KeptJobs) -> None:
    script = "import pathlib, time\npathlib.Path('records').write_text('?\\n')\ntime.sleep(60)\n"
    path = folder / "0" / "trial.py"
    with pytest.raises(ValueError):
        run(our_task(script, script=a_script(path, is_ours=True)), folder / "0", kept=kept)
    assert guardians() == warm_processes(os.getpid()) == []


@only_linux
def test_a_trial_that_is_not_wanted_any_more_waits_for_no_import_and_starts_no_job(
    folder: Path, kept: KeptJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_CODE", "import time\ntime.sleep(60)\n")
    began = time.monotonic()
    returned, events = run(our_task(), folder / "0", kept=kept, is_wanted=lambda: time.monotonic() < began + 0.5)
    assert time.monotonic() - began < 20
    assert (returned.end.ended_by, returned.started, events) == (EndedBy.STOP, None, [])


@only_linux
def test_a_warm_process_that_cannot_import_is_logged_once_and_not_tried_again(
    folder: Path, kept: KeptJobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(warm, "_CODE", "raise ImportError('no such thing')")
    with caplog.at_level(logging.WARNING):
        for name in "012":
            assert name_of(run(our_task(), folder / name, kept=kept)[0]) != "harness-trial"
    said = "the process that imports TensorFlow for all trials ended with exit code 1: ImportError: no such thing"
    assert caplog.messages == [f"Each trial imports TensorFlow for itself: {said}."]


@only_linux
def test_a_warm_process_that_the_system_does_not_start_costs_no_trial(
    folder: Path, kept: KeptJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(warm, "subprocess", SimpleNamespace(Popen=refuse, DEVNULL=subprocess.DEVNULL))
    assert name_of(run(our_task(), folder / "0", kept=kept)[0]) != "harness-trial"


@only_linux
def test_two_trials_at_once_share_nothing_and_one_warm_process_stays(folder: Path, kept: KeptJobs) -> None:
    task = our_task("import time\ntime.sleep(0.5)\n" + SAYS_ITS_NAME)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(name_of(run(task, folder / name, kept=kept)[0])))
        for name in "012"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["harness-trial"] * 3
    assert (len(guardians()), len(warm_processes(os.getpid()))) == (1, 1)
