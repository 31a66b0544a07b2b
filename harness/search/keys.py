"""Readers of an experiment file's keys by type, with one sentence a wrong value; ``experiment_file.py`` has the keys.

Includes the key ``script``: the file that a job runs, and how it is started.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ExperimentFileError, HarnessError, one_line
from harness.files import open_regular, read_regular

#: Bytes of a script that are read to find its kind.
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
    with open_regular(path) as stream:
        beginning = stream.read(_NUM_BYTES_READ)
    first_line = beginning.split(b"\n", 1)[0]
    is_python = b"python" in first_line if first_line.startswith(b"#!") else path.suffix == ".py"
    if is_python:
        command = [sys.executable, str(path), *arguments]
    elif os.access(path, os.X_OK):
        command = [str(path), *arguments]
    else:
        raise ExperimentFileError(
            f"script '{text}': is neither Python nor executable; expected a Python script, or an executable file "
            "(chmod u+x)"
        )
    is_ours = is_python and b"harness.training.trial" in beginning
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


Value = TypeVar("Value")

#: Options of a cluster with which scripts, commands and environments are made: not stored.
SECRET_OPTIONS = (
    *("job_script_prologue", "env_extra", "worker_extra_args", "extra", "job_extra_directives", "job_extra"),
    *("submit_command_extra", "cancel_command_extra"),
)

_MISSING = object()
_UNITS: Mapping[str, int] = {
    **{"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}
#: SQLite's largest.
_LARGEST_NUMBER = 2**63 - 1
#: Characters of an experiment's or a hyperparameter's name, which stands in tables, on axes and in messages.
MAX_NAME = 200
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def read_json_object(path: Path, origin: str) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        origin: what to call the file in a message

    Raises:
        ExperimentFileError: not there, not JSON (with the line), not an object, a key given twice, or a
            number or text that no other file can hold
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise ExperimentFileError(f"{origin}: key {key!r} is given twice; expected it once")
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise ExperimentFileError(f"{origin}: found {constant:.80}; expected only finite numbers")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        value = json.loads(
            read_regular(path).decode("utf-8-sig"), object_pairs_hook=once, parse_constant=refuse, parse_float=finite
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise ExperimentFileError(
            f"{origin}: cannot be read in '{path.parent}' ({error.strerror}); expected a JSON file"
        ) from error
    except json.JSONDecodeError as error:
        raise ExperimentFileError(
            f"{origin}: line {error.lineno}, column {error.colno}: {error.msg}; expected JSON"
        ) from error
    except UnicodeEncodeError as error:
        found = error.object[error.start].encode("unicode_escape").decode("ascii")
        raise ExperimentFileError(
            f"{origin}: found {found}, a lone surrogate; expected complete characters (a surrogate pair)"
        ) from error
    except UnicodeDecodeError as error:
        raise ExperimentFileError(
            f"{origin}: holds the byte 0x{error.object[error.start]:02x}, which is not UTF-8; expected JSON in UTF-8"
        ) from error
    except RecursionError as error:
        raise ExperimentFileError(f"{origin}: is nested too deeply; expected an experiment's few levels") from error
    except ValueError as error:
        if isinstance(error, ExperimentFileError):
            raise
        # The one that is left: an integer of thousands of digits.
        raise ExperimentFileError(f"{origin}: holds an integer with too many digits; expected at most 4300") from error
    if not isinstance(value, dict):
        raise ExperimentFileError(f"{origin}: holds {show_value(value)}; expected one object {{...}}")
    return value


def show_value(value: object) -> str:
    """Show a value of a JSON file in a message, cut where it is long.

    Example:
        >>> show_value(None), show_value(True), show_value("max")
        ('null', 'true', "'max'")
    """
    return json.dumps(value) if value is None or isinstance(value, bool) else f"{value!r:.80}"


@dataclass(frozen=True)
class ExperimentKeys:
    """The values of one experiment file by key; a dotted key lies in a section.

    Every method may raise ``ExperimentFileError``, which names the file, the key, the value found and the values
    allowed.
    """

    path: Path
    values: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """The name of the file in messages."""
        return f"experiment file '{self.path.name}'"

    def error(self, key: str, found: str, expected: str) -> ExperimentFileError:
        """Return the error for a key's value."""
        return ExperimentFileError(f"{self.origin}: {key} {found}; expected {expected}")

    def section(self, key: str) -> Mapping[str, Any]:
        """Return an object inside the file, empty where it is missing; after a dot comes one inside it."""
        section = self.values
        names = key.split(".")
        for number, name in enumerate(names, start=1):
            section = section.get(name, {})
            if not isinstance(section, dict):
                raise self._wrong(".".join(names[:number]), section, "an object {...}")
        return section

    def required(self, key: str, expected: str) -> Any:
        """Return a value that must be there."""
        value = self._find(key)
        if value is _MISSING:
            raise self.error(key, "is missing", expected)
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text that is not empty."""
        value = self._find(key, _MISSING if default is None else default)
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self._wrong(key, value, "a text")
        return value

    def one_of(
        self, key: str, allowed: list[str], folds_case: bool = False, default: str | None = None
    ) -> str:
        """Return a name of a closed list."""
        value = self._find(key, _MISSING if default is None else default)
        folded = value.lower() if folds_case and isinstance(value, str) else value
        if not isinstance(folded, str) or folded not in allowed:
            raise self._wrong(key, value, f"one of {allowed}")
        return folded

    def whole_number(self, key: str, low: int, high: int | None = None, default: int | None = None) -> int:
        """Return a whole number between two bounds, both allowed."""
        value = self._find(key, _MISSING if default is None else default)
        if high is None and isinstance(value, int) and value > _LARGEST_NUMBER:
            high = _LARGEST_NUMBER
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high and value > high):
            raise self._wrong(
                key, value, f"a whole number from {low} " + (f"to {high}" if high is not None else "on")
            )
        return value

    def true_or_false(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._find(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def positive(self, key: str) -> float | None:
        """Return a number above 0, None where there is none."""
        value = self._find(key, None)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= sys.float_info.max:
            raise self._wrong(key, value, "a number above 0")
        return float(value)

    def memory(self, key: str) -> int | None:
        """Return a size in bytes, None where there is none."""
        value = self._find(key, None)
        if value is None:
            return None
        match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value))
        unit = _UNITS.get(match[2].upper()) if match else None
        size = 0.0 if match is None or unit is None else float(match[1]) * unit
        if not 1 <= size <= _LARGEST_NUMBER:
            raise self._wrong(key, value, 'bytes, or a text such as "4 GB"')
        return int(size)

    def path_of(self, key: str) -> Path | None:
        """Return a path, taken from the file's folder where it is relative; None where there is none."""
        return None if self._find(key, None) is None else self.path.parent / expand_home(self.text(key))

    def environment(self) -> dict[str, str]:
        """Return ``runtime_args.env``, which is added to a job's environment."""
        # Whatever stands here may be a secret: it is not shown.
        arguments = self.values.get("runtime_args", {})
        if not isinstance(arguments, dict):
            raise self.error("runtime_args", "is something else", "an object with the key 'env'")
        for key in arguments:
            if key != "env":
                raise self.error(f"runtime_args.{one_line(key)}", "is given", "no key but 'env'")
        added = arguments.get("env", {})
        if not isinstance(added, dict) or not all(isinstance(value, str) for value in added.values()):
            raise self.error("runtime_args.env", "is something else", "an object of strings by name")
        for name in added:
            if not name or "=" in name or "\0" in name + added[name]:
                found = f"has the name {name!r}"
                raise self.error("runtime_args.env", found, "names and values that an environment can hold")
        return added

    def without_environment(self) -> dict[str, Any]:
        """Return the whole file but for what may hold secrets: ``runtime_args``, and a cluster's scripts."""
        kept = {key: value for key, value in self.values.items() if key != "runtime_args"}
        if isinstance(kept.get("cluster"), dict):
            kept["cluster"] = {
                kind: {name: value for name, value in options.items() if name not in SECRET_OPTIONS}
                if isinstance(options, dict)
                else options
                for kind, options in kept["cluster"].items()
            }
        return kept

    def read(
        self, key: str, read: Callable[[str], Value], default: str | None = None, names_key: bool = True
    ) -> Value:
        """Return what ``read`` makes of a text; its error's message gets the file, and the key, put before it."""
        text = self.text(key, default)
        try:
            return read(text)
        except HarnessError as error:
            raise ExperimentFileError(f"{self.origin}: {f'{key}: ' if names_key else ''}{error}") from error

    def _find(self, key: str, default: Any = _MISSING) -> Any:
        section, _, name = key.rpartition(".")
        values = self.section(section) if section else self.values
        return values.get(name, default)

    def _wrong(self, key: str, value: object, expected: str) -> ExperimentFileError:
        found = "is missing" if value is _MISSING else f"is {show_value(value)}"
        return self.error(key, found, expected)


#: What only this package's own trials read.
TRIAL_KEYS = (
    *("corpus", "protocol", "max_epochs", "patience", "word_vectors", "speech_features", "text_features"),
    *("folds", "turn_model", "seeds_per_trial"),
    *("auxiliary_corpora", "auxiliary_training", "auxiliary_epochs", "early_stopping"),
)
#: Those of them that a script which prints its epochs has too.
REPORTED_KEYS = ("max_epochs", "early_stopping")
EXPERIMENT_KEYS = (
    *("name", "description", "script", "resource", "target", "proposer", "parameter_config", "n_samples"),
    *("random_seed", "n_parallel", "workingdir", "job_failure", "resource_args", "runtime_args", "engine"),
    *("cwd", "system", "search_space", "points", "timeout_seconds", "memory_limit", "max_failures", "cluster"),
    *TRIAL_KEYS,
)
JOB_FAILURE_KEYS = ("ignore_fail", "job_retries")
EARLY_STOPPING_KEYS = ("rule", "min_epochs", "reduction_factor")
SEARCH_SPACE_KEYS = ("system", "description", "parameter_config")
#: ``interval`` and ``n`` are those of Auptimizer's proposer ``sequence``.
PARAMETER_KEYS = ("name", "range", "type", "log", "step", "interval", "n")


def check_keys(keys: Collection[str], known: Collection[str], origin: str, allows_others: bool = False) -> None:
    """Refuse every key that nothing would read.

    Args:
        allows_others: refuse misspelt known keys only; any other unknown key stays, as Auptimizer keeps it

    Raises:
        ExperimentFileError: e.g. ``n_sample`` where ``n_samples`` is meant, or ``seed`` where ``random_seed`` is
    """
    for key in keys:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8 if allows_others else 0.7)
        if allows_others:
            if not near:
                continue
            expected = f"{near[0]!r}, or a name that is less like it"
        else:
            # A misspelling, or a name that has the key among its words.
            near += [name for name in known if key in name.split("_")]
            expected = f"{near[0]!r}, or another of {sorted(known)}" if near else f"one of {sorted(known)}"
        raise ExperimentFileError(f"{origin}: unknown key {key!r}; expected {expected}")
