"""Groups of scenes, each scored by a training that has read none of its scenes.

Every session plays the same scenes, and a scene is written to bring out certain emotions. So a split by session
alone lets training read each scene that it is scored on. Here a split is by session *and* scene.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.corpus.utterances import CLASSES, Emotion, parse_utterance_id
from harness.errors import FeatureError

#: Groups of scenes. A choice: of the corpus's 15 scenes each training misses three.
NUM_GROUPS = 5

Group = frozenset[str]
#: For each scene the utterances of each class, as shares of the class in equal units.
_Shares = Mapping[str, tuple[int, ...]]


def group_scenes(classes: Mapping[str, Emotion], num_groups: int = NUM_GROUPS) -> tuple[Group, ...]:
    """Part the scenes of some utterances into groups that hold equal shares of every class, as far as scenes can.

    The sum of squared shares over groups and classes is made small: scenes are placed one by one, the largest first,
    then moved and exchanged while that helps. Whole numbers decide, so the same labels give the same groups anywhere.

    Args:
        classes: the class of each training utterance by its id, in any order; give no utterance of the test session
        num_groups: fewer where there are fewer scenes

    Returns:
        groups by their first scene's name; no group is empty

    Raises:
        FeatureError: the utterances play a single scene, or there are none

    Example:
        >>> turns = {"Ses01F_impro01_F000": "ang", "Ses01F_impro02_F000": "ang", "Ses01F_impro03_F000": "sad"}
        >>> groups = group_scenes({name: Emotion(label) for name, label in turns.items()}, num_groups=2)
        >>> [sorted(group) for group in groups]
        [['impro01'], ['impro02', 'impro03']]
    """
    shares = _share_classes(classes)
    if len(shares) < 2:
        raise FeatureError(
            f"scenes: the {len(classes)} training utterances play the scenes {list(shares)}; expected at least 2 "
            "scenes, so that one can be left out of training; use a larger corpus, or \"scenes\": \"shared\""
        )
    groups = _place_scenes(shares, min(num_groups, len(shares)))
    _move_scenes(groups, shares)
    return tuple(sorted((frozenset(group) for group in groups), key=sorted))


def name_groups(groups: Sequence[Group]) -> tuple[tuple[str, ...], ...]:
    """Return the scenes of each group sorted, as records hold them."""
    return tuple(tuple(sorted(group)) for group in groups)


def find_group(groups: Sequence[Group], scene: str) -> int:
    """Return the place of the group that a scene belongs to.

    A scene that no training utterance plays is in no group; it counts to the one that the CRC-32 of its name decides.

    Example:
        >>> groups = (frozenset({"impro01", "impro03"}), frozenset({"impro02"}))
        >>> find_group(groups, "impro02"), find_group(groups, "impro09") in (0, 1)
        (1, True)
    """
    for place, group in enumerate(groups):
        if scene in group:
            return place
    return zlib.crc32(scene.encode()) % len(groups)


@dataclass(frozen=True)
class SceneFold:
    """One group of scenes, left out of training and scored.

    Attributes:
        scenes: the group
        train: ids of utterances that play other scenes
        scored: ids of utterances that play a scene of the group
    """

    scenes: Group
    train: tuple[str, ...]
    scored: tuple[str, ...]


def leave_groups_out(
    groups: Sequence[Group], train_ids: Sequence[str], scored_ids: Sequence[str]
) -> tuple[SceneFold, ...]:
    """Part the utterances by scene: each group trains without its scenes, and every scored utterance is scored once.

    Args:
        groups: as ``group_scenes`` makes them
        train_ids: utterances that may train; their order is kept
        scored_ids: utterances to score, of the same or of other sessions; their order is kept

    Returns:
        one fold a group, in the order of the groups
    """
    training = [(name, find_group(groups, parse_utterance_id(name).scene)) for name in train_ids]
    scored = [(name, find_group(groups, parse_utterance_id(name).scene)) for name in scored_ids]
    return tuple(
        SceneFold(
            group,
            tuple(name for name, where in training if where != place),
            tuple(name for name, where in scored if where == place),
        )
        for place, group in enumerate(groups)
    )


def _share_classes(classes: Mapping[str, Emotion]) -> _Shares:
    totals = Counter(classes.values())
    present = [emotion for emotion in CLASSES if totals[emotion]]
    # With a common multiple of the totals as the unit, shares are whole numbers.
    unit = math.lcm(*(totals[emotion] for emotion in present))
    counts: dict[str, Counter[Emotion]] = {}
    for name, emotion in classes.items():
        counts.setdefault(parse_utterance_id(name).scene, Counter())[emotion] += 1
    return {
        scene: tuple(counts[scene][emotion] * unit // totals[emotion] for emotion in present)
        for scene in sorted(counts)
    }


def _add_up(group: Iterable[str], shares: _Shares) -> list[int]:
    """Return the shares of each class that a group holds."""
    num_classes = len(next(iter(shares.values())))
    return [sum(shares[scene][number] for scene in group) for number in range(num_classes)]


def _place_scenes(shares: _Shares, num_groups: int) -> list[set[str]]:
    groups: list[set[str]] = [set() for _ in range(num_groups)]
    largest_first = sorted(shares, key=lambda scene: (-sum(share**2 for share in shares[scene]), scene))
    for scene in largest_first:
        # What it adds to the sum of squares; of equal groups the one with the fewest scenes, so that none stays empty.
        cost = [
            sum(share * (share + 2 * held) for share, held in zip(shares[scene], _add_up(group, shares), strict=True))
            for group in groups
        ]
        place = min(range(num_groups), key=lambda place: (cost[place], len(groups[place])))
        groups[place].add(scene)
    return groups


#: A scene, the group that it moves to, and the scene that takes its place; None for none.
_Change = tuple[str, int, str | None]


def _move_scenes(groups: list[set[str]], shares: _Shares) -> None:
    """Move single scenes and exchange pairs, the best change first, until none makes the groups more even."""
    while True:
        where = {scene: place for place, group in enumerate(groups) for scene in group}
        held = [_add_up(group, shares) for group in groups]

        def cost(change: _Change) -> int:
            """Half of what a change adds to the sum of squares."""
            scene, place, other = change
            moved = [gone - (shares[other][number] if other else 0) for number, gone in enumerate(shares[scene])]
            both = zip(moved, held[place], held[where[scene]], strict=True)
            return sum(share * (share + there - here) for share, there, here in both)

        best = min(_list_changes(groups, where), key=cost, default=None)
        if best is None or cost(best) >= 0:
            return
        scene, place, other = best
        if other is not None:
            groups[place].remove(other)
            groups[where[scene]].add(other)
        groups[where[scene]].remove(scene)
        groups[place].add(scene)


def _list_changes(groups: Sequence[set[str]], where: Mapping[str, int]) -> Iterator[_Change]:
    """Yield every move of one scene and every exchange of two that leave no group empty."""
    scenes = sorted(where)
    for scene in scenes:
        if len(groups[where[scene]]) > 1:
            yield from ((scene, place, None) for place in range(len(groups)) if place != where[scene])
    for number, first in enumerate(scenes):
        for second in scenes[number + 1 :]:
            if where[first] != where[second]:
                yield first, where[second], second
