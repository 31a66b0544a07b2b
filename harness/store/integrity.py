"""What can be wrong with a results folder, and what was found wrong with one.

What results.db says that cannot all be true: asked, and never changed here.

What results.db says of its trials that cannot all be true, their scores apart.

Scores in results.db against what they were computed from.

The files that results.db names and those that nobody names: missing, damaged, or half-written.

Repairs of results.db from the trials' own records, after a copy of it has been made.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.store.connection import is_damage, one_sentence, open_unwritten
from harness.store.records import ExperimentKind, ExperimentStatus, TrialStatus, utc_now
from harness.store.schema import Database
from harness.store.store import Durability, ResultsReader, ResultsStore, insert_hyperparameters
from harness.store.trial_spec import trial_spec_path


class FindingKind(StrEnum):
    """What contradicts what; in the order in which they are repaired, for one repair may settle another."""

    DAMAGED_INDEX = "damaged index"
    DAMAGED_DATABASE = "damaged database"
    MISSING_PARENT = "row without the row it belongs to"
    UNREADABLE_JSON = "text that is no JSON"
    MISSING_HYPERPARAMETERS = "missing hyperparameters"
    WRONG_RESULT = "result against its own epochs and predictions"
    WRONG_MEASUREMENT = "epoch or predictions against the result"
    NOBODY_RUNS_TRIAL = "trial that nobody runs"
    UNKNOWN_TRIAL_STATUS = "unknown status of a trial"
    SCORE_OF_FAILED_TRIAL = "failed trial with a score"
    WRONG_SCORE = "score against the result"
    MISSING_RESULT = "finished trial without a result"
    MISSING_EPOCHS = "missing epochs"
    RUN_TWICE = "trial run twice"
    CHANGED_ATTEMPT = "attempts that are not the same trial"
    NOBODY_RUNS_EXPERIMENT = "experiment that nobody runs"
    UNKNOWN_EXPERIMENT_STATUS = "unknown status of an experiment"
    MISSING_TRIALS = "finished experiment that lacks trials"
    WRONG_ENDING = "end of an experiment against its status"
    UNFINISHED_OPENING = "opening of the test set against its scores"
    WRONG_TEST_SCORE = "score on the test set against its predictions"
    LEFT_FILE = "half-written file"
    MISSING_TRIAL_FILE = "missing file of a trial"
    MISSING_MODEL = "missing model"

    @property
    def is_damage(self) -> bool:
        """Whether the file is broken, so that whatever else it says means little."""
        return self in (FindingKind.DAMAGED_INDEX, FindingKind.DAMAGED_DATABASE)


@dataclass(frozen=True)
class Finding:
    """One thing in a results folder that contradicts another, or itself.

    Attributes:
        subject: the thing, by the names that a reader knows it by
        row_id: what its row is found by (an eid, a trial_id, an opening_id); None where it has none
        value: what it must be, where its own records say so
        path: the file or folder that it is about
    """

    kind: FindingKind
    subject: str
    found: str
    expected: str
    row_id: int | None = None
    value: float | None = None
    path: Path | None = None

    @property
    def sentence(self) -> str:
        """The finding in words, without a full stop.

        Example:
            >>> Finding(FindingKind.MISSING_EPOCHS, "trial 3", "lacks epoch 2 of 5", "all of them").sentence
            'trial 3: lacks epoch 2 of 5; expected all of them'
        """
        return f"{self.subject}: {self.found}; expected {self.expected}"


#: Asks results.db one question, and returns the rows by column name.
Query = Callable[[str], list[dict[str, Any]]]

#: What names a trial, and whose trial it is; every question of a trial selects these.
TRIAL = "trials.trial_id, trials.eid, experiments.name, trials.trial_index, trials.attempt"
FROM_TRIALS = "FROM trials JOIN experiments USING (eid) LEFT JOIN trial_results USING (trial_id)"

_KNOWN = ", ".join(f"'{status.value}'" for status in TrialStatus)

#: Questions whose every row is a finding: kind -> the question, what was found, what was expected.
_QUESTIONS = {
    FindingKind.NOBODY_RUNS_TRIAL: (
        f"SELECT {TRIAL} {FROM_TRIALS} WHERE trials.status = 'running'",
        "is marked running, and no process holds its experiment",
        "an end",
    ),
    FindingKind.UNKNOWN_TRIAL_STATUS: (
        f"SELECT {TRIAL}, trials.status {FROM_TRIALS} WHERE trials.status NOT IN ({_KNOWN})",
        "has the status {status!r}",
        f"one of {[status.value for status in TrialStatus]}",
    ),
    FindingKind.SCORE_OF_FAILED_TRIAL: (
        f"SELECT {TRIAL}, trials.status, trials.score {FROM_TRIALS} "
        f"WHERE trials.status IN ({_KNOWN}) AND trials.status NOT IN ('finished', 'running') "
        "AND trials.score IS NOT NULL",
        "is {status} with the score {score}",
        "a score with 'finished' only",
    ),
    FindingKind.MISSING_RESULT: (
        f"SELECT {TRIAL} {FROM_TRIALS} WHERE trials.status = 'finished' AND experiments.system <> '' "
        "AND trial_results.trial_id IS NULL",
        "is finished, and recorded no result",
        "the one that its own process recorded",
    ),
    FindingKind.MISSING_HYPERPARAMETERS: (
        f"SELECT {TRIAL} {FROM_TRIALS} LEFT JOIN hyperparameters USING (trial_id) "
        "WHERE hyperparameters.trial_id IS NULL",
        "has no row in table 'hyperparameters'",
        "its point there too",
    ),
    FindingKind.RUN_TWICE: (
        f"SELECT {TRIAL}, (SELECT min(attempt) FROM trials AS earlier WHERE earlier.eid = trials.eid AND "
        "earlier.trial_index = trials.trial_index AND earlier.status = 'finished') AS finished "
        f"{FROM_TRIALS} WHERE trials.attempt > finished",
        "was started though attempt {finished} had finished",
        "no attempt after a finished one",
    ),
}


def name_trial(row: dict[str, Any]) -> str:
    """Name a trial by a row that selected ``TRIAL``."""
    return (
        f"experiment {row['eid']} ({row['name']!r}), trial {row['trial_index']}, attempt {row['attempt']}"
    )


def find_wrong_trials(query: Query, eids: Collection[int]) -> Iterator[Finding]:
    """Find trials that stand as they cannot.

    Args:
        eids: experiments to look at
    """
    for kind, (question, found, expected) in _QUESTIONS.items():
        for row in query(f"{question} ORDER BY trials.trial_id"):
            if row["eid"] in eids:
                yield Finding(kind, name_trial(row), found.format(**row), expected, row["trial_id"])
    yield from _find_missing_epochs(query, eids)
    yield from _find_wrong_points(query, eids)


def _find_missing_epochs(query: Query, eids: Collection[int]) -> Iterator[Finding]:
    rows = query(
        f"SELECT {TRIAL}, trial_results.num_epochs, best_epoch, count(epoch) AS num_recorded, max(epoch) AS last "
        f"{FROM_TRIALS} LEFT JOIN epochs USING (trial_id) GROUP BY trials.trial_id ORDER BY trials.trial_id"
    )
    for row in rows:
        if row["eid"] not in eids:
            continue
        num_recorded, last, num_epochs = row["num_recorded"], row["last"] or 0, row["num_epochs"]
        if num_recorded != last:
            found, expected = f"recorded {num_recorded} epochs of which the last is {last}", "every one before it"
        # A script of the user's own, or a baseline, records its one result without epochs.
        elif num_epochs is not None and num_epochs != num_recorded and (num_recorded or num_epochs > 1):
            found, expected = f"recorded {num_recorded} epochs, and its result counts {num_epochs}", "as many"
        elif num_epochs is not None and not 1 <= row["best_epoch"] <= num_epochs:
            found, expected = f"its best epoch is {row['best_epoch']}", f"one from 1 to {num_epochs}"
        else:
            continue
        yield Finding(FindingKind.MISSING_EPOCHS, name_trial(row), found, expected, row["trial_id"])


def _find_wrong_points(query: Query, eids: Collection[int]) -> Iterator[Finding]:
    """Find points that cannot be read, and attempts at one trial index that were not the same trial."""
    first: dict[tuple[int, int], tuple[Any, Any]] = {}
    for row in query(f"SELECT {TRIAL}, trials.seed, trials.hyperparameters {FROM_TRIALS} ORDER BY trials.trial_id"):
        if row["eid"] not in eids:
            continue
        try:
            point = json.loads(row["hyperparameters"])
        except ValueError:
            found = f"hyperparameters is {row['hyperparameters']!r:.80}"
            kind = FindingKind.UNREADABLE_JSON
            yield Finding(kind, name_trial(row), found, "a JSON text", row["trial_id"])
            continue
        known = first.setdefault((row["eid"], row["trial_index"]), (row["seed"], point))
        for what, before, now in zip(("seed", "point"), known, (row["seed"], point), strict=True):
            if before != now:
                found = f"has the {what} {now!r:.200}"
                expected = f"{before!r:.200}, as its first attempt has"
                yield Finding(
                    FindingKind.CHANGED_ATTEMPT, name_trial(row), found, expected, row["trial_id"]
                )


#: Both sides are quotients of the same counts: only a last bit may differ.
_TOLERANCE = 1e-9

#: Table of scores -> the table of their predictions, and the columns that both are found by.
_TEST_TABLES = {
    "test_scores": ("test_predictions", ("opening_id", "seed", "kind")),
    "trial_test_scores": ("trial_test_predictions", ("trial_id", "kind")),
}


def find_wrong_scores(query: Query, eids: Collection[int]) -> Iterator[Finding]:
    """Find scores that are not what the trial's epochs and predictions make them.

    Args:
        eids: experiments to look at
    """
    rows = query(
        f"SELECT {TRIAL}, trials.status, trials.score, trial_results.score AS result, best_epoch, "
        "(SELECT validation_accuracy FROM epochs WHERE epochs.trial_id = trials.trial_id AND epoch = best_epoch) "
        "AS epoch, (SELECT avg(emotion = predicted) FROM validation_predictions AS made "
        f"WHERE made.trial_id = trials.trial_id) AS predictions {FROM_TRIALS} "
        "WHERE trial_results.trial_id IS NOT NULL ORDER BY trials.trial_id"
    )
    for row in rows:
        if row["eid"] in eids:
            yield from _judge_trial(row)
    yield from _find_wrong_test_scores(query)


def _judge_trial(row: dict[str, Any]) -> Iterator[Finding]:
    """Compare a trial's score with its three witnesses: the result, the best epoch, and the predictions."""
    subject, trial_id = name_trial(row), row["trial_id"]
    names = {
        "result": "result",
        "epoch": f"validation accuracy at its best epoch, {row['best_epoch']},",
        "predictions": "accuracy by its predictions",
    }
    said = {name: row[name] for name in names if row[name] is not None}
    true = _agreed(list(said.values()))
    if true is None:
        found = " and ".join(f"its {names[name]} is {score}" for name, score in said.items())
        yield Finding(FindingKind.WRONG_MEASUREMENT, subject, found, "the same number", trial_id)
        return
    for name, score in said.items():
        if not _is_same(score, true):
            is_result = name == "result"
            kind = FindingKind.WRONG_RESULT if is_result else FindingKind.WRONG_MEASUREMENT
            found, expected = f"its {names[name]} is {score}", f"{true}, as its other records say"
            yield Finding(kind, subject, found, expected, trial_id, true if is_result else None)
    if row["status"] == "finished" and not _is_same(row["score"], true):
        found, expected = f"is finished with the score {row['score']}", f"{true}, which its own process recorded"
        yield Finding(FindingKind.WRONG_SCORE, subject, found, expected, trial_id, true)


def _agreed(scores: list[float]) -> float | None:
    """Return what most of the witnesses say, None where they are divided.

    Example:
        >>> _agreed([0.5, 0.75, 0.75]), _agreed([0.5, 0.75]), _agreed([0.5])
        (0.75, None, 0.5)
    """
    for score in scores:
        if 2 * sum(_is_same(score, other) for other in scores) > len(scores):
            return score
    return None


def _is_same(score: float, other: float) -> bool:
    return score == other or abs(score - other) <= _TOLERANCE


def _find_wrong_test_scores(query: Query) -> Iterator[Finding]:
    for table, (predictions, keys) in _TEST_TABLES.items():
        columns = ", ".join(keys)
        rows = query(
            f"SELECT * FROM {table} JOIN (SELECT {columns}, avg(emotion = predicted) AS accuracy "
            f"FROM {predictions} GROUP BY {columns}) USING ({columns}) ORDER BY {columns}"
        )
        for row in rows:
            if not _is_same(row["weighted_accuracy"], row["accuracy"]):
                subject = f"score of {', '.join(f'{key} {row[key]!r}' for key in keys)} on the test set"
                found = f"the weighted accuracy is {row['weighted_accuracy']}"
                expected = f"{row['accuracy']}, the accuracy of its predictions"
                yield Finding(FindingKind.WRONG_TEST_SCORE, subject, found, expected)


#: Of an experiment, texts that must be JSON.
_JSON_COLUMNS = ("protocol", "search_space", "settings")


@dataclass(frozen=True)
class ExperimentName:
    """What a check must know of an experiment, however little of its row can be believed."""

    eid: int
    name: str
    kind: str

    def __str__(self) -> str:
        return f"experiment {self.eid} ({self.name!r})"

    @property
    def is_search(self) -> bool:
        """Whether a controller runs its trials as jobs."""
        return self.kind == ExperimentKind.SEARCH


@dataclass(frozen=True)
class JobRow:
    """The last attempt at a trial under one of Auptimizer's job ids.

    Attributes:
        score: None unless finished
    """

    jid: int
    is_running: bool
    score: float | None


class ResultsInspector(ResultsReader):
    """A reading connection that looks for contradictions."""

    def num_rows(self, table: str) -> int:
        """Count the rows of one of our tables."""
        return int(self._all(f"SELECT count(*) AS num FROM {table}")[0]["num"])

    def experiment_names(self) -> list[ExperimentName]:
        """Name every experiment, oldest first."""
        return [ExperimentName(**row) for row in self._all("SELECT eid, name, kind FROM experiments ORDER BY eid")]

    def jobs(self, eid: int) -> list[JobRow]:
        """Return every job of an experiment that has a trial."""
        rows = self._query(
            "SELECT jid, status, score FROM trials WHERE eid = ? AND jid IS NOT NULL ORDER BY trial_id", [eid]
        )
        jobs = {row["jid"]: JobRow(row["jid"], row["status"] == TrialStatus.RUNNING, row["score"]) for row in rows}
        return list(jobs.values())

    def job_files(self) -> list[tuple[str, int, Path]]:
        """Name the finished trials of this package's own script: in words, by trial_id, and by job file."""
        rows = self._all(
            f"SELECT {TRIAL}, job_path {FROM_TRIALS} WHERE trials.status = 'finished' AND experiments.system <> '' "
            f"AND experiments.kind = '{ExperimentKind.SEARCH.value}' AND job_path IS NOT NULL ORDER BY trials.trial_id"
        )
        results_dir = self.path.absolute().parent
        return [(name_trial(row), row["trial_id"], results_dir / row["job_path"]) for row in rows]

    def model_folders(self) -> list[tuple[str, Path]]:
        """Name the final models: in words, and by the folder that was recorded, once each."""
        rows = self._all("SELECT max(model_id) AS model_id, eid, seed, path FROM final_models GROUP BY path ORDER BY 1")
        return [
            (f"final model {row['model_id']} (experiment {row['eid']}, seed {row['seed']})", Path(row["path"]))
            for row in rows
        ]

    def find_damage(self) -> list[Finding]:
        """Return what SQLite itself finds wrong with the file; beside such damage other findings mean little."""
        return list(_find_damage(self._all, f"results database '{self.path}'"))

    def find_contradictions(self, eids: Collection[int]) -> list[Finding]:
        """Return everything in the database that contradicts something else in it.

        Args:
            eids: experiments to look at; those that somebody is at work on change under our eyes
        """
        with self.snapshot():
            found = [
                *_find_orphans(self._all),
                *find_wrong_trials(self._all, eids),
                *find_wrong_scores(self._all, eids),
                *_find_wrong_experiments(self._all, eids),
                *_find_wrong_openings(self._all),
            ]
        order = list(FindingKind)
        return sorted(found, key=lambda finding: order.index(finding.kind))

    def _all(self, sql: str) -> list[dict[str, Any]]:
        return self._query(sql, [])


def _find_damage(query: Query, subject: str) -> Iterator[Finding]:
    for row in query("PRAGMA integrity_check"):
        (said,) = row.values()
        if said != "ok":
            kind = FindingKind.DAMAGED_INDEX if " index " in said else FindingKind.DAMAGED_DATABASE
            yield Finding(kind, subject, f"SQLite's integrity_check says {said!r:.300}", "'ok'")


def _find_orphans(query: Query) -> Iterator[Finding]:
    counts: dict[tuple[str, str], int] = {}
    for row in query("PRAGMA foreign_key_check"):
        key = (row["table"], row["parent"])
        counts[key] = counts.get(key, 0) + 1
    for (table, parent), count in counts.items():
        found = f"{count} of its rows belong to a row of table '{parent}' that is not there"
        yield Finding(FindingKind.MISSING_PARENT, f"table '{table}'", found, "none")


def _find_wrong_experiments(query: Query, eids: Collection[int]) -> Iterator[Finding]:
    rows = query(
        "SELECT experiments.*, (SELECT max(ended_at) FROM trials WHERE trials.eid = experiments.eid) AS last_end, "
        "(SELECT count(DISTINCT trial_index) FROM trials WHERE trials.eid = experiments.eid "
        "AND status NOT IN ('running', 'stopped')) AS num_ended FROM experiments ORDER BY eid"
    )
    for row in rows:
        if row["eid"] not in eids:
            continue
        subject, status = str(ExperimentName(row["eid"], row["name"], row["kind"])), row["status"]
        yield from _find_unreadable(row, subject)
        if status == ExperimentStatus.RUNNING:
            found = "is marked running, and no process holds it"
            yield Finding(FindingKind.NOBODY_RUNS_EXPERIMENT, subject, found, "an end", row["eid"])
        elif status not in list(ExperimentStatus):
            kind, known = FindingKind.UNKNOWN_EXPERIMENT_STATUS, [known.value for known in ExperimentStatus]
            yield Finding(kind, subject, f"has the status {status!r}", f"one of {known}", row["eid"])
        elif row["ended_at"] is None:
            found = f"is {status}, and ended at no time"
            yield Finding(FindingKind.WRONG_ENDING, subject, found, "the time of its end", row["eid"])
        lacks = row["kind"] == ExperimentKind.SEARCH and row["num_ended"] < row["num_samples"]
        if status == ExperimentStatus.FINISHED and lacks:
            found = f"is finished, and {row['num_ended']} of its trials have ended"
            expected = f"{row['num_samples']}, its num_samples"
            yield Finding(FindingKind.MISSING_TRIALS, subject, found, expected, row["eid"])


def _find_unreadable(row: dict[str, Any], subject: str) -> Iterator[Finding]:
    for column in _JSON_COLUMNS:
        if not is_json(row[column]):
            found = f"{column} is {row[column]!r:.80}"
            yield Finding(FindingKind.UNREADABLE_JSON, subject, found, "a JSON text", row["eid"])


def is_json(text: Any) -> bool:
    """Whether a column holds a JSON text.

    Example:
        >>> is_json('{"dropout": 0.1}'), is_json("{"), is_json(None)
        (True, False, False)
    """
    try:
        json.loads(text)
    except (TypeError, ValueError):
        return False
    return True


def _read_seeds(text: Any) -> set[int] | None:
    """Read an opening's seeds; None where the text is no list of whole numbers."""
    seeds = json.loads(text) if is_json(text) else None
    return set(seeds) if isinstance(seeds, list) and all(isinstance(seed, int) for seed in seeds) else None


def _find_wrong_openings(query: Query) -> Iterator[Finding]:
    for row in query("SELECT * FROM test_openings WHERE eid IS NOT NULL ORDER BY opening_id"):
        subject = f"opening {row['opening_id']} of the test set"
        seeds = _read_seeds(row["seeds"])
        if seeds is None:
            found, expected = f"seeds is {row['seeds']!r:.80}", "a JSON list of whole numbers"
            yield Finding(FindingKind.UNREADABLE_JSON, subject, found, expected, row["opening_id"])
            continue
        scored = query(f"SELECT DISTINCT seed FROM test_scores WHERE opening_id = {row['opening_id']}")
        missing = sorted(seeds - {score["seed"] for score in scored})
        if row["completed_at"] is not None and missing:
            found, expected = f"is complete, and has no score of the seeds {missing}", "one of each"
        elif row["completed_at"] is None and not missing:
            found, expected = "has every score, and is not marked complete", "the time of its last score"
        else:
            continue
        yield Finding(FindingKind.UNFINISHED_OPENING, subject, found, expected, row["opening_id"])


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


#: Why what is not repaired is not, and what can be done instead.
REASONS: Mapping[FindingKind, str] = {
    FindingKind.DAMAGED_DATABASE: "restore a copy, or move the file away to start anew",
    FindingKind.MISSING_PARENT: "nothing tells what they belonged to; they are read by nobody, and stay",
    FindingKind.UNREADABLE_JSON: "the text is recorded nowhere else; restore a copy",
    FindingKind.MISSING_HYPERPARAMETERS: "the trial's own record of its point cannot be read either",
    FindingKind.WRONG_MEASUREMENT: "nothing tells which of them is wrong; do not trust this trial",
    FindingKind.UNKNOWN_TRIAL_STATUS: "it has a score, and nothing tells how it ended; do not trust this trial",
    FindingKind.MISSING_RESULT: "it was recorded nowhere else; do not trust this trial",
    FindingKind.MISSING_EPOCHS: "they were recorded nowhere else; the score does not depend on them",
    FindingKind.RUN_TWICE: "both attempts stay; the finished one counts",
    FindingKind.CHANGED_ATTEMPT: "nothing tells which of them is right; do not trust this trial",
    FindingKind.UNFINISHED_OPENING: "a score on the test set is never made up, and the opening stays recorded",
    FindingKind.WRONG_TEST_SCORE: "a score on the test set is never replaced; do not trust it",
    FindingKind.MISSING_TRIAL_FILE: "the trial's score stays; it cannot be trained again by `harness retrain-best`",
    FindingKind.MISSING_MODEL: "`harness retrain-best` trains it again where its folder is gone",
}

_ENDED = tuple(status.value for status in TrialStatus if status is not TrialStatus.RUNNING)


def back_up(path: Path) -> Path:
    """Copy a database beside itself as it stands, whole or not at all, and return the copy's path.

    Raises:
        StoreError: the database could not be read, or SQLite could not write the copy
        OSError: the copy could not be kept
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    copy = path.with_name(f"{path.stem}.before-repair-{moment}.db")
    partial = copy.with_name(f"{copy.name}.{os.getpid()}.partial")
    with one_sentence(path):
        source = open_unwritten(path)
    try:
        with closing(source.conn), one_sentence(copy), closing(sqlite3.connect(partial)) as target:
            try:
                source.conn.backup(target)
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    # What SQLite calls damaged is what it read, not what it wrote.
                    with one_sentence(path):
                        raise
                raise
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, copy)
    finally:
        partial.unlink(missing_ok=True)
    return copy


class ResultsRepairer(ResultsStore):
    """A writing connection that changes final rows, where what the trials recorded says what they must be.

    Attributes:
        on_first_change: called once, before anything is changed
    """

    on_first_change: Callable[[], None] | None = None

    def prepare_change(self) -> None:
        """Do what must be done before the first change, of the database or of what is beside it."""
        prepare, self.on_first_change = self.on_first_change, None
        if prepare is not None:
            prepare()

    @contextmanager
    def writing(self, durability: Durability = Durability.POWER_LOSS) -> Iterator[Database]:
        """One short transaction, as every store's."""
        self.prepare_change()
        with super().writing(durability) as database:
            yield database

    def repair(self, finding: Finding) -> str | None:
        """Repair one thing, in one transaction.

        Args:
            finding: as it stands now, of an experiment that nobody is at work on

        Returns:
            what was done, in words; None where the records do not say what is right
        """
        repairs: Mapping[FindingKind, Callable[[Finding], str | None]] = {
            FindingKind.DAMAGED_INDEX: self._rebuild_indexes,
            FindingKind.MISSING_HYPERPARAMETERS: self._write_hyperparameters,
            FindingKind.WRONG_RESULT: self._correct_result,
            FindingKind.NOBODY_RUNS_TRIAL: self._end_trial,
            FindingKind.UNKNOWN_TRIAL_STATUS: self._end_trial,
            FindingKind.SCORE_OF_FAILED_TRIAL: self._remove_score,
            FindingKind.WRONG_SCORE: self._correct_score,
            FindingKind.NOBODY_RUNS_EXPERIMENT: self._interrupt_experiment,
            FindingKind.UNKNOWN_EXPERIMENT_STATUS: self._interrupt_experiment,
            FindingKind.MISSING_TRIALS: self._interrupt_experiment,
            FindingKind.WRONG_ENDING: self._end_experiment,
            FindingKind.UNFINISHED_OPENING: self._complete_opening,
        }
        return repairs[finding.kind](finding) if finding.kind in repairs else None

    def _rebuild_indexes(self, finding: Finding) -> str | None:
        self.prepare_change()
        with one_sentence(self.path):
            self._database.execute("REINDEX")
        return "every index was built anew from its table"

    def _write_hyperparameters(self, finding: Finding) -> str | None:
        assert finding.row_id is not None
        (row,) = self._query("SELECT hyperparameters FROM trials WHERE trial_id = ?", [finding.row_id])
        try:
            point = json.loads(row["hyperparameters"])
        except ValueError:
            return None
        with self.writing() as database:
            insert_hyperparameters(database, finding.row_id, point)
        return "the row was written from the trial's own record"

    def _correct_result(self, finding: Finding) -> str | None:
        self._execute("UPDATE trial_results SET score = ? WHERE trial_id = ?", finding.value, finding.row_id)
        return f"the result is now {finding.value}"

    def _correct_score(self, finding: Finding) -> str | None:
        self._execute("UPDATE trials SET score = ? WHERE trial_id = ?", finding.value, finding.row_id)
        return f"the score is now {finding.value}"

    def _remove_score(self, finding: Finding) -> str | None:
        self._execute("UPDATE trials SET score = NULL WHERE trial_id = ?", finding.row_id)
        return "the score was removed"

    def _end_trial(self, finding: Finding) -> str | None:
        (row,) = self._query(
            "SELECT kind, trials.status, trials.score AS known_score, trial_results.score, "
            "(SELECT count(*) FROM trials AS other WHERE other.eid = trials.eid "
            "AND other.trial_index = trials.trial_index AND other.trial_id <> trials.trial_id "
            "AND other.status IN ('running', 'finished')) AS num_others "
            "FROM trials JOIN experiments USING (eid) LEFT JOIN trial_results USING (trial_id) WHERE trial_id = ?",
            [finding.row_id],
        )
        if row["status"] in _ENDED:
            # By `account_for_running`, which saw what its job printed too.
            cause = "the result was recorded" if row["status"] == TrialStatus.FINISHED else "no result was recorded"
            return f"it is marked {row['status']} now: {cause}"
        if row["status"] != TrialStatus.RUNNING and row["known_score"] is not None:
            return None
        # What a training of `tables` leaves on the test set may not be whole: it is trained again.
        has_finished = row["score"] is not None and row["kind"] == ExperimentKind.SEARCH and not row["num_others"]
        status = TrialStatus.FINISHED if has_finished else TrialStatus.KILLED
        cause = "the result was recorded" if has_finished else "no result was recorded"
        self._execute(
            "UPDATE trials SET status = ?, score = ?, message = ?, ended_at = ? WHERE trial_id = ?",
            status.value,
            row["score"] if has_finished else None,
            f"nobody was left to see how it ended; {cause}",
            utc_now(),
            finding.row_id,
        )
        return f"it is marked {status.value} now: {cause}"

    def _interrupt_experiment(self, finding: Finding) -> str | None:
        status = ExperimentStatus.INTERRUPTED.value
        self._execute(
            "UPDATE experiments SET status = ?, ended_at = ? WHERE eid = ?", status, utc_now(), finding.row_id
        )
        return f"it is marked {status} now; the command that began it goes on with it"

    def _end_experiment(self, finding: Finding) -> str | None:
        self._execute(
            "UPDATE experiments SET ended_at = coalesce((SELECT max(ended_at) FROM trials "
            "WHERE trials.eid = experiments.eid), created_at) WHERE eid = ?",
            finding.row_id,
        )
        return "its end is the one of its last trial now"

    def _complete_opening(self, finding: Finding) -> str | None:
        (row,) = self._query("SELECT completed_at FROM test_openings WHERE opening_id = ?", [finding.row_id])
        if row["completed_at"] is not None:
            return None
        with self.writing() as database:
            database.execute(
                "UPDATE test_openings SET completed_at = (SELECT max(recorded_at) FROM test_scores "
                "WHERE test_scores.opening_id = test_openings.opening_id) "
                "WHERE opening_id = ? AND completed_at IS NULL",
                [finding.row_id],
            )
        return "it is marked complete now, at the time of its last score"

    def _execute(self, statement: str, *parameters: object) -> None:
        with self.writing() as database:
            database.execute(statement, list(parameters))
