"""The systems by name: what each reads, and what may be searched. No TensorFlow here."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from harness.corpus.layout import MocapStream
from harness.errors import ExperimentFileError, unknown_name
from harness.models import hyperparameters as points
from harness.models.hyperparameters import Gates, Hyperparameters, Optimizer
from harness.splits.protocol import LayerDefaults, Protocol

#: From (included) and to (excluded) of what is no count; a count is at least 1.
RANGES: Mapping[str, tuple[float, float]] = {
    "dropout": (0.0, 1.0),
    "recurrent_dropout": (0.0, 1.0),
    "learning_rate": (1e-12, math.inf),
    "adamlr": (1e-12, math.inf),
    "directions": (1, 3),
    "filters": (8, math.inf),  # halved three times
}

#: The largest floating-point number: NaN, the infinities and longer integers are none that a model can have.
LARGEST = sys.float_info.max

#: 2018's Keras, which the published code ran on.
_OLD_GATES = {"gates": Gates.HARD_SIGMOID}


@dataclass(frozen=True)
class System:
    """One architecture of the paper under its name here.

    Attributes:
        modalities: what the system reads, in the order of its branches
        hyperparameters: a frozen dataclass; its fields are all that may be searched or set
        description: what stands between the input and the softmax
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


def _speech(name: str, number: int, point: type[Hyperparameters], description: str) -> System:
    return System(
        name,
        f"Speech_Model{number}",
        ("speech",),
        point,
        description,
        "4.1",
        published_code=_OLD_GATES,
    )


def _text(name: str, number: int, point: type[Hyperparameters], description: str) -> System:
    return System(
        name, f"Text_Model{number}", ("text",), point, description, "4.2", published_code=_OLD_GATES
    )


def _motion(
    name: str,
    published_name: str,
    point: type[Hyperparameters],
    description: str,
    *streams: MocapStream,
    **published_code: Any,
) -> System:
    return System(
        name,
        published_name,
        ("mocap",),
        point,
        description,
        "4.3",
        streams or tuple(MocapStream),
        {**_OLD_GATES, **published_code},
    )


_FUSED = {**_OLD_GATES, "recurrent_dropout": 0.2, "directions": 1}
_SYSTEMS = (
    _speech("speech1", 1, points.Speech1Hyperparameters, "three Dense layers over all frames"),
    _speech("speech2", 2, points.Speech2Hyperparameters, "two stacked LSTMs"),
    _speech("speech3", 3, points.Speech3Hyperparameters, "an LSTM, then an attentive recurrent layer"),
    _speech("speech4", 4, points.Speech4Hyperparameters, "as speech3, in both directions"),
    _text("text1", 1, points.Text1Hyperparameters, "four convolutions over word vectors"),
    _text("text2", 2, points.Text2Hyperparameters, "two stacked LSTMs over word vectors"),
    _text("text3", 3, points.Text3Hyperparameters, "as text2, over word vectors that begin at random"),
    _motion("head1", "Head_Model1", points.MotionLstmHyperparameters, "an LSTM over the head", MocapStream.HEAD),
    _motion("head2", "Head_Model2", points.MotionDenseHyperparameters, "one Dense layer", MocapStream.HEAD),
    _motion("hand1", "Hand_Model1", points.MotionLstmHyperparameters, "an LSTM over the hands", MocapStream.HAND),
    _motion("hand2", "Hand_Model2", points.MotionDenseHyperparameters, "one Dense layer", MocapStream.HAND),
    _motion("face1", "Face_Model1", points.Face1Hyperparameters, "two stacked LSTMs", MocapStream.FACE),
    _motion(
        "face2", "Face_Model2", points.MotionConvolutionHyperparameters, "five convolutions", MocapStream.FACE
    ),
    _motion(
        "mocap1",
        "Mocap_Model1",
        points.MotionConvolutionHyperparameters,
        "five convolutions over face, hand and head",
        optimizer=Optimizer.SGD,
        learning_rate=0.01,
    ),
    System(
        "speech_text",
        "Text + Speech",
        ("text", "speech"),
        points.FusionHyperparameters,
        "text2 and speech4 without their softmax, concatenated",
        "5.1",
        published_code=_FUSED,
    ),
    System(
        "fusion",
        "Combined",
        ("text", "speech", "mocap"),
        points.FusionHyperparameters,
        "text2, speech4 and mocap1 without their softmax, concatenated",
        "5.1",
        published_code=_FUSED,
    ),
)

SYSTEMS: Mapping[str, System] = {system.name: system for system in _SYSTEMS}


def find_system(name: str) -> System:
    """Return a system by its name.

    Raises:
        UnknownNameError: there is none of that name
    """
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    return SYSTEMS[name]


def read_hyperparameters(
    system: System, values: Mapping[str, Any], protocol: Protocol
) -> Hyperparameters:
    """Complete a point with the system's defaults.

    Args:
        values: hyperparameters by name, plain values
        protocol: says whose defaults, the paper's or the published code's

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
