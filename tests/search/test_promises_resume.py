"""One search has one controller, and goes on only as what it was begun as."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.store.records import TrialStatus
from tests.search.promises import check_database, finish, run_aup
from tests.search.searches import (
    RECORDS_ITS_SCORE,
    SCORES_X,
    WAITS_FOR_GO,
    environment,
    num_running,
    start_aup,
    trials_of,
    wait_until,
    write_experiment,
)

OURS: dict[str, Any] = {
    "system": "mocap1",
    "corpus": "corpus of ours",
    "parameter_config": [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}],
    "n_samples": 1,
}
BOUNDS = [{"name": "x", "range": [0.0, 2.0], "type": "float"}]


@pytest.mark.long
def test_changed_bounds_are_refused_and_a_fresh_start_leaves_the_old_one_as_it_was(folder: Path) -> None:
    path = write_experiment(folder, SCORES_X)
    assert run_aup(path)[0] == 0
    old = trials_of(path)
    write_experiment(folder, SCORES_X, parameter_config=BOUNDS)
    code, lines, errors = run_aup(path)
    assert (code, lines) == (2, [])
    assert errors == (
        "error: experiment 'a search' was started as experiment 1 with other settings: parameter_config 'x' was "
        '{"name": "x", "range": [0.0, 1.0], "type": "float"} and is '
        '{"name": "x", "range": [0.0, 2.0], "type": "float"}; to resume it, change the settings back; otherwise choose '
        "another name, or start a new experiment with --fresh\n"
    )
    check_database(folder)
    assert run_aup(path, "--fresh")[0] == 0
    check_database(folder)
    assert trials_of(path, eid=1) == old
    assert len(trials_of(path, eid=2)) == 3
    # Both can be gone on with, each by what it was begun with.
    write_experiment(folder, SCORES_X, n_samples=4)
    assert run_aup(path)[0] == 0
    write_experiment(folder, SCORES_X, n_samples=5, parameter_config=BOUNDS)
    assert run_aup(path)[0] == 0
    assert trials_of(path, eid=1)[:3] == old
    assert [len(trials_of(path, eid)) for eid in (1, 2)] == [4, 5]


def test_a_fresh_start_ends_what_a_killed_controller_left_of_the_old_one(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    (folder / "go").touch()
    assert run_aup(path, "--fresh")[0] == 0
    check_database(folder)
    assert [trial.status for trial in trials_of(path, eid=1)] == [TrialStatus.KILLED] * 2
    assert [trial.status for trial in trials_of(path, eid=2)] == [TrialStatus.FINISHED] * 3


def test_a_second_controller_is_told_who_holds_the_experiment_and_stops(folder: Path) -> None:
    path = write_experiment(folder, WAITS_FOR_GO)
    controller = start_aup(path)
    wait_until(lambda: num_running(path) == 2)
    for options in ([], ["--fresh"]):
        code, lines, errors = run_aup(path, *options)
        assert (code, lines) == (2, [])
        assert re.fullmatch(
            rf"error: experiment 'a search': process {controller.pid} on {re.escape(os.uname().nodename)} has been "
            r"running it since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00; wait for it, or end it first\n",
            errors,
        )
    (folder / "go").touch()
    assert finish(controller)[0] == 0
    check_database(folder)
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED] * 3


def change_a_transcript(corpus: Path) -> None:
    path = min(corpus.glob("Session1/dialog/transcriptions/Ses*.txt"))
    changed = re.sub(r"\]: .*", "]: something else entirely", path.read_text(), count=1)
    assert changed != path.read_text()
    path.write_text(changed)


def change_a_recording(corpus: Path) -> None:
    """Change what it sounds like, and not how long it is."""
    path = min(corpus.glob("Session1/sentences/wav/*/Ses*.wav"))
    data = bytearray(path.read_bytes())
    data[-2000:] = bytes(byte ^ 0x15 for byte in data[-2000:])
    path.write_bytes(data)


@pytest.mark.long
def test_a_changed_corpus_protocol_or_length_is_refused(tiny_corpus: Path, folder: Path) -> None:
    corpus = folder / OURS["corpus"]
    shutil.copytree(tiny_corpus, corpus)
    script = RECORDS_ITS_SCORE.format(work="record(0.5)")
    path = write_experiment(folder, script, **OURS)
    assert run_aup(path)[0] == 0
    before = trials_of(path)

    def check_refused(words: str, **changes: Any) -> None:
        code, _, errors = run_aup(write_experiment(folder, script, **{**OURS, **changes}))
        begin = "error: experiment 'a search' was started as experiment 1 with other settings: "
        assert (code, errors[: len(begin + words)], errors.count("\n")) == (2, begin + words, 1)
        assert trials_of(path) == before
        check_database(folder)

    check_refused('protocol split_rule was "holdout-by-id" and is "last-session"', protocol="strict")
    check_refused("max_epochs was 30 and is 7", max_epochs=7)
    for change in (change_a_transcript, change_a_recording):
        shutil.rmtree(corpus)
        shutil.copytree(tiny_corpus, corpus)
        change(corpus)
        check_refused('corpus was "')
    shutil.rmtree(corpus)
    shutil.copytree(tiny_corpus, corpus)
    assert run_aup(write_experiment(folder, script, **OURS))[0] == 0
    assert trials_of(path) == before


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_preparing_a_corpus_can_be_broken_off_and_gone_on_with(
    folder: Path, tiny_corpus: Path, number: signal.Signals
) -> None:
    script = RECORDS_ITS_SCORE.format(work="record(0.5)")
    path = write_experiment(folder, script, **{**OURS, "corpus": str(tiny_corpus)})
    process = start_aup(path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("preparing features: ")
    process.send_signal(number)
    code, _, errors = finish(process)
    assert (code, errors) == (130, "\ninterrupted\n")
    wait_until(lambda: not processes_below(folder), seconds=5)
    code, _, errors = run_aup(path)
    assert (code, errors) == (0, "")
    assert [trial.status for trial in trials_of(path)] == [TrialStatus.FINISHED]
    check_database(folder)


def processes_below(folder: Path) -> list[str]:
    """Name the processes that have the folder on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in command:
            found.append(command.decode())
    return found


def test_no_pickle_is_ever_read(folder: Path) -> None:
    """Python tells of each class that a pickle asks for, and of a pickle's module being used at all by Auptimizer."""
    path = write_experiment(folder, SCORES_X, n_samples=2)
    code = (
        "import sys\n"
        "sys.addaudithook(lambda event, found: event == 'pickle.find_class' and print('PICKLE', found))\n"
        "from harness.cli.aup import main\nmain()"
    )
    for num_samples in (2, 4):
        write_experiment(folder, SCORES_X, n_samples=num_samples)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env=environment(), capture_output=True, text=True, timeout=40
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "PICKLE" not in done.stdout
    assert not [file for file in folder.rglob("*") if file.suffix in (".pkl", ".pickle")]
    assert len(trials_of(path)) == 4
