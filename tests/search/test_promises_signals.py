"""A search that is interrupted at any instant closes its database, reports that, and is resumed where it was."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store.records import ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from tests.search.promises import check_database, finish, run_aup
from tests.search.searches import (
    SCORES_X,
    WAITS_FOR_GO,
    environment,
    is_alive,
    kill,
    num_running,
    points_by_index,
    start_aup,
    trials_of,
    wait_until,
    wait_until_gone,
    write_experiment,
)

#: Trials 0 and 1 end at once; the others wait for "go", and each start is written down.
SOME_WAIT = """
import json, os, sys, time
from pathlib import Path
point = json.load(open(sys.argv[1]))
with open("starts", "a") as stream:
    print(repr(point["x"]), file=stream)
while int(Path(sys.argv[1]).stem) > 2 and not os.path.exists("go"):
    time.sleep(0.02)
print("#Auptimizer:%r" % point["x"])
"""
NUM_SAMPLES = 6


def interrupt_once(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    (folder / "go").touch()


def interrupt_twice(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGINT)
    time.sleep(0.1)
    os.kill(pid, signal.SIGINT)


def terminate(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGTERM)


def kill_at_once(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[object, int]]:
    path = write_experiment(tmp_path_factory.mktemp("undisturbed"), SCORES_X, n_samples=NUM_SAMPLES)
    assert run_aup(path)[0] == 0
    return points_by_index(path)


@pytest.mark.parametrize(
    ("interruption", "code", "status"),
    [
        (interrupt_once, 130, TrialStatus.FINISHED),
        (interrupt_twice, 130, TrialStatus.STOPPED),
        (terminate, 130, TrialStatus.STOPPED),
        (kill_at_once, -signal.SIGKILL, TrialStatus.KILLED),
    ],
    ids=["Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGKILL"],
)
def test_after_an_interruption_none_is_lost_and_none_is_run_twice(
    folder: Path,
    interruption: Callable[[int, Path], None],
    code: int,
    status: TrialStatus,
    undisturbed: dict[int, tuple[object, int]],
) -> None:
    path = write_experiment(folder, SOME_WAIT, n_samples=NUM_SAMPLES)
    process = start_aup(path)
    starts = folder / "starts"
    wait_until(lambda: starts.exists() and starts.read_text().count("\n") == 4 and num_running(path) == 2)
    before = {trial.trial_index: trial for trial in trials_of(path) if trial.status is TrialStatus.FINISHED}
    assert sorted(before) == [0, 1]
    interruption(process.pid, folder)
    assert finish(process)[0] == code
    interrupted = trials_of(path)
    assert len(interrupted) == 4
    if code == 130:
        check_database(folder)
        assert [trial.status for trial in interrupted[2:]] == [status] * 2
        with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
            experiment = store.experiment(1)
        assert experiment.status is ExperimentStatus.INTERRUPTED
        assert experiment.ended_at is not None
    pids = [trial.pid for trial in interrupted if trial.pid is not None]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), seconds=5)

    (folder / "go").touch()
    code, lines, errors = run_aup(path)
    assert (code, errors) == (0, "")
    check_database(folder)
    assert points_by_index(path) == undisturbed
    trials = trials_of(path)
    finished = [trial for trial in trials if trial.status is TrialStatus.FINISHED]
    assert sorted(trial.trial_index for trial in finished) == list(range(NUM_SAMPLES))
    assert {trial.trial_index: trial for trial in trials if trial.trial_index in before} == before
    again = [] if status is TrialStatus.FINISHED else [2, 3]
    assert [trial.trial_index for trial in trials if trial.status is not TrialStatus.FINISHED] == again
    assert {trial.status for trial in trials} == {TrialStatus.FINISHED, status}
    assert len((folder / "starts").read_text().split()) == NUM_SAMPLES + len(again)


def test_who_keeps_pressing_ctrl_c_loses_nothing(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=5)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    while process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.002)
    code, _, errors = finish(process)
    assert (code, errors.strip()) in [(130, ""), (130, "interrupted")]
    check_database(folder)
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.STOPPED] * 2


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("milliseconds", [0, 60, 200])
def test_an_interruption_while_a_search_begins_is_no_traceback(
    folder: Path, number: signal.Signals, milliseconds: int
) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    process = start_aup(path)
    wait_until((folder / "results").exists)
    time.sleep(milliseconds / 1000)
    os.kill(process.pid, number)
    if number is signal.SIGINT:
        time.sleep(0.3)
        if process.poll() is None:
            os.kill(process.pid, number)
    code, _, errors = finish(process)
    assert (code, errors.strip()) in [(130, ""), (130, "interrupted")]
    if (folder / "results" / "results.db").exists():
        with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
            statuses = {experiment.status for experiment in store.experiments()}
        assert statuses <= {ExperimentStatus.INTERRUPTED}
    (folder / "go").touch()
    assert run_aup(path)[0] == 0
    check_database(folder)
    assert [trial.trial_index for trial in trials_of(path) if trial.score is not None] == [0, 1, 2]


def test_two_presses_of_ctrl_c_count_as_two_however_busy_the_controller_is(folder: Path) -> None:
    """SQLite may wait for a lock while both arrive, and Python calls a handler once for the two."""
    code = """
import os, signal, subprocess, sys
from harness.search.interrupts import Interrupts, Request
with Interrupts() as interrupts:
    send = "import os, time\\nfor _ in range(2): time.sleep(0.2); os.kill(%d, 2)" % os.getpid()
    child = subprocess.Popen([sys.executable, "-S", "-c", send])
    while child.poll() is None:
        sum(range(30_000_000))
    interrupts.wait(0)
    print(interrupts.request is Request.END_TRIALS)
"""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=30
        )
        assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_search_that_was_broken_off_and_has_failed_trials_keeps_both_apart(folder: Path) -> None:
    script = "import json, sys\n" + WAITS_FOR_GO.replace("while", "if point['x'] < 0.5: sys.exit(1)\nwhile")
    path = write_experiment(folder, script, n_samples=6, n_parallel=2, max_failures=6)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2 and not (folder / "go").exists())
    process.terminate()
    assert finish(process)[0] == 130
    check_database(folder)
    (folder / "go").touch()
    assert run_aup(path)[0] == 0
    by_index = {trial.trial_index: trial.status for trial in trials_of(path)}
    expected = {
        index: TrialStatus.CRASHED if float(str(x)) < 0.5 else TrialStatus.FINISHED
        for index, (x, _) in points_by_index(path).items()
    }
    assert by_index == expected
    crashes = [trial.trial_index for trial in trials_of(path) if trial.status is TrialStatus.CRASHED]
    assert len(crashes) == len(set(crashes)), "a crash was run again"


def test_what_is_printed_of_an_interruption_can_be_typed(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, name=json.dumps("it's"))
    process = start_aup(path, cwd=folder.parent)
    wait_until(lambda: num_running(path) == 2)
    process.terminate()
    code, lines, _ = finish(process)
    assert code == 130
    prefix = "Interrupted. Resume with:  "
    assert lines[-1].startswith(prefix + "aup ")
    command, argument = shlex.split(lines[-1][len(prefix) :])
    assert (command, (folder.parent / argument).samefile(path)) == ("aup", True)


def test_a_trial_that_lost_its_controller_keeps_its_last_lines(folder: Path) -> None:
    path = write_experiment(folder, "print('epoch 7', flush=True)\n" + WAITS_FOR_GO, n_samples=1)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 1)
    (jobs,) = (folder / "results").glob("experiments/*/jobs")
    wait_until(lambda: any(output.stat().st_size for output in jobs.glob("*.out")))
    kill(process)
    # The trial would finish if it saw "go" in the moment before it is ended.
    wait_until_gone(trial.pid for trial in trials_of(path))
    (folder / "go").touch()
    assert run_aup(path)[0] == 0
    first, second = trials_of(path)
    assert (first.status, first.last_output) == (TrialStatus.KILLED, "epoch 7\n")
    assert second.status is TrialStatus.FINISHED
