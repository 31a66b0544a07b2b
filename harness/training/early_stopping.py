"""Early stopping: the rules that prune a trial, and the trial's wait for the curves that it is compared with.

A trial is compared with trials of lower index alone, each at the same epoch, so whether it is pruned does not depend on
the order in which trials end. It waits for those that have not come so far; none of them ever waits for it. A foreign
script, and a trial on another machine, go on meanwhile: only the record of the next epoch waits.

Of a trial that trains with several seeds the first seed's curve alone is compared, with the first seeds' curves of the
others: a hopeless trial ends before its other seeds cost anything, and those of a trial that goes on are all trained.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from harness.corpus.utterances import Seconds
from harness.errors import Pruned, WorkFailedError
from harness.store.pruning import (
    EarlyStopping,
    Pruning,
    PruningRule,
    find_pruning,
    read_rivals,
    record_pruning,
)
from harness.store.records import EpochRecord
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec

#: Rivals below which the median prunes nobody. Source: Optuna's MedianPruner, ``n_startup_trials``.
MIN_RIVALS = 5
#: Seconds between two looks at the rivals, at first and at most. A choice: short beside an epoch.
_FIRST_PAUSE: Seconds = 0.02
_LONGEST_PAUSE: Seconds = 1.0


def is_compared(rule: EarlyStopping, epoch: int, max_epochs: int) -> bool:
    """Return whether a trial is compared with its rivals after an epoch; after the last one there is nothing to save.

    Args:
        epoch: from 1

    Example:
        >>> rule = EarlyStopping(PruningRule.ASHA, min_epochs=2, reduction_factor=3)
        >>> [epoch for epoch in range(1, 31) if is_compared(rule, epoch, max_epochs=30)]
        [2, 6, 18]
    """
    if not rule.min_epochs <= epoch < max_epochs:
        return False
    if rule.rule is PruningRule.MEDIAN:
        return True
    rung = rule.min_epochs
    while rung < epoch:
        rung *= rule.reduction_factor
    return rung == epoch


def least_rivals(rule: EarlyStopping) -> int:
    """Return the number of rivals below which nobody is pruned."""
    return MIN_RIVALS if rule.rule is PruningRule.MEDIAN else rule.reduction_factor - 1


def find_threshold(rule: EarlyStopping, accuracies: Sequence[float]) -> float | None:
    """Return the least accuracy with which a trial goes on; None where there are too few rivals.

    ``MEDIAN``: the median of the rivals' accuracies. ``ASHA``: that of the last trial which goes on if the best
    ``1 / reduction_factor`` of the rivals and the trial itself do, rounded down.

    Args:
        accuracies: of the rivals, each its best validation accuracy up to the compared epoch

    Source:
        Golovin et al. 2017, "Google Vizier", section 3.2.2. Deviates: the best accuracies are compared, as Optuna's
        MedianPruner does, and not running averages.
        Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", section 3.2. Deviates: a trial is ended
        for good at a rung, and is compared with trials of lower index alone.

    Example:
        >>> find_threshold(EarlyStopping(PruningRule.MEDIAN), [0.1, 0.2, 0.3, 0.4, 0.5])
        0.3
        >>> find_threshold(EarlyStopping(PruningRule.ASHA, reduction_factor=3), [0.1, 0.2, 0.3, 0.4, 0.5])
        0.4
    """
    if len(accuracies) < least_rivals(rule):
        return None
    if rule.rule is PruningRule.MEDIAN:
        return statistics.median(accuracies)
    num_going_on = (len(accuracies) + 1) // rule.reduction_factor
    return sorted(accuracies, reverse=True)[num_going_on - 1]


class Comparison:
    """One trial's comparison with its rivals, epoch after epoch.

    Args:
        max_epochs: of a trial that is not pruned; nothing is compared after the last
    """

    def __init__(
        self, results: ResultsStore, rule: EarlyStopping, trial_id: int, eid: int, trial_index: int, max_epochs: int
    ) -> None:
        self._results = results
        self._rule = rule
        self._trial_id = trial_id
        self._eid = eid
        self._trial_index = trial_index
        self._max_epochs = max_epochs
        self._best = -math.inf

    def look(self, epoch: EpochRecord) -> tuple[Pruning | None, list[int]]:
        """Compare the trial after an epoch that is on record; waits for nobody. A second look changes nothing.

        Args:
            epoch: of the trial's first seed

        Returns:
            why the trial is pruned, which is on record then, or None; and the trials of lower index that have not come
            so far: while there is any, nothing is decided
        """
        self._best = max(self._best, epoch.validation_accuracy)
        rule = self._rule
        if self._trial_index < least_rivals(rule) or not is_compared(rule, epoch.epoch, self._max_epochs):
            return None, []
        rivals, awaited = read_rivals(self._results, self._eid, self._trial_index, epoch.epoch)
        if awaited:
            return None, awaited
        threshold = find_threshold(rule, [rival.accuracy for rival in rivals])
        if threshold is None or self._best >= threshold:
            return None, []
        pruning = Pruning(rule.rule, epoch.epoch, self._best, threshold, tuple(rivals))
        record_pruning(self._results, self._trial_id, pruning)
        return find_pruning(self._results, self._trial_id), []


class EpochQueue:
    """The epochs of a trial that runs ahead of its comparison: each is recorded once the one before it is decided.

    So what is on record of a trial does not depend on who is quicker.

    Args:
        record: takes an epoch and puts it on record
        comparison: None where nothing is compared

    Attributes:
        recorded: the epochs on record, in order
        num_come: the number of the last epoch that has come
        is_pruned: the reason is on record
    """

    def __init__(self, record: Callable[[EpochRecord], None], comparison: Comparison | None) -> None:
        self._record = record
        self._comparison = comparison
        #: Epochs that have come, the first of them recorded and compared, and not decided.
        self._undecided: deque[EpochRecord] = deque()
        self.recorded: list[EpochRecord] = []
        self.num_come = 0
        self.is_pruned = False

    @property
    def is_behind(self) -> bool:
        """An epoch has come whose comparison waits for a trial of lower index."""
        return bool(self._undecided) and not self.is_pruned

    def add(self, epochs: Iterable[EpochRecord]) -> None:
        """Take epochs as they come. One that has come before is left out, and so is one that comes before its turn."""
        for epoch in epochs:
            if epoch.epoch == self.num_come + 1:
                self.num_come += 1
                self._undecided.append(epoch)

    def decide(self) -> None:
        """Record and compare as many epochs as can be; waits for nobody.

        Raises:
            StoreError: the trial has ended
        """
        while self.is_behind:
            epoch = self._undecided[0]
            if len(self.recorded) < epoch.epoch:
                self._record(epoch)
                self.recorded.append(epoch)
            if self._comparison is not None:
                pruning, awaited = self._comparison.look(epoch)
                self.is_pruned = pruning is not None
                if awaited:
                    return
            self._undecided.popleft()


class Pruner:
    """Compares a trial with its rivals after each of its epochs, in the trial's own process."""

    def __init__(self, results: ResultsStore, spec: TrialSpec, rule: EarlyStopping) -> None:
        self._comparison = Comparison(results, rule, spec.trial_id, spec.eid, spec.trial_index, spec.max_epochs)
        self._trial_index = spec.trial_index
        self._parent = os.getppid()

    def compare(self, epoch: EpochRecord) -> None:
        """Compare the trial after an epoch that it has just recorded; waits for trials of lower index.

        Raises:
            Pruned: the trial ends here; the reason is on record
            WorkFailedError: the process that started the trial is gone
        """
        pause = _FIRST_PAUSE
        while True:
            pruning, awaited = self._comparison.look(epoch)
            if pruning is not None:
                raise Pruned(pruning.sentence)
            if not awaited:
                return
            if os.getppid() != self._parent:
                raise WorkFailedError(
                    f"trial {self._trial_index}: the process that started it ended while it waited at epoch "
                    f"{epoch.epoch} for trials {awaited}; resume the search to run it again"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
