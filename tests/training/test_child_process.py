"""A training in a process of its own: what it says arrives, and the process never outlives its caller."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from harness.errors import Diverged
from harness.store.records import EpochRecord, ScoreKind, TestScores, TrialResult, TrialStatus
from harness.training import child_process
from harness.training.child_process import ChildFailed, cause_of, train_in_child
from harness.training.recipe import Outcome, Watch

EPOCH = EpochRecord(1, 0.5, 0.25, 0.25, 0.75, 0.5, 0.5, 1.0)
SCORES = TestScores(1, ScoreKind.VALIDATION_CHOSEN, 0.5, 0.5, 0.5, (), 1)


def train_well(watch: Watch) -> Outcome:
    """Say one epoch and the process's id, and score what no training scores."""
    watch.record_epoch(EPOCH)
    watch.show("process", os.getpid())
    return Outcome(TrialResult(0.5, 1, 1, (), None, 2.0), (SCORES,))


def fail(error: Exception, watch: Watch) -> Outcome:
    raise error


def be_killed(watch: Watch) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leave(watch: Watch) -> Outcome:
    os._exit(7)


def train_for_ever(watch: Watch) -> Outcome:
    watch.show("process", os.getpid())
    while True:
        time.sleep(0.1)


def stop_talking(watch: Watch) -> Outcome:
    """Close the connection, and go on."""
    watch.record_epoch.__self__.close()
    return train_for_ever(Watch())


def test_epochs_and_the_outcome_arrive_from_another_process_with_its_memory() -> None:
    epochs, shown = [], []
    outcome = train_in_child(train_well, 1, Watch(epochs.append, lambda stage, number: shown.append((stage, number))))
    assert epochs == [EPOCH] and outcome.scores == (SCORES,) and outcome.result.score == 0.5
    ((stage, process),) = shown
    assert stage == "process" and process != os.getpid() and not psutil.pid_exists(process)
    assert outcome.result.peak_memory_bytes is not None and outcome.result.peak_memory_bytes > 2**20


@pytest.mark.parametrize(
    ("train", "cause"),
    [
        (partial(fail, Diverged("the loss is nan")), (TrialStatus.DIVERGED, "the loss is nan")),
        (partial(fail, ValueError("shapes")), (TrialStatus.CRASHED, "ValueError: shapes")),
        (
            be_killed,
            (TrialStatus.KILLED, "its process was killed by signal 9, as the system does where memory runs out"),
        ),
        (leave, (TrialStatus.CRASHED, "its process ended with exit code 7 before it said how the training went")),
    ],
    ids=["ours", "any other", "killed", "left"],
)
def test_a_failure_has_the_cause_that_it_has_in_one_process(train, cause) -> None:
    with pytest.raises(ChildFailed) as caught:
        train_in_child(train, 1, Watch())
    assert cause_of(caught.value) == cause


def test_the_cause_of_a_failure_in_a_child_needs_no_tensorflow() -> None:
    code = (
        "import sys\nfrom harness.training.child_process import ChildFailed, cause_of\ncause_of(ChildFailed('gone'))\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_interrupt_ends_the_process_at_once() -> None:
    seen = []

    def interrupt(stage: str, number: int) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_in_child(train_for_ever, 1, Watch(show=interrupt))
    assert len(seen) == 1 and not psutil.pid_exists(seen[0])


@pytest.mark.timeout(60)
@pytest.mark.parametrize("error", [BrokenPipeError, EOFError])
def test_an_error_of_the_display_is_raised_and_ends_the_process(error: type[Exception]) -> None:
    seen = []

    def show(stage: str, number: int) -> None:
        seen.append(number)
        raise error

    with pytest.raises(error):
        train_in_child(train_for_ever, 1, Watch(show=show))
    assert len(seen) == 1 and not psutil.pid_exists(seen[0])


@pytest.mark.timeout(60)
def test_a_process_that_says_no_more_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_LONGEST_END", 0.5)
    with pytest.raises(ChildFailed) as caught:
        train_in_child(stop_talking, 1, Watch())
    assert str(caught.value) == "its process said no more, and did not end within 0.5 s"


PROGRAM = """
from harness.training.child_process import train_in_child
from harness.training.recipe import Watch
from tests.training.test_child_process import train_for_ever
train_in_child(train_for_ever, 1, Watch(show=lambda stage, number: print(number, flush=True)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_process_ends_with_its_caller(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
    caller = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    assert caller.stdout is not None
    training = psutil.Process(int(caller.stdout.readline()))
    caller.send_signal(number)
    assert caller.wait(30) != 0
    psutil.wait_procs([training], timeout=30)
    assert not training.is_running() or training.status() == psutil.STATUS_ZOMBIE
