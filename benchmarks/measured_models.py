"""The models that `benchmarks.trial` measures: which system, under which protocol, and how fast it has to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import SYSTEMS, System, read_hyperparameters
from harness.splits.protocol import Lengths, Protocol, read_protocol


@dataclass(frozen=True)
class Targets:
    """The targets of a model; None where there is none.

    Attributes:
        plain: times that an epoch is faster than in plain Keras, at least
        torch: likewise PyTorch with packed sequences
        floor: times that it may take longer than the floor, at most
        memory_gigabytes: of its own, below
    """

    plain: float | None = None
    torch: float | None = None
    floor: float | None = None
    memory_gigabytes: float | None = None


@dataclass(frozen=True)
class MeasuredModel:
    """One row of the comparison.

    Attributes:
        description: what is trained
        system_name: one of ``SYSTEMS``
        protocol_value: as an experiment file names it
        values: hyperparameters that are not the system's own
    """

    description: str
    system_name: str
    protocol_value: object = "paper"
    values: Mapping[str, Any] = field(default_factory=dict)
    targets: Targets = Targets()

    @property
    def system(self) -> System:
        return SYSTEMS[self.system_name]

    @property
    def protocol(self) -> Protocol:
        return read_protocol(self.protocol_value)

    @property
    def padded_protocol(self) -> Protocol:
        """The same with every utterance padded to the full length, as plain Keras has it."""
        return replace(self.protocol, lengths=Lengths.PADDED)

    @property
    def is_padded(self) -> bool:
        return self.protocol.lengths is Lengths.PADDED

    @property
    def choices(self) -> Hyperparameters:
        return read_hyperparameters(self.system, self.values, self.protocol)


#: All of them with the same optimiser, so that the rows compare.
_ADAM = {"optimizer": "adam", "learning_rate": 0.001}
_PADDED = {"base": "paper", "lengths": "padded"}

MEASURED: Mapping[str, MeasuredModel] = {
    "fusion-paper": MeasuredModel(
        "combined model as in the paper: attention speech in both directions, at most 500 words, real lengths",
        "fusion",
        targets=Targets(plain=11, torch=2, floor=1.8, memory_gigabytes=2),
    ),
    "fusion-published": MeasuredModel(
        "combined model as published: speech in one direction, at most 50 words, recurrent dropout 0.2, "
        "hard sigmoid gates; real lengths",
        "fusion",
        {"base": "published-code", "lengths": "real"},
        targets=Targets(plain=3, torch=2, memory_gigabytes=2),
    ),
    "speech4": MeasuredModel("Speech_Model4, real lengths", "speech4", values=_ADAM, targets=Targets(plain=5)),
    "text2": MeasuredModel(
        "Text_Model2, at most 500 words, real lengths", "text2", values=_ADAM, targets=Targets(plain=40)
    ),
    "mocap1": MeasuredModel("Mocap_Model1", "mocap1", values=_ADAM, targets=Targets(plain=1.1)),
    "fusion-padded": MeasuredModel(
        "combined model as in the paper, published-code maths (padded, no mask), dropout 0",
        "fusion",
        _PADDED,
        {"dropout": 0.0},
        Targets(plain=7, memory_gigabytes=2),
    ),
    "fusion-padded-dropout": MeasuredModel(
        "combined model as in the paper, published-code maths (padded, no mask), dropout 0.2",
        "fusion",
        _PADDED,
        targets=Targets(memory_gigabytes=2),
    ),
}
