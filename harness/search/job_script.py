"""The script that a job runs: found once, then only ever an argument of its own in a list."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ExperimentFileError

#: Bytes of a script that are read to tell what it is.
_NUM_BYTES_READ = 65536


@dataclass(frozen=True)
class JobScript:
    """A script and how it is started.

    Attributes:
        command: what stands before the job file; no shell ever sees it
        text: as the experiment file has it
        is_harness_trial: whether it hands over to this package's own trial
    """

    path: Path
    working_dir: Path
    command: tuple[str, ...]
    text: str
    is_harness_trial: bool


def find_script(text: str, working_dir: Path) -> JobScript:
    """Find the script of an experiment; a Python script needs neither a run bit nor a ``python`` on PATH.

    Args:
        text: a path, spaces and all, or a path and arguments as a shell would read them
        working_dir: where a relative path begins, and where jobs run

    Raises:
        ExperimentFileError: there is no such file, or it is no Python script and cannot be run
    """
    path, arguments = _split_arguments(text, working_dir)
    with path.open("rb") as stream:
        beginning = stream.read(_NUM_BYTES_READ)
    first_line = beginning.split(b"\n", 1)[0]
    is_python = b"python" in first_line if first_line.startswith(b"#!") else path.suffix == ".py"
    if is_python:
        command = [sys.executable, str(path), *arguments]
    elif os.access(path, os.X_OK):
        command = [str(path), *arguments]
    else:
        raise ExperimentFileError(
            f"script '{text}': neither Python nor allowed to run; expected a Python script, or a file that "
            "may be run (chmod u+x)"
        )
    is_ours = is_python and b"harness.trial" in beginning
    return JobScript(path, working_dir, tuple(command), text, is_ours)


def expand_home(text: str) -> Path:
    """Return a path with ``~`` and ``~user`` as home folders; a name that only begins so is left alone."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def _split_arguments(text: str, working_dir: Path) -> tuple[Path, list[str]]:
    whole = working_dir / expand_home(text)
    # Not Path.is_file, which raises where a name is too long to be one.
    if os.path.isfile(whole):
        return whole, []
    try:
        first, *arguments = shlex.split(text)
    except ValueError:
        first, arguments = text, []
    path = working_dir / expand_home(first)
    if not os.path.isfile(path):
        raise ExperimentFileError(f"script '{text:.300}': not found in '{working_dir}'; expected a file")
    return path, arguments
