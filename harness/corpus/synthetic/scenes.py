"""The scenes of a synthetic corpus: the emotions that they bring out, their words, and the moods of their speakers.

A scene's words and its frequent emotions are its own, so who knows the scene knows more than the emotion words say. A
speaker's moods are the same in all scenes, so they help in a scene that nobody has seen before too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion

#: The class whose expression an utterance of another label borrows; the rest borrow one by chance.
LIKENESSES: Mapping[Emotion, Emotion] = {emotion: emotion for emotion in CLASSES} | {
    Emotion.FRUSTRATION: Emotion.ANGER,
    Emotion.DISGUST: Emotion.ANGER,
    Emotion.HAPPINESS: Emotion.EXCITEMENT,
    Emotion.SURPRISE: Emotion.EXCITEMENT,
    Emotion.FEAR: Emotion.SADNESS,
}


@dataclass(frozen=True)
class Scene:
    """What all takes of a scene have in common.

    Attributes:
        emotion: the class that the scene brings out
        words: 12 that no other scene has
    """

    emotion: Emotion
    words: tuple[str, ...]


def _scene(emotion: Emotion, words: str) -> Scene:
    return Scene(emotion, tuple(words.split()))


_ANG, _EXC, _NEU, _SAD = CLASSES

#: By name. The classes are dealt so that of the scenes of a small corpus, too, each kind brings out two classes at
#: least, and all of them four.
SCENES: Mapping[str, Scene] = {
    "impro01": _scene(_ANG, "oven plate spoon kettle butter pepper onion apron recipe freezer toaster sink"),
    "impro02": _scene(_SAD, "tulip hedge spade pond lawn seed gravel fence pigeon shed compost blossom"),
    "impro03": _scene(_EXC, "train platform ticket signal carriage luggage tunnel porter guard bridge whistle track"),
    "impro04": _scene(_NEU, "teacher pencil homework chalk grammar exam library notebook pupil lecture satchel ruler"),
    "impro05": _scene(_NEU, "nurse ward bandage surgeon tablet needle stretcher clinic fever crutch pulse doctor"),
    "impro06": _scene(_EXC, "referee goal striker stadium penalty trophy coach jersey tackle keeper scarf pitch"),
    "impro07": _scene(_ANG, "sailor harbour anchor lighthouse deck captain rope wave compass island ferry shell"),
    "impro08": _scene(_SAD, "stage curtain costume usher rehearsal balcony spotlight applause poster dancer wig mask"),
    "script01_1": _scene(_SAD, "tractor barn wheat cattle saddle orchard rooster plough hay goat stable mill"),
    "script01_2": _scene(_ANG, "judge lawyer verdict witness jury statute bailiff robe appeal clause oath gavel"),
    "script01_3": _scene(_NEU, "summit glacier boots tent ridge avalanche cabin trail map helmet valley snow"),
    "script02_1": _scene(_EXC, "violin piano melody drum trumpet singer tempo chord concert record flute choir"),
    "script02_2": _scene(_NEU, "comet planet rocket telescope orbit crater moon satellite galaxy meteor cosmos launch"),
    "script03_1": _scene(_ANG, "hammer nail plank saw screw ladder paint workbench drill varnish hinge glue"),
    "script03_2": _scene(_SAD, "cheese baker basket melon stall coin honey scale lemon butcher basil grape"),
}

#: Part of a speaker's changes of mood that take over his partner's, where moods are at their strongest. A choice:
#: with the default strengths a label is that of the partner's previous turn in about 60 % of cases.
_CONTAGION = 0.7

#: The label of a turn, and whether its speaker wears the markers.
Turn = tuple[Emotion, bool]


def bring_out(
    turns: Sequence[Turn], scenes: Sequence[str], strength: float, generator: np.random.Generator
) -> list[Turn]:
    """Exchange the labels of turns, so that a scene gets more of the class that it brings out.

    The four classes are exchanged with each other, and so are the other labels.

    Args:
        turns: of all dialogues that exchange labels
        scenes: the scene of each turn
        strength: from 0, where no scene differs, to 1, where a scene gets other classes only after its own has run out

    Returns:
        as many of each label, and of each label's kind the same places
    """
    left = _count_kinds(turns)
    brought = list(turns)
    chances = generator.random(len(turns)).tolist()
    for place, chance in zip(generator.permutation(len(turns)).tolist(), chances, strict=True):
        emotion, is_marked = turns[place]
        taken = _take(left[emotion in CLASSES], SCENES[scenes[place]].emotion, 1 - strength, chance)
        brought[place] = (taken, is_marked)
    return brought


def keep_moods(turns: Sequence[Turn], strength: float, generator: np.random.Generator) -> list[Turn]:
    """Exchange the labels of a dialogue's turns, so that a speaker keeps the class of his own previous turn.

    A label outside the four classes follows the mood, and does not change it.

    Args:
        turns: in the order of time
        strength: from 0, where the order stays one of chance, to 1, where a speaker keeps a class until no turn of
            the dialogue is left for it

    Returns:
        as ``bring_out`` does
    """
    left = _count_kinds(turns)
    moods: dict[bool, Emotion] = {}
    kept = []
    chances = generator.random((len(turns), 3)).tolist()
    for (emotion, is_marked), (keeping, following, chance) in zip(turns, chances, strict=True):
        mood = None
        if keeping < strength:
            mood = moods.get(is_marked)
        elif following < strength * _CONTAGION:
            mood = moods.get(not is_marked)
        taken = _take(left[emotion in CLASSES], mood, 1.0 if mood is None else 0.0, chance)
        if taken in CLASSES:
            moods[is_marked] = taken
        kept.append((taken, is_marked))
    return kept


def _count_kinds(turns: Sequence[Turn]) -> dict[bool, Counter[Emotion]]:
    """Count the labels by whether they are of the four classes."""
    return {
        is_class: Counter(emotion for emotion, _ in turns if (emotion in CLASSES) == is_class)
        for is_class in (True, False)
    }


def _take(left: Counter[Emotion], favoured: Emotion | None, other_weight: float, chance: float) -> Emotion:
    """Take one of the labels that are left: one that is like the favoured class, or with ``other_weight`` another."""
    weights = [
        count * (1.0 if LIKENESSES.get(emotion) is favoured else other_weight) for emotion, count in left.items()
    ]
    if not any(weights):
        weights = [float(count) for count in left.values()]
    threshold = chance * sum(weights)
    for taken, weight in zip(left, weights, strict=True):
        threshold -= weight
        if threshold < 0:
            break
    left[taken] -= 1
    return taken
