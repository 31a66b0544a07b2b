"""How a row's utterances come apart into training, validation and test.

Here alone stand splits that train on part of Session 5, as the paper and its code do for single modalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from harness.errors import FeatureError
from harness.features.store import FeatureStore
from harness.splits import (
    NUM_HOLDOUT_UTTERANCES,
    NUM_TRAIN_UTTERANCES,
    Protocol,
    make_split,
    search_sessions,
    select_recordings,
)
from harness.trainings.parts import Parts

#: Share of the utterances that test. Source: paper, section 3 (random), and its code (by position).
TEST_SHARE = 0.2
#: One random split for all systems and seeds, so that their scores are of the same utterances.
RANDOM_SPLIT_SEED = 0

_ALL_SESSIONS = range(1, 6)


class TableSplit(StrEnum):
    """Who is in the test set of a row."""

    SESSIONS = "sessions"  # the protocol's: one whole session, of two speakers whom training never hears
    RANDOM = "random"  # a random 20 % of all utterances, as the paper's text says of single modalities
    BY_POSITION = "by-position"  # the last 20 % by id, as the published code does for single modalities


#: What one must know of a score on such a split.
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
    """Part the corpus. Whoever calls this has recorded a ``TestOpening`` before: it lists the test utterances.

    Raises:
        FeatureError: a part is empty
    """
    if split is TableSplit.SESSIONS:
        outside = _ids(store, search_sessions(protocol))
        parted = make_split(protocol, outside)
        test = select_recordings(_ids(store, (protocol.test_session,)), protocol.recordings)
        parts = Parts(parted.train, parted.validation, tuple(test))
    else:
        names = select_recordings(_ids(store, _ALL_SESSIONS), protocol.recordings)
        parts = part_at_random(names) if split is TableSplit.RANDOM else part_by_position(names)
    if not parts.train or not parts.test:
        raise FeatureError(
            f"split {split.value!r} under protocol {protocol.name!r}: {len(parts.train)} utterances train and "
            f"{len(parts.test)} test; expected at least one of each"
        )
    return parts


def part_by_position(utterance_ids: Sequence[str]) -> Parts:
    """Let the last 20 % by id test, and all before them train.

    Source: the published code of the single modalities: of 4936 rows the first 3948 train.

    Example:
        >>> part_by_position(["e", "c", "a", "d", "b"])
        Parts(train=('a', 'b', 'c', 'd'), validation=(), test=('e',))
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
