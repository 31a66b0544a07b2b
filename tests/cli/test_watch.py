"""`harness watch` as a person and as a script use it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.store.records import ExperimentStatus, utc_now
from tests.cli.terminals import Terminal
from tests.search.promises import check_database
from tests.search.searches import (
    SCORES_X,
    WAITS_FOR_GO,
    end_started,
    environment,
    kill,
    num_running,
    start_aup,
    wait_until,
    write_experiment,
)
from tests.search.watched_searches import running_search

TAKES_SCREEN, GIVES_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
#: A trial that takes long enough to be seen.
SCORES_X_SLOWLY = SCORES_X + "import time; time.sleep(0.5)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s; a "folder" 100%?#'
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    end_started()


@pytest.fixture
def running(folder: Path) -> Iterator[Path]:
    """A folder whose search is run by this process."""
    with running_search(folder / "results"):
        yield folder


def start_watch(folder: Path, *options: str, **settings: Any) -> subprocess.Popen[str]:
    imports = "import sys; from harness.cli.main import serve; from harness.cli.watch import watch"
    code = f"{imports}; sys.exit(serve(watch, 'harness watch'))"
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    return subprocess.Popen([sys.executable, "-c", code, *options], cwd=folder, env=environment(), text=True, **given)


def run_watch(folder: Path, *options: str) -> tuple[int, str, str]:
    with start_watch(folder, *options) as process:
        output, errors = process.communicate(timeout=30)
    return process.returncode, output, errors


def test_q_leaves_the_search_and_gives_the_terminal_back(running: Path) -> None:
    with Terminal(running, "watch") as terminal:
        terminal.wait_for(TAKES_SCREEN)
        screen = terminal.wait_for("q quits; the search continues")
        assert terminal.modes != terminal.modes_before
        terminal.type("q")
        code, last = terminal.end()
        assert terminal.modes == terminal.modes_before
    assert "validation accuracy" in screen and "2 finished" in screen
    assert code == 0
    assert "10 trials: 2 finished, 2 running, 1 failed, 5 left." in last.partition(GIVES_SCREEN)[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_the_terminal_given_back(running: Path, number: signal.Signals) -> None:
    with Terminal(running, "watch") as terminal:
        terminal.wait_for("q quits")
        if number == signal.SIGINT:
            terminal.type("\x03")
        else:
            terminal.process.send_signal(number)
        code, last = terminal.end()
        assert terminal.modes == terminal.modes_before
    assert code == 130
    assert last.partition(GIVES_SCREEN)[2].strip().endswith("interrupted")


def test_another_size_is_drawn_at_once(running: Path) -> None:
    with Terminal(running, "watch", "--interval", "60") as terminal:
        assert "s/epoch" in terminal.wait_for("q quits; the search continues")
        terminal.resize(40, 30)
        screen = terminal.wait_for("q quits; the search continues", seconds=10)
        terminal.type("q")
        assert terminal.end()[0] == 0
    assert "best  left" in screen and "s/epoch" not in screen


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on(running: Path) -> None:
    with Terminal(running, "watch", "--interval", "60") as terminal:
        terminal.wait_for("q quits")
        terminal.type("\x1a")
        terminal.wait_for(GIVES_SCREEN)
        _, status = os.waitpid(terminal.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert terminal.modes == terminal.modes_before
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_for(TAKES_SCREEN)
        terminal.wait_for("q quits")
        terminal.type("q")
        assert terminal.end()[0] == 0


def test_a_dumb_terminal_gets_lines(running: Path) -> None:
    with Terminal(running, "watch", TERM="dumb") as terminal:
        printed = terminal.wait_for("Best validation accuracy 0.7500")
        terminal.type("\x03")
        code, last = terminal.end()
    assert code == 130
    assert "\x1b" not in printed + last


@pytest.mark.parametrize(("variables", "has_colour"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_obeyed(running: Path, variables: dict[str, str], has_colour: bool) -> None:
    with Terminal(running, "watch", **variables) as terminal:
        screen = terminal.wait_for("q quits")
        terminal.type("q")
        terminal.end()
    assert bool(re.search(r"\x1b\[(?:\d;)*3[0-7]", screen)) == has_colour


def test_a_search_ends_on_the_screen_with_its_summary(folder: Path) -> None:
    with running_search(folder / "results") as store, Terminal(folder, "watch", "--interval", "0.2") as terminal:
        terminal.wait_for("q quits")
        store.update_experiment(1, ExperimentStatus.FINISHED, utc_now())
        code, last = terminal.end()
    assert code == 0
    summary = last.partition(GIVES_SCREEN)[2]
    assert "Best trial 0: validation accuracy 0.7500" in summary and "has ended: finished" in summary
    assert "This corpus is synthetic" in summary


def test_a_real_search_is_watched_from_before_its_begin_to_its_end(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X_SLOWLY, n_samples=4)
    often = ("--interval", "0.1")
    with start_watch(folder, *often) as lines, start_watch(folder, *often, "--json") as objects:
        assert lines.stdout is not None
        assert lines.stdout.readline() == "No search has begun in 'results' yet.\n"
        aup = start_aup(path)
        printed, errors = lines.communicate(timeout=40)
        told, more_errors = objects.communicate(timeout=40)
        assert (aup.wait(timeout=10), lines.returncode, objects.returncode, errors, more_errors) == (0, 0, 0, "", "")
    assert "Experiment 1, 'a search'\n" in printed
    assert f"Process {aup.pid} on " in printed
    assert {f"trial {index} finished: score" in printed for index in range(4)} == {True}
    assert printed.splitlines()[-3] == "4 of 4 trials: 4 finished."
    assert printed.splitlines()[-2].startswith("Best trial ")
    looks = [json.loads(line) for line in told.splitlines()]
    assert list(dict.fromkeys(look["state"] for look in looks)) == ["waiting", "running", "ended"]
    assert looks[-1]["trials"] == {"total": 4, "finished": 4, "pruned": 0, "running": 0, "failed": 0, "left": 0}
    assert any(trial["memory_bytes"] for look in looks for trial in look["running"])
    check_database(folder)


def test_a_search_whose_controller_is_killed_is_told_as_run_by_nobody(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    aup = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    with start_watch(folder, "--interval", "0.1") as watched:
        assert watched.stdout is not None
        assert watched.stdout.readline() == "Experiment 1, 'a search'\n"
        kill(aup)
        printed, errors = watched.communicate(timeout=30)
    assert (watched.returncode, errors) == (1, "")
    assert printed.splitlines()[-1] == "No process is running this experiment. Resume with: aup EXPERIMENT.json"


@pytest.mark.parametrize(
    ("status", "code"),
    [(ExperimentStatus.FINISHED, 0), (ExperimentStatus.FAILED, 1), (ExperimentStatus.INTERRUPTED, 130)],
)
def test_the_exit_code_is_that_of_the_search(folder: Path, status: ExperimentStatus, code: int) -> None:
    with running_search(folder / "results") as store:
        store.update_experiment(1, status, utc_now())
    assert run_watch(folder)[0] == code
    assert run_watch(folder, "--once")[0] == 0


def test_one_look_is_printed_whole(running: Path) -> None:
    code, printed, errors = run_watch(running, "--once")
    assert (code, errors) == (0, "")
    assert "10 trials: 2 finished, 2 running, 1 failed, 5 left.\n" in printed
    assert "  trial 2 diverged: the loss is no number\n" in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("options", [["--once"], ["--once", "--json"]])
def test_one_look_before_there_is_a_search_is_an_error(folder: Path, options: list[str]) -> None:
    code, printed, errors = run_watch(folder, *options)
    assert (code, printed) == (2, "")
    assert errors == (
        "error: results folder 'results': no search has begun in it; expected one that aup has started; run aup "
        "first, or name another folder\n"
    )


def test_a_reader_that_leaves_ends_it(running: Path) -> None:
    with start_watch(running, "--json", "--interval", "0.1") as watched:
        assert watched.stdout is not None and watched.stderr is not None
        json.loads(watched.stdout.readline())
        watched.stdout.close()
        assert watched.wait(timeout=20) == 0
        assert watched.stderr.read() == ""


def test_a_store_that_is_none_is_told_in_one_sentence(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results" / "results.db").write_bytes(b"no database " * 100)
    code, _, errors = run_watch(folder)
    assert code == 2
    assert errors.startswith("error: results database 'results/results.db': damaged (")
