"""The files that results.db names and those that nobody names: missing, damaged, or half-written."""

from __future__ import annotations

import os
import re
import time
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.store.checks import ResultsInspector
from harness.store.findings import Finding, FindingKind
from harness.trial_spec import trial_spec_path

#: The name of a file that is being written has its writer's pid, and then a suffix of Keras's or SQLite's.
_PARTIAL_NAME = re.compile(r".*\.(?P<pid>\d+)\.partial(\.keras|-journal|-wal|-shm)?")

#: A writer's pid means nothing on another machine; what has rested this long is being written on none.
_MIN_REST: Seconds = 3600.0


def find_left_files(results_dir: Path, held_folders: Collection[Path] = ()) -> list[Finding]:
    """Find files whose writers ended before they were whole, an hour ago or longer.

    Args:
        held_folders: of experiments that somebody is at work on, which are not looked into
    """
    found = []
    for path in sorted(results_dir.rglob("*.partial*")):
        match = _PARTIAL_NAME.fullmatch(path.name)
        if any(path.is_relative_to(folder) for folder in held_folders):
            continue
        if match and _has_rested(path) and not _is_alive(int(match["pid"])):
            what = f"was begun by process {match['pid']}, which is gone"
            found.append(Finding(FindingKind.LEFT_FILE, f"file '{path}'", what, "whole files only", path=path))
    return found


def _has_rested(path: Path) -> bool:
    try:
        return path.is_file() and time.time() - path.stat().st_mtime >= _MIN_REST
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def find_missing_files(inspector: ResultsInspector) -> list[Finding]:
    """Find the saved models and the files of trials that are recorded and not there, or damaged."""
    return [*_find_missing_specs(inspector), *_find_missing_models(inspector)]


def _find_missing_specs(inspector: ResultsInspector) -> Iterator[Finding]:
    for subject, trial_id, job_path in inspector.job_files():
        path = trial_spec_path(job_path)
        if not path.is_file():
            kind, expected = FindingKind.MISSING_TRIAL_FILE, "the file that `aup` wrote beside its job"
            yield Finding(kind, subject, f"'{path}' is not there", expected, trial_id, path=path)


def _find_missing_models(inspector: ResultsInspector) -> Iterator[Finding]:
    results_dir = inspector.path.absolute().parent
    for subject, recorded in inspector.model_folders():
        # Recorded as the command was typed; the results may have been moved since.
        moved = results_dir / "models" / recorded.parent.name / recorded.name
        folder = recorded if recorded.is_dir() else moved
        path = folder / "model.keras"
        problem = _what_is_wrong(path)
        if problem is not None:
            expected = "the file that `harness retrain-best` wrote"
            yield Finding(FindingKind.MISSING_MODEL, subject, f"'{path}' {problem}", expected, path=path)


def _what_is_wrong(path: Path) -> str | None:
    """Say what is wrong with a saved network, a zip archive that holds a checksum for each of its parts."""
    if not path.is_file():
        return "is not there"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        return f"is damaged ({error})"
    return None if damaged is None else f"is damaged (the checksum of its part '{damaged}' is wrong)"
