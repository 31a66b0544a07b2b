"""The plan of a synthetic corpus: every dialogue and utterance, its times, its emotion, and its damage.

The counts of utterances by session and emotion are the real corpus's, scaled. The damage is the real
corpus's irregularities, and broken files.
"""

from __future__ import annotations

import io
import math
import wave
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import gcd

import numpy as np
from numpy.typing import NDArray

from harness.corpus.audio import SAMPLING_RATE
from harness.corpus.index import PUBLISHED_COUNTS, PUBLISHED_HAPPINESS, PUBLISHED_TOTALS
from harness.corpus.layout import SESSIONS, MocapStream
from harness.corpus.synthetic.scenes import Turn, Weights, bring_out, express_moods, keep_moods, weigh_classes
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.utterances import CLASSES, Emotion, Seconds, scene_of

#: Utterances of the labels outside the four classes. Source: the real release's labels, counted.
OTHER_COUNTS: Mapping[Emotion, int] = {
    Emotion.UNDECIDED: 2507,
    Emotion.FRUSTRATION: 1849,
    Emotion.HAPPINESS: 595,
    Emotion.SURPRISE: 107,
    Emotion.FEAR: 40,
    Emotion.OTHER: 3,
    Emotion.DISGUST: 2,
}

#: Four-class utterances from scripted dialogues. Source: 2277 in all and 473 in Session 5, counted;
#: the other 1804 are spread evenly over Sessions 1 to 4.
SCRIPTED_COUNTS: Mapping[int, int] = {1: 446, 2: 426, 3: 478, 4: 454, 5: 473}

#: Four-class utterances whose speaker wears the markers. Source: as above.
NUM_MARKED = 2458

NUM_FOUR_CLASS = sum(sum(counts.values()) for counts in PUBLISHED_COUNTS.values())


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Part ``total`` into whole numbers in proportion to ``weights``, by largest remainder.

    Args:
        total: at least 0
        weights: not negative, not all zero

    Example:
        >>> apportion(10, [1, 1, 2])
        [3, 2, 5]
    """
    whole = sum(weights)
    shares = [total * weight / whole for weight in weights]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda place: (counts[place] - shares[place], place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts


def count_classes(scale: float) -> dict[int, dict[Emotion, int]]:
    """Return utterances by session and class at ``scale``; at 1 exactly the published table.

    Example:
        >>> count_classes(1.0)[5][Emotion.SADNESS]
        245
        >>> sum(sum(counts.values()) for counts in count_classes(0.1).values())
        494
    """
    cells = [PUBLISHED_COUNTS[session][emotion] for session in SESSIONS for emotion in CLASSES]
    scaled = iter(apportion(round(NUM_FOUR_CLASS * scale), cells))
    return {session: {emotion: next(scaled) for emotion in CLASSES} for session in SESSIONS}


def count_others(scale: float) -> dict[int, dict[Emotion, int]]:
    """Return utterances by session and label outside the four classes at ``scale``.

    At 1 the totals by session, the totals by label and happiness in each session are the real corpus's; how
    another label spreads over the sessions is not published, so it is in proportion to their sizes.

    Example:
        >>> others = count_others(1.0)
        >>> sum(others[3].values()), sum(others[session][Emotion.FRUSTRATION] for session in others)
        (1120, 1849)
    """
    by_session = [PUBLISHED_TOTALS[session] - sum(PUBLISHED_COUNTS[session].values()) for session in SESSIONS]
    total = round(sum(by_session) * scale)
    left = apportion(total, by_session)
    by_label = dict(zip(OTHER_COUNTS, apportion(total, list(OTHER_COUNTS.values())), strict=True))
    counts: dict[int, dict[Emotion, int]] = {session: dict.fromkeys(OTHER_COUNTS, 0) for session in SESSIONS}
    happiness = [PUBLISHED_HAPPINESS[session] for session in SESSIONS]
    for emotion in (Emotion.HAPPINESS, *(emotion for emotion in OTHER_COUNTS if emotion is not Emotion.HAPPINESS)):
        # Proportional to what is left, so that no session overflows and the last label fits exactly.
        count, weights = by_label[emotion], happiness if emotion is Emotion.HAPPINESS else left
        given = apportion(count, weights) if count else [0] * len(left)
        for place, session in enumerate(SESSIONS):
            counts[session][emotion] = given[place]
            left[place] -= given[place]
    return counts


def dialogue_ids(session: int, scale: float) -> list[str]:
    """Return the dialogues of a session at ``scale``, sorted; at 1 all of the real ones.

    Both actors and both kinds are there at every scale, and the first script is in every session.
    ``Ses05M_script01_1b`` is there at every scale. The recordings in which the man wears the markers begin with the
    scenes in the middle, so that few dialogues still play many scenes.

    Example:
        >>> dialogue_ids(1, scale=0.1)
        ['Ses01F_impro01', 'Ses01F_script01_1', 'Ses01M_impro05', 'Ses01M_script02_1']
        >>> [len(dialogue_ids(session, scale=1.0)) for session in SESSIONS]
        [28, 30, 32, 30, 31]
    """
    scripts = [f"script0{script}" for script in ("1_1", "1_2", "1_3", "2_1", "2_2", "3_1", "3_2")]
    groups = []
    for actor in "FM":
        takes = [f"impro0{take}" for take in range(1, 8 if session == 1 else 9)]
        if (session, actor) == (3, "M"):
            takes = ["impro01", "impro02", "impro03", "impro04", "impro05a", "impro06"]
            takes += ["impro07", "impro08a", "impro05b", "impro08b"]
        for group, middle in ((takes, 4), (scripts, 3)):
            ordered = group if actor == "F" else group[middle:] + group[:middle]
            groups.append([f"Ses0{session}{actor}_{take}" for take in ordered])
    places = range(max(map(len, groups)))
    interleaved = [group[place] for place in places for group in groups if place < len(group)]
    extra = ["Ses05M_script01_1b"] if session == 5 else []
    num_dialogues = max(4, round((len(interleaved) + len(extra)) * scale) - len(extra))
    return sorted(interleaved[:num_dialogues] + extra)


#: Hertz: a rate that some recordings have by accident.
OTHER_SAMPLING_RATE = 22050

#: Utterances that carry each kind of damage at scale 1; at every scale at least one does.
NUM_DAMAGED_OF_A_KIND = 3

#: Seconds by which an annotated end may lie beyond the recording.
SECONDS_BEYOND = 1.5

#: The file that macOS leaves beside another: magic number, version, filler, no entries.
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x00" + b"\x00" * 56

#: Dialogues whose motion was lost, and the streams that are missing.
MISSING_MOCAP: Mapping[str, tuple[MocapStream, ...]] = {
    "Ses05M_script01_1b": tuple(MocapStream),
    "Ses02M_script03_2": (MocapStream.HAND,),
}


class Damage(StrEnum):
    """The ways in which an utterance is damaged on purpose."""

    SHORT = "shorter than a window of 0.2 s"
    TRUNCATED = "wav ends before its header says"
    EMPTY = "wav has no byte"
    STEREO = "wav has two channels"
    OTHER_RATE = "wav has another sampling rate"
    DUPLICATE_TURN = "turn stands twice in the label file"
    NO_TRANSCRIPT = "no line in the transcript"
    ONLY_TAG = "transcript is a tag alone"
    COLON = "transcript has a colon"
    NOT_UTF8 = "transcript has a byte that is not UTF-8"
    BEYOND_RECORDING = "annotated end lies beyond the recording"


def choose_damaged(
    utterance_ids: Sequence[str], last_ids: Sequence[str], scale: float, generator: np.random.Generator
) -> dict[str, Damage]:
    """Choose the damaged utterances, whatever their emotion.

    Args:
        utterance_ids: those to choose from
        last_ids: the last utterance of every dialogue, of which some end beyond the recording
        scale: of the corpus
        generator: decides

    Returns:
        by utterance id; no utterance has two kinds
    """
    count = max(1, round(NUM_DAMAGED_OF_A_KIND * scale))
    last = generator.choice(np.array(last_ids), size=min(count, len(last_ids)), replace=False)
    damaged = {str(utterance_id): Damage.BEYOND_RECORDING for utterance_id in last}
    others = [utterance_id for utterance_id in utterance_ids if utterance_id not in set(last_ids)]
    kinds = [kind for kind in Damage if kind is not Damage.BEYOND_RECORDING for _ in range(count)]
    chosen = generator.choice(np.array(others), size=min(len(kinds), len(others)), replace=False)
    return damaged | {str(utterance_id): kind for utterance_id, kind in zip(chosen, kinds, strict=False)}


def encode_wav(samples: NDArray[np.int16], sampling_rate: int = SAMPLING_RATE) -> bytes:
    """Return the bytes of a 16-bit wav file.

    Args:
        samples: int16 (num_samples,) or (num_samples, num_channels)
        sampling_rate: hertz
    """
    content = io.BytesIO()
    with wave.open(content, "wb") as stream:
        stream.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        stream.setsampwidth(2)
        stream.setframerate(sampling_rate)
        stream.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def encode_utterance_wav(samples: NDArray[np.int16], damage: Damage | None) -> bytes:
    """Return the bytes of an utterance's wav file, damaged where it has to be.

    Args:
        samples: int16 (num_samples,), at 16 kHz
        damage: None for a sound file
    """
    if damage is Damage.EMPTY:
        return b""
    if damage is Damage.STEREO:
        return encode_wav(np.stack([samples, samples // 2], axis=1))
    if damage is Damage.OTHER_RATE:
        # Imported here, as everywhere in this package: it takes four times as long as all the rest of it.
        from scipy.signal import resample_poly

        divisor = gcd(OTHER_SAMPLING_RATE, SAMPLING_RATE)
        up, down = OTHER_SAMPLING_RATE // divisor, SAMPLING_RATE // divisor
        resampled = resample_poly(samples.astype(np.float64), up, down)
        return encode_wav(np.clip(np.rint(resampled), -32768, 32767).astype(np.int16), OTHER_SAMPLING_RATE)
    encoded = encode_wav(samples)
    if damage is Damage.TRUNCATED:
        return encoded[: 44 + (len(encoded) - 44) * 2 // 3 // 2 * 2]
    return encoded


_AROUSED = frozenset({Emotion.ANGER, Emotion.EXCITEMENT})
_NEGATIVE = frozenset({Emotion.ANGER, Emotion.SADNESS})
_TENSE = frozenset({Emotion.ANGER, Emotion.NEUTRAL})


@dataclass(frozen=True)
class Tell:
    """The sign by which one modality shows a part of the emotion.

    Attributes:
        first_side: the classes that show its first side; the other two show its second
        flip_probability: that a planted cue shows the wrong side
    """

    first_side: frozenset[Emotion]
    flip_probability: float


#: Speech shows arousal, words show valence and motion shows the rest, so that one alone leaves two classes
#: open and any two leave one.
MAIN_TELLS: Mapping[Cue, Tell] = {
    Cue.SPEECH: Tell(_AROUSED, 0.05),
    Cue.TEXT: Tell(_NEGATIVE, 0.05),
    Cue.FACE: Tell(_TENSE, 0.06),
    Cue.HAND: Tell(_TENSE, 0.06),
    Cue.HEAD: Tell(_TENSE, 0.06),
}

#: Each also shows a little of another's part. With these probabilities a perfect reader of one modality
#: alone is right for 50 to 65 %, and a perfect reader of all for more than 90 %. Motion shows more than the
#: others because it shows anything for the marked half alone.
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
        damage: None for most
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
    def scene(self) -> str:
        """The scene, e.g. ``script01_1``, which other takes and sessions share."""
        return scene_of(self.dialogue_id)

    @property
    def is_scripted(self) -> bool:
        return "_script" in self.dialogue_id


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
    """Plan a synthetic corpus. Nothing is written.

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


_NamedTurn = tuple[str, Emotion, bool]


def _cast_session(settings: SyntheticSettings, session: int) -> dict[str, list[_NamedTurn]]:
    """Return (utterance id, emotion, whether marked) in the order of time, by dialogue."""
    generator = settings.generator(f"session {session}")
    cast: dict[str, list[_NamedTurn]] = {}
    kinds = _split_kinds(settings.scale, session, generator)
    for is_scripted, turns in zip((True, False), kinds, strict=True):
        generator.shuffle(turns)
        names = [name for name in dialogue_ids(session, settings.scale) if ("_script" in name) == is_scripted]
        weights = generator.uniform(0.6, 1.4, size=len(names))
        weights[[name.endswith("script01_1b") for name in names]] = 0.3
        sizes = [1 + size for size in apportion(len(turns) - len(names), weights.tolist())]
        moods = _deal_moods(len(names), settings.generator(f"session {session}", names[0]))
        favoured: list[Weights] = []
        for name, size, mood in zip(names, sizes, moods, strict=True):
            favoured += [weigh_classes(scene_of(name), settings.scene_moods, mood, settings.moods)] * size
        turns = bring_out(turns, favoured, generator)
        for name, size in zip(names, sizes, strict=True):
            cast[name] = _name_turns(name, keep_moods(turns[:size], settings.moods, generator))
            turns = turns[size:]
    return cast


def _deal_moods(num_dialogues: int, generator: np.random.Generator) -> list[Emotion]:
    """Deal the classes, so that of few dialogues no two have the same mood."""
    dealt = generator.permutation(len(CLASSES)).tolist()
    return [CLASSES[dealt[number % len(dealt)]] for number in range(num_dialogues)]


def _split_kinds(scale: float, session: int, generator: np.random.Generator) -> tuple[list[Turn], list[Turn]]:
    """Split a session's labels into scripted and improvised ones, each with whether its speaker is marked."""
    scripted_share = SCRIPTED_COUNTS[session] / sum(PUBLISHED_COUNTS[session].values())
    num_marked = _count_marked(scale)[session]
    kinds: tuple[list[Turn], list[Turn]] = ([], [])
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


def _name_turns(dialogue_id: str, turns: Sequence[Turn]) -> list[_NamedTurn]:
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
    turns = [(emotion, is_marked) for _, emotion, is_marked in cast]
    expressed = express_moods(turns, settings.moods, settings.generator(dialogue_id, "moods"))
    clock = EDGE
    utterances = []
    for (utterance_id, emotion, is_marked), likeness in zip(cast, expressed, strict=True):
        damage = damages.get(utterance_id)
        duration = _draw_duration(settings.seconds_per_utterance, times)
        start = round(clock, 4)
        end = round(start + (SHORT_DAMAGE if damage is Damage.SHORT else duration), 4)
        any_class = CLASSES[sides.integers(len(CLASSES))]
        main_sides = _draw_sides(settings.cues, likeness or any_class, MAIN_TELLS, sides)
        faint_sides = _draw_sides(settings.cues, likeness or any_class, FAINT_TELLS, sides)
        utterances.append(
            PlannedUtterance(utterance_id, emotion, is_marked, start, end, main_sides, faint_sides, damage)
        )
        clock = end + times.uniform(*_PAUSES)
    return PlannedDialogue(dialogue_id, tuple(utterances), round(utterances[-1].end + EDGE, 4), has_crlf)


def _draw_duration(mean: Seconds, generator: np.random.Generator) -> Seconds:
    shortest = min(SHORTEST, mean / 2)
    # Lognormal above the shortest, so that the mean is the one of the settings.
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
