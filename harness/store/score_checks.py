"""Scores in results.db against what they were computed from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from harness.store.findings import Finding, FindingKind
from harness.store.trial_checks import FROM_TRIALS, TRIAL, Query, name_trial

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
