"""One task on a worker: a real subprocess whose records come through a pipe."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.codec import CodecError, from_plain, to_plain
from harness.features.copies import ExpectedFeatures, FoundFeatures
from harness.search.dask.messages import Event, Expectations, JobEpoch, JobReturn, JobStarted, TaskMessage
from harness.search.dask.worker import differing_versions, installed_versions, run_trial
from harness.search.jobs import JobLimits, RunningJobs
from harness.search.keys import JobScript
from harness.search.process import EndedBy
from harness.splits.protocol import read_protocol
from harness.store.trial_spec import TrialSpec
from tests.search.resource_manager_contract import RECORDS_EVERYTHING
from tests.search.searches import RECORDS_ITS_SCORE, SCORES_X, is_alive


def a_script(path: Path, *arguments: str) -> JobScript:
    """A Python script that runs in its own folder, on a machine whose Python is elsewhere."""
    return JobScript(path, path.parent, ("/no/such/python", str(path), *arguments), str(path), False)


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
    given: dict[str, Any] = {"threads": 3, "features": None, "is_wanted": lambda: True, "log": events.append}
    return run_trial(task, folder, **{**given, **changes}), events


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
