"""Text scores come apart: scripts are shared by all sessions, so a model may have read a transcript before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.corpus.utterances import parse_utterance_id
from harness.features.text import split_words
from harness.metrics import predicted_classes, unweighted_accuracy, weighted_accuracy
from harness.statistics import Spread, mean_and_spread
from harness.store.records import Prediction


class TextGroup(StrEnum):
    """Which of the utterances that were scored."""

    ALL = "all"
    SCRIPTED = "scripted"
    IMPROVISED = "improvised"
    SEEN = "transcript seen in training"
    NOT_SEEN = "transcript not seen"


@dataclass(frozen=True)
class GroupScore:
    """What one group of utterances scored, over the seeds."""

    group: TextGroup
    num_utterances: int
    weighted_accuracy: Spread
    unweighted_accuracy: Spread


def find_seen(
    transcripts: Mapping[str, str | None], training_transcripts: Iterable[str | None]
) -> dict[str, bool]:
    """Say of each utterance whether its transcript stands word for word among those trained on.

    Words are compared as the models read them, without case and punctuation.

    Args:
        transcripts: of the utterances that are scored, by id
        training_transcripts: of training, and of validation where that was trained on too

    Returns:
        by id; an utterance without a word is left out, for there is nothing to have been seen

    Example:
        >>> find_seen({"a": "Oh, no!", "b": "No.", "c": None}, ["oh no", "yes"])
        {'a': True, 'b': False}
    """
    known = {tuple(split_words(transcript)) for transcript in training_transcripts if transcript}
    words = {name: tuple(split_words(transcript or "")) for name, transcript in transcripts.items()}
    return {name: found in known for name, found in words.items() if found}


def part_by_text(
    predictions: Sequence[Prediction], is_seen: Mapping[str, bool]
) -> dict[TextGroup, tuple[Prediction, ...]]:
    """Part predictions into the groups, each utterance in up to three of them.

    Args:
        is_seen: as ``find_seen`` returns it; who is not there is neither seen nor not seen

    Returns:
        every group, empty where it has no utterance
    """
    scripted = {
        found.utterance_id for found in predictions if parse_utterance_id(found.utterance_id).is_scripted
    }
    belongs = {
        TextGroup.ALL: {found.utterance_id for found in predictions},
        TextGroup.SCRIPTED: scripted,
        TextGroup.IMPROVISED: {found.utterance_id for found in predictions} - scripted,
        TextGroup.SEEN: {name for name, seen in is_seen.items() if seen},
        TextGroup.NOT_SEEN: {name for name, seen in is_seen.items() if not seen},
    }
    return {
        group: tuple(found for found in predictions if found.utterance_id in names)
        for group, names in belongs.items()
    }


def score_by_text(
    predictions: Sequence[Sequence[Prediction]], is_seen: Mapping[str, bool]
) -> tuple[GroupScore, ...]:
    """Score each group that has an utterance.

    Args:
        predictions: one sequence for each seed, all of the same utterances
        is_seen: as ``find_seen`` returns it
    """
    parts = [part_by_text(of_seed, is_seen) for of_seed in predictions]
    scores = []
    for group in TextGroup:
        outcomes = [predicted_classes(part[group]) for part in parts if part[group]]
        if outcomes:
            scores.append(
                GroupScore(
                    group,
                    len(outcomes[0][0]),
                    mean_and_spread([weighted_accuracy(*outcome) for outcome in outcomes]),
                    mean_and_spread([unweighted_accuracy(*outcome) for outcome in outcomes]),
                )
            )
    return tuple(scores)
