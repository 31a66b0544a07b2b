"""What happens to clusters: nothing is lost, and each trial index is recorded once."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.errors import WorkFailedError
from harness.search import warm
from harness.search.backend import SearchContext
from harness.search.dask import worker as dask_worker
from harness.search.dask.backend import HarnessDaskManager, PendingTrial
from harness.search.dask.client import Task
from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.dask.processes import DaskProcesses, end, on
from tests.search.promises import check_database, finish
from tests.search.resource_manager_contract import DROPOUT
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    SilentView,
    is_alive,
    num_running,
    search,
    start_aup,
    trials_of,
    wait_until,
    wait_until_gone,
    write_experiment,
)
from tests.search.test_warm import QUICK_CODE, warm_processes

pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")

#: The first two trials wait for "go"; each start is written down.
FIRST_TWO_WAIT = """
import json, os, sys, time
from pathlib import Path
point = json.load(open(sys.argv[1]))
with open("starts", "a") as stream:
    print(os.getpid(), file=stream)
while int(Path(sys.argv[1]).stem) <= 2 and not os.path.exists("go"):
    time.sleep(0.02)
print("#Auptimizer:%r" % point["x"])
"""


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[Any]:
    """What the search comes to on one machine, where nothing happens."""
    path = write_experiment(tmp_path / "undisturbed", SCORES_X, n_samples=6)
    search(path)
    return outcomes_of(path)


def outcomes_of(path: Path) -> list[Any]:
    return [
        (trial.trial_index, trial.attempt, trial.seed, trial.hyperparameters, trial.status, trial.score)
        for trial in trials_of(path)
    ]


def pids_of(path: Path) -> list[int]:
    return [trial.pid for trial in trials_of(path) if trial.pid is not None]


def worker_of(dask: DaskProcesses, pid: int) -> Any:
    """The worker process whose job is ``pid``."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return next(worker for worker in dask.workers if worker.pid == parent)


def test_a_killed_worker_takes_no_trial_with_it(folder: Path, dask: DaskProcesses, undisturbed: list[Any]) -> None:
    for _ in range(2):
        dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    pid = pids_of(path)[0]
    os.kill(worker_of(dask, pid).pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), seconds=5)
    (folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    check_database(folder)


@pytest.mark.long
def test_a_worker_that_its_nanny_starts_again_is_asked_again(
    folder: Path, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    dask.start_worker("--nanny")
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 1)
    (pid,) = pids_of(path)
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent != dask.workers[0].pid
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), seconds=5)
    (folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed


@pytest.mark.long
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_trial_that_takes_its_workers_with_it_counts_as_killed(
    folder: Path, dask: DaskProcesses, num_workers: int
) -> None:
    script = """
import json, os, sys, time
point = json.load(open(sys.argv[1]))
if point["x"] > 0.5:
    time.sleep(0.5)
    os.kill(os.getppid(), 9)
    time.sleep(60)
print("#Auptimizer:%r" % point["x"])
"""
    for _ in range(num_workers):
        dask.start_worker("--nanny")
    path = write_experiment(folder, script, **on(dask, n_samples=2))
    assert search(path).ending is Ending.DONE
    killed, finished = trials_of(path)
    assert (killed.hyperparameters["x"] > 0.5, finished.hyperparameters["x"] > 0.5) == (True, False)
    assert (killed.status, finished.status) == (TrialStatus.KILLED, TrialStatus.FINISHED)
    assert killed.message is not None and killed.message.startswith("the job was lost with its machine: ")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_scheduler_that_starts_again_gets_the_trials_again(
    folder: Path, dask: DaskProcesses, undisturbed: list[Any], number: int
) -> None:
    for _ in range(2):
        dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    before = pids_of(path)
    assert dask.scheduler is not None
    os.kill(dask.scheduler.pid, number)
    wait_until(lambda: not any(map(is_alive, before)), seconds=10)
    end(dask.scheduler)
    dask.start_scheduler()
    for _ in range(2):
        dask.start_worker()
    # Three processes import Dask before that, on cores that other tests may have.
    wait_until(lambda: len(set(pids_of(path)) - set(before)) == 2, seconds=45)
    (folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    check_database(folder)


@pytest.mark.long
def test_a_connection_that_dask_mends_by_itself_is_known_to_be_another(
    folder: Path, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    from distributed import Client

    def start_anew(dask_scheduler: Any) -> None:
        # For a client, it is another that has come at once.
        for name, stream in dask_scheduler.client_comms.items():
            if name != us:
                stream.comm.abort()
                for topic in list(dask_scheduler.get_events()):
                    dask_scheduler.unsubscribe_topic(topic, name)

    for _ in range(2):
        dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    before = pids_of(path)
    with Client(dask.address, set_as_default=False) as client:
        us = client.id
        client.run_on_scheduler(start_anew)
    # What the jobs tell is heard again, and not only their results.
    wait_until(lambda: len(set(pids_of(path)) - set(before)) == 2)
    assert not any(map(is_alive, before))
    (folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    check_database(folder)


@pytest.mark.long
def test_a_worker_that_was_away_for_longer_than_the_scheduler_waits_spoils_nothing(
    folder: Path, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    for _ in range(2):
        dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    pid = pids_of(path)[0]
    away = worker_of(dask, pid)
    os.kill(away.pid, signal.SIGSTOP)
    (folder / "go").touch()
    wait_until(lambda: trials_of(path)[0].pid != pid, seconds=30)
    os.kill(away.pid, signal.SIGCONT)
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    wait_until(lambda: away.poll() is not None)
    check_database(folder)


@pytest.mark.long
def test_a_worker_that_is_asked_to_leave_gives_its_trial_back(
    folder: Path, dask: DaskProcesses, undisturbed: list[Any]
) -> None:
    from distributed import Client

    for _ in range(2):
        dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    before = pids_of(path)
    with Client(dask.address, set_as_default=False) as client:
        client.retire_workers([next(iter(client.nthreads()))])
    wait_until(lambda: sum(map(is_alive, before)) == 1)
    (folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert outcomes_of(path) == undisturbed
    check_database(folder)


@pytest.mark.long
def test_a_slow_worker_keeps_no_trial_from_the_others(folder: Path, dask: DaskProcesses) -> None:
    script = SCORES_X + (
        "import os, time\n"
        "if 'SLOWLY' in os.environ:\n"
        "    open(__file__ + '.slowly', 'a').write('x')\n"
        "    time.sleep(float(os.environ['SLOWLY']))\n"
    )
    dask.start_worker(SLOWLY="4")
    dask.start_worker()
    path = write_experiment(folder, script, **on(dask, n_samples=10))
    assert search(path).ending is Ending.DONE
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 10
    [slow] = folder.rglob("*.slowly")
    assert 1 <= len(slow.read_text()) < 5, "the other worker runs most of the trials"


def test_a_scheduler_that_is_not_there_is_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.search.dask.client.CONNECT_TIMEOUT", 1.0)
    nowhere = DaskProcesses(tmp_path)
    path = write_experiment(folder, SCORES_X, **on(nowhere))
    with pytest.raises(WorkFailedError, match="its Dask scheduler cannot be reached .*; expected one at the address"):
        search(path)


@pytest.mark.long
def test_a_scheduler_that_does_not_come_back_is_told_as_that(
    folder: Path, dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    managers: list[HarnessDaskManager] = []
    bind = HarnessDaskManager.bind

    def remember(self: HarnessDaskManager, context: SearchContext) -> None:
        managers.append(self)
        bind(self, context)

    def end_it() -> None:
        wait_until(lambda: num_running(path) == 1)
        monkeypatch.setattr("harness.search.dask.workers._NOTE_AFTER", 1.0)
        managers[0]._workers._patience = 8.0
        assert dask.scheduler is not None
        end(dask.scheduler)

    monkeypatch.setattr(HarnessDaskManager, "bind", remember)
    dask.start_worker()
    path = write_experiment(folder, FIRST_TWO_WAIT, **on(dask))
    view = SilentView()
    threading.Thread(target=end_it).start()
    with pytest.raises(WorkFailedError, match="its Dask scheduler cannot be reached .it has not answered for 8 s.;"):
        search(path, view=view)
    (note,) = view.notes
    assert re.fullmatch(r"For \d s the scheduler has not answered; the search waits 8 s for it\.", note)


@pytest.mark.long
def test_a_result_that_comes_twice_is_discarded_and_counted(
    folder: Path, dask: DaskProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.start_worker()
    end_task = HarnessDaskManager._end_task

    def end_twice(self: HarnessDaskManager, pending: PendingTrial, task: Task) -> None:
        end_task(self, pending, task)
        end_task(self, pending, task)

    monkeypatch.setattr(HarnessDaskManager, "_end_task", end_twice)
    path = write_experiment(folder, SCORES_X, **on(dask))
    view = SilentView()
    assert search(path, view=view).ending is Ending.DONE
    assert view.notes == ["6 results came for trials that had ended already, and were discarded."]
    assert [trial.attempt for trial in trials_of(path)] == [1] * 6


#: Features must be sent to such a worker, and it takes its time.
BLIND_AND_SLOW = """
import time
from harness.features import copies
copies._has_features = lambda expected: False
# Dask may read this file twice.
write_piece = vars(copies).setdefault("quick", copies.write_piece)
copies.write_piece = lambda *arguments: (time.sleep(0.3), write_piece(*arguments))
"""


@pytest.mark.long
def test_a_worker_that_is_lost_while_features_are_sent_spoils_nothing_for_the_others(
    prepared_folder: Path, tiny_corpus: Path, dask: DaskProcesses
) -> None:
    preload = dask.folder / "blind and slow.py"
    preload.write_text(BLIND_AND_SLOW)
    for _ in range(2):
        dask.start_worker("--preload", str(preload))
    script = RECORDS_ITS_SCORE.format(work="record(0.75)")
    ours = {"system": "mocap1", "corpus": str(tiny_corpus), "parameter_config": DROPOUT, "n_samples": 3}
    process = start_aup(write_experiment(prepared_folder, script, **on(dask, **ours)))
    wait_until(lambda: len(list(dask.folder.rglob("utterances.jsonl"))) > 2)
    os.kill(dask.workers[0].pid, signal.SIGKILL)
    assert finish(process)[::2] == (0, "")
    trials = trials_of(prepared_folder / "experiment.json")
    assert [(trial.status, trial.score) for trial in trials] == [(TrialStatus.FINISHED, 0.75)] * 3
    assert not list(dask.folder.rglob("Session5"))


#: A worker whose warm process imports nothing.
WARM_AT_ONCE = f"from harness.search import warm\nwarm._CODE = {QUICK_CODE!r}\n"
#: A trial of this package's own, as far as a worker sees: harness.training.trial. The first waits for "go".
SAYS_ITS_NAME = RECORDS_ITS_SCORE.format(
    work="""
print(open("/proc/self/comm").read().strip(), flush=True)
while spec.trial_index == 0 and not os.path.exists("go"):
    time.sleep(0.02)
record(0.75)
"""
)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler that takes no busy worker for lost."""
    with DaskProcesses(tmp_path / "dask") as processes:
        processes.folder.mkdir()
        processes.start_scheduler()
        yield processes


def our_search(folder: Path, corpus: Path, scheduler: str, **changes: Any) -> Path:
    cluster = {"scheduler": scheduler, "patience_seconds": 120}
    ours = {"system": "mocap1", "corpus": str(corpus), "parameter_config": DROPOUT, "resource": "dask"}
    text = "# As harness.training.trial does.\n" + SAYS_ITS_NAME
    return write_experiment(folder, text, **{**ours, "cluster": cluster, "n_samples": 4, **changes})


def start_warm_worker(dask: DaskProcesses) -> int:
    preload = dask.folder / "warm at once.py"
    preload.write_text(WARM_AT_ONCE)
    return dask.start_worker("--preload", str(preload)).pid


def starts_of(path: Path) -> list[tuple[int, str, bool]]:
    """Of each trial, in order: its attempt, its status, and whether it is a fork of a warm process."""
    return [
        (trial.attempt, trial.status.value, (trial.last_output or "").strip() == warm.TRIAL_NAME)
        for trial in trials_of(path)
    ]


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux lets a process adopt orphans")
def test_a_killed_warm_process_loses_no_trial_of_its_worker_and_none_outlives_the_worker(
    prepared_folder: Path, tiny_corpus: Path, patient: DaskProcesses
) -> None:
    pid = start_warm_worker(patient)
    path = our_search(prepared_folder, tiny_corpus, patient.address, n_parallel=1)

    class Killing(SilentView):
        def look(self) -> float | None:
            if num_running(path) == 1 and not (prepared_folder / "go").exists():
                os.kill(warm_processes(pid)[0], signal.SIGKILL)
                (prepared_folder / "go").touch()
            return 0.01

    assert search(path, view=Killing()).ending is Ending.DONE
    assert starts_of(path) == [(1, "finished", is_fork) for is_fork in (True, False, True, True)]
    check_database(prepared_folder)
    left = descendants(pid)
    assert len(left) == 2  # the guardian and the warm process, for the next trial
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(left, seconds=20)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux lets a process adopt orphans")
def test_a_killed_worker_takes_no_fork_with_it_and_leaves_no_warm_process(
    prepared_folder: Path, tiny_corpus: Path, patient: DaskProcesses
) -> None:
    for _ in range(2):
        start_warm_worker(patient)
    path = our_search(prepared_folder, tiny_corpus, patient.address)
    process = start_aup(path)
    # The second trial may have ended, but not the first.
    wait_until(lambda: num_running(path) > 0 and trials_of(path)[0].pid is not None, seconds=60)
    pid = pids_of(path)[0]
    killed = worker_of(patient, pid).pid
    left = descendants(killed)
    assert pid in left and len(left) == 3
    os.kill(killed, signal.SIGKILL)
    wait_until_gone(left)
    (prepared_folder / "go").touch()
    assert finish(process)[::2] == (0, "")
    assert starts_of(path) == [(1, "finished", True)] * 4
    check_database(prepared_folder)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux lets a process adopt orphans")
def test_workers_that_are_threads_of_one_process_each_have_a_warm_process(
    prepared_folder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(warm, "_CODE", QUICK_CODE)
    (prepared_folder / "go").touch()
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    ) as cluster:
        path = our_search(prepared_folder, tiny_corpus, cluster.scheduler_address, n_samples=20)
        try:
            assert search(path).ending is Ending.DONE
            assert starts_of(path) == [(1, "finished", True)] * 20
            assert len(warm_processes(os.getpid())) == 2
        finally:
            for kept in list(dask_worker._KEPT.values()):
                kept.close()
    assert warm_processes(os.getpid()) == []
