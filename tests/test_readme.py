"""The reference of commands and keys is current, and the examples of the help run as typed."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from harness.cli.reference import REFERENCE, write_reference
from harness.search.known_keys import EXPERIMENT, JOB_FAILURE
from harness.store.store import ResultsStore
from tests.cli.typed import COMMANDS, check_parses, put_commands, typed_in
from tests.conftest import REPOSITORY
from tests.report.searches import run_search

#: What an example begins with -> why it is not run here.
NOT_RUN = {
    "aup": "trains for minutes; tests/test_end_to_end.py runs it",
    "harness retrain-best": "trains for minutes; tests/test_end_to_end.py runs it",
    "harness replicate": "trains for minutes",
    "harness tables": "trains for minutes; tests/cli/test_tables.py runs it",
    "harness leaks": "trains for minutes",
    "harness prepare": "reads the licensed corpus",
    "harness check ../data": "reads the licensed corpus",
    "harness check --leaks": "reads a prepared corpus",
    "harness predict": "needs a trained model; tests/test_end_to_end.py runs it",
    "harness evaluate": "needs a trained model; tests/cli/test_evaluate.py runs it",
    "harness export results/ --optuna": "needs optuna; tests/report/test_optuna_storage.py runs it",
    "harness export results/ --mlflow": "needs mlflow; tests/report/test_mlflow_folder.py runs it",
    "harness systems mine.py:build": "runs a file of the user's; tests/test_own_model_end_to_end.py runs it",
    "harness note": "needs a search of thirteen trials; tests/cli/test_note.py runs it",
    "harness watch": "shows a search that runs",
    "harness synth": "writes for many seconds; tests/cli/test_synth.py runs it",
}


def examples_of(command: click.Command) -> list[str]:
    """Return the lines under `Example:`."""
    _, _, below = (command.help or "").partition("Example:\n")
    return [line.strip() for line in below.split("\n\n")[0].splitlines()]


EXAMPLES = [line for command in COMMANDS.values() for line in examples_of(command)]


def test_the_reference_is_current() -> None:
    """`python -m harness.cli.reference` writes it anew."""
    assert (REPOSITORY / REFERENCE).read_text("utf-8") == write_reference()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_of_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help and command.help.split("\n")[0].endswith(".")
    assert any(" ".join(typed_in(line)).startswith(name) for line in examples_of(command))
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{parameter.opts[0]} has no help"


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_parses(line: str) -> None:
    check_parses(line)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of: two searches here, three of another folder."""
    folder = tmp_path_factory.mktemp("scratch")
    for results, num_searches in (("results", 2), ("other/results", 3)):
        with ResultsStore.open(folder / results / "results.db") as store:
            for _ in range(num_searches):
                run_search(store, num_trials=2)
    return folder


def is_run(line: str) -> bool:
    return not any(line == known or line.startswith(f"{known} ") or line.startswith(f"{known}/") for known in NOT_RUN)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
@pytest.mark.parametrize("line", [line for line in dict.fromkeys(EXAMPLES) if typed_in(line) and is_run(line)])
def test_every_example_that_is_cheap_runs_as_typed(scratch: Path, line: str) -> None:
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False, cwd=scratch,
        env=put_commands(scratch),
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_guide_names_every_key_of_an_experiment_file_and_no_other() -> None:
    chapter = (REPOSITORY / "docs" / "search.md").read_text("utf-8")
    _, _, section = chapter.partition("\n## The keys of experiment.json\n")
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| `")]
    named = [key for row in rows for key in re.findall(r"`([^`]+)`", row.split("|")[1])]
    taken = {key for key in EXPERIMENT.keys if key != "job_failure"}
    assert sorted(named) == sorted(taken | {f"job_failure.{key}" for key in JOB_FAILURE.keys})
