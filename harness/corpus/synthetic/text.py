"""The text files of a synthetic dialogue: lines in words that depend on the emotion, and the raters' labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.corpus.synthetic.plan import Damage, PlannedDialogue, PlannedUtterance, annotated_end
from harness.corpus.synthetic.scenes import SCENES
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.utterances import Emotion, Seconds

#: The words that tell, by whether the main tell of the words shows its first side. Few, so that a few hundred
#: utterances repeat each of them.
CUE_WORDS: Mapping[bool, tuple[str, ...]] = {
    True: tuple(
        "hate lost never wrong cry hurt alone pain leave stupid died worst broken awful sick".split()
    ),
    False: tuple(
        "great okay fine sure good nice thanks right welcome ready lovely easy enjoy new better".split()
    ),
}

#: The words of the faint tell, in the same way.
FAINT_WORDS: Mapping[bool, tuple[str, ...]] = {
    True: tuple("really totally absolutely completely definitely everything".split()),
    False: tuple("maybe perhaps somewhat probably slowly anything".split()),
}

#: Phrases of both sides: no word of either side is among them.
PHRASES = tuple(
    """you know|I told him|on the phone|with the car|at the office|every day|in the morning|what do you mean
I think|it was|we went|to the house|for a while|about my brother|she said that|I mean|the other night
do you have|a form of identification|over there|the whole time|they were|just now|like that|I have been
with my mother|since last year|is that|how do I|at the airport|in line|the same thing|you see|and then
but I|can we|about it|when we were|for the money|all these|years ago|talk to me|the people|wait here
on the beach""".replace("\n", "|").split("|")
)

TAGS = ("[LAUGHTER]", "[BREATHING]", "[LIPSMACK]", "[GARBAGE]")

#: Source: 120 of the real corpus's 4936 transcripts carry a tag.
TAG_PROBABILITY = 120 / 4936

#: Source: 128 of Session 5's 473 scripted four-class utterances, and 92 of its 625 improvised ones, have
#: a transcript that stands word for word in another session; these probabilities come near that.
_VARIED_PROBABILITY = 0.7
_COMMON_PROBABILITY = 0.15

_OPENINGS = ("uh", "well", "so", "and", "look", "oh", "now", "hey")
_LINES_OF_A_SCRIPT = 60
_COMMON_LINES = 2

_WORDS_A_SECOND = 1.9
_FEWEST_WORDS, _MOST_WORDS = 4, 98

#: Share of dialogues with an id that ends in ``XX`` and a digit. Source: 46 such lines in 151 dialogues.
_NAMELESS_PROBABILITY = 0.3

#: Valence, activation and dominance from 1 to 5 around which each label is rated: a choice.
_RATINGS: Mapping[Emotion, tuple[float, float, float]] = {
    Emotion.ANGER: (1.9, 3.7, 3.9),
    Emotion.EXCITEMENT: (4.1, 3.6, 3.3),
    Emotion.NEUTRAL: (3.0, 2.6, 2.9),
    Emotion.SADNESS: (2.2, 2.5, 2.7),
    Emotion.HAPPINESS: (3.9, 3.1, 3.0),
    Emotion.FRUSTRATION: (2.3, 3.0, 3.3),
    Emotion.SURPRISE: (3.2, 3.4, 2.9),
    Emotion.FEAR: (2.3, 3.3, 2.5),
    Emotion.DISGUST: (2.2, 2.9, 3.2),
    Emotion.OTHER: (3.0, 2.8, 2.9),
    Emotion.UNDECIDED: (2.8, 2.9, 3.0),
}
_WORDS: Mapping[Emotion, str] = {
    Emotion.ANGER: "Anger",
    Emotion.EXCITEMENT: "Excited",
    Emotion.NEUTRAL: "Neutral state",
    Emotion.SADNESS: "Sadness",
    Emotion.HAPPINESS: "Happiness",
    Emotion.FRUSTRATION: "Frustration",
    Emotion.SURPRISE: "Surprise",
    Emotion.FEAR: "Fear",
    Emotion.DISGUST: "Disgust",
    Emotion.OTHER: "Other",
    Emotion.UNDECIDED: "Frustration; Neutral state",
}
_HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"

#: Probability that a rater, or the actor, names another emotion than the label.
_DISAGREEMENT = 0.25

#: True where the main, and the faint, tell of a line's words shows its first side.
Side = tuple[bool, bool]


@dataclass(frozen=True)
class Told:
    """What a line's words tell.

    Attributes:
        side: by its emotion words, which mean the same in all scenes
        scene: whose words it has
        scene_side: by those words
    """

    side: Side
    scene: str
    scene_side: Side


def scene_words(scene: str, side: Side) -> tuple[str, ...]:
    """Return the words with which a scene tells a side: three of its twelve."""
    place = 2 * side[0] + side[1]
    return SCENES[scene].words[3 * place : 3 * place + 3]


def compose_line(told: Told, num_words: int, generator: np.random.Generator) -> str:
    """Make up a line.

    Args:
        told: decides the telling words that it draws on
        num_words: about as many as it has, and it has at least 7

    Returns:
        words with single spaces, beginning upper case, ending in a full stop or question mark
    """
    telling: list[str] = []
    for words, count in (
        (CUE_WORDS[told.side[0]], max(2, num_words // 5)),
        (FAINT_WORDS[told.side[1]], 1),
        (scene_words(told.scene, told.scene_side), max(2, num_words // 5)),
    ):
        telling += [words[place] for place in generator.integers(len(words), size=count)]
    parts: list[str] = []
    while not parts or len(telling) + sum(len(part.split()) for part in parts) < num_words:
        parts.append(PHRASES[generator.integers(len(PHRASES))])
    for word in telling:
        parts.insert(int(generator.integers(len(parts) + 1)), word)
    text = " ".join(parts)
    return text[0].upper() + text[1:] + (".", ".", "?")[generator.integers(3)]


def compose_transcripts(settings: SyntheticSettings, dialogue: PlannedDialogue) -> dict[str, str]:
    """Return the line of each utterance of a dialogue, by id; also of those whose line will be missing.

    A scripted dialogue goes through its scene's lines, which every session shares, often in other
    words; an improvised one makes up its own, but for a few that everybody uses in this scene.
    """
    generator = settings.generator(dialogue.dialogue_id, "language")
    spoken: Counter[Told] = Counter()
    transcripts = {}
    for utterance in dialogue.utterances:
        told = _choose_told(settings, dialogue.scene, utterance, generator)
        if dialogue.is_scripted:
            text = _read_line(settings, told, spoken[told] % _LINES_OF_A_SCRIPT)
            spoken[told] += 1
            if generator.random() < _VARIED_PROBABILITY:
                text = _vary(text, generator)
        elif generator.random() < _COMMON_PROBABILITY:
            text = _read_line(settings, told, int(generator.integers(_COMMON_LINES)))
        else:
            text = compose_line(told, _draw_num_words(utterance.end - utterance.start, generator), generator)
        transcripts[utterance.utterance_id] = _mark(text, utterance, generator)
    return transcripts


def _choose_told(
    settings: SyntheticSettings, scene: str, utterance: PlannedUtterance, generator: np.random.Generator
) -> Told:
    """Choose what a line tells: as planned for as many lines as the settings' strengths say, and else anything.

    Where the words carry no cue, they do not tell the scene either, because a scene has its emotions.
    """
    planned = (Cue.TEXT in utterance.main_sides, Cue.TEXT in utterance.faint_sides)
    any_side, any_scene_side = (_draw_side(generator) for _ in range(2))
    any_scene = list(SCENES)[generator.integers(len(SCENES))]
    tells_emotion, tells_scene = generator.random(2) < (settings.emotion_words, settings.scene_words)
    side = planned if tells_emotion else any_side
    if tells_scene and Cue.TEXT in settings.cues:
        return Told(side, scene, planned)
    return Told(side, any_scene, any_scene_side)


def _draw_side(generator: np.random.Generator) -> Side:
    main, faint = generator.integers(2, size=2).tolist()
    return bool(main), bool(faint)


def encode_transcription_file(settings: SyntheticSettings, dialogue: PlannedDialogue) -> bytes:
    """Return the bytes of a dialogue's transcription file."""
    generator = settings.generator(dialogue.dialogue_id, "transcription")
    lines = []
    transcripts = compose_transcripts(settings, dialogue)
    for utterance in dialogue.utterances:
        if utterance.damage is Damage.NO_TRANSCRIPT:
            continue
        text = transcripts[utterance.utterance_id].encode()
        if utterance.damage is Damage.NOT_UTF8:
            text += " Caf\xe9.".encode("latin-1")
        times = _format_times(utterance.start, annotated_end(dialogue, utterance))
        lines.append(f"{utterance.utterance_id} {times}: ".encode() + text)
    if settings.irregularities:
        for extra in _listen(dialogue, generator):
            lines.insert(int(generator.integers(len(lines) + 1)), extra.encode())
    return b"".join(line + b"\n" for line in lines)


def _read_line(settings: SyntheticSettings, told: Told, number: int) -> str:
    """Return one of the lines that everybody says who tells the same."""
    generator = settings.generator("lines", str(told), str(number))
    return compose_line(told, _draw_num_words(settings.seconds_per_utterance, generator), generator)


def _draw_num_words(seconds: Seconds, generator: np.random.Generator) -> int:
    return int(np.clip(round(3 + _WORDS_A_SECOND * seconds + generator.normal()), _FEWEST_WORDS, _MOST_WORDS))


def _vary(text: str, generator: np.random.Generator) -> str:
    """Say a script's line a little differently."""
    opening = _OPENINGS[generator.integers(len(_OPENINGS))].capitalize()
    if generator.random() < 0.3:
        phrase = PHRASES[generator.integers(len(PHRASES))]
        return f"{opening}, {phrase}, {text[0].lower()}{text[1:]}"
    return f"{opening}, {text[0].lower()}{text[1:]}"


def _mark(text: str, utterance: PlannedUtterance, generator: np.random.Generator) -> str:
    """Add a tag to few lines, and apply the damage; none of it depends on the emotion."""
    chance = generator.random()
    tag = TAGS[generator.integers(len(TAGS))]
    if utterance.damage is Damage.ONLY_TAG:
        return "[LAUGHTER]"
    if utterance.damage is Damage.COLON:
        return f"I told him: {text}"
    if chance < TAG_PROBABILITY:
        return f"{tag} {text}" if chance < TAG_PROBABILITY / 2 else f"{text} {tag}"
    return text


def _listen(dialogue: PlannedDialogue, generator: np.random.Generator) -> list[str]:
    """Return the lines that are no utterances: a listener's in between."""
    lines = [f"{'FM'[generator.integers(2)]}: Yeah."]
    if generator.random() < _NAMELESS_PROBABILITY or dialogue.dialogue_id == "Ses01F_impro01":
        start = float(generator.uniform(0, max(0.0, dialogue.seconds - 0.5)))
        nameless = f"{dialogue.dialogue_id}_MXX0 {_format_times(start, start + 0.4)}: Mm-hmm."
        lines += [nameless] * (2 if dialogue.dialogue_id == "Ses01F_impro01" else 1)
    return lines


def _format_times(start: Seconds, end: Seconds) -> str:
    return f"[{start:08.4f}-{end:08.4f}]"


def encode_label_file(settings: SyntheticSettings, dialogue: PlannedDialogue) -> bytes:
    """Return the bytes of a dialogue's label file: a header, then one block a turn."""
    generator = settings.generator(dialogue.dialogue_id, "ratings")
    blocks = []
    for utterance in dialogue.utterances:
        block = _describe_turn(dialogue, utterance, generator)
        blocks += [block] * (2 if utterance.damage is Damage.DUPLICATE_TURN else 1)
    return (_HEADER + "\n".join(blocks) + "\n").encode()


def _describe_turn(
    dialogue: PlannedDialogue, utterance: PlannedUtterance, generator: np.random.Generator
) -> str:
    ratings = _rate(utterance.emotion, 3, generator)
    raters = ("E2", "E3", "E4", f"{utterance.speaker_letter}1")
    words = [f"C-{rater}:\t{_say(utterance.emotion, generator)};\t()" for rater in raters]
    attributes = [
        f"A-{rater}:\tval {valence}; act {activation}; dom  {dominance};\t()"
        for rater, (valence, activation, dominance) in zip(
            ("E3", "E4", raters[-1]), ratings.tolist(), strict=True
        )
    ]
    mean = ", ".join(f"{value:.4f}" for value in ratings[:2].mean(axis=0))
    times = f"[{utterance.start:.4f} - {annotated_end(dialogue, utterance):.4f}]"
    lines = [f"{times}\t{utterance.utterance_id}\t{utterance.emotion}\t[{mean}]", *words, *attributes]
    return "".join(f"{line}\n" for line in lines)


def _rate(emotion: Emotion, num_raters: int, generator: np.random.Generator) -> np.ndarray:
    """Return int64 (num_raters, 3), from 1 to 5."""
    spread = generator.normal(scale=0.6, size=(num_raters, 3))
    return np.clip(np.rint(np.array(_RATINGS[emotion]) + spread), 1, 5).astype(np.int64)


def _say(emotion: Emotion, generator: np.random.Generator) -> str:
    if generator.random() < _DISAGREEMENT:
        emotion = list(_WORDS)[generator.integers(len(_WORDS))]
    return _WORDS[emotion]
