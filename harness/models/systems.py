"""The systems by name: their inputs, their hyperparameters and the ranges of those. No TensorFlow here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.corpus.layout import MocapStream
from harness.errors import ExperimentFileError, show_value, unknown_name
from harness.features.context import Context, ContextTurns
from harness.models.hyperparameters import (
    AcnnHyperparameters,
    AsrTransferHyperparameters,
    Centring,
    ChainHyperparameters,
    ContextHyperparameters,
    CtcHyperparameters,
    DialogueNetworkHyperparameters,
    Face1Hyperparameters,
    FunctionalsHyperparameters,
    FusionHyperparameters,
    Gates,
    Hyperparameters,
    MotionLstmHyperparameters,
    NullStateHyperparameters,
    OneLabelHyperparameters,
    Optimizer,
    OwnHyperparameters,
    PastHyperparameters,
    SegmentHyperparameters,
    SingleHyperparameters,
    Speech1Hyperparameters,
    Speech2Hyperparameters,
    Speech3Hyperparameters,
    Speech4Hyperparameters,
    Text1Hyperparameters,
    Text2Hyperparameters,
    Text3Hyperparameters,
    TextTermsHyperparameters,
    TextVectorHyperparameters,
    TrainingHyperparameters,
    TurnVectors,
    UniSvmHyperparameters,
    VectorHyperparameters,
    is_number,
)
from harness.models.own import OwnSystem, describe_function
from harness.splits.protocol import (
    DEFAULT_SPEECH_VARIANT,
    ClassWeights,
    LayerDefaults,
    Protocol,
    Scaling,
    SpeakerScaling,
)

#: The end of a range that includes 1.
_ABOVE_1 = math.nextafter(1.0, 2.0)

#: From (included) and to (excluded) of each hyperparameter that is not a count; a count is at least 1. A range of one
#: system's alone has the system's name in front.
RANGES: Mapping[str, tuple[float, float]] = {
    "dropout": (0.0, 1.0),
    "recurrent_dropout": (0.0, 1.0),
    "word_dropout": (0.0, 1.0),
    "input_dropout": (0.0, 1.0),
    "label_smoothing": (0.0, 1.0),
    "soft_labels": (0.0, _ABOVE_1),
    "scene_robustness": (0.0, _ABOVE_1),
    "weight_decay": (0.0, math.inf),
    "class_weight_power": (0.0, _ABOVE_1),
    "clip_norm": (0.0, math.inf),
    "noise": (0.0, math.inf),
    "time_masks": (0, math.inf),
    "learning_rate": (1e-12, math.inf),
    "adamlr": (1e-12, math.inf),
    "activation_weight": (0.0, math.inf),
    "valence_weight": (0.0, math.inf),
    "directions": (1, 3),
    "asr_layer": (1, 3),
    "text1.filters": (8, math.inf),  # halved three times
    "svm_cost": (1e-12, math.inf),
    "svm_width": (1e-12, math.inf),
    "logistic_cost": (1e-12, math.inf),
    "segment_share": (0.001, _ABOVE_1),
    "regularisation": (1e-12, math.inf),
    "width": (1e-12, math.inf),
    "acnn.width": (1, math.inf),  # frames
}

#: The modalities that some regularisation of training reads; the others are of the loss or of the weights.
REGULARISED: Mapping[str, tuple[str, ...]] = {
    "word_dropout": ("text",),
    "input_dropout": ("speech", "text", "mocap"),
    "noise": ("speech", "mocap"),
    "time_masks": ("speech", "mocap"),
}
_OF_TRAINING = (
    *REGULARISED,
    *("label_smoothing", "soft_labels", "scene_robustness", "weight_decay", "class_weight_power", "clip_norm"),
)
#: Those of a user's own system that this package reads too.
_OF_OWN = (
    *(each.name for each in fields(OwnHyperparameters)),
    *REGULARISED,
    *("dropout", "embedding_dimension", "random_dimension"),
)
#: Those that part one target between classes.
_OF_TARGETS = ("label_smoothing", "soft_labels")

#: 2018's Keras, which the published code ran on.
_OLD_GATES = {"gates": Gates.HARD_SIGMOID}


@dataclass(frozen=True)
class System:
    """One architecture under its name here.

    Attributes:
        published_name: in the paper; the source of a system that is not the paper's
        modalities: those that the system can read, in the order of its branches; ``modalities_of`` knows those that
            some hyperparameters read
        hyperparameters: a frozen dataclass; its fields are all that may be searched or set
        description: the layers between the input and the softmax
        section: of the paper; None for a system that is not the paper's
        streams: of the motion capture, in the order of the columns
        published_code: defaults under the published code's maths, where they differ from the paper's
        contexts: the values that its hyperparameter ``context`` can have; empty for a system of single utterances
        turn_model: the system below it, where the experiment file names none; None for a regression
        speech_features: the name of the ``SPEECH_VARIANTS`` that it reads where the experiment file names none; a
            system that names another than the default reads no other
        departures: the defaults that the paper's text does not have, in sentences; empty where there are none
        has_hidden: True where activations stand before its softmax, which a network over dialogues may read; False
            where something else answers, such as a classifier over the network's own answers
        own: the user's function that builds it; None for a system of this package
    """

    name: str
    published_name: str
    modalities: tuple[str, ...]
    hyperparameters: type[Hyperparameters]
    description: str
    section: str | None = None
    streams: tuple[MocapStream, ...] = tuple(MocapStream)
    published_code: Mapping[str, Any] = field(default_factory=dict)
    contexts: tuple[Context, ...] = ()
    turn_model: str | None = None
    speech_features: str = DEFAULT_SPEECH_VARIANT
    departures: str = ""
    has_hidden: bool = True
    own: OwnSystem | None = None

    @property
    def source(self) -> str:
        """Where the system comes from, as a title."""
        if self.section is None:
            return self.published_name
        return f"{self.published_name} in the paper, section {self.section}"


_SECTIONS = {"speech": "4.1", "text": "4.2", "mocap": "4.3"}
#: Section 4 gives these a dropout of 0.2; all others have it here too.
_WITH_DROPOUT = ("text1", "face2", "mocap1")
_OUR_DROPOUT = "The paper has no dropout in this system: the default is ours, and 0 is as its text."


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
        departures="" if name in _WITH_DROPOUT else _OUR_DROPOUT,
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
        departures=(
            "The default branches are the published code's: both text LSTMs have textlstm units, and each branch ends "
            "in a linear layer. With branches 'paper', textlstm 512 and branch_dense 512 they are those of the text. "
            "The dropout of 0.2 in the branches of words and speech is ours: section 4 has it in convolutions alone."
        ),
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
    _single("text3", "Text_Model3", "text", Text3Hyperparameters, "as text2, over word vectors that start at random"),
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
    System(
        "ctc",
        "Chernykh et al. 2018",
        ("speech",),
        CtcHyperparameters,
        "two BLSTM layers and the likelihood of one label among Nulls",
        has_hidden=False,
    ),
    System(
        "one_label",
        "Chernykh et al. 2018",
        ("speech",),
        OneLabelHyperparameters,
        "the same layers and the last state, a baseline of ctc",
    ),
    System(
        "acnn",
        "Neumann and Vu 2017",
        ("speech",),
        AcnnHyperparameters,
        "convolutions over short frames, pooled with attention, that answer activation and valence too",
        speech_features="frames",
        has_hidden=False,
    ),
    System(
        "asr_transfer",
        "after Lakomkin et al. 2017",
        ("speech",),
        AsrTransferHyperparameters,
        "the layers of a speech recogniser that is trained on the training dialogues, then attention",
        speech_features="frames",
    ),
    System(
        "uni_svm",
        "Poria et al. 2017",
        ("text", "speech", "mocap"),
        UniSvmHyperparameters,
        "a support vector machine over the vectors of one utterance, of the modalities that vectors names",
        has_hidden=False,
    ),
    System(
        "dnn_elm",
        "Han et al. 2014",
        ("speech",),
        SegmentHyperparameters,
        "three Dense layers over the loudest segments, and an extreme learning machine over their answers",
        speech_features="frames",
        has_hidden=False,
    ),
    System(
        "blstm_null",
        "Lee and Tashev 2015",
        ("speech",),
        NullStateHyperparameters,
        "two BLSTM layers, the emotion or Null of every frame by voiced segments, and a kernel machine over them",
        speech_features="frames",
        has_hidden=False,
    ),
    System(
        "speech_functionals",
        "ours",
        ("speech",),
        FunctionalsHyperparameters,
        "a support vector machine, a logistic regression or a small network over seven statistics of each number of a "
        "frame",
        has_hidden=False,
    ),
    System(
        "speech_vector",
        "ours",
        ("speech",),
        VectorHyperparameters,
        "one Dense layer over one vector an utterance of a file of yours, or over the mean of its frames",
    ),
    System(
        "text_vector",
        "ours",
        ("text",),
        TextVectorHyperparameters,
        "one Dense layer over one vector an utterance of a file of yours, or over the mean of its word vectors",
    ),
    System(
        "chain",
        "Yeh et al. 2020",
        ("text", "speech"),
        ChainHyperparameters,
        "a chain of emotions over a dialogue's class probabilities that uses who speaks",
        contexts=(Context.NONE, Context.PAST, Context.DIALOGUE),
    ),
    System(
        "sc_lstm",
        "Poria et al. 2017",
        ("text", "speech"),
        PastHyperparameters,
        "an LSTM over the turns of a dialogue so far",
        contexts=(Context.NONE, Context.PAST),
    ),
    System(
        "bc_lstm",
        "Poria et al. 2017",
        ("text", "speech"),
        ContextHyperparameters,
        "an LSTM over all turns of a dialogue, in both directions",
        contexts=(Context.NONE, Context.DIALOGUE),
    ),
    System(
        "text_terms",
        "none, ours",
        ("text",),
        TextTermsHyperparameters,
        "TF-IDF of words, sentence marks and pairs, and nothing between it and the softmax",
        has_hidden=False,
    ),
    System(
        "fusion_context",
        "Poria et al. 2017",
        ("text", "speech", "mocap"),
        DialogueNetworkHyperparameters,
        "the LSTM of bc_lstm over the activations of fusion, which answers each turn and then stays as it is",
        contexts=(Context.NONE, Context.DIALOGUE),
        turn_model="fusion",
    ),
)

#: The systems that can read a user's file in place of words.
TEXT_FEATURE_READERS = ("text1", "text2", "text_vector", "speech_text", "fusion")
#: The hyperparameters that have no meaning there.
OF_WORDS = ("word_dropout", "word_vectors", "embedding_dimension")

SYSTEMS: Mapping[str, System] = {system.name: system for system in _SYSTEMS}
#: In the name of a system that reads dialogues, where it reads each turn alone.
NO_CONTEXT = "no context"
#: The hyperparameters that stand in a system's name.
_CHOICES_OF_CONTEXT = ("context", "turns")
#: Those that stand in the paper's tables.
PAPER_SYSTEMS: Mapping[str, System] = {system.name: system for system in _SYSTEMS if system.section is not None}


def names_own(text: str) -> bool:
    """Return whether a system's text in an experiment file is meant to name a function of a file.

    Example:
        >>> names_own("mine.py:build"), names_own("mine.py"), names_own("fusion")
        (True, True, False)
    """
    return text.endswith(".py") or ".py:" in text


def read_system(text: str, folder: Path, *, has_masks: bool = True, has_words: bool = True) -> System:
    """Return the system that an experiment file names: one of this package, or a function of the user's file.

    Args:
        folder, has_masks, has_words: as ``describe_function`` takes them

    Raises:
        UnknownNameError: there is no such system
        ExperimentFileError: as ``describe_function``
    """
    if not names_own(text):
        return find_system(text)
    own = describe_function(text, folder, has_masks=has_masks, has_words=has_words)
    return find_system(own.name, own.to_plain())


def find_system(name: str, own: Mapping[str, Any] | None = None) -> System:
    """Return a system by its name.

    Args:
        own: as ``OwnSystem.to_plain`` returned it, of a function of the user's; its code is not run

    Raises:
        UnknownNameError: there is no such system
        ExperimentFileError, CodecError: as ``OwnSystem.from_plain`` and ``OwnSystem.stand_in``; or the function has
            another name
    """
    if own is not None:
        found = OwnSystem.from_plain(own)
        if found.name != name:
            raise ExperimentFileError(
                f"system {show_value(name)}: what is recorded of it is of {found.name!r}; expected the same name in "
                "both; restore a copy, or search again with `aup experiment.json`"
            )
        return System(
            name,
            "your own",
            found.modalities,
            found.stand_in(),
            f"the model that function {found.function} of {found.file_name} builds",
            has_hidden=False,
            own=found,
        )
    if name not in SYSTEMS:
        raise unknown_name("system", name, SYSTEMS)
    return SYSTEMS[name]


def modalities_of(system: System, hyperparameters: Hyperparameters) -> tuple[str, ...]:
    """Return the modalities that a system with these hyperparameters reads, in the order of its branches.

    A turn model reads its own system's in their place.
    """
    if isinstance(hyperparameters, ChainHyperparameters | ContextHyperparameters | UniSvmHyperparameters):
        return hyperparameters.vectors.modalities
    return system.modalities


def name_system(name: str, hyperparameters: Mapping[str, Any]) -> str:
    """Name a system with the context that its hyperparameters choose; any other system by its name alone.

    Args:
        name: of a system; another text, such as that of an experiment with a script of its own, is returned
        hyperparameters: plain values by name; where one is missing, the system's default stands

    Example:
        >>> name_system("chain", {"context": "past"}), name_system("fusion", {})
        ('chain (past)', 'fusion')
        >>> name_system("bc_lstm", {"turns": "labelled-only"})
        'bc_lstm (dialogue, labelled-only)'
    """
    system = SYSTEMS.get(name)
    if system is None or not system.contexts:
        return name
    defaults = {field.name: field.default for field in fields(system.hyperparameters)}
    context, turns = (hyperparameters.get(choice, defaults[choice]) for choice in _CHOICES_OF_CONTEXT)
    only = "" if turns == ContextTurns.ALL or context == Context.NONE else f", {turns}"
    return f"{name} ({NO_CONTEXT if context == Context.NONE else context}{only})"


def has_recogniser(name: str) -> bool:
    """Return whether a system takes over the layers of a speech recogniser.

    Example:
        >>> has_recogniser("asr_transfer"), has_recogniser("speech4")
        (True, False)
    """
    return name in SYSTEMS and SYSTEMS[name].hyperparameters is AsrTransferHyperparameters


def is_in_context(named: str) -> bool:
    """Return whether a name is that of a system that reads dialogues, with or without its context.

    Example:
        >>> is_in_context("chain (past)"), is_in_context("chain"), is_in_context("fusion"), is_in_context("")
        (True, True, False, False)
    """
    system = SYSTEMS.get(named.partition(" ")[0])
    return system is not None and bool(system.contexts)


def name_searched(name: str, search_space: Sequence[Any]) -> str:
    """Name the system of a search: with its context, unless the search chooses that.

    Args:
        name: as ``name_system``
        search_space: entries of ``parameter_config``; whatever is none has no say

    Example:
        >>> context = {"name": "context", "type": "choice"}
        >>> name_searched("chain", [{**context, "range": ["past"]}])
        'chain (past)'
        >>> name_searched("chain", [{**context, "range": ["past", "dialogue"]}])
        'chain'
    """
    entries = [entry for entry in search_space if isinstance(entry, dict)]
    ranges = {entry["name"]: entry.get("range") for entry in entries if entry.get("name") in _CHOICES_OF_CONTEXT}
    fixed = {name: values[0] for name, values in ranges.items() if isinstance(values, list) and len(values) == 1}
    return name_system(name, fixed) if len(fixed) == len(ranges) else name


def read_hyperparameters(system: System, values: Mapping[str, Any], protocol: Protocol) -> Hyperparameters:
    """Complete some hyperparameters with the system's defaults.

    Args:
        values: hyperparameters by name, plain values
        protocol: chooses the defaults, the paper's or the published code's

    Raises:
        UnknownNameError: a name, or the value of a named choice, that the system does not have
        ExperimentFileError: a value of the wrong type, or out of its range; a regularisation that has no meaning for
            the system; or a system that reads dialogues under a protocol that parts them

    Example:
        >>> from harness.splits.protocol import PROTOCOLS
        >>> read_hyperparameters(SYSTEMS["fusion"], {"textlstm": 200}, PROTOCOLS["paper"]).textlstm
        200
    """
    if system.contexts:
        _check_dialogues(system, protocol)
    known = {field.name: field.default for field in fields(system.hyperparameters)}
    defaults = dict(system.published_code) if protocol.layer_defaults is LayerDefaults.PUBLISHED_CODE else {}
    for name, value in values.items():
        if name not in known:
            raise unknown_name(f"hyperparameter of system {system.name!r}:", name, known)
        defaults[name] = _read_value(system, name, value, known[name])
    if system.contexts and (context := defaults.get("context", known["context"])) not in system.contexts:
        raise ExperimentFileError(
            f"system {system.name!r}: hyperparameter 'context' is {context.value!r}; expected one of "
            f"{[each.value for each in system.contexts]}"
        )
    found = system.hyperparameters(**defaults)
    if isinstance(found, TrainingHyperparameters):
        _check_regularisation(system, found, protocol)
    if isinstance(found, FunctionalsHyperparameters) and found.centring is Centring.SPEAKER:
        _check_centring(system, protocol)
    if isinstance(found, ChainHyperparameters | ContextHyperparameters):
        _check_vectors(system, found.vectors, protocol)
    return found


def _check_regularisation(system: System, point: TrainingHyperparameters, protocol: Protocol) -> None:
    used = [name for name in _OF_TRAINING if getattr(point, name, 0)]
    trained = modalities_of(system, point)
    if isinstance(point, UniSvmHyperparameters):
        # Its vector of speech has nothing to train.
        trained = tuple(modality for modality in trained if modality != "speech")
    for name in used:
        reason = None
        read = REGULARISED.get(name, trained)
        if point.is_fitted_at_once and name != "class_weight_power":
            reason = "nothing of it is trained by steps"
        elif system.contexts and name in REGULARISED:
            reason = "it reads the vectors of turns, not words, frames or motion"
        elif name != "class_weight_power" and not set(read) & set(trained):
            reason = f"its layers are trained on {' and '.join(trained)}, and it is of {' and '.join(read)}"
        elif name == "noise" and protocol.scaling is Scaling.NONE and not protocol.scales_by_speaker:
            reason = f"it is added to scaled numbers, and protocol {protocol.name!r} scales none"
        elif name == "class_weight_power" and protocol.class_weights is ClassWeights.BALANCED:
            reason = f"every class has the same weight under protocol {protocol.name!r}"
        elif name in _OF_TARGETS and isinstance(point, CtcHyperparameters | NullStateHyperparameters):
            reason = "the likelihoods of the labels that it is trained by are not shares of one whole"
        if reason is not None:
            raise ExperimentFileError(
                f"system {system.name!r}: hyperparameter {name!r} is {getattr(point, name)!r} and has no meaning, for "
                f"{reason}; expected 0"
            )


def _check_centring(system: System, protocol: Protocol) -> None:
    if not protocol.can_centre_functionals:
        raise ExperimentFileError(
            f"system {system.name!r}: hyperparameter 'centring' is 'speaker', and protocol {protocol.name!r} has "
            f"speaker_scaling {protocol.speaker_scaling.value!r}, lengths {protocol.lengths.value!r} and chroma "
            f"{protocol.chroma.value!r}; expected 'own', 'real' and 'library', or centring 'none'"
        )


def _check_vectors(system: System, vectors: TurnVectors, protocol: Protocol) -> None:
    if "speech" in vectors.modalities and protocol.speaker_scaling is SpeakerScaling.PAST:
        raise ExperimentFileError(
            f"system {system.name!r}: hyperparameter 'vectors' is {vectors.value!r}, and functionals of a turn's "
            f"speech cannot be scaled by the turns so far yet, which protocol {protocol.name!r} chooses; expected "
            f"{TurnVectors.TFIDF.value!r}, a turn model, or speaker_scaling 'own' or 'none'"
        )


def _check_dialogues(system: System, protocol: Protocol) -> None:
    if protocol.tests_one_speaker:
        raise ExperimentFileError(
            f"system {system.name!r}: reads both speakers of a dialogue, and protocol {protocol.name!r} keeps "
            f"{protocol.test_set} alone for the test; expected a whole session as the test set"
        )


def _read_value(system: System, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, StrEnum):
        allowed = [member.value for member in type(default)]
        if value not in allowed:
            raise unknown_name(f"value of hyperparameter {name!r}:", value, allowed)
        return type(default)(value)
    if not is_number(value) or (isinstance(default, int) and value != int(value)):
        kind = "an integer" if isinstance(default, int) else "a number"
        raise ExperimentFileError(
            f"system {system.name!r}: hyperparameter {name!r} is {show_value(value)}; expected {kind}"
        )
    number = type(default)(value)
    low, high = _range_of(system, name)
    if not low <= number < high:
        end = "1" if high == _ABOVE_1 else f"below {high:g}"
        raise ExperimentFileError(
            f"system {system.name!r}: hyperparameter {name!r} is {show_value(value)}; expected "
            + (f"from {low:g} to {end}" if high < math.inf else f"at least {low:g}")
        )
    return number


def _range_of(system: System, name: str) -> tuple[float, float]:
    """Return the range of a number; what only a user's own function reads may have any value that is finite."""
    if system.own is None or name in _OF_OWN:
        return RANGES.get(f"{system.name}.{name}") or RANGES.get(name, (1, math.inf))
    return -math.inf, math.inf
