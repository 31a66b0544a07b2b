"""Scores of groups of utterances: by recording, by transcripts seen in training, by speaker, by who wears the markers.

Scripts are shared by all sessions, so a model may have read a transcript before it is scored on it; and
one actor alone wears the markers in each recording, so in half of the utterances the motion is the listener's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.corpus.utterances import parse_utterance_id
from harness.features.text import split_words
from harness.scoring.metrics import predicted_classes, unweighted_accuracy, weighted_accuracy
from harness.scoring.statistics import Spread, mean_and_spread
from harness.store.records import Prediction


class Division(StrEnum):
    """The ways to part utterances into groups."""

    ALL = "all"
    RECORDING = "recording"
    TRANSCRIPT = "transcript"
    SPEAKER = "speaker"
    MARKERS = "markers"


#: Those that matter to a model that reads text.
TEXT_DIVISIONS = (Division.ALL, Division.RECORDING, Division.TRANSCRIPT)


@dataclass(frozen=True)
class Group:
    """Some of the utterances that were scored."""

    division: Division
    name: str

    def __str__(self) -> str:
        return self.name


ALL = Group(Division.ALL, "all")
SCRIPTED, IMPROVISED = Group(Division.RECORDING, "scripted"), Group(Division.RECORDING, "improvised")
SEEN = Group(Division.TRANSCRIPT, "transcript seen in training")
NOT_SEEN = Group(Division.TRANSCRIPT, "transcript not seen")
MARKED = Group(Division.MARKERS, "speaker wears the markers")
LISTENER = Group(Division.MARKERS, "listener wears the markers")

#: The groups of ``TEXT_DIVISIONS``, as they stand side by side.
TEXT_GROUPS = (ALL, SCRIPTED, IMPROVISED, SEEN, NOT_SEEN)
_IN_ORDER = (*TEXT_GROUPS, MARKED, LISTENER)


@dataclass(frozen=True)
class GroupScore:
    """The scores of one group of utterances, over the seeds."""

    group: Group
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


def groups_of(utterance_id: str, is_seen: Mapping[str, bool]) -> tuple[Group, ...]:
    """Return the groups that an utterance belongs to, at most one of each division.

    Args:
        is_seen: as ``find_seen`` returns it; who is not there is neither seen nor not seen

    Example:
        >>> [str(group) for group in groups_of("Ses05M_script01_1b_F000", {})]
        ['all', 'scripted', 'Ses05F', 'listener wears the markers']
    """
    turn = parse_utterance_id(utterance_id)
    groups = [ALL, SCRIPTED if turn.is_scripted else IMPROVISED]
    if utterance_id in is_seen:
        groups.append(SEEN if is_seen[utterance_id] else NOT_SEEN)
    groups.append(Group(Division.SPEAKER, turn.speaker))
    groups.append(MARKED if turn.speaker == turn.marked_actor else LISTENER)
    return tuple(groups)


def divide(
    predictions: Sequence[Prediction],
    is_seen: Mapping[str, bool],
    divisions: Collection[Division] = tuple(Division),
) -> dict[Group, tuple[Prediction, ...]]:
    """Part predictions into their groups.

    Returns:
        the groups that have an utterance, those of a division side by side, in the order of ``Division``
    """
    parts: dict[Group, list[Prediction]] = {}
    for prediction in predictions:
        for group in groups_of(prediction.utterance_id, is_seen):
            if group.division in divisions:
                parts.setdefault(group, []).append(prediction)
    # Where every speaker, or none, would wear the markers, an id says nothing about who did: no motion was recorded.
    if len({group for group in parts if group.division is Division.MARKERS}) == 1:
        parts = {group: found for group, found in parts.items() if group.division is not Division.MARKERS}
    return {group: tuple(parts[group]) for group in sorted(parts, key=_place)}


def _place(group: Group) -> tuple[int, int, str]:
    known = _IN_ORDER.index(group) if group in _IN_ORDER else len(_IN_ORDER)
    return list(Division).index(group.division), known, group.name


def score_groups(
    predictions: Sequence[Sequence[Prediction]],
    is_seen: Mapping[str, bool],
    divisions: Collection[Division] = tuple(Division),
) -> tuple[GroupScore, ...]:
    """Score each group that has an utterance.

    Args:
        predictions: one sequence for each seed, all of the same utterances
        is_seen: as ``find_seen`` returns it
    """
    parts = [divide(of_seed, is_seen, divisions) for of_seed in predictions]
    scores = []
    for group in parts[0] if parts else ():
        outcomes = [predicted_classes(part[group]) for part in parts]
        scores.append(
            GroupScore(
                group,
                len(outcomes[0][0]),
                mean_and_spread([weighted_accuracy(*outcome) for outcome in outcomes]),
                mean_and_spread([unweighted_accuracy(*outcome) for outcome in outcomes]),
            )
        )
    return tuple(scores)
