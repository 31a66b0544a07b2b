"""The systems by name: their inputs, their hyperparameters and the ranges of those. No TensorFlow here."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from harness.corpus.layout import MocapStream
from harness.errors import ExperimentFileError, unknown_name
from harness.models.hyperparameters import (
    Face1Hyperparameters,
    FusionHyperparameters,
    Gates,
    Hyperparameters,
    MotionLstmHyperparameters,
    Optimizer,
    SingleHyperparameters,
    Speech1Hyperparameters,
    Speech2Hyperparameters,
    Speech3Hyperparameters,
    Speech4Hyperparameters,
    Text1Hyperparameters,
    Text2Hyperparameters,
    Text3Hyperparameters,
)
from harness.splits.protocol import LayerDefaults, Protocol

#: From (included) and to (excluded) of each hyperparameter that is not a count; a count is at least 1.
RANGES: Mapping[str, tuple[float, float]] = {
    "dropout": (0.0, 1.0),
    "recurrent_dropout": (0.0, 1.0),
    "learning_rate": (1e-12, math.inf),
    "adamlr": (1e-12, math.inf),
    "directions": (1, 3),
    "filters": (8, math.inf),  # halved three times
}

#: The largest floating-point number: no model can have NaN, an infinity or a longer integer.
LARGEST = sys.float_info.max

#: 2018's Keras, which the published code ran on.
_OLD_GATES = {"gates": Gates.HARD_SIGMOID}


@dataclass(frozen=True)
class System:
    """One architecture of the paper under its name here.

    Attributes:
        modalities: those that the system reads, in the order of its branches
        hyperparameters: a frozen dataclass; its fields are all that may be searched or set
        description: the layers between the input and the softmax
        section: of the paper
        streams: of the motion capture, in the order of the columns
        published_code: defaults under the published code's maths, where they differ from the paper's
    """

    name: str
    published_name: str
    modalities: tuple[str, ...]
    hyperparameters: type[Hyperparameters]
    description: str
    section: str
    streams: tuple[MocapStream, ...] = tuple(MocapStream)
    published_code: Mapping[str, Any] = field(default_factory=dict)


_SECTIONS = {"speech": "4.1", "text": "4.2", "mocap": "4.3"}


def _single(
    name: str,
    published_name: str,
    modality: str,
    hyperparameters: type[Hyperparameters],
    description: str,
    *streams: MocapStream,
    **published_code: Any,
) -> System:
    """One modality's system; of the motion it reads ``streams``, or all of them."""
    return System(
        name,
        published_name,
        (modality,),
        hyperparameters,
        description,
        _SECTIONS[modality],
        streams or tuple(MocapStream),
        _OLD_GATES | published_code,
    )


def _fused(name: str, published_name: str, *modalities: str) -> System:
    branches = {"text": "text2", "speech": "speech4", "mocap": "mocap1"}
    *first, last = (branches[modality] for modality in modalities)
    return System(
        name,
        published_name,
        modalities,
        FusionHyperparameters,
        f"{', '.join(first)} and {last} without their softmax, concatenated",
        "5.1",
        published_code=_OLD_GATES | {"recurrent_dropout": 0.2, "directions": 1},
    )


_FACE, _HAND, _HEAD = MocapStream.FACE, MocapStream.HAND, MocapStream.HEAD
_SYSTEMS = (
    _single("speech1", "Speech_Model1", "speech", Speech1Hyperparameters, "three Dense layers over all frames"),
    _single("speech2", "Speech_Model2", "speech", Speech2Hyperparameters, "two stacked LSTMs"),
    _single(
        "speech3", "Speech_Model3", "speech", Speech3Hyperparameters, "an LSTM, then an attentive recurrent layer"
    ),
    _single("speech4", "Speech_Model4", "speech", Speech4Hyperparameters, "as speech3, in both directions"),
    _single("text1", "Text_Model1", "text", Text1Hyperparameters, "four convolutions over word vectors"),
    _single("text2", "Text_Model2", "text", Text2Hyperparameters, "two stacked LSTMs over word vectors"),
    _single("text3", "Text_Model3", "text", Text3Hyperparameters, "as text2, over word vectors that begin at random"),
    _single("head1", "Head_Model1", "mocap", MotionLstmHyperparameters, "an LSTM over the head", _HEAD),
    _single("head2", "Head_Model2", "mocap", SingleHyperparameters, "one Dense layer", _HEAD),
    _single("hand1", "Hand_Model1", "mocap", MotionLstmHyperparameters, "an LSTM over the hands", _HAND),
    _single("hand2", "Hand_Model2", "mocap", SingleHyperparameters, "one Dense layer", _HAND),
    _single("face1", "Face_Model1", "mocap", Face1Hyperparameters, "two stacked LSTMs", _FACE),
    _single("face2", "Face_Model2", "mocap", SingleHyperparameters, "five convolutions", _FACE),
    _single(
        "mocap1",
        "Mocap_Model1",
        "mocap",
        SingleHyperparameters,
        "five convolutions over face, hand and head",
        optimizer=Optimizer.SGD,
        learning_rate=0.01,
    ),
    _fused("speech_text", "Text + Speech", "text", "speech"),
    _fused("fusion", "Combined", "text", "speech", "mocap"),
)

SYSTEMS: Mapping[str, System] = {system.name: system for system in _SYSTEMS}


def find_system(name: str) -> System:
    """Return a system by its name.

    Raises:
        UnknownNameError: there is no such system
    """
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    return SYSTEMS[name]


def read_hyperparameters(system: System, values: Mapping[str, Any], protocol: Protocol) -> Hyperparameters:
    """Complete some hyperparameters with the system's defaults.

    Args:
        values: hyperparameters by name, plain values
        protocol: chooses the defaults, the paper's or the published code's

    Raises:
        UnknownNameError: a name, or the value of a named choice, that the system does not have
        ExperimentFileError: a value of the wrong type, or out of its range

    Example:
        >>> from harness.splits.protocol import PROTOCOLS
        >>> read_hyperparameters(SYSTEMS["fusion"], {"textlstm": 200}, PROTOCOLS["paper"]).textlstm
        200
    """
    known = {field.name: field.default for field in fields(system.hyperparameters)}
    defaults = dict(system.published_code) if protocol.layer_defaults is LayerDefaults.PUBLISHED_CODE else {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name(f"hyperparameter of system {system.name!r}:", name, known)
        defaults[name] = _read_value(system.name, name, value, known[name])
    return system.hyperparameters(**defaults)


def _read_value(system_name: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, StrEnum):
        allowed = [member.value for member in type(default)]
        if value not in allowed:
            raise unknown_name(f"value of hyperparameter {name!r}:", value, allowed)
        return type(default)(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST
    if not is_number or (isinstance(default, int) and value != int(value)):
        kind = "an integer" if isinstance(default, int) else "a number"
        raise ExperimentFileError(
            f"system {system_name!r}: hyperparameter {name!r} is {value!r}; expected {kind}"
        )
    number = type(default)(value)
    low, high = RANGES.get(name, (1, math.inf))
    if not low <= number < high:
        raise ExperimentFileError(
            f"system {system_name!r}: hyperparameter {name!r} is {value!r}; expected "
            + (f"from {low:g} to below {high:g}" if high < math.inf else f"at least {low:g}")
        )
    return number
