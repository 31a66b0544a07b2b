"""One order on a worker: a real subprocess with its records in the worker's own folder."""

import json
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from harness.search.cluster.enlisting import FoundFeatures
from harness.search.cluster.job import Event, Workplace, carry_out
from harness.search.cluster.order import JobEpoch, JobOrder, JobReturn, JobStarted, ScriptOrder, TrainingOrder
from harness.search.cluster.plain import WireError, from_plain, to_plain
from harness.search.jobs import RunningJobs
from harness.search.process import EndedBy
from harness.splits.protocol import read_protocol
from harness.store.records import ExperimentRecord
from tests.search.resource_manager_contract import RECORDS_EVERYTHING
from tests.search.searches import RECORDS_ITS_SCORE, SCORES_X, is_alive
from tests.store.experiments import an_experiment


def an_order(text: str = "", **changes: Any) -> JobOrder:
    """An order whose script, ``text``, and working folder are not on this machine."""
    order = JobOrder(
        trial_id=17,
        trial_index=3,
        jid=4,
        values={"x": 0.25},
        script=ScriptOrder("/no/such/folder/trial.py", "/no/such/folder", (), True, text.encode()),
        environment={},
        mark="HARNESS_EXPERIMENT=test",
        sees_cards=False,
        timeout_seconds=None,
        memory_bytes=None,
        digest="0",
        topic="t",
        training=None,
    )
    return replace(order, **changes)


def a_workplace(folder: Path, **changes: Any) -> tuple[Workplace, list[Event]]:
    told: list[Event] = []
    folder.mkdir()
    workplace = Workplace(folder, threads=3, features=None, is_wanted=lambda: True, tell=told.append)
    return replace(workplace, **changes), told


def test_a_script_that_is_not_here_is_brought_along(folder: Path) -> None:
    workplace, told = a_workplace(folder / "job")
    returned = carry_out(an_order(SCORES_X), workplace)
    assert (returned.end.exit_code, returned.output.score_text) == (0, "0.25")
    assert returned.started is not None and told == [returned.started]
    assert (returned.trial_id, returned.started.trial_id) == (17, 17)


def test_the_same_script_here_is_run_in_its_place(folder: Path) -> None:
    path = folder / "trial.py"
    path.write_text("import os, sys\nprint(sys.argv[0], os.getcwd(), *sys.argv[1:-1], sep='|')\n")
    script = ScriptOrder(str(path), str(folder), ("--twice", "a b"), True, path.read_bytes())
    workplace, _ = a_workplace(folder / "job")
    returned = carry_out(an_order(script=script), workplace)
    assert returned.output.tail == f"{path}|{folder}|--twice|a b\n"
    other = replace(script, content=b"print('another')\n")
    workplace, _ = a_workplace(folder / "another job")
    assert carry_out(an_order(script=other), workplace).output.tail == "another\n"


def test_a_job_has_the_threads_of_its_worker_and_what_the_order_adds(folder: Path) -> None:
    script = "import os\nprint(*(os.environ.get(n) for n in ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES', 'TOKEN')))\n"
    workplace, _ = a_workplace(folder / "job")
    assert carry_out(an_order(script, environment={"TOKEN": "t"}), workplace).output.tail == "3  t\n"


def test_a_job_that_nobody_wants_any_more_is_ended_and_its_last_words_are_told(folder: Path) -> None:
    began = time.monotonic()
    workplace, told = a_workplace(folder / "job", is_wanted=lambda: time.monotonic() < began + 1.0)
    returned = carry_out(an_order("import time\nprint('words', flush=True)\ntime.sleep(60)\n"), workplace)
    assert time.monotonic() - began < 10
    assert (returned.end.ended_by, returned.output.tail) == (EndedBy.STOP, "words\n")
    assert [type(event) for event in told] == [JobStarted, JobReturn]
    assert told[-1] == returned
    assert returned.started is not None and not is_alive(returned.started.pid)


def test_an_end_that_comes_while_the_job_is_called_off_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reap = RunningJobs.reap
    monkeypatch.setattr(RunningJobs, "reap", lambda *given: (called_off.append(1), reap(*given))[1])
    called_off: list[int] = []
    workplace, told = a_workplace(folder / "job", is_wanted=lambda: not called_off)
    returned = carry_out(an_order(SCORES_X), workplace)
    assert (returned.end.exit_code, returned.output.score_text) == (0, "0.25")
    assert told[-1] == returned


def test_our_own_trials_records_come_home_as_plain_values(prepared_folder: Path) -> None:
    (prepared_dir,) = (prepared_folder / "results" / "prepared").iterdir()
    experiment = an_experiment()
    training = TrainingOrder(
        experiment={field.name: to_plain(getattr(experiment, field.name)) for field in fields(ExperimentRecord)},
        seed=11,
        system="mocap1",
        protocol=read_protocol("paper").to_json(),
        max_epochs=2,
        patience=None,
    )
    script = RECORDS_ITS_SCORE.format(work="assert (spec.seed, spec.threads) == (11, 3)\n" + RECORDS_EVERYTHING)
    workplace, told = a_workplace(prepared_folder / "job", features=FoundFeatures(prepared_dir, None))
    order = an_order(script, training=training, values={"dropout": 0.5, "job_id": 4})
    order = from_plain(JobOrder, to_plain(order))
    returned = carry_out(order, workplace)
    assert (returned.end.exit_code, returned.output.tail) == (0, "")
    assert returned.records.environment is not None and returned.records.result is not None
    assert [epoch.epoch for epoch in returned.records.epochs] == [1, 2]
    assert {event.epoch.epoch for event in told if isinstance(event, JobEpoch)} <= {1, 2}
    plain = to_plain(returned)
    again = from_plain(JobReturn, plain)
    assert to_plain(again)["records"]["result"] == plain["records"]["result"]
    assert again.records.result == returned.records.result
    assert json.dumps({key: value for key, value in plain.items() if key != "output"})


def test_a_return_that_is_none_is_refused_with_what_differs(folder: Path) -> None:
    workplace, _ = a_workplace(folder / "job")
    plain = to_plain(carry_out(an_order(SCORES_X), workplace))
    plain["end"]["exit_code"] = "0"
    with pytest.raises(WireError, match="JobReturn.end.exit_code is '0'; expected int"):
        from_plain(JobReturn, plain)
