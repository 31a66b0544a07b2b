"""The scenes of a synthetic corpus: the emotions that they bring out, their words, and the moods of their speakers.

A scene's words and its frequent emotions are its own, so who knows the scene knows more than the emotion words say.
Moods have nothing to do with scenes: a dialogue has more of one emotion, another one in each recording, and a speaker
keeps it for some turns. So moods help in a scene that nobody has seen before too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion

#: The class that an utterance of another label expresses; the rest express their speaker's mood.
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

#: Part of a speaker's changes of mood that take over his partner's, and strength of the dialogue's own class, where
#: moods are at their strongest. A choice: with the default strengths, and without those of scenes too, a label is that
#: of the speaker's own previous turn in about 86 % of cases, and that of the partner's previous turn in about 60 %.
_CONTAGION, _DIALOGUES_OWN = 0.7, 0.9

#: The label of a turn, and whether its speaker wears the markers.
Turn = tuple[Emotion, bool]
#: How readily labels are taken, by the class that they are like; None for those that are like none.
Weights = Mapping[Emotion | None, float]
_ANY: Weights = {**dict.fromkeys(CLASSES, 1.0), None: 1.0}


def bring_out(
    turns: Sequence[Turn], weights: Sequence[Weights], generator: np.random.Generator
) -> list[Turn]:
    """Exchange the labels of turns, so that a dialogue gets more of the classes that weigh more in it.

    The four classes are exchanged with each other, and so are the other labels.

    Args:
        turns: of all dialogues that exchange labels
        weights: of the classes at each turn

    Returns:
        as many of each label, and of each label's kind the same places
    """
    left = _count_kinds(turns)
    brought = list(turns)
    chances = generator.random(len(turns)).tolist()
    for place, chance in zip(generator.permutation(len(turns)).tolist(), chances, strict=True):
        emotion, is_marked = turns[place]
        brought[place] = (_take(left[emotion in CLASSES], weights[place], chance), is_marked)
    return brought


def weigh_classes(scene: str, scene_strength: float, mood: Emotion, mood_strength: float) -> Weights:
    """Return the weights of the classes in a dialogue; under None that of labels that are like no class.

    Args:
        scene: has more of its own class by ``scene_strength``, from 0, where no scene differs, to 1, where it gets
            other classes only after its own has run out
        mood: the class of which this dialogue has more by ``mood_strength``, as far as its scene does not decide. On
            the mean over the moods a class weighs the same as without them

    Example:
        >>> weights = weigh_classes("impro01", 0.0, Emotion.SADNESS, 1.0)
        >>> [round(weights[emotion], 2) for emotion in CLASSES]
        [0.31, 0.31, 0.31, 3.08]
    """
    other = 1 - _DIALOGUES_OWN * mood_strength * (1 - scene_strength)
    lasting = {emotion: 1.0 if emotion is mood else other for emotion in CLASSES}
    mean = sum(lasting.values()) / len(CLASSES)
    weights: dict[Emotion | None, float] = {
        emotion: (1 - scene_strength) * weight / mean for emotion, weight in lasting.items()
    }
    weights[SCENES[scene].emotion] += scene_strength
    return {**weights, None: 1 - scene_strength}


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
        taken = _take(left[emotion in CLASSES], _ANY if mood is None else {mood: 1.0}, chance)
        if taken in CLASSES:
            moods[is_marked] = taken
        kept.append((taken, is_marked))
    return kept


def express_moods(
    turns: Sequence[Turn], strength: float, generator: np.random.Generator
) -> list[Emotion | None]:
    """Return the class that each turn of a dialogue expresses; None for any.

    A label that is like no class, such as one on which the raters disagree, expresses its speaker's mood: the class
    of his last turn of the four.

    Args:
        turns: in the order of time
        strength: chance that such a label expresses the mood, from 0 to 1
    """
    moods: dict[bool, Emotion] = {}
    expressed = []
    for (emotion, is_marked), chance in zip(turns, generator.random(len(turns)).tolist(), strict=True):
        if emotion in CLASSES:
            moods[is_marked] = emotion
        expressed.append(LIKENESSES.get(emotion, moods.get(is_marked) if chance < strength else None))
    return expressed


def _count_kinds(turns: Sequence[Turn]) -> dict[bool, Counter[Emotion]]:
    """Count the labels by whether they are of the four classes."""
    return {
        is_class: Counter(emotion for emotion, _ in turns if (emotion in CLASSES) == is_class)
        for is_class in (True, False)
    }


def _take(left: Counter[Emotion], weights: Weights, chance: float) -> Emotion:
    """Take one of the labels that are left, each by the weight of the class that it is like."""
    weighed = [count * weights.get(LIKENESSES.get(emotion), 0.0) for emotion, count in left.items()]
    if not any(weighed):
        weighed = [float(count) for count in left.values()]
    threshold = chance * sum(weighed)
    for taken, weight in zip(left, weighed, strict=True):
        threshold -= weight
        if threshold < 0:
            break
    left[taken] -= 1
    return taken
