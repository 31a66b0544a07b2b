"""Named protocols, and the split of the utterances into train and validation under one.

A ``Protocol`` holds every choice that changes a score and that the paper, its published code and
careful practice make differently. Its hash is stored with every trial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, cast

from harness.codec import to_plain
from harness.corpus.layout import SESSIONS
from harness.corpus.utterances import Happiness, parse_utterance_id
from harness.errors import ExperimentFileError, FeatureError, show_value, unknown_name
from harness.files import hash_json

#: Utterances of Sessions 1-4 that train during the search, and that are held out of it.
#: Source: paper, section 3 (838 of 3838 validate).
NUM_TRAIN_UTTERANCES, NUM_HOLDOUT_UTTERANCES = 3000, 838

#: The test session of the paper: no search opens it.
SEALED_SESSION = 5
#: The highest ``max_words``. Ours: a hundred times the longest turn of the corpus, and arrays that a machine can hold.
MOST_WORDS = 10_000


class SplitRule(StrEnum):
    """The rule that splits the sessions that are not tested into train and validation."""

    HOLDOUT_BY_ID = "holdout-by-id"  # sorted by id, the first 3000 of 3838 train (or that share of fewer)
    LAST_SESSION = "last-session"  # the last but the test session validates: new speakers


class TestedSpeakers(StrEnum):
    """The speakers of the test session whose utterances are the test set."""

    __test__ = False

    BOTH = "both"
    FEMALE = "F"
    MALE = "M"


class EpochChoice(StrEnum):
    """The utterances that choose the epoch of a final training's score."""

    VALIDATION = "validation"
    TEST_MAXIMUM = "test-maximum"  # the published code's: the best of all test epochs, optimistic


class KeptWeights(StrEnum):
    """The weights that a training keeps; a trial's score is always the validation accuracy of the weights kept."""

    BEST_EPOCH = "best-epoch"  # of the epoch of the highest validation accuracy
    SMOOTHED = "smoothed"  # of the epoch of the highest validation accuracy, averaged over it and its neighbours
    LOSS = "loss"  # of the epoch of the lowest validation loss
    AVERAGE = "average"  # a moving average over the steps, at the epoch of its highest validation accuracy


class Calibrating(StrEnum):
    """What is done to a trained model's probabilities; its answers stay the same."""

    NONE = "none"
    TEMPERATURE = "temperature"  # one number, fitted on the validation predictions of the search's trial


class FinalLength(StrEnum):
    """The length of a training on train + validation."""

    EPOCHS = "epochs"  # as many as the kept epoch's number in the search
    UPDATES = "updates"  # as many training steps as until then in the search, to the nearest whole epoch


class Recordings(StrEnum):
    ALL = "all"
    IMPROVISED = "improvised"
    SCRIPTED = "scripted"


#: The speech features of the paper, by their name in ``features.speech.SPEECH_VARIANTS``.
DEFAULT_SPEECH_VARIANT = "short-term"


class SpeechSource(StrEnum):
    UTTERANCE = "utterance"
    DIALOGUE_LEFT = "dialogue-left"  # the left channel of the dialogue's recording, for both speakers


class Chroma(StrEnum):
    LIBRARY = "library"
    ZEROS = "zeros"


class HeadAndHand(StrEnum):
    MEASURED = "measured"
    ZEROS = "zeros"


class MocapOrder(StrEnum):
    """The order of the columns, over which the convolutions run."""

    FACE_HAND_HEAD = "face-hand-head"
    HEAD_HAND_FACE = "head-hand-face"


class MocapGaps(StrEnum):
    TRAINING_MEAN = "training-mean"
    NEIGHBOURS = "neighbours"  # from the nearest windows of the utterance; scaled values are clipped too
    ZEROS = "zeros"


class ListenerMocap(StrEnum):
    USED = "used"
    MASKED = "masked"


class Scaling(StrEnum):
    STANDARDISED = "standardised"  # by mean and deviation of the training utterances
    NONE = "none"


class SpeakerScaling(StrEnum):
    """The turns that give the mean and the deviation of a speaker's speech and motion."""

    NONE = "none"  # nobody's: `Scaling` says what is done
    OWN = "own"  # all of the speaker's own in the session, labelled or not: adapted to the test speakers
    PAST = "past"  # those up to the scaled one, as a system has them that answers while people speak: adapted too


class Lengths(StrEnum):
    REAL = "real"  # masks; padding changes nothing
    PADDED = "padded"  # zeros to the full length, on the left for words, and no mask


class LayerDefaults(StrEnum):
    """The source of a system's default gates, recurrent dropout, directions and optimisers."""

    PAPER = "paper"
    PUBLISHED_CODE = "published-code"


class Vocabulary(StrEnum):
    TRAINING = "training"
    EVERYTHING_OPENED = "everything-opened"  # also the scored utterances': validation in a search, test at the end


class Scenes(StrEnum):
    """Whether training may read the scenes that are scored; every session plays the same."""

    SHARED = "shared"
    DISJOINT = "disjoint"  # a search validates on one group of scenes; a final training is one model a group


class ClassWeights(StrEnum):
    """The weight of each class in the loss."""

    NONE = "none"
    BALANCED = "balanced"  # by inverse frequency in the training utterances, mean 1: every class weighs the same


@dataclass(frozen=True)
class Protocol:
    """Every named choice between the paper, its published code and strict practice.

    Source: the paper's text; where its code differs, the ``published-code`` preset.
    """

    name: str
    split_rule: SplitRule = SplitRule.HOLDOUT_BY_ID
    test_session: int = SEALED_SESSION
    test_speaker: TestedSpeakers = TestedSpeakers.BOTH
    recordings: Recordings = Recordings.ALL
    epoch_choice: EpochChoice = EpochChoice.VALIDATION
    speech_source: SpeechSource = SpeechSource.UTTERANCE
    trims_edge_frames: bool = False
    chroma: Chroma = Chroma.LIBRARY
    head_and_hand: HeadAndHand = HeadAndHand.MEASURED
    mocap_order: MocapOrder = MocapOrder.FACE_HAND_HEAD
    mocap_gaps: MocapGaps = MocapGaps.TRAINING_MEAN
    listener_mocap: ListenerMocap = ListenerMocap.USED
    scaling: Scaling = Scaling.STANDARDISED
    lengths: Lengths = Lengths.REAL
    max_words: int = 500
    layer_defaults: LayerDefaults = LayerDefaults.PAPER
    vocabulary: Vocabulary = Vocabulary.TRAINING
    happiness: Happiness = Happiness.EXCITED
    scenes: Scenes = Scenes.SHARED
    class_weights: ClassWeights = ClassWeights.NONE
    speaker_scaling: SpeakerScaling = SpeakerScaling.NONE
    kept_weights: KeptWeights = KeptWeights.BEST_EPOCH
    final_length: FinalLength = FinalLength.EPOCHS
    calibration: Calibrating = Calibrating.NONE

    def __post_init__(self) -> None:
        if self.test_session not in SESSIONS:
            raise ExperimentFileError(
                f"protocol {self.name!r}: test_session is {self.test_session}; expected one of {list(SESSIONS)}"
            )
        if not 1 <= self.max_words <= MOST_WORDS:
            raise ExperimentFileError(
                f"protocol {self.name!r}: max_words is {self.max_words}; expected from 1 to {MOST_WORDS}"
            )

    @property
    def choices(self) -> dict[str, Any]:
        """The choices that decide a score, as plain values: all but the name.

        A choice of ``_LATER_CHOICES`` is left out while it has its default, so that hashes of before it existed hold.
        """
        defaults = {each.name: each.default for each in fields(self) if each.name in _LATER_CHOICES}
        choices = self.to_json()
        del choices["name"]
        return {key: choice for key, choice in choices.items() if choice != defaults.get(key)}

    @property
    def protocol_hash(self) -> str:
        """16 hexadecimal digits over every choice, but not the name."""
        return hash_json(self.choices)

    @property
    def shares_speakers(self) -> bool:
        """True where validation hears speakers that training has heard."""
        return self.split_rule is SplitRule.HOLDOUT_BY_ID

    @property
    def tests_one_speaker(self) -> bool:
        """Whether one speaker is the test set; the partner's turns of the same dialogues then train or validate."""
        return self.test_speaker is not TestedSpeakers.BOTH

    @property
    def scales_by_speaker(self) -> bool:
        """True where each speaker's own turns scale his or her speech."""
        return self.speaker_scaling is not SpeakerScaling.NONE

    @property
    def can_centre_functionals(self) -> bool:
        """True where functionals can be centred by speaker: all turns scale the speech, and no frame is made up."""
        choices = (self.speaker_scaling, self.lengths, self.chroma)
        return choices == (SpeakerScaling.OWN, Lengths.REAL, Chroma.LIBRARY)

    @property
    def averages_weights(self) -> bool:
        """True where a model answers with the moving average of its weights."""
        return self.kept_weights is KeptWeights.AVERAGE

    @property
    def scales_by_past(self) -> bool:
        """True where the turns up to a turn, and no later one, scale it."""
        return self.speaker_scaling is SpeakerScaling.PAST

    @property
    def test_set(self) -> str:
        """The test set as a sentence names it: ``"Session 3"`` or ``"Speaker Ses03F"``."""
        if not self.tests_one_speaker:
            return f"Session {self.test_session}"
        return f"Speaker Ses{self.test_session:02d}{self.test_speaker}"

    def to_json(self) -> dict[str, Any]:
        """Every choice by name, as plain values."""
        return cast(dict[str, Any], to_plain(self))


#: The preset that is recommended for the best honest model.
CAREFUL = "careful"

#: The part of a protocol's name under which a speaker's own turns scale his or her speech.
_ADAPTED = {choice: f"+speaker_scaling={choice}" for choice in (SpeakerScaling.OWN, SpeakerScaling.PAST)}

_LATER_CHOICES = frozenset(
    {
        "test_speaker",
        "happiness",
        "scenes",
        "class_weights",
        "speaker_scaling",
        "kept_weights",
        "final_length",
        "calibration",
    }
)

PROTOCOLS: Mapping[str, Protocol] = {
    "paper": Protocol("paper"),
    "published-code": Protocol(
        "published-code",
        epoch_choice=EpochChoice.TEST_MAXIMUM,
        speech_source=SpeechSource.DIALOGUE_LEFT,
        trims_edge_frames=True,
        chroma=Chroma.ZEROS,
        head_and_hand=HeadAndHand.ZEROS,
        mocap_order=MocapOrder.HEAD_HAND_FACE,
        mocap_gaps=MocapGaps.ZEROS,
        scaling=Scaling.NONE,
        lengths=Lengths.PADDED,
        max_words=50,
        layer_defaults=LayerDefaults.PUBLISHED_CODE,
        vocabulary=Vocabulary.EVERYTHING_OPENED,
    ),
    "strict": Protocol("strict", split_rule=SplitRule.LAST_SESSION),
    CAREFUL: Protocol(
        f"{CAREFUL}{_ADAPTED[SpeakerScaling.OWN]}",
        split_rule=SplitRule.LAST_SESSION,
        mocap_gaps=MocapGaps.NEIGHBOURS,
        speaker_scaling=SpeakerScaling.OWN,
        kept_weights=KeptWeights.SMOOTHED,
    ),
}


def preset_of(value: object) -> str:
    """Return the name of the preset that a protocol begins with, as ``read_protocol`` takes it.

    Example:
        >>> preset_of("strict"), preset_of({"base": "careful", "max_words": 50}), preset_of({})
        ('strict', 'careful', 'paper')
    """
    return str(value.get("base", "paper") if isinstance(value, Mapping) else value)


def default_speech(preset: str) -> str:
    """Return the name of the speech features that a preset chooses for systems that read more than one kind.

    Example:
        >>> default_speech("careful"), default_speech("paper")
        ('detailed', 'short-term')
    """
    return "detailed" if preset == CAREFUL else DEFAULT_SPEECH_VARIANT


def read_protocol(value: object, modalities: Collection[str] = ()) -> Protocol:
    """Read a protocol: a preset's name, or an object ``{"base": preset, choice: value, ...}``.

    Where scenes are disjoint, classes are balanced unless the object says otherwise: a scene that is left out takes its
    emotion's utterances with it, and unweighted training would answer less of that emotion.

    A protocol that adapts to speakers says so in its name, whatever the object names it.

    Args:
        modalities: those that the system can read. Of words, ``careful`` keeps the scored scenes out of training; of
            words alone it scales no speaker's speech. The object may say otherwise

    Raises:
        UnknownNameError: no such preset, or no such value for a choice
        ExperimentFileError: no such choice, or a value of the wrong type
    """
    if "text" in modalities and preset_of(value) == CAREFUL:
        of_words = {"scenes": Scenes.DISJOINT.value}
        if len(modalities) == 1:
            of_words["speaker_scaling"] = SpeakerScaling.NONE.value
        value = {"base": CAREFUL, **of_words, **(value if isinstance(value, Mapping) else {})}
    if isinstance(value, str):
        if value not in PROTOCOLS:
            raise unknown_name("protocol", value, PROTOCOLS)
        return PROTOCOLS[value]
    if not isinstance(value, Mapping):
        raise ExperimentFileError(
            f"protocol: found {show_value(value)}; expected one of {sorted(PROTOCOLS)}, or an object with 'base' and "
            "choices"
        )
    base = read_protocol(preset_of(value))
    choices = {key: choice for key, choice in value.items() if key not in {"base", "name"}}
    if not choices and "name" not in value:
        return base
    if choices.get("scenes") == Scenes.DISJOINT:
        choices = {"class_weights": ClassWeights.BALANCED.value} | choices
    known = {field.name: getattr(base, field.name) for field in fields(Protocol) if field.name != "name"}
    for key, choice in choices.items():
        if key not in known:
            raise unknown_name("choice of a protocol", key, known)
        choices[key] = _read_choice(key, choice, known[key])
    changes = {key: choice for key, choice in choices.items() if choice != known[key]}
    kept = base.name if "speaker_scaling" not in changes else preset_of(value)
    label = kept + "".join(f"+{key}={choice}" for key, choice in sorted(changes.items()))
    name = value.get("name", label)
    if not isinstance(name, str) or not name.strip():
        raise ExperimentFileError(f"protocol: name is {show_value(name)}; expected a text that is more than spaces")
    chosen = choices.get("speaker_scaling", base.speaker_scaling)
    for scaling, mark in _ADAPTED.items():
        if mark in name and chosen is not scaling:
            raise ExperimentFileError(
                f"protocol {name!r}: its name says that speech is scaled by speaker, and speaker_scaling is "
                f"'{chosen}'; expected another name"
            )
    if chosen in _ADAPTED and not adapts_to_speakers(name):
        name += _ADAPTED[chosen]
    return replace(base, name=name, **choices)


def adapts_to_speakers(protocol_name: str) -> bool:
    """Return whether the protocol of this name adapts to the test speakers, without their labels.

    Example:
        >>> own = read_protocol({"base": "strict", "name": "mine", "speaker_scaling": "own"})
        >>> adapts_to_speakers(own.name), adapts_to_speakers("strict")
        (True, False)
    """
    return any(mark in protocol_name for mark in _ADAPTED.values())


def leave_scenes_out(protocol: Protocol) -> Protocol:
    """Return the same protocol with disjoint scenes, and balanced classes as ``read_protocol`` has them there.

    Example:
        >>> found = leave_scenes_out(read_protocol("strict"))
        >>> found.name, found.scenes.value, found.class_weights.value
        ('strict+scenes=disjoint', 'disjoint', 'balanced')
    """
    name = f"{protocol.name}+scenes={Scenes.DISJOINT}"
    return replace(protocol, name=name, scenes=Scenes.DISJOINT, class_weights=ClassWeights.BALANCED)


def _read_choice(key: str, choice: object, default: object) -> Any:
    if isinstance(default, StrEnum):
        allowed = [member.value for member in type(default)]
        if choice not in allowed:
            raise unknown_name(f"value of the protocol's {key!r}:", choice, allowed)
        return type(default)(choice)
    if type(choice) is not type(default):
        raise ExperimentFileError(
            f"protocol choice {key!r}: found {show_value(choice)}; expected a value like {show_value(default)}"
        )
    return choice


@dataclass(frozen=True)
class Split:
    """The utterance ids of train and validation.

    The test set's ids are not here: to list them is to open the test set.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]


def search_sessions(protocol: Protocol) -> tuple[int, ...]:
    """The sessions that a search may open under ``protocol``: all but the test session.

    Where one speaker is the test set, the test session is among them: the partner's turns train or validate, and
    ``is_tested`` says which utterances stay sealed.
    """
    return SESSIONS if protocol.tests_one_speaker else _other_sessions(protocol)


def _other_sessions(protocol: Protocol) -> tuple[int, ...]:
    return tuple(session for session in SESSIONS if session != protocol.test_session)


def is_tested(protocol: Protocol, utterance_id: str) -> bool:
    """Return True for an utterance of the test set, which no search reads.

    Example:
        >>> protocol = read_protocol({"test_session": 3, "test_speaker": "F"})
        >>> is_tested(protocol, "Ses03M_impro01_F000"), is_tested(protocol, "Ses03M_impro01_M000")
        (True, False)
    """
    name = parse_utterance_id(utterance_id)
    is_there = name.session == protocol.test_session
    return is_there and (not protocol.tests_one_speaker or name.speaker[-1] == protocol.test_speaker)


def select_recordings(utterance_ids: Sequence[str], recordings: Recordings) -> list[str]:
    """Keep the ids that ``recordings`` names, sorted."""
    if recordings is Recordings.ALL:
        return sorted(utterance_ids)
    keeps_scripted = recordings is Recordings.SCRIPTED
    return sorted(
        utterance_id
        for utterance_id in utterance_ids
        if parse_utterance_id(utterance_id).is_scripted == keeps_scripted
    )


def make_split(protocol: Protocol, utterance_ids: Sequence[str]) -> Split:
    """Split the four-class utterances that are not tested, whatever their scenes; ``part_search`` keeps those apart.

    Args:
        protocol: names the rule
        utterance_ids: ids of all four-class utterances outside the test set, in any order

    Raises:
        FeatureError: an id of the test set is among them, or a part would be empty

    Source: paper, section 3: of the 3838 utterances of Sessions 1-4 the last 838 by id validate.
    """
    selected = select_recordings(utterance_ids, protocol.recordings)
    sealed = [name for name in selected if is_tested(protocol, name)]
    if sealed:
        raise FeatureError(
            f"utterance {sealed[0]!r}: belongs to {protocol.test_set}, which protocol {protocol.name!r} keeps for the "
            "test; expected a split without it"
        )
    if protocol.split_rule is SplitRule.HOLDOUT_BY_ID:
        share = NUM_TRAIN_UTTERANCES / (NUM_TRAIN_UTTERANCES + NUM_HOLDOUT_UTTERANCES)
        cut = round(len(selected) * share)
        train, validation = selected[:cut], selected[cut:]
    else:
        last_session = max(_other_sessions(protocol))
        train = [name for name in selected if parse_utterance_id(name).session != last_session]
        validation = [name for name in selected if parse_utterance_id(name).session == last_session]
    if not train or not validation:
        raise FeatureError(
            f"protocol {protocol.name!r}: {len(selected)} utterances are split into {len(train)} for training and "
            f"{len(validation)} for validation; expected at least one of each"
        )
    return Split(tuple(train), tuple(validation))
