"""What a synthetic corpus will hold: every dialogue and utterance, its times, and what it expresses."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.corpus.checks import PUBLISHED_COUNTS
from harness.corpus.synthetic.damage import SECONDS_BEYOND, Damage, choose_damaged
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.synthetic.table import (
    NUM_FOUR_CLASS,
    NUM_MARKED,
    SCRIPTED_COUNTS,
    SESSIONS,
    apportion,
    count_classes,
    count_others,
    dialogue_ids,
)
from harness.corpus.utterances import CLASSES, Emotion, Seconds

#: The class whose expression an utterance of another label borrows; the rest borrow one by chance.
LIKENESSES: Mapping[Emotion, Emotion] = {emotion: emotion for emotion in CLASSES} | {
    Emotion.FRUSTRATION: Emotion.ANGER,
    Emotion.DISGUST: Emotion.ANGER,
    Emotion.HAPPINESS: Emotion.EXCITEMENT,
    Emotion.SURPRISE: Emotion.EXCITEMENT,
    Emotion.FEAR: Emotion.SADNESS,
}

_AROUSED = frozenset({Emotion.ANGER, Emotion.EXCITEMENT})
_NEGATIVE = frozenset({Emotion.ANGER, Emotion.SADNESS})
_TENSE = frozenset({Emotion.ANGER, Emotion.NEUTRAL})


@dataclass(frozen=True)
class Tell:
    """What one modality lets slip.

    Attributes:
        first_side: the classes that show its first side; the other two show its second
        flip_probability: that a planted cue shows the wrong side
    """

    first_side: frozenset[Emotion]
    flip_probability: float


#: Speech tells arousal, words tell valence and motion tells what is neither, so that one alone leaves two
#: classes open and any two leave one.
MAIN_TELLS: Mapping[Cue, Tell] = {
    Cue.SPEECH: Tell(_AROUSED, 0.05),
    Cue.TEXT: Tell(_NEGATIVE, 0.05),
    Cue.FACE: Tell(_TENSE, 0.06),
    Cue.HAND: Tell(_TENSE, 0.06),
    Cue.HEAD: Tell(_TENSE, 0.06),
}

#: Each also says a little of what another tells. With these probabilities a perfect reader of one modality
#: alone is right for 50 to 65 %, and a perfect reader of all for more than 90 %. Motion tells more than the
#: others because it tells anything for the marked half alone.
FAINT_TELLS: Mapping[Cue, Tell] = {
    Cue.SPEECH: Tell(_NEGATIVE, 0.36),
    Cue.TEXT: Tell(_AROUSED, 0.36),
    Cue.FACE: Tell(_AROUSED, 0.24),
    Cue.HAND: Tell(_AROUSED, 0.24),
    Cue.HEAD: Tell(_AROUSED, 0.24),
}

#: Deviation of a duration's logarithm. A choice: the real corpus's mean of 4.6 s and 95th percentile
#: of 11.2 s give 0.68, with a tail that short recordings have no room for.
_DURATION_SPREAD = 0.5
SHORTEST: Seconds = 0.58
_LONGEST_IN_MEANS = 34.1 / 4.6
SHORT_DAMAGE: Seconds = 0.15
_PAUSES: tuple[Seconds, Seconds] = (0.06, 0.14)
EDGE: Seconds = 0.3  # silence before the first and after the last utterance


@dataclass(frozen=True)
class PlannedUtterance:
    """One turn.

    Attributes:
        start, end: when it is spoken, in seconds from the beginning of the dialogue, to 0.1 ms
        main_sides: the cues whose main tell shows its first side; the others' shows its second
        faint_sides: the same for their faint tells
        damage: what is wrong with it on purpose
    """

    utterance_id: str
    emotion: Emotion
    is_marked: bool
    start: Seconds
    end: Seconds
    main_sides: frozenset[Cue]
    faint_sides: frozenset[Cue]
    damage: Damage | None

    @property
    def speaker_letter(self) -> str:
        """``F`` or ``M``."""
        return self.utterance_id[-4]


@dataclass(frozen=True)
class PlannedDialogue:
    """One recording, its utterances in the order of time.

    Attributes:
        seconds: length of the recording
        has_crlf: whether its text files end lines as Windows does
    """

    dialogue_id: str
    utterances: tuple[PlannedUtterance, ...]
    seconds: Seconds
    has_crlf: bool

    @property
    def session(self) -> int:
        return int(self.dialogue_id[3:5])

    @property
    def marked_letter(self) -> str:
        """``F`` or ``M``: who wears the markers."""
        return self.dialogue_id[5]

    @property
    def script(self) -> str | None:
        """The script, e.g. ``script01_1``, which other takes and sessions share; None where improvised."""
        name = self.dialogue_id.split("_", 1)[1]
        return name.rstrip("ab") if name.startswith("script") else None


@dataclass(frozen=True)
class CorpusPlan:
    """All dialogues, sorted by id."""

    settings: SyntheticSettings
    dialogues: tuple[PlannedDialogue, ...]

    @property
    def num_utterances(self) -> int:
        return sum(len(dialogue.utterances) for dialogue in self.dialogues)

    @property
    def num_four_class(self) -> int:
        return sum(utterance.emotion in CLASSES for one in self.dialogues for utterance in one.utterances)


def plan_corpus(settings: SyntheticSettings) -> CorpusPlan:
    """Decide what a synthetic corpus holds. Nothing is written.

    Classes and labels have the real corpus's counts by session times ``settings.scale``, the real
    shares come from scripted dialogues and from speakers who wear the markers, and neither these nor
    the place in a dialogue, the duration or the damage depend on the emotion.

    Returns:
        the same for the same settings
    """
    casts = {}
    for session in SESSIONS:
        casts.update(_cast_session(settings, session))
    generator = settings.generator("damage")
    damages: Mapping[str, Damage] = {}
    crlf: frozenset[str] = frozenset()
    if settings.irregularities:
        four_class = [name for cast in casts.values() for name, emotion, _ in cast if emotion in CLASSES]
        last = [cast[-1][0] for cast in casts.values()]
        damages = choose_damaged(four_class, last, settings.scale, generator)
        num_crlf = max(1, round(len(casts) / 10))
        crlf = frozenset(map(str, generator.choice(np.array(sorted(casts)), size=num_crlf, replace=False)))
    return CorpusPlan(
        settings,
        tuple(
            _plan_dialogue(settings, dialogue_id, casts[dialogue_id], damages, dialogue_id in crlf)
            for dialogue_id in sorted(casts)
        ),
    )


def annotated_end(dialogue: PlannedDialogue, utterance: PlannedUtterance) -> Seconds:
    """Return the end that the labels and transcripts state, which damage moves beyond the recording."""
    if utterance.damage is Damage.BEYOND_RECORDING:
        return dialogue.seconds + SECONDS_BEYOND
    return utterance.end


_Turns = list[tuple[Emotion, bool]]
_NamedTurn = tuple[str, Emotion, bool]


def _cast_session(settings: SyntheticSettings, session: int) -> dict[str, list[_NamedTurn]]:
    """Return (utterance id, emotion, whether marked) in the order of time, by dialogue."""
    generator = settings.generator(f"session {session}")
    cast: dict[str, list[_NamedTurn]] = {}
    groups = _split_kinds(settings.scale, session, generator)
    for is_scripted, group in zip((True, False), groups, strict=True):
        generator.shuffle(group)
        names = [name for name in dialogue_ids(session, settings.scale) if ("_script" in name) == is_scripted]
        weights = generator.uniform(0.6, 1.4, size=len(names))
        weights[[name.endswith("script01_1b") for name in names]] = 0.3
        sizes = [1 + size for size in apportion(len(group) - len(names), weights.tolist())]
        for name, size in zip(names, sizes, strict=True):
            turns, group = group[:size], group[size:]
            cast[name] = _name_turns(name, turns)
    return cast


def _split_kinds(scale: float, session: int, generator: np.random.Generator) -> tuple[_Turns, _Turns]:
    """Part a session's labels into scripted and improvised, and say of each whether its speaker is marked."""
    scripted_share = SCRIPTED_COUNTS[session] / sum(PUBLISHED_COUNTS[session].values())
    num_marked = _count_marked(scale)[session]
    kinds: tuple[_Turns, _Turns] = ([], [])
    for counts, marked in ((count_classes(scale)[session], num_marked), (count_others(scale)[session], None)):
        labels = [emotion for emotion, count in counts.items() for _ in range(count)]
        generator.shuffle(labels)
        marks = np.arange(len(labels)) < (len(labels) // 2 if marked is None else marked)
        generator.shuffle(marks)
        cut = round(len(labels) * scripted_share)
        pairs = list(zip(labels, marks.tolist(), strict=True))
        kinds[0].extend(pairs[:cut])
        kinds[1].extend(pairs[cut:])
    return kinds


def _count_marked(scale: float) -> dict[int, int]:
    sizes = [sum(counts.values()) for counts in count_classes(scale).values()]
    return dict(zip(SESSIONS, apportion(round(sum(sizes) * NUM_MARKED / NUM_FOUR_CLASS), sizes), strict=True))


def _name_turns(dialogue_id: str, turns: _Turns) -> list[_NamedTurn]:
    marked = dialogue_id[5]
    listener = "M" if marked == "F" else "F"
    numbers: Counter[str] = Counter()
    named = []
    for emotion, is_marked in turns:
        letter = marked if is_marked else listener
        named.append((f"{dialogue_id}_{letter}{numbers[letter]:03d}", emotion, is_marked))
        numbers[letter] += 1
    return named


def _plan_dialogue(
    settings: SyntheticSettings,
    dialogue_id: str,
    cast: list[_NamedTurn],
    damages: Mapping[str, Damage],
    has_crlf: bool,
) -> PlannedDialogue:
    sides = settings.generator(dialogue_id, "sides")
    times = settings.generator(dialogue_id, "times")
    clock = EDGE
    utterances = []
    for utterance_id, emotion, is_marked in cast:
        damage = damages.get(utterance_id)
        duration = _draw_duration(settings.seconds_per_utterance, times)
        start = round(clock, 4)
        end = round(start + (SHORT_DAMAGE if damage is Damage.SHORT else duration), 4)
        likeness = LIKENESSES.get(emotion, CLASSES[sides.integers(len(CLASSES))])
        main_sides = _draw_sides(settings.cues, likeness, MAIN_TELLS, sides)
        faint_sides = _draw_sides(settings.cues, likeness, FAINT_TELLS, sides)
        utterances.append(
            PlannedUtterance(utterance_id, emotion, is_marked, start, end, main_sides, faint_sides, damage)
        )
        clock = end + times.uniform(*_PAUSES)
    return PlannedDialogue(dialogue_id, tuple(utterances), round(utterances[-1].end + EDGE, 4), has_crlf)


def _draw_duration(mean: Seconds, generator: np.random.Generator) -> Seconds:
    shortest = min(SHORTEST, mean / 2)
    # Lognormal above the shortest, so that the mean stays what was asked for.
    location = math.log(mean - shortest) - _DURATION_SPREAD**2 / 2
    return float(min(shortest + generator.lognormal(location, _DURATION_SPREAD), _LONGEST_IN_MEANS * mean))


def _draw_sides(
    cues: frozenset[Cue], likeness: Emotion, tells: Mapping[Cue, Tell], generator: np.random.Generator
) -> frozenset[Cue]:
    """Return the cues that show their first side; for one that is not planted a fair coin decides."""
    shown = set()
    for cue, chance in zip(Cue, generator.random(len(Cue)), strict=True):
        is_flipped = chance < (tells[cue].flip_probability if cue in cues else 0.5)
        if (likeness in tells[cue].first_side) != is_flipped:
            shown.add(cue)
    return frozenset(shown)
