"""Time, memory and retries; and what is left of a trial that is ended: nothing."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.search.process import EndedBy, JobProcess, private_memory
from harness.store.records import TrialStatus
from tests.search.promises import check_database, run_aup, search_cases
from tests.search.searches import (
    SCORES_X,
    is_alive,
    kill,
    num_running,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

HOLD = "held = bytearray(b'1') * {megabytes}_000_000\n"

HOARDERS = f"""
import subprocess
code = {HOLD.format(megabytes=60) + "import time; time.sleep(60)"!r}
for _ in range(3):
    subprocess.Popen([sys.executable, "-c", code])
exec(code)
"""

#: A trial, its child and its grandchild, none of which wants to end; their ids go to the file "family".
FAMILY = """
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_IGN)
depth = int(os.environ.get("DEPTH", "0"))
with open("family", "a") as stream:
    print(os.getpid(), file=stream)
if depth < 2:
    subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "DEPTH": str(depth + 1)})
time.sleep(60)
"""


def family_of(folder: Path, size: int = 3) -> list[int]:
    """Wait until a trial has all its descendants; return the process ids."""
    path = folder / "family"
    wait_until(lambda: path.exists() and path.read_text().count("\n") == size)
    return [int(line) for line in path.read_text().split()]


@pytest.mark.long
def test_each_limit_ends_its_trials_and_only_those_are_tried_again_whose_cause_lay_outside(folder: Path) -> None:
    attempts = search_cases(
        folder,
        {
            "hangs": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\ntime.sleep(60)",
            "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
            # Each holds less than the limit, all of them more.
            "a family of hoarders": HOARDERS,
            # What they hold is one and the same.
            "a family that shares": HOLD.format(megabytes=80) + "parent = os.getpid()\n"
            "for _ in range(3):\n    if os.getpid() == parent: os.fork()\n"
            "time.sleep(2.5)\nif os.getpid() == parent: print('#Auptimizer:0.5')",
            "crashes": "sys.exit(1)",
            "diverges": "print('#Auptimizer:nan')",
            "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
        },
        n_parallel=7,
        timeout_seconds=15,
        memory_limit="200 MB",
        job_failure={"ignore_fail": True, "job_retries": 1},
    )
    assert {case: [trial.status for trial in trials] for case, trials in attempts.items()} == {
        "hangs": [TrialStatus.TIMED_OUT],
        "stops itself": [TrialStatus.TIMED_OUT],
        "a family of hoarders": [TrialStatus.OUT_OF_MEMORY] * 2,
        "a family that shares": [TrialStatus.FINISHED],
        "crashes": [TrialStatus.CRASHED],
        "diverges": [TrialStatus.DIVERGED],
        "is killed": [TrialStatus.KILLED] * 2,
    }
    assert attempts["hangs"][0].last_output == "on\n"
    assert {attempts["hangs"][0].signal, attempts["stops itself"][0].signal} == {signal.SIGKILL}
    first, second = attempts["a family of hoarders"]
    assert (first.seed, first.hyperparameters) == (second.seed, second.hyperparameters)


@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists() or "Pss_Anon:" not in Path("/proc/self/smaps_rollup").read_text(),
    reason="this system does not tell how much of its memory a process shares",
)
def test_memory_that_a_fork_shares_is_counted_once(folder: Path) -> None:
    code = HOLD.format(megabytes=50) + "import os, time\nfor _ in range(2): os.fork()\n"
    code += "print('1', flush=True)\ntime.sleep(60)\n"
    job = JobProcess([sys.executable, "-c", code], folder, os.environ, folder / "output")
    try:
        wait_until(lambda: (folder / "output").read_text().count("1") == 4)
        assert 50_000_000 < private_memory([job.group])[job.group] < 100_000_000
    finally:
        job.end(EndedBy.STOP)


def test_a_killed_trial_that_is_tried_again_may_finish(folder: Path) -> None:
    script = """
import json, os, sys
from pathlib import Path
point = json.load(open(sys.argv[1]))
tries = Path("tries of %r" % point["x"])
tries.write_bytes(tries.read_bytes() + b"1" if tries.exists() else b"1")
if len(tries.read_bytes()) < 3:
    os.kill(os.getpid(), 9)
print("#Auptimizer:%r" % point["x"])
"""
    path = write_experiment(folder, script, job_failure={"ignore_fail": True, "job_retries": 2}, max_failures=0)
    assert run_aup(path)[0] == 0
    check_database(folder)
    by_index: dict[int, list[TrialStatus]] = {}
    for trial in trials_of(path):
        by_index.setdefault(trial.trial_index, []).append(trial.status)
    assert by_index == dict.fromkeys(range(3), [TrialStatus.KILLED, TrialStatus.KILLED, TrialStatus.FINISHED])


@pytest.mark.parametrize("whom", ["the controller", "its whole process group"])
def test_a_trial_and_its_descendants_end_within_5_s_of_losing_their_controller(folder: Path, whom: str) -> None:
    path = write_experiment(folder, FAMILY, n_samples=1)
    controller = start_aup(path)
    family = family_of(folder)
    os.kill(family[-1], signal.SIGSTOP)
    began = time.monotonic()
    if whom == "the controller":
        kill(controller)
    else:
        os.killpg(controller.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in family), seconds=5)
    assert time.monotonic() - began < 5


def test_a_trial_is_ended_with_its_descendants_when_it_took_too_long(folder: Path) -> None:
    path = write_experiment(folder, FAMILY, n_samples=1, timeout_seconds=2, max_failures=1)
    controller = start_aup(path)
    family = family_of(folder)
    controller.communicate(timeout=30)
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.TIMED_OUT]
    assert not any(is_alive(pid) for pid in family)


LEAVES_ITS_GROUP = """
import os, subprocess, sys
command = [sys.executable, "-c", "import time; time.sleep(60)"]
if {how!r} == "a session of its own":
    child = subprocess.Popen(command, start_new_session=True)
else:
    child = subprocess.Popen(command, process_group=0)
with open("family", "a") as stream:
    print(child.pid, file=stream)
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["a session of its own", "a process group of its own"])
def test_who_leaves_a_trials_group_is_gone_when_the_search_ends(folder: Path, how: str) -> None:
    path = write_experiment(folder, LEAVES_ITS_GROUP.format(how=how) + SCORES_X, n_samples=2)
    assert run_aup(path)[0] == 0
    family = family_of(folder, size=2)
    try:
        wait_until(lambda: not any(is_alive(pid) for pid in family), seconds=2)
    finally:
        for pid in family:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_search_leaves_other_peoples_processes_alone(folder: Path) -> None:
    """Those of another search in the same folder, above all."""
    path = write_experiment(folder, FAMILY, n_samples=1, name="slow")
    slow = start_aup(path)
    family = family_of(folder)
    wait_until(lambda: num_running(path) == 1)
    (folder / "quick").mkdir()
    other = write_experiment(folder / "quick", SCORES_X)
    assert run_aup(other)[0] == 0
    assert all(is_alive(pid) for pid in family)
    assert psutil.pid_exists(slow.pid)
    slow.terminate()
    slow.communicate(timeout=20)
    assert not any(is_alive(pid) for pid in family)
