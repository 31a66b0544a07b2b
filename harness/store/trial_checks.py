"""What results.db says of its trials that cannot all be true, their scores apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from harness.store.findings import Finding, FindingKind
from harness.store.records import TrialStatus

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
