"""The monkey counts what it should, and reaches every command."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.hostile import (
    BEGUN_NAME,
    INVOCATIONS,
    MARK_NAME,
    PROGRAM,
    Outcome,
    Tally,
    _run,
    damage,
    judge,
)
from harness.cli.main import COMMANDS


def test_every_command_is_run() -> None:
    assert set(COMMANDS) | {"aup", "predit"} == set(INVOCATIONS)


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [
        (Outcome(0, "done", 0, False), []),
        (Outcome(130, "interrupted", 0, True), []),
        (Outcome(130, "interrupted", 0, False), ["wrong exit codes"]),
        (Outcome(-11, "", 0, False), ["wrong exit codes"]),
        (Outcome(1, "Traceback (most recent call last):\n", 0, False), ["tracebacks"]),
        (Outcome(None, "", 2, False), ["hangs", "leaks"]),
        (Outcome(-15, "", 0, True), ["wrong exit codes"]),
        (Outcome(-15, "", 0, True, had_begun=False), []),
        (Outcome(-2, "Traceback (most recent call last):\n", 1, True, had_begun=False), ["leaks"]),
        (Outcome(-15, "", 0, False, had_begun=False), ["wrong exit codes"]),
    ],
    ids=["done", "interrupted", "interrupted by nobody", "died", "traceback", "hang", "died of a signal",
         "before it began", "left before it began", "died of nothing"],
)
def test_a_run_is_judged(outcome: Outcome, kinds: list[str]) -> None:
    assert judge(outcome) == kinds


def test_what_a_program_does_wrong_is_seen(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "subprocess.Popen(sleep, start_new_session=True, stdout=subprocess.DEVNULL)\n"
        "raise ValueError('planted')\n"
    )
    environment = {**os.environ, MARK_NAME: "planted", BEGUN_NAME: str(tmp_path / "begun")}
    outcome = _run([sys.executable, "-c", code], tmp_path, environment, ("null", "pipe"), None, 0.0)
    assert "ValueError: planted" in outcome.printed
    assert judge(outcome) == ["tracebacks", "leaks"]
    assert Tally(1, [("leaks", "x")]).counts == "0 tracebacks, 0 hangs, 0 wrong exit codes, 1 leaks"


def test_a_program_says_when_it_has_begun_to_answer_signals(tmp_path: Path) -> None:
    """A death in the first half second was forgiven, whoever was at work by then."""
    environment = {**os.environ, MARK_NAME: "begun", BEGUN_NAME: str(tmp_path / "begun")}
    line = [sys.executable, "-c", PROGRAM.format("harness"), "completion", "bash"]
    outcome = _run(line, tmp_path, environment, ("null", "pipe"), None, 0.0)
    assert (outcome.code, outcome.had_begun, judge(outcome)) == (0, True, [])
    # Sixty seconds before the program: the signal meets Python alone.
    waits = [sys.executable, "-c", f"import time; time.sleep(60); {PROGRAM.format('harness')}"]
    environment[BEGUN_NAME] = str(tmp_path / "begun again")
    outcome = _run(waits, tmp_path, environment, ("null", "pipe"), signal.SIGTERM, 0.5)
    assert (outcome.code, outcome.had_begun, judge(outcome)) == (-signal.SIGTERM, False, [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_program_imports_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM killed the program there, so that its exit code was none of the documented ones."""
    code = "import os, signal, sys; from harness.cli import leave_on_interrupt; leave_on_interrupt(); "
    code += f"os.kill(os.getpid(), {number:d}); signal.pause()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_damage_is_a_function_of_its_generator(tmp_path: Path) -> None:
    said = []
    for name in ("a", "b"):
        (tmp_path / name / "results").mkdir(parents=True)
        for file in ("experiment.json", "results/results.db"):
            (tmp_path / name / file).write_bytes(b"x" * 100)
        said.append([damage(tmp_path / name, random.Random(seed)) for seed in range(5)])
    assert said[0] == said[1] and any(said[0])


@pytest.mark.long
def test_ctrl_c_ends_the_monkey_with_its_counts(tmp_path: Path) -> None:
    """It ended in a traceback, lost its counts, and left the running command and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hostile", "--runs", "1000000"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob("hostile*/0")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert re.search(r"^\d runs in \d+ s: 0 tracebacks", printed, re.MULTILINE)
    assert not list(tmp_path.iterdir())
