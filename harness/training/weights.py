"""The epoch whose weights a training keeps, by the protocol's rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from harness.splits.protocol import KeptWeights
from harness.store.records import EpochRecord


@dataclass(frozen=True)
class KeptEpoch:
    """An epoch whose weights may be kept.

    Attributes:
        number: from 1
        measure: by which the rule compares epochs; the highest is kept, of equals the first
        probabilities: float32 (num_validation, 4), of the epoch
    """

    number: int
    measure: float
    weights: list[np.ndarray]
    probabilities: np.ndarray


class WeightsKeeper:
    """Keeps the weights of the epoch that a rule prefers, while a model trains.

    Under ``SMOOTHED`` an epoch's measure is the mean accuracy of itself and its two neighbours. The first and the last
    epoch stand for their own missing neighbour: a mean of two would let one neighbour decide more there than elsewhere.
    An epoch's weights are therefore copied until the next epoch is known.
    """

    def __init__(self, rule: KeptWeights) -> None:
        self._rule = rule
        self._accuracies: list[float] = []
        self._settled: KeptEpoch | None = None
        self._latest: KeptEpoch | None = None

    def add(
        self, epoch: EpochRecord, probabilities: np.ndarray, copy_weights: Callable[[], list[np.ndarray]]
    ) -> None:
        """Take the next epoch into account.

        Args:
            probabilities: float32 (num_validation, 4), of the epoch
            copy_weights: called where the epoch may be kept
        """
        self._accuracies.append(epoch.validation_accuracy)
        if self._latest is not None:
            self._settle(self._latest)
        measure = self._measure(epoch)
        if self._rule is KeptWeights.SMOOTHED or self._settled is None or measure > self._settled.measure:
            self._latest = KeptEpoch(epoch.epoch, measure, copy_weights(), probabilities)

    @property
    def best(self) -> KeptEpoch | None:
        """The epoch to keep as far as is known; None before the first."""
        known = [found for found in (self._settled, self._latest) if found is not None]
        return max(known, key=lambda found: found.measure, default=None)

    def _settle(self, latest: KeptEpoch) -> None:
        if self._rule is KeptWeights.SMOOTHED:
            latest = replace(latest, measure=self._smooth(len(self._accuracies) - 2))
        if self._settled is None or latest.measure > self._settled.measure:
            self._settled = latest
        self._latest = None

    def _measure(self, epoch: EpochRecord) -> float:
        if self._rule is KeptWeights.LOSS:
            return -epoch.validation_loss
        if self._rule is KeptWeights.SMOOTHED:
            return self._smooth(len(self._accuracies) - 1)
        return epoch.validation_accuracy

    def _smooth(self, place: int) -> float:
        last = len(self._accuracies) - 1
        # The sum is exact, so that the same three accuracies are equal in any order.
        return math.fsum(self._accuracies[min(max(each, 0), last)] for each in (place - 1, place, place + 1)) / 3
