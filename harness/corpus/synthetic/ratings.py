"""What the raters say: the label files, with their words, self-reports and attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.corpus.synthetic.damage import Damage
from harness.corpus.synthetic.plan import PlannedDialogue, PlannedUtterance, annotated_end
from harness.corpus.synthetic.settings import SyntheticSettings
from harness.corpus.utterances import Emotion

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
