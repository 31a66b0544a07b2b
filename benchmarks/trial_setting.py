"""The settings given to the competitors of `benchmarks.trial`, and their answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.measured_models import MeasuredModel
from benchmarks.utterance_lengths import InventedCorpus
from harness.features.fitted import Inputs
from harness.models.systems import modalities_of
from harness.splits.protocol import Protocol


@dataclass(frozen=True)
class Setting:
    """The settings of one competitor.

    Attributes:
        corpus: where the invented features lie
        threads: of all competitors
        is_on_gpu: otherwise the GPU is hidden from it
        max_words: of an utterance at most; None for the protocol's own
    """

    model: MeasuredModel
    corpus: InventedCorpus
    threads: int
    is_on_gpu: bool
    max_words: int | None = None

    def inputs(self, part: str, protocol: Protocol) -> Inputs:
        modalities = modalities_of(self.model.system, self.model.choices)
        return self.corpus.fit(modalities, protocol).prepare(self.corpus.open(part))

    def cut(self, protocol: Protocol) -> Protocol:
        return protocol if self.max_words is None else replace(protocol, max_words=self.max_words)


@dataclass(frozen=True)
class Epoch:
    """Seconds of one epoch, measured or scaled from a part of it.

    Attributes:
        processor: of training and validation, the process's own time on all cores together, in the kernel too. What
            else the machine does changes it little
    """

    training: float
    validation: float
    processor: float

    @classmethod
    def between(cls, training: np.ndarray, validation: np.ndarray) -> Epoch:
        """Make an epoch of two differences of ``read_clocks``."""
        return cls(float(training[0]), float(validation[0]), float(training[1] + validation[1]))

    @property
    def total(self) -> float:
        return self.training + self.validation


def read_clocks() -> np.ndarray:
    """Return float64 (2,): the seconds of a clock, and those that this process has had of the processor."""
    return np.array([time.perf_counter(), time.process_time()])
