"""Readers of an experiment file's keys by type, with one sentence a wrong value; ``known_keys.py`` has the keys.

Includes the key ``script``: the file that a job runs, and how it is started.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import ExperimentFileError, HarnessError, one_line, show_value
from harness.files import open_regular, parse_json, read_regular, why_no_file
from harness.search.key_types import (
    CheckedType,
    Names,
    Positive,
    Section,
    Size,
    Text,
    TrueOrFalse,
    WholeNumber,
)

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
    missing = f"not found in '{working_dir}'"
    fault = why_no_file(path, missing)
    if fault == missing:
        # A folder may have spaces in its name.
        fault = why_no_file(whole, missing)
    if fault is not None:
        raise ExperimentFileError(f"script '{text:.300}': {fault}; expected a file")
    return path, arguments


Value = TypeVar("Value")

#: Options of a cluster with which scripts, commands and environments are made: not stored.
SECRET_OPTIONS = (
    *("job_script_prologue", "env_extra", "worker_extra_args", "extra", "job_extra_directives", "job_extra"),
    *("submit_command_extra", "cancel_command_extra"),
)

#: What a message says of a value in its place.
HIDDEN = "has a value of another type, which is not shown, for it may be a secret"

_MISSING = object()


def read_json_object(path: Path, origin: str) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Args:
        origin: what to call the file in a message

    Raises:
        ExperimentFileError: not there, not JSON (with the line), not an object, a key given twice, or a
            number or text that no other file can hold
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        held = dict(pairs)
        if len(held) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise ExperimentFileError(f"{origin}: key {twice!r} is given twice; expected it once")
        return held

    def refuse(constant: str) -> Any:
        raise ExperimentFileError(f"{origin}: found {constant:.80}; expected only finite numbers")

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else refuse(text)

    try:
        value = parse_json(read_regular(path), object_pairs_hook=once, parse_constant=refuse, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise ExperimentFileError(
            f"{origin}: cannot be read in '{path.parent}' ({error.strerror}); expected a JSON file"
        ) from error
    except UnicodeEncodeError as error:
        found = error.object[error.start].encode("unicode_escape").decode("ascii")
        raise ExperimentFileError(
            f"{origin}: found {found}, a lone surrogate; expected complete characters (a surrogate pair)"
        ) from error
    except HarnessError:
        raise
    except ValueError as error:
        raise ExperimentFileError(f"{origin}: {error}") from error
    if not isinstance(value, dict):
        raise ExperimentFileError(f"{origin}: holds {show_value(value)}; expected one object {{...}}")
    return value


@dataclass(frozen=True)
class ExperimentKeys:
    """The values of one experiment file by key, and every key that is known; a dotted key lies in a section.

    Every method may raise ``ExperimentFileError``, which names the file, the key, the value found and the values
    allowed.
    """

    path: Path
    values: Mapping[str, Any]
    known: Section

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
        text: str = self._check(key, Text(), default)
        return text

    def short_text(self, key: str) -> str:
        """Return a text that is not empty, and not longer than the key allows."""
        text, most = self.text(key), self.known.find(key, Text)[1].max_characters
        if most is not None and len(text) > most:
            raise self.error(key, f"has {len(text)} characters, {text[:40]!r} and so on", f"at most {most}")
        return text

    def one_of(self, key: str, default: str | None = None) -> str:
        """Return a name of the key's closed list."""
        known, names = self.known.find(key, Names)
        return str(names.fold(self._check(key, names, known.default if default is None else default)))

    def whole_number(self, key: str, default: int | None = None) -> int:
        """Return a whole number between the key's two bounds, both allowed."""
        known, allowed = self.known.find(key, WholeNumber)
        number: int = self._check(key, allowed, known.default if default is None else default)
        return number

    def true_or_false(self, key: str, default: bool) -> bool:
        """Return a truth value."""
        is_so: bool = self._check(key, TrueOrFalse(), default)
        return is_so

    def positive(self, key: str) -> float | None:
        """Return a number above 0, None where there is none."""
        return None if self._find(key, None) is None else float(self._check(key, Positive()))

    def memory(self, key: str) -> int | None:
        """Return a size in bytes, None where there is none."""
        return None if self._find(key, None) is None else int(Size().num_bytes(self._check(key, Size())))

    def path_of(self, key: str) -> Path | None:
        """Return a path, taken from the file's folder where it is relative; None where there is none."""
        return None if self._find(key, None) is None else self.path.parent / expand_home(self.text(key))

    def file_of(self, key: str, expected: str) -> Path:
        """Return the path of a file that must be there.

        Args:
            expected: ends the error

        Raises:
            ExperimentFileError: nothing is there, or something else than a file
        """
        path = self.path_of(key)
        assert path is not None
        if fault := why_no_file(path, "is not there"):
            raise self.error(key, f"is '{path}', which {fault}", expected)
        return path

    def environment(self) -> dict[str, str]:
        """Return ``runtime_args.env``, which is added to a job's environment."""
        # Whatever stands here may be a secret: it is not shown.
        arguments = self.values.get("runtime_args", {})
        if not isinstance(arguments, dict):
            raise self.error("runtime_args", HIDDEN, "an object with the key 'env'")
        for key in arguments:
            if key != "env":
                raise self.error(f"runtime_args.{one_line(key)}", "is given", "no key but 'env'")
        added = arguments.get("env", {})
        if not isinstance(added, dict):
            raise self.error("runtime_args.env", HIDDEN, "an object of texts by name")
        for name, value in added.items():
            if not isinstance(value, str):
                raise self.error(f"runtime_args.env.{one_line(name)}", HIDDEN, "a text")
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

    def _check(self, key: str, allowed: CheckedType, default: Any = None) -> Any:
        value = self._find(key, _MISSING if default is None else default)
        if allowed.accepts(value):
            return value
        expected = allowed.expected
        if isinstance(allowed, Text) and isinstance(value, str) and (not value.strip() or "\0" in value):
            expected = "a text that is more than spaces, without a NUL character"
        if isinstance(allowed, WholeNumber) and isinstance(value, int) and value > allowed.high:
            expected = f"a whole number from {allowed.low} to {allowed.high}"
        raise self._wrong(key, value, expected)

    def _wrong(self, key: str, value: object, expected: str) -> ExperimentFileError:
        found = "is missing" if value is _MISSING else f"is {show_value(value)}"
        return self.error(key, found, expected)


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
        raise ExperimentFileError(f"{origin}: unknown key {key!r:.80}; expected {expected}")
