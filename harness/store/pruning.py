"""Early stopping on record: a search's rule, the trials that it prunes, and the rivals that they are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from harness.codec import check_types
from harness.corpus.utterances import Seconds
from harness.store.records import TrialStatus, utc_now
from harness.store.rows import Row, insert, of_table, read_json, read_member
from harness.store.store import ResultsStore
from harness.wording import plural

#: Seconds for which a killed trial counts as one that may start again: its controller starts a retry at once, in the
#: moment between two transactions. A choice: far longer than that, and short beside a training.
_RETRY_GRACE: Seconds = 10.0
#: The ends after which a controller may start the trial again.
_MAY_START_AGAIN = (TrialStatus.KILLED, TrialStatus.STOPPED, TrialStatus.OUT_OF_MEMORY)


class PruningRule(StrEnum):
    """The rule by which a trial is ended early."""

    MEDIAN = "median"
    ASHA = "asha"


@dataclass(frozen=True)
class EarlyStopping:
    """The early stopping of a search.

    Attributes:
        min_epochs: the first epoch, from 1, after which a trial may be pruned
        reduction_factor: of ``ASHA``: one trial in so many goes on at each rung, and each rung has so many times the
            epochs of the one before
    """

    rule: PruningRule
    min_epochs: int = 3
    reduction_factor: int = 3

    def to_json(self) -> dict[str, Any]:
        """Return what decides which trials are pruned, as plain values.

        Example:
            >>> EarlyStopping(PruningRule.MEDIAN).to_json()
            {'rule': 'median', 'min_epochs': 3}
        """
        factor = {"reduction_factor": self.reduction_factor} if self.rule is PruningRule.ASHA else {}
        return {"rule": self.rule.value, "min_epochs": self.min_epochs, **factor}


@dataclass(frozen=True)
class Rival:
    """A trial of lower index, with its first seed's best validation accuracy, 0 to 1, up to the compared epoch."""

    trial_index: int
    accuracy: float


@dataclass(frozen=True)
class Pruning:
    """The reason why a trial was pruned.

    Attributes:
        epoch: the trial's last, from 1
        accuracy: its best validation accuracy up to then, from 0 to 1
        threshold: the least accuracy with which it would have gone on
        rivals: the trials that it was compared with, by index
        num_seeds: of each trial of the search; where there are several, every accuracy here is of a first seed
    """

    rule: PruningRule
    epoch: int
    accuracy: float
    threshold: float
    rivals: tuple[Rival, ...]
    num_seeds: int = 1

    @property
    def sentence(self) -> str:
        """The reason in words.

        Example:
            >>> rivals = (Rival(0, 0.5), Rival(1, 0.7))
            >>> Pruning(PruningRule.MEDIAN, 4, 0.25, 0.6, rivals).sentence
            'its best accuracy by epoch 4 is 0.2500; the median rule over 2 earlier trials asks for at least 0.6000'
        """
        earlier = plural(len(self.rivals), "earlier trial")
        whose = "its best accuracy" if self.num_seeds == 1 else "the best accuracy of its first seed"
        return (
            f"{whose} by epoch {self.epoch} is {self.accuracy:.4f}; the {self.rule} rule over {earlier} asks for at "
            f"least {self.threshold:.4f}"
        )


def record_pruning(results: ResultsStore, trial_id: int, pruning: Pruning) -> None:
    """Record why a trial is pruned; called before it ends.

    Its own process calls this or, for a foreign script and for any trial on a Dask cluster, the controller. The number
    of seeds is on record with the experiment.

    Raises:
        StoreError: the trial has ended, or is recorded as pruned already
    """
    row = {**asdict(pruning), "rule": pruning.rule.value, "recorded_at": utc_now()}
    del row["num_seeds"]
    row["rivals"] = json.dumps({rival.trial_index: rival.accuracy for rival in pruning.rivals})
    with results.writing_for(trial_id) as database:
        insert(database, "prunings", {"trial_id": trial_id, **row})


def find_pruning(results: ResultsStore, trial_id: int) -> Pruning | None:
    """Return why a trial was pruned; None where it recorded no such thing."""
    rows = results.query(
        "SELECT prunings.*, coalesce(json_extract(settings, '$.seeds_per_trial'), 1) AS num_seeds "
        "FROM prunings JOIN trials USING (trial_id) JOIN experiments USING (eid) WHERE trial_id = ?",
        [trial_id],
    )
    return _read_pruning(rows[0]) if rows else None


@of_table("table 'prunings'", "trial_id")
def _read_pruning(row: Row) -> Pruning:
    compared = read_json(row, "rivals", dict)
    if not all(index.isdecimal() and isinstance(accuracy, int | float) for index, accuracy in compared.items()):
        raise ValueError(f"rivals is {row['rivals']!r:.80}; expected the numbers of trials, each with an accuracy")
    rivals = tuple(Rival(int(index), accuracy) for index, accuracy in compared.items())
    rule, numbers = read_member(row, "rule", PruningRule), (row["epoch"], row["accuracy"], row["threshold"])
    pruning = Pruning(rule, *numbers, rivals, row["num_seeds"])
    check_types(pruning)
    return pruning


def read_rivals(results: ResultsStore, eid: int, trial_index: int, epoch: int) -> tuple[list[Rival], list[int]]:
    """Read the curves that a trial is compared with at one epoch: of several seeds each records the first one's.

    A trial of lower index is a rival if it has recorded that epoch, however it ended later, or if it finished before,
    with all its seeds: then its best accuracy stands. One that ended before without a score is none. So the rivals do
    not depend on the moment at which they are read, once there is no trial to wait for.

    Args:
        epoch: from 1

    Returns:
        the rivals, by index; and the indices of the trials that may still become rivals
    """
    rows = results.query(
        "SELECT trial_index, status, ended_at, max(epoch) AS last_epoch, max(validation_accuracy) AS accuracy "
        "FROM trials LEFT JOIN epochs ON epochs.trial_id = trials.trial_id AND epoch <= ? "
        "WHERE eid = ? AND trial_index < ? GROUP BY trials.trial_id ORDER BY trial_index, attempt",
        [epoch, eid, trial_index],
    )
    attempts: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        attempts.setdefault(row["trial_index"], []).append(row)
    rivals, awaited = [], []
    for index, of_trial in attempts.items():
        # The first attempt that came so far: what later ones record never changes the comparison.
        reached = [row for row in of_trial if row["last_epoch"] == epoch or row["status"] == TrialStatus.FINISHED]
        if reached:
            rivals += [Rival(index, reached[0]["accuracy"])] if reached[0]["accuracy"] is not None else []
        elif _may_go_on(of_trial):
            awaited.append(index)
    return rivals, awaited


def _may_go_on(attempts: Sequence[Mapping[str, Any]]) -> bool:
    status, ended_at = attempts[-1]["status"], attempts[-1]["ended_at"]
    if ended_at is None or status not in _MAY_START_AGAIN:
        return ended_at is None
    since = datetime.fromisoformat(utc_now()) - datetime.fromisoformat(ended_at)
    # Below 0 the clock was set back, and the moment of the retry is not known: nothing is awaited for that long.
    return 0 <= since.total_seconds() < _RETRY_GRACE
