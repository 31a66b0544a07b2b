"""Real shells, asked what they would offer after Tab."""

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness.store.records import ExperimentKind
from harness.store.store import ResultsStore
from tests.cli.typed import put_commands
from tests.store.experiments import an_experiment

SHELLS = [
    pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not here"))
    for name in ("bash", "zsh", "fish")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two results folders, and the commands as an installation has them."""
    folder = tmp_path_factory.mktemp("it's a folder")
    for results, names in (("results", ("first", "second")), ("other results", ("third", "4th", "fifth"))):
        with ResultsStore.open(folder / results / "results.db") as store:
            for name in names:
                store.create_experiment(an_experiment(name=name))
            if results == "results":
                store.create_experiment(an_experiment(name="leaking", kind=ExperimentKind.LEAKS))
    return folder


def offered_by_bash(folder: Path, *words: str) -> list[str]:
    """Let bash fill COMPREPLY, as it does after Tab, for the last of the words."""
    script = (
        'eval "$(harness completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '"_$1_completion" "$1"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        capture_output=True, text=True, check=True, cwd=folder, env=put_commands(folder),
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_completes_both_commands(folder: Path, shell: str) -> None:
    done = subprocess.run(
        ["harness", "completion", shell], capture_output=True, text=True, check=True, env=put_commands(folder)
    )
    assert f"_HARNESS_COMPLETE={shell}_complete" in done.stdout and f"_AUP_COMPLETE={shell}_complete" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(folder: Path, shell: str) -> None:
    script = subprocess.run(
        ["harness", "completion", shell], capture_output=True, text=True, check=True, env=put_commands(folder)
    ).stdout
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_shell_is_one_sentence(folder: Path) -> None:
    done = subprocess.run(
        ["harness", "completion", "tcsh"], capture_output=True, text=True, check=False, env=put_commands(folder)
    )
    assert done.returncode == 2 and "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["harness", "retr"], ["retrain-best"]),
        (["harness", "tables", "--protocol", ""], ["paper", "published-code", "strict"]),
        (["harness", "tables", "--systems", "fusion,speech_t"], ["fusion,speech_text"]),
        (["harness", "systems", "speech_"], ["speech_text", "speech_functionals", "speech_vector"]),
        (["harness", "report", "--experiment", ""], ["1", "2"]),
        (["harness", "retrain-best", "other results", "--experiment", ""], ["1", "2", "3"]),
        (["harness", "watch", "--experiment", ""], ["1", "2", "3"]),
        (["harness", "export", "--what", "t"], ["trials", "test-scores"]),
        (["harness", "compare", "1"], ["1"]),
        (["harness", "compare", "--results", "other results", ""], ["1", "2", "3"]),
        (["harness", "compare", "results", ":", ""], ["1", "2"]),
        (["harness", "report", "nowhere", "--experiment", ""], ["1", "2"]),
        (["aup", "--fr"], ["--fresh"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_bash_offers_what_can_stand_there(folder: Path, words: list[str], offered: list[str]) -> None:
    quoted = [f'"{word}"' if " " in word else word for word in words]
    assert offered_by_bash(folder, *quoted) == offered


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
def test_tab_in_a_terminal_completes_the_command(folder: Path) -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], {**put_commands(folder), "TERM": "dumb"})
    try:
        os.write(terminal, b'eval "$(harness completion bash)"; echo rea""dy\n')
        wait_for(terminal, b"ready\r\n")
        os.write(terminal, b"harness retr\t")
        wait_for(terminal, b"harness retrain-best ")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)


def wait_for(terminal: int, text: bytes, patience: float = 30.0) -> None:
    printed, deadline = b"", time.monotonic() + patience
    while text not in printed:
        assert time.monotonic() < deadline, f"{text!r} never came; there was {printed!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            printed += os.read(terminal, 65536)


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not here")
def test_fish_shows_the_names_of_the_experiments(folder: Path) -> None:
    script = "harness completion fish | source; complete -C 'harness report --experiment '"
    done = subprocess.run(
        ["fish", "-N", "-c", script], capture_output=True, text=True, check=True, cwd=folder, env=put_commands(folder)
    )
    assert done.stdout.splitlines() == ["1\tfirst", "2\tsecond"]
