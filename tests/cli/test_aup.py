"""`aup` as it is typed: what it prints, how it is interrupted, and its exit codes."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.search.process import usable_cores
from harness.store.records import TrialStatus
from tests.search.searches import (
    SCORES_X,
    WAITS_FOR_GO,
    end_started,
    environment,
    is_alive,
    num_running,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End what a failed test has left behind."""
    yield
    end_started()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s; a "folder" 100%?#'
    folder.mkdir()
    return folder


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """Return the exit code, the lines of standard output, and standard error."""
    output, errors = process.communicate(timeout=30)
    return process.returncode, output.splitlines(), errors


def test_a_search_prints_its_trials_the_best_and_what_to_type_next(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_parallel=1, n_samples=2)
    code, lines, errors = finish(start_aup(path, cwd=folder))
    assert (code, errors) == (0, "")
    first, second = (trial.score for trial in trials_of(path))
    assert first is not None and second is not None
    best = max((first, 0), (second, -1))
    cores = usable_cores()
    assert [re.sub(r", about .*", "", line) for line in lines] == [
        f"Experiment 1, 'a search': 2 trials, 1 at once with {cores} thread{'s' if cores > 1 else ''} each.",
        f"trial 0 begins: x={first:.4g}",
        f"trial 0 finished: score {first:.4f}; best so far {first:.4f} (trial 0); 1 to go",
        f"trial 1 begins: x={second:.4g}",
        f"trial 1 finished: score {second:.4f}; best so far {best[0]:.4f} (trial {-best[1]}); 0 to go",
        "2 of 2 trials: 2 finished.",
        f"Best trial {-best[1]}: score {best[0]:.4f} at x={best[0]:.4g}",
        "Next:",
        "  harness report results",
    ]


def test_a_wrong_file_is_one_sentence_and_exit_code_2(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, target="MAX")
    assert finish(start_aup(path)) == (
        2,
        [],
        "error: experiment file 'experiment.json': target is 'MAX'; expected one of ['max', 'min']\n",
    )
    assert not (folder / "results").exists()


def test_no_argument_is_exit_code_2() -> None:
    command = [sys.executable, "-c", "from harness.cli.aup import main; main()"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2
    assert "Missing argument 'EXPERIMENT'" in done.stderr


def test_too_many_failures_are_exit_code_1(folder: Path) -> None:
    path = write_experiment(folder, "raise SystemExit('error: no')\n", n_parallel=1, max_failures=1)
    code, lines, errors = finish(start_aup(path))
    assert code == 1
    assert (
        errors
        == "error: experiment 'a search': 2 trials failed, and max_failures is 1; fix the cause and"
        " begin a new experiment with --fresh\n"
    )
    assert (
        lines[2]
        == "trial 0 crashed: the job exited with code 1 before writing a result; its last line was: error: no"
    )


def test_ctrl_c_once_lets_the_running_trials_finish(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=5)
    process = start_aup(path, cwd=folder)
    wait_until(lambda: num_running(path) == 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    wait_for_line(process.stdout, "Stopping: what runs may finish (trials: 2); Ctrl-C again ends it.")
    (folder / "go").touch()
    code, lines, errors = finish(process)
    assert (code, errors) == (130, "")
    assert lines[-1] == "Interrupted. Resume with:  aup experiment.json"
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 2
    assert finish(start_aup(path))[0] == 0
    assert [trial.trial_index for trial in trials_of(path)] == [0, 1, 2, 3, 4]


def test_ctrl_c_twice_ends_the_running_trials(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=5)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    wait_for_line(process.stdout, "Stopping: what runs may finish (trials: 2); Ctrl-C again ends it.")
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process)[0] == 130
    stopped = trials_of(path)
    assert [(trial.status, trial.signal) for trial in stopped] == [(TrialStatus.STOPPED, signal.SIGKILL)] * 2
    assert {trial.message for trial in stopped} == {"the search was ended while the job ran"}
    assert not any(is_alive(trial.pid) for trial in stopped if trial.pid is not None)
    (folder / "go").touch()
    code, lines, _ = finish(start_aup(path))
    assert code == 0
    assert (
        lines[1]
        == "Resuming: 0 trials ended before, 2 interrupted and run again, 3 new."
    )


def test_ctrl_c_when_nothing_was_left_to_start_is_no_interruption(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=2)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    wait_for_line(process.stdout, "Stopping: what runs may finish (trials: 2); Ctrl-C again ends it.")
    (folder / "go").touch()
    code, lines, _ = finish(process)
    assert code == 0
    assert "2 of 2 trials: 2 finished." in lines


@pytest.mark.usefixtures("hangups_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_terminate_ends_the_running_trials(folder: Path, number: signal.Signals) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    process = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    os.kill(process.pid, number)
    assert finish(process)[0] == 130
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.STOPPED] * 2


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_a_closed_standard_stream_loses_no_trial(folder: Path, closed: str) -> None:
    path = write_experiment(folder, SCORES_X)
    number = ["stdin", "stdout"].index(closed)
    code = f"import os; os.close({number}); from harness.cli.aup import main; main()"
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment(), timeout=30)
    assert done.returncode == 0
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3


def test_a_reader_that_goes_away_does_not_end_the_search(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X, n_samples=10)
    process = start_aup(path)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 10


def test_a_terminal_gets_a_live_table(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO, n_samples=2)
    ours, theirs = pty.openpty()
    shown = bytearray()
    reader = threading.Thread(target=lambda: shown.extend(b"".join(read_all(ours))), daemon=True)
    reader.start()
    size = {**environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    process = start_aup(path, stdout=theirs, stderr=theirs, stdin=theirs, env=size)
    os.close(theirs)
    wait_until(lambda: num_running(path) == 2)
    threading.Event().wait(1.5)
    (folder / "go").touch()
    assert process.wait(timeout=30) == 0
    reader.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "2 trials: 0 finished, 2 running, 0 failed, 0 left." in text
    assert re.search(r"trial +for +memory", text)
    assert re.search(r"\n +0 +\d+ s +\d+ MB\s+x=0\.\d+", text)
    assert "2 of 2 trials: 2 finished." in text


def read_all(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            read = os.read(descriptor, 65536)
        except OSError:  # how Linux says that the other end of a terminal is closed
            return
        if not read:
            return
        yield read


def wait_for_line(stream: object, expected: str) -> None:
    for line in stream:  # type: ignore[attr-defined]
        if line.rstrip("\n") == expected:
            return
    raise AssertionError(f"{expected!r} was not printed")


def test_help_needs_none_of_the_slow_imports() -> None:
    code = (
        "import sys\nsys.argv = ['aup', '--help']\n"
        "from harness.cli.aup import main\n"
        "try: main()\n"
        "finally: print(sorted({'numpy', 'aup', 'rich', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "aup experiment.json" in done.stdout
