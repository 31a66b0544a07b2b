"""What two parts of a split share: ids, speakers, dialogues, scripts and transcripts, counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.corpus.utterances import TurnName, Utterance, script_of
from harness.features.text import split_words

#: Two transcripts are near-duplicates where their sets of words overlap (intersection over union) at least so
#: much. A choice: a line of five words may gain one (5 of 6) but not have one replaced (4 of 6).
NEAR_DUPLICATE_SHARE = 0.8
#: Different words below which a transcript is too short to be called anything's near-duplicate: "Oh my God."
#: stands everywhere. A choice.
FEWEST_WORDS = 5


class Part(StrEnum):
    """A part of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Shared(StrEnum):
    """What two parts can share."""

    UTTERANCES = "utterances"
    SPEAKERS = "speakers"
    DIALOGUES = "dialogues"
    SCRIPTS = "scripts"
    TRANSCRIPTS = "verbatim transcripts"
    NEAR_DUPLICATES = "near-duplicate transcripts"


@dataclass(frozen=True)
class Overlap:
    """What the second of two parts shares with the first.

    Attributes:
        names: of what is shared, sorted; of near-duplicates the ids of the second part's utterances
        num_utterances: utterances of the second part that it concerns
        num_of_second: utterances of the second part
    """

    shared: Shared
    first: Part
    second: Part
    names: tuple[str, ...]
    num_utterances: int
    num_of_second: int


def find_overlaps(parts: Mapping[Part, Sequence[Utterance]]) -> tuple[Overlap, ...]:
    """Compare every two parts, the earlier one first."""
    order = [part for part in Part if part in parts]
    pairs = [(first, second) for place, first in enumerate(order) for second in order[place + 1 :]]
    return tuple(
        _compare(shared, first, second, parts[first], parts[second]) for shared in Shared for first, second in pairs
    )


def _compare(
    shared: Shared, first: Part, second: Part, of_first: Sequence[Utterance], of_second: Sequence[Utterance]
) -> Overlap:
    if shared is Shared.NEAR_DUPLICATES:
        names = find_near_duplicates(of_second, of_first)
        return Overlap(shared, first, second, names, len(names), len(of_second))
    key = _KEYS[shared]
    known = {key(utterance) for utterance in of_first} - {""}
    found = [key(utterance) for utterance in of_second if key(utterance) in known]
    return Overlap(shared, first, second, tuple(sorted(set(found))), len(found), len(of_second))


def _of_name(take: Callable[[TurnName], str]) -> Callable[[Utterance], str]:
    return lambda utterance: take(utterance.name)


_KEYS: Mapping[Shared, Callable[[Utterance], str]] = {
    Shared.UTTERANCES: lambda utterance: utterance.utterance_id,
    Shared.SPEAKERS: _of_name(lambda name: name.speaker),
    Shared.DIALOGUES: _of_name(lambda name: name.dialogue_id),
    Shared.SCRIPTS: _of_name(lambda name: script_of(name.dialogue_id)),
    # As the models read it, without case and punctuation; an utterance without a word shares nothing.
    Shared.TRANSCRIPTS: lambda utterance: " ".join(split_words(utterance.transcript or "")),
}


def find_near_duplicates(utterances: Iterable[Utterance], known: Iterable[Utterance]) -> tuple[str, ...]:
    """Return the utterances whose transcript nearly stands among ``known``, those that do so verbatim left out.

    Only transcripts of at least ``FEWEST_WORDS`` different words are compared.

    Returns:
        ids, sorted
    """
    verbatim = {" ".join(split_words(utterance.transcript or "")) for utterance in known}
    sets = sorted({frozenset(text.split()) for text in verbatim}, key=sorted)
    sets = [words for words in sets if len(words) >= FEWEST_WORDS]
    sizes = np.array([len(words) for words in sets], dtype=np.int64)
    places: dict[str, list[int]] = defaultdict(list)
    for place, known_words in enumerate(sets):
        for word in known_words:
            places[word].append(place)
    lists = {word: np.array(found, dtype=np.int64) for word, found in places.items()}
    found = []
    for utterance in utterances:
        spoken = split_words(utterance.transcript or "")
        words = set(spoken)
        hits = [lists[word] for word in words if word in lists]
        if len(words) < FEWEST_WORDS or not hits or " ".join(spoken) in verbatim:
            continue
        num_common = np.bincount(np.concatenate(hits), minlength=len(sets))
        if (num_common >= NEAR_DUPLICATE_SHARE * (sizes + len(words) - num_common)).any():
            found.append(utterance.utterance_id)
    return tuple(sorted(found))
