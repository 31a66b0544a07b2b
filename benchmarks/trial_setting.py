"""The settings given to the competitors of `benchmarks.trial`, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.measured_models import MeasuredModel
from benchmarks.utterance_lengths import InventedCorpus
from harness.features.fitted import Inputs
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
        return self.corpus.fit(self.model.system.modalities, protocol).prepare(self.corpus.open(part))

    def cut(self, protocol: Protocol) -> Protocol:
        return protocol if self.max_words is None else replace(protocol, max_words=self.max_words)


@dataclass(frozen=True)
class Epoch:
    """Seconds of one epoch, measured or scaled from a part of it."""

    training: float
    validation: float

    @property
    def total(self) -> float:
        return self.training + self.validation
