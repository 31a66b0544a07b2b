"""The unit that is classified: one labelled turn, and the ids by which everything is found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import CorpusError

Seconds = float


class Emotion(StrEnum):
    """The labels of the corpus, by their codes in its files."""

    ANGER = "ang"
    EXCITEMENT = "exc"
    NEUTRAL = "neu"
    SADNESS = "sad"
    HAPPINESS = "hap"
    FRUSTRATION = "fru"
    SURPRISE = "sur"
    FEAR = "fea"
    DISGUST = "dis"
    OTHER = "oth"
    UNDECIDED = "xxx"


#: The lowest and the highest mean rating of valence, activation and dominance. Raters have 1 to 5. A choice: a mean
#: half a step beyond is taken as it stands, so that a slip of one rater costs no rating.
RATING_SCALE = (0.5, 5.5)

#: The four classes of the paper, in the order of every model's outputs.
CLASSES = (Emotion.ANGER, Emotion.EXCITEMENT, Emotion.NEUTRAL, Emotion.SADNESS)


class Happiness(StrEnum):
    """The class of the utterances that the raters call happy."""

    EXCITED = "excited"  # none: excitement alone is the class, 4936 utterances
    MERGED = "merged"  # that of excitement, 5531 utterances


def class_of(emotion: Emotion, happiness: Happiness) -> Emotion | None:
    """Return the class of a label, one of ``CLASSES``; None for a label that is not modelled.

    Example:
        >>> class_of(Emotion.HAPPINESS, Happiness.EXCITED), class_of(Emotion.HAPPINESS, Happiness.MERGED).value
        (None, 'exc')
    """
    if emotion is Emotion.HAPPINESS and happiness is Happiness.MERGED:
        return Emotion.EXCITEMENT
    return emotion if emotion in CLASSES else None


DIALOGUE_PATTERN = re.compile(
    r"(?P<dialogue>Ses(?P<session>0[1-5])(?P<marked>[FM])_(?P<kind>impro|script)"
    r"(?P<take>[0-9]{2}(?:_[0-9])?[a-z]?))"
)
UTTERANCE_PATTERN = re.compile(DIALOGUE_PATTERN.pattern + r"_(?P<turn>[FM])(?P<number>[0-9]{3})")


@dataclass(frozen=True)
class TurnName:
    """The parts of an utterance id."""

    utterance_id: str
    dialogue_id: str
    session: int
    speaker: str
    marked_actor: str
    is_scripted: bool

    @property
    def scene(self) -> str:
        """The improvised scenario or the script that is played, such as ``impro05`` or ``script01_1``."""
        return scene_of(self.dialogue_id)


def parse_utterance_id(utterance_id: str) -> TurnName:
    """Take an utterance id apart.

    The speaker is the session and the letter of the *turn*; the letter in the dialogue's
    name is the actor who wears the markers, often the other one.

    Raises:
        CorpusError: the id does not have the corpus's form

    Example:
        >>> name = parse_utterance_id("Ses01F_impro01_M003")
        >>> name.speaker, name.marked_actor, name.dialogue_id, name.scene
        ('Ses01M', 'Ses01F', 'Ses01F_impro01', 'impro01')
        >>> parse_utterance_id("Ses05M_script01_1b_F012").is_scripted
        True
    """
    match = UTTERANCE_PATTERN.fullmatch(utterance_id)
    if match is None:
        raise CorpusError(
            f"utterance {utterance_id!r}: is not an id of the corpus; expected one like 'Ses01F_impro01_M003'"
        )
    session = match["session"]
    return TurnName(
        utterance_id=utterance_id,
        dialogue_id=match["dialogue"],
        session=int(session),
        speaker=f"Ses{session}{match['turn']}",
        marked_actor=f"Ses{session}{match['marked']}",
        is_scripted=match["kind"] == "script",
    )


def match_dialogue_id(dialogue_id: str) -> re.Match[str]:
    """Match a dialogue id with ``DIALOGUE_PATTERN``.

    Raises:
        CorpusError: the id does not have the corpus's form
    """
    match = DIALOGUE_PATTERN.fullmatch(dialogue_id)
    if match is None:
        raise CorpusError(f"dialogue {dialogue_id!r}: is not an id of the corpus; expected one like 'Ses01F_impro01'")
    return match


def scene_of(dialogue_id: str) -> str:
    """Return the scene of a dialogue: its script or scenario, which every session and other takes play too.

    Raises:
        CorpusError: the id does not have the corpus's form

    Example:
        >>> scene_of("Ses05M_script01_1b"), scene_of("Ses03M_impro05a")
        ('script01_1', 'impro05')
    """
    match = match_dialogue_id(dialogue_id)
    return f"{match['kind']}{match['take']}".rstrip("abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Utterance:
    """One labelled turn, as the ingest found it.

    Attributes:
        emotion: the raters' label, one of all eleven
        valence, activation, dominance: mean ratings from 1 to 5; NaN where unreadable, or not of ``RATING_SCALE``
        start, end: seconds from the beginning of the dialogue
        transcript: None where the corpus has no line for it
        wav_path: relative to the corpus's root, with ``/``; None where there is no readable recording
        num_mocap_rows: rows of the face file strictly between start and end; 0 where there is none, and where no motion
            was read because features without motion were prepared
        votes: the labels that each rater named, one rater after the other; empty where the corpus has no raters' words
    """

    utterance_id: str
    emotion: Emotion
    valence: float
    activation: float
    dominance: float
    start: Seconds
    end: Seconds
    transcript: str | None
    wav_path: str | None
    num_mocap_rows: int
    votes: tuple[tuple[Emotion, ...], ...] = ()

    @property
    def name(self) -> TurnName:
        """The parts of the id."""
        return parse_utterance_id(self.utterance_id)

    @property
    def scene(self) -> str:
        """The scene that is played."""
        return self.name.scene

    @property
    def is_marked(self) -> bool:
        """True where the speaker, not the listener, wears the markers."""
        return self.name.speaker == self.name.marked_actor
