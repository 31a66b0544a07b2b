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
        seconds: of an epoch, at most
    """

    plain: float | None = None
    torch: float | None = None
    floor: float | None = None
    memory_gigabytes: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class MeasuredModel:
    """One row of the comparison.

    Attributes:
        description: what is trained
        system_name: one of ``SYSTEMS``
        protocol_value: as an experiment file names it
        values: hyperparameters that are not the system's own
        compared_layer: the layer whose outputs, after a softmax, PyTorch's are compared with; None for the answers
        has_torch: whether there is a counterpart in PyTorch
        trains_recogniser: whether the recogniser is measured, whose layers the system takes over
        num_train: utterances that are trained on
    """

    description: str
    system_name: str
    protocol_value: object = "paper"
    values: Mapping[str, Any] = field(default_factory=dict)
    targets: Targets = Targets()
    compared_layer: str | None = None
    has_torch: bool = True
    trains_recogniser: bool = False
    num_train: int = 3000

    @property
    def system(self) -> System:
        return SYSTEMS[self.system_name]

    @property
    def is_of_paper(self) -> bool:
        """Whether it is one of the paper's own; plain Keras and the floor know no other."""
        return self.system.section is not None

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
#: Of the systems that the paper compares with.
_COMPARED = Targets(memory_gigabytes=2, seconds=60)

MEASURED: Mapping[str, MeasuredModel] = {
    "fusion-paper": MeasuredModel(
        "combined model as in the paper: attention speech in both directions, at most 500 words, real lengths",
        "fusion",
        targets=Targets(plain=9, torch=2, floor=2.2, memory_gigabytes=2),
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
    "ctc": MeasuredModel(
        "ctc: two BLSTM layers and the likelihood of one label among Nulls",
        "ctc",
        targets=_COMPARED,
        compared_layer="label_likelihoods",
    ),
    "one_label": MeasuredModel("one_label: the same layers and the last state", "one_label", targets=_COMPARED),
    "dnn_elm": MeasuredModel(
        "dnn_elm: Dense layers over the loudest segments; ours also fits the extreme learning machine",
        "dnn_elm",
        targets=_COMPARED,
        compared_layer="label_likelihoods",
    ),
    "blstm_null": MeasuredModel(
        "blstm_null: two BLSTM layers over short frames, the sum over the paths and the kernel machine; "
        "PyTorch has the layers alone, trained by the cross-entropy of each frame",
        "blstm_null",
        targets=_COMPARED,
        compared_layer="frame_log_posteriors",
    ),
    "acnn": MeasuredModel(
        "acnn: convolutions over short frames, pooled, with attention; emotion, activation and valence",
        "acnn",
        targets=_COMPARED,
        compared_layer="scores",
    ),
    "asr_transfer": MeasuredModel(
        "asr_transfer: attention over the frozen layers of the recogniser", "asr_transfer", targets=_COMPARED
    ),
    "asr_transfer-tuned": MeasuredModel(
        "asr_transfer: the same, fine-tuned", "asr_transfer", values={"transfer": "fine-tuned"}, targets=_COMPARED
    ),
    "recogniser": MeasuredModel(
        "the recogniser of asr_transfer, by CTC over characters, on 7800 turns; no validation",
        "asr_transfer",
        targets=_COMPARED,
        compared_layer="characters",
        trains_recogniser=True,
        num_train=7800,
    ),
    "uni_svm": MeasuredModel(
        "uni_svm: convolutions over words, statistics of speech, and the support vector machine",
        "uni_svm",
        targets=_COMPARED,
        has_torch=False,
    ),
}
