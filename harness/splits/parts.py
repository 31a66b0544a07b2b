"""Parts of a split as utterance ids: those of a search, of a final training, and of the splits that measure a leak.

The latter leak more or less into the same scored utterances, from the same number of training
utterances. Each is stricter than the one before: the difference between two is the price of one leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion, TurnName, parse_utterance_id
from harness.errors import FeatureError
from harness.splits.protocol import (
    NUM_HOLDOUT_UTTERANCES,
    NUM_TRAIN_UTTERANCES,
    Protocol,
    Scenes,
    make_split,
)
from harness.splits.scenes import Group, SceneFold, find_group, group_scenes, leave_groups_out


@dataclass(frozen=True)
class Parts:
    """The utterance ids of one split, each part sorted.

    Attributes:
        validation: empty where the test set is the validation set too
        test: empty in a search, which does not know the ids of its test set
        groups: of scenes; empty where scenes are shared
        left_out: what a search may open but neither trains nor validates on, because of its scenes
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def validated_scenes(self) -> Group:
        """The group of scenes that validates in the search; empty where scenes are shared."""
        if not self.groups:
            return frozenset()
        return self.groups[find_group(self.groups, parse_utterance_id(self.validation[0]).scene)]

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The ids that the models of a final training are trained on, together: train, validation and what is left."""
        return tuple(sorted(self.train + self.validation + self.left_out))

    def final_folds(self, scored: Sequence[str]) -> tuple[SceneFold, ...]:
        """Return what each model of a final training trains on and scores: one model a group of scenes, or one alone.

        Args:
            scored: ids that the models score, each by the one that has not read its scene
        """
        if not self.groups:
            return (SceneFold(frozenset(), self.trained_on, tuple(scored)),)
        return leave_groups_out(self.groups, self.trained_on, scored)


def part_search(protocol: Protocol, classes: Mapping[str, Emotion]) -> Parts:
    """Part the utterances of the sessions that are not tested into what a search trains and validates on.

    Under ``Scenes.DISJOINT`` the search validates on one group's utterances of the holdout, and trains on the train
    part's utterances of the other groups. The group is the one whose rarest class has the most utterances in the
    holdout, so that every class counts in the choice of epochs and hyperparameters.

    Args:
        classes: the class of each four-class utterance outside the test session, by id

    Raises:
        FeatureError: an id of the test session is among them, a part would be empty, or a single scene is played
    """
    split = make_split(protocol, list(classes))
    if protocol.scenes is Scenes.SHARED:
        return Parts(split.train, split.validation, ())
    names = split.train + split.validation
    groups = group_scenes({name: classes[name] for name in names})
    folds = leave_groups_out(groups, split.train, split.validation)
    fold = max(folds, key=lambda fold: _rarest_first(classes[name] for name in fold.scored))
    if not fold.train:
        raise FeatureError(
            f"protocol {protocol.name!r}: no utterance of the train part is outside the scenes "
            f"{', '.join(sorted(fold.scenes))}, which validate; expected at least one; use a larger corpus, or "
            '"scenes": "shared"'
        )
    left_out = set(names).difference(fold.train, fold.scored)
    return Parts(fold.train, fold.scored, (), groups, tuple(sorted(left_out)))


def _rarest_first(emotions: Iterable[Emotion]) -> list[int]:
    counts = Counter(emotions)
    return sorted(counts[emotion] for emotion in CLASSES)


class LeakSplit(StrEnum):
    """The splits, from training that shares everything with the scored utterances to neither speaker nor scene."""

    RANDOM = "random"
    SPEAKER = "speaker-disjoint"
    SESSION = "session-disjoint"
    SCENE = "scene-disjoint"


#: Shared by training and the scored utterances under each split.
SHARED = {
    LeakSplit.RANDOM: "speaker, dialogue, session, scene",
    LeakSplit.SPEAKER: "dialogue (the partner's turns), session, scene",
    LeakSplit.SESSION: "scene",
    LeakSplit.SCENE: "neither speaker nor scene, though the same words may occur",
}

#: Shared under a split, but not under the next stricter one.
BOUGHT_BY = {
    LeakSplit.RANDOM: "the speaker's own turns",
    LeakSplit.SPEAKER: "the partner's turns of the same dialogues",
    LeakSplit.SESSION: "other speakers in the same scenes",
}


@dataclass(frozen=True)
class LeakParts:
    """One draw's utterance ids: the same are scored under every split, and equally many train.

    Attributes:
        speaker: whose turns are scored
        scenes: those whose turns are scored
        scored: sorted
        train: by split, in the order of the draw: sets overlap as far as the splits allow
    """

    speaker: str
    scenes: tuple[str, ...]
    scored: tuple[str, ...]
    train: dict[LeakSplit, tuple[str, ...]]

    @property
    def num_train(self) -> int:
        """Training utterances under each split."""
        return len(self.train[LeakSplit.SCENE])


def draw_leak_parts(utterance_ids: Sequence[str], held_sessions: Sequence[int], draw: int) -> LeakParts:
    """Choose the utterances that are scored, and those that may train under each split.

    Scored are a random half of one speaker's turns in half of the scenes; the other half may
    train where everything is shared. The size of all training sets is that of the strictest one.

    Args:
        utterance_ids: of four-class utterances, in any order
        held_sessions: the sessions whose speakers are scored, draw after draw, the speakers in turn
        draw: from 0; the same draw chooses the same utterances

    Raises:
        FeatureError: nothing is left to score or to train on
    """
    session = held_sessions[draw % len(held_sessions)]
    letter = "FM"[(draw // len(held_sessions) + draw % len(held_sessions)) % 2]
    speaker = f"Ses{session:02d}{letter}"
    generator = np.random.default_rng([0, draw])
    names = [parse_utterance_id(utterance_id) for utterance_id in sorted(utterance_ids)]
    spoken = [name for name in names if name.speaker == speaker]
    scenes = _choose_half({name.scene for name in spoken}, generator)
    turns = [name.utterance_id for name in spoken if name.scene in scenes]
    scored = frozenset(turns[place] for place in generator.permutation(len(turns))[: (len(turns) + 1) // 2])
    shuffled = [names[place] for place in generator.permutation(len(names))]
    pools = {
        split: [name.utterance_id for name in shuffled if _may_train(split, name, speaker, scenes, scored)]
        for split in LeakSplit
    }
    num_train = len(pools[LeakSplit.SCENE])
    if not scored or not num_train:
        raise FeatureError(
            f"leaks: of {len(names)} utterances {len(scored)} of speaker {speaker!r} would be scored, and {num_train} "
            "that share neither session nor scene with them would train; expected at least one of each; use a corpus "
            "of at least two scenes in at least two sessions"
        )
    train = {split: tuple(pool[:num_train]) for split, pool in pools.items()}
    return LeakParts(speaker, tuple(sorted(scenes)), tuple(sorted(scored)), train)


def part_for_epochs(train: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a shuffled training set, so that a part of it chooses the epoch and the test set does not.

    Returns:
        the ids that train and those that validate, each sorted, in the paper's proportion of 3000 to 838
    """
    share = NUM_TRAIN_UTTERANCES / (NUM_TRAIN_UTTERANCES + NUM_HOLDOUT_UTTERANCES)
    cut = round(len(train) * share)
    return tuple(sorted(train[:cut])), tuple(sorted(train[cut:]))


def _choose_half(scenes: set[str], generator: np.random.Generator) -> frozenset[str]:
    """Choose every other scene, of the scripts and of the scenarios alike."""
    found = sorted(scenes)
    kinds = [[name for name in found if name.startswith("script") == is_written] for is_written in (True, False)]
    shuffled = [kind[place] for kind in kinds for place in generator.permutation(len(kind))]
    first = int(generator.integers(2)) if len(shuffled) > 1 else 0
    return frozenset(shuffled[first::2])


def _may_train(
    split: LeakSplit, name: TurnName, speaker: str, scenes: frozenset[str], scored: frozenset[str]
) -> bool:
    if split is LeakSplit.RANDOM:
        return name.utterance_id not in scored
    if split is LeakSplit.SPEAKER:
        return name.speaker != speaker
    is_elsewhere = name.speaker[:-1] != speaker[:-1]
    return is_elsewhere and (split is LeakSplit.SESSION or name.scene not in scenes)
