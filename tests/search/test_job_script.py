"""Scripts are found whatever their names, and started without a shell."""

import os
import sys
from pathlib import Path

import pytest

from harness.errors import ExperimentFileError
from harness.search.keys import find_script


def write(path: Path, text: str, may_run: bool = False) -> Path:
    path.write_text(text)
    if may_run:
        os.chmod(path, 0o755)
    return path


def test_a_python_script_runs_under_this_python_without_a_run_bit(tmp_path: Path) -> None:
    path = write(tmp_path / "a script; of 'mine'.py", "")
    assert find_script(path.name, tmp_path).command == (sys.executable, str(path))


def test_a_path_with_spaces_is_one_argument_and_arguments_are_several(tmp_path: Path) -> None:
    path = write(tmp_path / "trial.py", "")
    assert find_script("trial.py --fast 'two words'", tmp_path).command == (
        sys.executable,
        str(path),
        "--fast",
        "two words",
    )


def test_a_script_without_suffix_says_by_its_first_line_that_it_is_python(tmp_path: Path) -> None:
    path = write(tmp_path / "trial", "#!/usr/bin/env python3\n")
    assert find_script("trial", tmp_path).command == (sys.executable, str(path))


def test_another_program_is_started_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "trial.sh", "#!/bin/sh\n", may_run=True)
    assert find_script("trial.sh", tmp_path).command == (str(path),)


def test_our_own_trial_is_told_from_a_foreign_script(tmp_path: Path) -> None:
    write(tmp_path / "trial.py", "from harness.training.trial import main\n")
    write(tmp_path / "foreign.py", "print()\n")
    assert find_script("trial.py", tmp_path).is_harness_trial
    assert not find_script("foreign.py", tmp_path).is_harness_trial


def test_a_missing_script_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        find_script("it's missing", tmp_path)
    assert str(caught.value) == f"script 'it's missing': not found in '{tmp_path}'; expected a file"


@pytest.mark.parametrize("name", ["jobs", "my jobs"])
def test_a_folder_in_place_of_the_script_is_called_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ExperimentFileError) as caught:
        find_script(name, tmp_path)
    assert str(caught.value) == f"script '{name}': is a folder, not a file; expected a file"


def test_a_script_that_is_a_link_to_nothing_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "trial.py").symlink_to("gone.py")
    with pytest.raises(ExperimentFileError) as caught:
        find_script("trial.py", tmp_path)
    assert str(caught.value) == "script 'trial.py': is a symbolic link that leads nowhere; expected a file"


def test_a_program_that_may_not_be_run_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "trial.sh", "#!/bin/sh\n")
    with pytest.raises(ExperimentFileError) as caught:
        find_script("trial.sh", tmp_path)
    assert (
        str(caught.value)
        == "script 'trial.sh': is neither Python nor executable; expected a Python script, or an executable file "
           "(chmod u+x)"
    )
