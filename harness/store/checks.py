"""What results.db says that cannot all be true: asked, and never changed here."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.store.findings import Finding, FindingKind
from harness.store.queries import ResultsReader
from harness.store.records import ExperimentKind, ExperimentStatus, TrialStatus
from harness.store.score_checks import find_wrong_scores
from harness.store.trial_checks import FROM_TRIALS, TRIAL, Query, find_wrong_trials, name_trial

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
