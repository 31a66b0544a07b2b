"""The monkey counts what it should, and reaches every command."""

import os
import random
import sys
from pathlib import Path

import pytest

from benchmarks.hostile import INVOCATIONS, MARK_NAME, Outcome, Tally, _run, damage, judge
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
    ],
    ids=["done", "interrupted", "interrupted by nobody", "died", "traceback", "hang"],
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
    environment = {**os.environ, MARK_NAME: "planted"}
    outcome = _run([sys.executable, "-c", code], tmp_path, environment, ("null", "pipe"), None, 0.0)
    assert "ValueError: planted" in outcome.printed
    assert judge(outcome) == ["tracebacks", "leaks"]
    assert Tally(1, [("leaks", "x")]).counts == "0 tracebacks, 0 hangs, 0 wrong exit codes, 1 leaks"


def test_damage_is_a_function_of_its_generator(tmp_path: Path) -> None:
    said = []
    for name in ("a", "b"):
        (tmp_path / name / "results").mkdir(parents=True)
        for file in ("experiment.json", "results/results.db"):
            (tmp_path / name / file).write_bytes(b"x" * 100)
        said.append([damage(tmp_path / name, random.Random(seed)) for seed in range(5)])
    assert said[0] == said[1] and any(said[0])
