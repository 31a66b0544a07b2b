"""Trials that are forks of a warm process keep the contract of every job, and outlive it."""

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.search import controller, warm
from harness.search.jobs import RunningJobs
from harness.search.local import HarnessLocalManager
from harness.search.view import Ending
from harness.store.records import TrialStatus
from tests.search.promises import check_database
from tests.search.resource_manager_contract import ResourceManagerContract
from tests.search.searches import (
    SCORES_X,
    STARTED,
    SilentView,
    is_alive,
    kill,
    num_running,
    search,
    trials_of,
    wait_until,
    write_experiment,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process adopt orphans")

#: A warm process that imports nothing, so that any script can be tested quickly.
QUICK_CODE = """
import harness.training.trial
harness.training.trial.import_training = lambda: None
from harness.search.warm import main
main()
"""
#: What every controller of these tests runs first: trials of any Python script get a warm start.
WARM_FOR_ALL = f"""
import sys
from harness.search import warm
from harness.search.local import HarnessLocalManager
warm._CODE = {QUICK_CODE!r}
def warm_up(self):
    script = self.context.settings.script
    if script.command[0] == sys.executable:
        self._jobs.warm_up(script.path.parent, self._environment_of(0))
HarnessLocalManager.warm_up = warm_up
"""
#: Says who its parent was, and scores ``x``.
SAYS_ITS_PARENT = "import os\nprint('parent', os.getppid(), flush=True)\n" + SCORES_X
SAYS_ITS_GROUP = "print(os.getpgid(0) == os.getsid(0) == os.getpid(), sys.path[0])\n"
#: The same, once a file ``go`` appears.
WAITS = (
    "import os, time\nopen(f'begun {os.getpid()}', 'w').close()\n"
    "while not os.path.exists('go'):\n    time.sleep(0.02)\n" + SCORES_X
)
#: The first trial leaves a process in a session of its own, whose parent ends at once. The next lets that one end, and
#: says whether it stays a zombie of the controller.
LEAVES_A_PROCESS = """
import os, subprocess, sys, time
def is_the_controllers(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1] == str(os.getppid())
    except OSError:
        return False
if not os.path.exists("left"):
    left = [sys.executable, "-S", "-c", "import os, time\\nwhile not os.path.exists('go'): time.sleep(0.02)"]
    code = f"import subprocess; print(subprocess.Popen({left!r}, start_new_session=True).pid)"
    subprocess.run([sys.executable, "-S", "-c", code], check=True, stdout=open("left", "w"))
else:
    pid, began = int(open("left").read()), time.monotonic()
    open("go", "w").close()
    while is_the_controllers(pid) and time.monotonic() < began + 20:
        time.sleep(0.02)
    print("a zombie" if is_the_controllers(pid) else "none", flush=True)
"""
SAYS_HOW_IT_BEGAN = "import sys\nprint('forked' if 'harness.search.warm' in sys.modules else 'new', flush=True)\n"
#: A trial of this package, and what it knows of its threads.
SAYS_ITS_THREADS = """
import sys
from harness.training.trial import main
code = main(sys.argv)
import os, tensorflow, threadpoolctl
pools = sorted((pool["prefix"], pool["num_threads"]) for pool in threadpoolctl.threadpool_info())
threading = tensorflow.config.threading
print("pools", pools, threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
print("cores", sorted(os.sched_getaffinity(0)))
sys.exit(code)
"""


@pytest.fixture
def warm_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_CODE", QUICK_CODE)

    def warm_up(manager: HarnessLocalManager) -> None:
        script = manager.context.settings.script
        if script.command[0] == sys.executable:
            manager._jobs.warm_up(script.path.parent, manager._environment_of(0))

    monkeypatch.setattr(HarnessLocalManager, "warm_up", warm_up)


@pytest.mark.usefixtures("warm_for_all")
class TestWarm(ResourceManagerContract):
    @pytest.fixture
    def resource(self) -> dict[str, Any]:
        return {"resource": "cpu"}


def warm_processes(controller: int) -> list[int]:
    """The pids of a controller's warm processes, the oldest first."""
    children = sorted(psutil.Process(controller).children(), key=lambda child: child.create_time())
    return [child.pid for child in children if child.name() == warm.WARM_NAME]


@pytest.mark.usefixtures("warm_for_all")
def test_a_forked_trial_is_the_controllers_child_and_its_groups_leader(folder: Path) -> None:
    path = write_experiment(folder, SAYS_ITS_PARENT + SAYS_ITS_GROUP)
    assert search(path).ending is Ending.DONE
    for trial in trials_of(path):
        assert trial.last_output is not None
        first, _, last = trial.last_output.splitlines()
        assert (first, last) == (f"parent {os.getpid()}", f"True {folder}")
    assert warm_processes(os.getpid()) == []


def is_adopting() -> bool:
    found, get_child_subreaper = ctypes.c_int(), 37  # linux/prctl.h
    assert ctypes.CDLL(None).prctl(get_child_subreaper, ctypes.byref(found), 0, 0, 0) == 0
    return bool(found.value)


def test_a_process_adopts_until_the_last_of_several_forks_has_ended() -> None:
    # As where several Dask workers are threads of one process.
    with warm.adopting_orphans():
        with warm.adopting_orphans():
            assert warm.can_adopt_orphans()
        assert is_adopting()
    assert warm.can_adopt_orphans()
    assert not is_adopting()


@contextmanager
def adopting_for_good() -> Iterator[None]:
    """As if another trial were forked whenever a process loses its parent."""
    warm._set_adopting(True)
    yield


@pytest.mark.usefixtures("warm_for_all")
@pytest.mark.parametrize("adopts", [False, True], ids=["at any time", "while another trial is forked"])
def test_what_left_a_trials_group_is_no_zombie_when_it_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, adopts: bool
) -> None:
    if adopts:
        monkeypatch.setattr(warm, "adopting_orphans", adopting_for_good)
    path = write_experiment(folder, LEAVES_A_PROCESS + SCORES_X, n_samples=2, n_parallel=1)
    try:
        assert search(path).ending is Ending.DONE
    finally:
        warm._set_adopting(False)
    assert (trials_of(path)[1].last_output or "").splitlines()[0] == "none"


@pytest.mark.usefixtures("warm_for_all")
def test_random_numbers_without_a_seed_differ_from_fork_to_fork(folder: Path) -> None:
    draws = "import random, numpy\nprint(random.random(), numpy.random.random())\n"
    path = write_experiment(folder, SAYS_HOW_IT_BEGAN + draws + SCORES_X)
    assert search(path).ending is Ending.DONE
    began, drawn = zip(*((trial.last_output or "").splitlines()[:2] for trial in trials_of(path)), strict=True)
    assert set(began) == {"forked"}
    ours, numpys = zip(*(line.split() for line in drawn), strict=True)
    assert len(set(ours)) == len(set(numpys)) == 3


@pytest.mark.usefixtures("warm_for_all")
def test_a_fork_imports_nothing_from_its_scripts_folder_where_python_is_safe(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    says_its_paths = f"print({str(folder)!r} in sys.path)\n"
    path = write_experiment(folder, SAYS_HOW_IT_BEGAN + says_its_paths + SCORES_X, n_samples=1)
    assert search(path).ending is Ending.DONE
    (trial,) = trials_of(path)
    assert (trial.last_output or "").splitlines()[:2] == ["forked", "False"]


@pytest.mark.usefixtures("warm_for_all")
def test_a_search_that_is_done_starts_no_warm_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_experiment(folder, SCORES_X)
    search(path)
    monkeypatch.setattr(RunningJobs, "warm_up", None)
    assert search(path).ending is Ending.DONE


@pytest.mark.usefixtures("warm_for_all")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_end_of_the_warm_process_ends_no_trial_and_loses_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(warm, "_LONGEST_FORK", 1.0)
    # Trial 0 is forked; by the time trial 1 is to be, there is nothing to be forked.
    path = write_experiment(folder, SAYS_HOW_IT_BEGAN + SCORES_X, n_samples=4, n_parallel=1)

    class Killing(SilentView):
        def look(self) -> float | None:
            if len(trials_of(path)) == 1 and not self.notes:
                # The first: a trial that was forked just now has its name until it begins.
                os.kill(warm_processes(os.getpid())[0], number)
                self.notes.append("killed")
            return 0.01

    assert search(path, view=Killing()).ending is Ending.DONE
    trials = trials_of(path)
    assert [(trial.attempt, trial.status) for trial in trials] == [(1, TrialStatus.FINISHED)] * 4
    starts = [(trial.last_output or "").split()[0] for trial in trials]
    assert starts[:2] == ["forked", "new"]
    check_database(folder)


@pytest.mark.usefixtures("warm_for_all")
def test_a_warm_process_that_cannot_import_is_named_once_and_trials_start_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not every Python on Linux has it.
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(warm, "_CODE", "raise ImportError('no such thing')")
    view = SilentView()
    path = write_experiment(folder, SCORES_X)
    assert search(path, view=view).num_by_status == {TrialStatus.FINISHED: 3}
    said = "the process that imports TensorFlow for all trials ended with exit code 1: ImportError: no such thing"
    assert view.notes == [f"Each trial imports TensorFlow for itself: {said}."]


@pytest.mark.usefixtures("warm_for_all")
def test_a_long_wait_for_the_imports_is_noted_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "_LONGEST_SILENCE", 0.1)
    monkeypatch.setattr(warm, "_CODE", "import time\ntime.sleep(0.5)\n" + QUICK_CODE)
    view = SilentView()
    assert search(write_experiment(folder, SCORES_X), view=view).ending is Ending.DONE
    assert view.notes == ["No trial has started yet: TensorFlow is still being imported, once for all trials."]


@pytest.mark.usefixtures("warm_for_all")
@pytest.mark.parametrize("num_starts", [0, 1], ids=["never", "not again"])
def test_a_warm_process_that_cannot_be_started_is_named_once_and_trials_start_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch, num_starts: int
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if len(begun) == num_starts:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        begun.append(subprocess.Popen(*arguments, **options))
        return begun[-1]

    monkeypatch.setattr(warm, "subprocess", SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL))
    path = write_experiment(folder, SCORES_X, n_samples=4, n_parallel=1)

    class Killing(SilentView):
        is_killed = False

        def look(self) -> float | None:
            if begun and len(trials_of(path)) == 1 and not self.is_killed:
                os.kill(begun[0].pid, signal.SIGKILL)
                self.is_killed = True
            return 0.01

    view = Killing()
    assert search(path, view=view).num_by_status == {TrialStatus.FINISHED: 4}
    assert view.notes == [
        "Each trial imports TensorFlow for itself: the process that imports TensorFlow for all trials could not be "
        "started: Resource temporarily unavailable."
    ]


def test_nothing_outlives_a_controller_that_is_killed(folder: Path) -> None:
    path = write_experiment(folder, WAITS, n_samples=2)
    code = WARM_FOR_ALL + "from harness.cli.aup import main\nmain()"
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], start_new_session=True, **output)
    STARTED.append(process)
    wait_until(lambda: num_running(path) == 2 and len(list(folder.glob("begun *"))) == 2)
    pids = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert len(pids) == 4  # the guardian, the warm process, and the trials
    kill(process)
    wait_until(lambda: not any(map(is_alive, pids)), seconds=5)
    (folder / "go").touch()
    assert search(path).ending is Ending.DONE
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.KILLED, TrialStatus.FINISHED] * 2
    check_database(folder)


@pytest.mark.timeout(240)
def test_a_warm_start_changes_neither_scores_nor_threads(
    prepared_folder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {
        "system": "head2",
        "corpus": str(tiny_corpus),
        "parameter_config": [{"name": "dense", "range": [8, 16], "type": "int"}],
        "max_epochs": 2,
        "n_samples": 2,
    }

    def run(name: str) -> list[Any]:
        path = write_experiment(prepared_folder, SAYS_ITS_THREADS, **ours, name=name)
        view = SilentView()
        assert search(path, view=view).ending is Ending.DONE
        # On a machine with other work the import may take long enough to be said.
        assert [note for note in view.notes if not note.startswith("No trial has started yet")] == []
        lines = [(trial.last_output or "").splitlines() for trial in trials_of(path)]
        assert all(line[1].startswith("pools [('") for line in lines)
        return [(trial.score, line) for trial, line in zip(trials_of(path), lines, strict=True)]

    forks: list[Any] = []
    fork = warm.WarmStarter.fork
    monkeypatch.setattr(
        warm.WarmStarter, "fork", lambda *arguments: forks.append(fork(*arguments)) or forks[-1]
    )
    warmed = run("warm")
    assert len(forks) == 2 and None not in forks
    monkeypatch.setattr(HarnessLocalManager, "warm_up", lambda manager: None)
    assert run("cold") == warmed
    assert len(forks) == 2


def test_what_the_warm_process_imports_runs_no_operation() -> None:
    code = """
import json, os, sys
from harness.training.trial import import_training
import_training()
from tensorflow.python.eager import context
print(json.dumps([context.context()._context_handle is None, "harness.training.recipe" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, True]
