"""The utterances of each row's split: by session, by speaker, at random, or by position.

The splits 'random' and 'by-position', which train on part of Session 5 as the paper and its code do for single
modalities, serve the tables alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np

from harness.corpus.layout import SESSIONS
from harness.errors import FeatureError
from harness.features.store import FeatureStore
from harness.splits.parts import Parts, part_search
from harness.splits.protocol import (
    NUM_HOLDOUT_UTTERANCES,
    NUM_TRAIN_UTTERANCES,
    Protocol,
    is_tested,
    select_recordings,
)

#: Share of the utterances that test. Source: paper, section 3 (random), and its code (by position).
TEST_SHARE = 0.2
#: One random split for all systems and seeds, so that their scores are of the same utterances.
RANDOM_SPLIT_SEED = 0


class TableSplit(StrEnum):
    """The rule for the test set of a row."""

    SESSIONS = "sessions"  # the protocol's: one whole session, or one speaker of it, whom training never hears
    RANDOM = "random"  # a random 20 % of all utterances, as the paper's text says of single modalities
    BY_POSITION = "by-position"  # the last 20 % by id, as the published code does for single modalities
    PARTNER_VALIDATES = "partner-validates"  # one speaker; the partner chooses the epoch, and is never trained on


#: What a reader must know about a score on such a split.
SPLIT_SENTENCES = {
    TableSplit.RANDOM: (
        "Split 'random': a random 20 % of all five sessions' utterances test, as the paper's text says of single "
        "modalities. Every speaker of the test set is heard in training: these are no scores on new speakers."
    ),
    TableSplit.BY_POSITION: (
        "Split 'by-position': as in the published code, the first 80 % of all utterances by id train and the last "
        "20 % are validation and test set at once, all from Session 5, part of which is in training. No epoch is "
        "chosen without the test set: the score is that of the best test epoch, and stands in the last column."
    ),
}


def make_parts(split: TableSplit, protocol: Protocol, store: FeatureStore) -> Parts:
    """Split the corpus. Record a ``TestOpening`` before you call this: it lists the test utterances.

    Raises:
        FeatureError: a part is empty
    """
    if split is TableSplit.SESSIONS:
        parted = part_search(protocol, store.searchable_classes(protocol))
        parts = replace(parted, test=_select_tested(protocol, store))
    elif split is TableSplit.PARTNER_VALIDATES:
        parts = _part_partner(protocol, store)
    else:
        names = select_recordings(_ids(store, SESSIONS), protocol.recordings)
        parts = part_at_random(names) if split is TableSplit.RANDOM else part_by_position(names)
    if not parts.train or not parts.test:
        raise FeatureError(
            f"split {split.value!r} under protocol {protocol.name!r}: {len(parts.train)} utterances train and "
            f"{len(parts.test)} test; expected at least one of each"
        )
    return parts


def _select_tested(protocol: Protocol, store: FeatureStore) -> tuple[str, ...]:
    names = _ids(store, (protocol.test_session,))
    return tuple(select_recordings([name for name in names if is_tested(protocol, name)], protocol.recordings))


def _part_partner(protocol: Protocol, store: FeatureStore) -> Parts:
    """Let one speaker test, the partner in the same dialogues validate, and the other sessions train.

    Source: Lee and Tashev 2015, section 4.1: one speaker of the held-out session tunes, the other is the test set.
    """
    assert protocol.tests_one_speaker, "a partner is of one speaker"
    others = _ids(store, [session for session in SESSIONS if session != protocol.test_session])
    test = _select_tested(protocol, store)
    partner = [name for name in _ids(store, (protocol.test_session,)) if not is_tested(protocol, name)]
    validation = select_recordings(partner, protocol.recordings)
    return Parts(tuple(select_recordings(others, protocol.recordings)), tuple(validation), test)


def part_by_position(utterance_ids: Sequence[str]) -> Parts:
    """Let the last 20 % by id test, and all before them train.

    Source: the published code of the single modalities: of 4936 rows the first 3948 train.

    Example:
        >>> parts = part_by_position(["e", "c", "a", "d", "b"])
        >>> parts.train, parts.validation, parts.test
        (('a', 'b', 'c', 'd'), (), ('e',))
    """
    names = sorted(utterance_ids)
    cut = int(len(names) * (1 - TEST_SHARE))
    return Parts(tuple(names[:cut]), (), tuple(names[cut:]))


def part_at_random(utterance_ids: Sequence[str]) -> Parts:
    """Let a random 20 % test; of the others the paper's share of its holdout validates, drawn at random too.

    Source: paper, section 3. Deviates: it names no validation set beside the 20 %, so its epoch was
    chosen on them; here the test set chooses nothing.
    """
    names = sorted(utterance_ids)
    order = np.random.default_rng(RANDOM_SPLIT_SEED).permutation(len(names))
    num_test = round(len(names) * TEST_SHARE)
    share = NUM_HOLDOUT_UTTERANCES / (NUM_TRAIN_UTTERANCES + NUM_HOLDOUT_UTTERANCES)
    num_validation = round((len(names) - num_test) * share)
    ends = (num_test, num_test + num_validation)
    test, validation, train = (sorted(names[place] for place in part) for part in np.split(order, ends))
    return Parts(tuple(train), tuple(validation), tuple(test))


def _ids(store: FeatureStore, sessions: Sequence[int]) -> list[str]:
    return [utterance.utterance_id for utterance in store.utterances(sessions)]
