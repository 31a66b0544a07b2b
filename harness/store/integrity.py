"""Read-only checks of a results folder: results.db, the files that it names, and files that were left half-written.

Only what can happen is looked for: kills, locks, full disks and power losses, files that were moved or deleted, and
scores that a trial's script recorded against its own epochs or predictions. The schema and ``ResultsStore`` refuse
everything else.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.files import DIGESTS_NAME, find_changed, open_regular, read_json, why_no_file
from harness.store.connection import open_unwritten, translate_error
from harness.store.records import ExperimentKind, ExperimentStatus
from harness.store.store import ResultsStore
from harness.store.trial_spec import trial_spec_path
from harness.wording import plural


class FindingKind(StrEnum):
    """The kinds of findings, in the order in which they are printed and repaired."""

    DAMAGED_DATABASE = "damaged database"
    UNFINISHED_TRIAL = "trial that no process runs"
    UNFINISHED_EXPERIMENT = "experiment that no process runs"
    WRONG_SCORE = "score against its records"
    MISSING_EPOCHS = "missing epochs"
    LEFT_FILE = "half-written file"
    MISSING_TRIAL_FILE = "missing file of a trial"
    MISSING_MODEL = "missing model"


#: Why the other kinds are not repaired, and what can be done instead.
REASONS: Mapping[FindingKind, str] = {
    FindingKind.DAMAGED_DATABASE: "restore a copy, or move the file away to start anew",
    FindingKind.WRONG_SCORE: "the records do not say which of them is wrong; do not trust this score",
    FindingKind.MISSING_EPOCHS: "they were recorded nowhere else; the score does not depend on them",
    FindingKind.MISSING_TRIAL_FILE: "the trial's score stays; it cannot be trained again by `harness retrain-best`",
    FindingKind.MISSING_MODEL: "`harness retrain-best` trains it again where its folder is gone",
}


@dataclass(frozen=True)
class Finding:
    """One thing in a results folder that contradicts another, or itself.

    Attributes:
        subject: the thing, by the names that a reader knows it by
        row_id: of the trial or experiment that it is about; None for anything else
        path: of the file that it is about
    """

    kind: FindingKind
    subject: str
    found: str
    expected: str
    row_id: int | None = None
    path: Path | None = None

    @property
    def sentence(self) -> str:
        """The finding in words, without a full stop.

        Example:
            >>> Finding(FindingKind.MISSING_EPOCHS, "trial 3", "lacks epoch 2 of 5", "all of them").sentence
            'trial 3: lacks epoch 2 of 5; expected all of them'
        """
        return f"{self.subject}: {self.found}; expected {self.expected}"


#: What names a trial; every question about trials selects these.
_TRIAL = "trials.trial_id, trials.eid, experiments.name, trials.trial_index, trials.attempt"
_FROM_TRIALS = "FROM trials JOIN experiments USING (eid) LEFT JOIN trial_results USING (trial_id)"

#: Both sides are quotients of the same counts: only a last bit may differ.
_TOLERANCE = 1e-9

#: Table of scores -> the table of their predictions, the columns that both are found by, and what was scored.
_SCORE_TABLES = {
    "test_scores": ("test_predictions", ("opening_id", "seed", "kind"), "the test set"),
    "trial_test_scores": ("trial_test_predictions", ("trial_id", "kind"), "the test set"),
    "evaluation_scores": ("evaluation_predictions", ("evaluation_id", "seed", "kind"), "another corpus"),
}


def name_trial(row: Mapping[str, Any]) -> str:
    """Name an attempt at a trial as every finding does, from its eid, name, trial_index and attempt."""
    return f"experiment {row['eid']} ({row['name']!r}), trial {row['trial_index']}, attempt {row['attempt']}"


def count_rows(store: ResultsStore, table: str) -> int:
    """Count the rows of one of our tables."""
    return int(store.query(f"SELECT count(*) AS num FROM {table}")[0]["num"])


def find_damage(store: ResultsStore) -> list[Finding]:
    """Return what SQLite itself finds wrong with the file; beside such damage other findings mean little."""
    messages = [message for row in store.query("PRAGMA integrity_check") for message in row.values()]
    return [
        Finding(
            FindingKind.DAMAGED_DATABASE,
            f"results database '{store.path}'",
            f"SQLite's integrity_check says {message!r:.300}",
            "'ok'",
        )
        for message in messages
        if message != "ok"
    ]


def find_contradictions(store: ResultsStore, eids: Collection[int]) -> list[Finding]:
    """Return everything in the database that contradicts something else in it.

    Args:
        eids: experiments to look at; one that a process runs changes meanwhile
    """
    with store.snapshot():
        found = [
            *_find_unfinished(store, eids),
            *_find_wrong_scores(store, eids),
            *_find_wrong_scores_of_models(store),
            *_find_missing_epochs(store, eids),
            *_find_wrong_prunings(store, eids),
        ]
    return in_order(found)


def in_order(found: Collection[Finding]) -> list[Finding]:
    """Return findings in the order of their kinds."""
    order = list(FindingKind)
    return sorted(found, key=lambda finding: order.index(finding.kind))


def _find_unfinished(store: ResultsStore, eids: Collection[int]) -> Iterator[Finding]:
    for row in store.query(f"SELECT {_TRIAL} {_FROM_TRIALS} WHERE trials.status = 'running' ORDER BY trial_id"):
        if row["eid"] in eids:
            found = "is marked running, and no process holds its experiment"
            yield Finding(FindingKind.UNFINISHED_TRIAL, name_trial(row), found, "an end", row["trial_id"])
    for experiment in store.experiments():
        if experiment.eid in eids and experiment.status is ExperimentStatus.RUNNING:
            subject = f"experiment {experiment.eid} ({experiment.name!r})"
            found = "is marked running, and no process holds it"
            yield Finding(FindingKind.UNFINISHED_EXPERIMENT, subject, found, "an end", experiment.eid)


def _find_wrong_scores(store: ResultsStore, eids: Collection[int]) -> Iterator[Finding]:
    """Compare each trial's score with its result, its best epoch, and its predictions.

    A script that knows nothing of this package may score something else than its accuracy.
    """
    rows = store.query(
        f"SELECT {_TRIAL}, experiments.system, best_epoch, "
        "CASE trials.status WHEN 'finished' THEN trials.score END AS score, "
        "trial_results.score AS result, json_extract(seed_scores, '$[0]') AS first, "
        "(SELECT avg(value) FROM json_each(seed_scores)) AS mean, "
        "(SELECT validation_accuracy FROM epochs WHERE epochs.trial_id = trials.trial_id AND epoch = best_epoch) "
        "AS accuracy, (SELECT avg(emotion = predicted) FROM validation_predictions AS made "
        f"WHERE made.trial_id = trials.trial_id) AS predictions {_FROM_TRIALS} "
        "WHERE trial_results.trial_id IS NOT NULL ORDER BY trials.trial_id"
    )
    for row in rows:
        names = {
            "score": "score",
            "result": "result",
            "accuracy": f"validation accuracy at its best epoch, {row['best_epoch']},",
            "predictions": "accuracy by its predictions",
        }
        compared = names if row["system"] else ("score", "result")
        values = {name: row[name] for name in compared if row[name] is not None}
        # The curve and the predictions of a trial that trains with several seeds are of the first.
        expected = {name: row["result"] for name in values}
        if row["first"] is not None:
            expected |= {"result": row["mean"], "accuracy": row["first"], "predictions": row["first"]}
        if row["eid"] in eids and not all(is_same_score(expected[name], value) for name, value in values.items()):
            found = ", ".join(f"its {names[name]} is {value}" for name, value in values.items())
            yield Finding(FindingKind.WRONG_SCORE, name_trial(row), found, "the same number", row["trial_id"])


def is_same_score(score: object, other: object) -> bool:
    """Compare two scores of one trial; text that somebody wrote in place of a number is no score."""
    if not isinstance(score, int | float) or not isinstance(other, int | float):
        return False
    return score == other or abs(score - other) <= _TOLERANCE


def _find_wrong_scores_of_models(store: ResultsStore) -> Iterator[Finding]:
    for table, (predictions, keys, scored) in _SCORE_TABLES.items():
        columns = ", ".join(keys)
        rows = store.query(
            f"SELECT * FROM {table} JOIN (SELECT {columns}, avg(emotion = predicted) AS accuracy "
            f"FROM {predictions} GROUP BY {columns}) USING ({columns}) ORDER BY {columns}"
        )
        for row in rows:
            if not is_same_score(row["weighted_accuracy"], row["accuracy"]):
                subject = f"score of {', '.join(f'{key} {row[key]!r}' for key in keys)} on {scored}"
                found = f"the weighted accuracy is {row['weighted_accuracy']}"
                expected = f"{row['accuracy']}, the accuracy of its predictions"
                yield Finding(FindingKind.WRONG_SCORE, subject, found, expected)


def _find_missing_epochs(store: ResultsStore, eids: Collection[int]) -> Iterator[Finding]:
    rows = store.query(
        f"SELECT {_TRIAL}, trial_results.num_epochs, best_epoch, count(epoch) AS num_recorded, max(epoch) AS last "
        f"{_FROM_TRIALS} LEFT JOIN epochs USING (trial_id) GROUP BY trials.trial_id ORDER BY trials.trial_id"
    )
    for row in rows:
        if row["eid"] not in eids:
            continue
        num_recorded, last, num_epochs = row["num_recorded"], row["last"] or 0, row["num_epochs"]
        if num_recorded != last:
            recorded = plural(num_recorded, "epoch")
            found, expected = f"recorded {recorded} of which the last is {last}", "every one before it"
        # A user's own script, or a baseline, records its one result without epochs.
        elif num_epochs is not None and num_epochs != num_recorded and (num_recorded or num_epochs > 1):
            found, expected = f"recorded {plural(num_recorded, 'epoch')}, and its result counts {num_epochs}", "as many"
        elif num_epochs is not None and not 1 <= row["best_epoch"] <= num_epochs:
            found, expected = f"its best epoch is {row['best_epoch']}", f"one from 1 to {num_epochs}"
        else:
            continue
        yield Finding(FindingKind.MISSING_EPOCHS, name_trial(row), found, expected)


def _find_wrong_prunings(store: ResultsStore, eids: Collection[int]) -> Iterator[Finding]:
    """Compare the epochs of each pruned trial with the record of why it was pruned."""
    rows = store.query(
        f"SELECT {_TRIAL}, prunings.epoch AS last, "
        "(SELECT count(*) FROM epochs WHERE epochs.trial_id = trials.trial_id) AS num_recorded "
        f"{_FROM_TRIALS} LEFT JOIN prunings USING (trial_id) WHERE trials.status = 'pruned' "
        "ORDER BY trials.trial_id"
    )
    for row in rows:
        if row["eid"] in eids and row["last"] != row["num_recorded"]:
            when = "for no reason on record" if row["last"] is None else f"at epoch {row['last']}"
            found = f"was pruned {when}, and recorded {plural(row['num_recorded'], 'epoch')}"
            yield Finding(FindingKind.MISSING_EPOCHS, name_trial(row), found, "the reason, and every epoch up to it")


#: The name of a file that is being written has its writer's pid, and then a suffix of Keras's or SQLite's.
_PARTIAL_NAME = re.compile(r".*\.(?P<pid>\d+)\.partial(\.keras|-journal|-wal|-shm)?")

#: A writer's pid means nothing on another machine; a file that has not changed for this long is being written on none.
_MIN_REST: Seconds = 3600.0


def find_left_files(results_dir: Path, held_folders: Collection[Path] = ()) -> list[Finding]:
    """Find files whose writers ended before they were whole, an hour ago or longer.

    Args:
        held_folders: of experiments that a process runs, which are not looked into
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


def is_half_written(path: Path) -> bool:
    """Say whether a path is a file that a process of this package began to write, by its name."""
    return _PARTIAL_NAME.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


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


def find_missing_files(store: ResultsStore) -> list[Finding]:
    """Find the saved models and the files of trials that are recorded and not there, or damaged."""
    return [*_find_missing_specs(store), *_find_missing_models(store), *_find_missing_members(store)]


def _find_missing_specs(store: ResultsStore) -> Iterator[Finding]:
    """Look for the file of each finished trial of this package's own script."""
    rows = store.query(
        f"SELECT {_TRIAL}, job_path {_FROM_TRIALS} WHERE trials.status = 'finished' AND experiments.system <> '' "
        f"AND experiments.kind = '{ExperimentKind.SEARCH.value}' AND job_path IS NOT NULL ORDER BY trials.trial_id"
    )
    for row in rows:
        path = trial_spec_path(store.path.absolute().parent / row["job_path"])
        if fault := why_no_file(path, "is not there"):
            kind, expected = FindingKind.MISSING_TRIAL_FILE, "the file that `aup` wrote beside its job"
            yield Finding(kind, name_trial(row), f"'{path}' {fault}", expected, path=path)


def _find_missing_models(store: ResultsStore) -> Iterator[Finding]:
    newest = "SELECT max(model_id) AS model_id, eid, seed, path FROM final_models GROUP BY path ORDER BY 1"
    for row in store.query(newest):
        recorded = Path(row["path"])
        # Recorded as the command was typed; the results may have been moved since.
        moved = store.path.absolute().parent / "models" / recorded.parent.name / recorded.name
        path = (recorded if recorded.is_dir() else moved) / "model.keras"
        problem = _what_is_wrong(path)
        if problem is not None:
            subject = f"final model {row['model_id']} (experiment {row['eid']}, seed {row['seed']})"
            expected = "the file that `harness retrain-best` wrote"
            yield Finding(FindingKind.MISSING_MODEL, subject, f"'{path}' {problem}", expected, path=path)


def _find_missing_members(store: ResultsStore) -> Iterator[Finding]:
    """Look for the models of each saved ensemble: its members' folders beside it, and what is added in its own."""
    for record_path in sorted((store.path.absolute().parent / "models").glob("*/model.json")):
        # A record that cannot be read is the business of what reads the model.
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            record, subject = read_json(record_path), f"ensemble '{record_path.parent.name}'"
            for member in record.get("members", ()):
                folder = record_path.parents[1] / member["model"]
                if not (folder / "model.json").is_file():
                    expected = "its members' folders beside it"
                    yield Finding(FindingKind.MISSING_MODEL, subject, f"'{folder}' is not there", expected, path=folder)
            for added in record.get("added", ()):
                if not any(record_path.parent.glob(f"{added['kind']}*/{DIGESTS_NAME}")):
                    folder, expected = record_path.parent / added["kind"], "what `harness retrain-best` wrote"
                    yield Finding(FindingKind.MISSING_MODEL, subject, f"'{folder}' is not there", expected, path=folder)


def _what_is_wrong(path: Path) -> str | None:
    """Say what is wrong with a saved network, a zip archive that holds a checksum for each of its parts."""
    if fault := why_no_file(path, "is not there"):
        return fault
    try:
        changed = [each for each in find_changed(path.parent) if each.startswith(f"'{path}' ")]
    except FileNotFoundError:
        # A model that was never saved whole has no digests, and is trained again.
        changed = []
    except (OSError, ValueError) as error:
        return f"stands beside a {DIGESTS_NAME} that cannot be read ({one_line(error)})"
    if changed:
        return changed[0].removeprefix(f"'{path}' ")
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        return f"is damaged ({one_line(error)})"
    return None if damaged is None else f"is damaged (the checksum of its part '{damaged}' is wrong)"


def back_up(path: Path) -> Path:
    """Copy a database beside itself as it stands, whole or not at all, and return the copy's path.

    Raises:
        StoreError: the database could not be read, or SQLite could not write the copy
        OSError: the copy could not be kept
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    copy = path.with_name(f"{path.stem}.before-repair-{moment}.db")
    partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
    with translate_error(path):
        source = open_unwritten(path)
    try:
        with closing(source.conn), translate_error(copy), closing(sqlite3.connect(partial)) as target:
            source.conn.backup(target)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy
