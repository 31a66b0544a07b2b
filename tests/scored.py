"""Predictions whose scores can be worked out by eye, and whole test sets drawn by hypothesis."""

from collections.abc import Sequence

from hypothesis import strategies

from harness.corpus.utterances import CLASSES
from harness.store.records import Prediction


def answer(utterance_id: str, emotion: int, predicted: int, confidence: float = 0.7) -> Prediction:
    rest = (1 - confidence) / 3
    probabilities = tuple(confidence if index == predicted else rest for index in range(4))
    return Prediction(utterance_id, CLASSES[emotion], CLASSES[predicted], probabilities)


def answer_dialogues(right_by_dialogue: Sequence[Sequence[bool]], confidence: float = 0.7) -> list[Prediction]:
    """One utterance for each truth value; a wrong one is said to be the next class."""
    return [
        answer(name_utterance(dialogue, turn), turn % 4, turn % 4 if is_right else (turn + 1) % 4, confidence)
        for dialogue, is_right_of in enumerate(right_by_dialogue)
        for turn, is_right in enumerate(is_right_of)
    ]


def name_utterance(dialogue: int, turn: int) -> str:
    return f"Ses05F_impro{dialogue:02d}_{'FM'[turn % 2]}{turn:03d}"


_CLASS = strategies.integers(0, 3)


@strategies.composite
def whole_test_sets(draw, max_seeds: int = 3) -> list[list[Prediction]]:
    """Between 1 and 14 dialogues, as some seeds answer them."""
    sizes = draw(strategies.lists(strategies.integers(1, 4), min_size=1, max_size=14))
    names = [name_utterance(dialogue, turn) for dialogue, size in enumerate(sizes) for turn in range(size)]
    emotions = [draw(_CLASS) for _ in names]
    confidences = strategies.sampled_from([0.3, 0.4, 0.55, 0.7, 0.9, 1.0])
    return [
        [
            answer(name, emotion, draw(_CLASS), draw(confidences))
            for name, emotion in zip(names, emotions, strict=True)
        ]
        for _ in range(draw(strategies.integers(1, max_seeds)))
    ]
