"""Groups of scenes are even, repeatable and complete; a group's training reads none of its scenes."""

import random
from collections import Counter
from itertools import product

import pytest

from harness.corpus.utterances import CLASSES, Emotion, parse_utterance_id
from harness.errors import FeatureError
from harness.splits.parts import part_search
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.splits.scenes import find_group, group_scenes, leave_groups_out

SCENES = tuple(f"impro0{number}" for number in range(1, 9)) + tuple(
    f"script0{number}" for number in ("1_1", "1_2", "1_3", "2_1", "2_2", "3_1", "3_2")
)


def invent_classes(scenes=SCENES, num_turns=40, seed=0):
    """Scenes that are chosen to bring out certain emotions, in four sessions."""
    generator = random.Random(seed)
    weights = {scene: [generator.random() ** 4 + 0.02 for _ in CLASSES] for scene in scenes}
    return {
        f"Ses0{session}F_{scene}{'a' * (session == 3)}_F{number:03d}": generator.choices(CLASSES, weights[scene])[0]
        for session in range(1, 5)
        for scene in scenes
        for number in range(num_turns)
    }


def shares(groups, classes):
    """The share of each class that each group holds."""
    totals = Counter(classes.values())
    counts = Counter(
        (find_group(groups, parse_utterance_id(name).scene), emotion) for name, emotion in classes.items()
    )
    return [[counts[place, emotion] / totals[emotion] for emotion in CLASSES] for place in range(len(groups))]


@pytest.mark.parametrize("seed", range(4))
def test_every_group_holds_about_the_same_share_of_every_class(seed):
    classes = invent_classes(seed=seed)
    groups = group_scenes(classes)
    assert len(groups) == 5 and sorted(scene for group in groups for scene in group) == sorted(SCENES)
    assert all(0.05 < share < 0.4 for group in shares(groups, classes) for share in group)
    assert sum((share - 0.2) ** 2 for group in shares(groups, classes) for share in group) < 0.1


#: Those of five scenes need one that moves alone, that of four an exchange of two that follow each other.
@pytest.mark.parametrize(
    ("num_scenes", "num_turns", "seed"), [*((6, 12, seed) for seed in range(6)), (5, 6, 3), (5, 6, 17), (4, 6, 10)]
)
def test_groups_of_few_scenes_are_the_most_even_ones_there_are(num_scenes, num_turns, seed):
    scenes = SCENES[:num_scenes]
    classes = invent_classes(scenes, num_turns, seed)

    def unevenness(groups):
        return round(sum(share**2 for group in shares(groups, classes) for share in group), 9)

    every = [
        [{scene for scene, place in zip(scenes, places, strict=True) if place == group} for group in (0, 1)]
        for places in product((0, 1), repeat=num_scenes)
        if len(set(places)) == 2
    ]
    assert unevenness(group_scenes(classes, 2)) == min(map(unevenness, every))


def test_the_groups_follow_from_the_labels_alone_in_any_order():
    classes = invent_classes()
    backwards = dict(reversed(classes.items()))
    assert group_scenes(backwards) == group_scenes(classes)
    assert [min(group) for group in group_scenes(classes)] == sorted(min(group) for group in group_scenes(classes))


def test_there_are_as_many_groups_as_scenes_where_scenes_are_few_and_none_is_empty():
    # Each scene has a class of its own: two of them in one group would cost nothing.
    own = {
        f"Ses01F_{scene}_F{number:03d}": emotion
        for scene, emotion in zip(SCENES, CLASSES[:3], strict=False)
        for number in range(5)
    }
    assert group_scenes(own) == tuple(frozenset({scene}) for scene in SCENES[:3])


@pytest.mark.parametrize("scenes", [SCENES[:1], ()], ids=["one", "none"])
def test_a_single_scene_cannot_be_left_out(scenes):
    with pytest.raises(FeatureError) as raised:
        group_scenes(invent_classes(scenes, num_turns=3))
    assert str(raised.value) == (
        f"scenes: the {12 * len(scenes)} training utterances play the scenes {list(scenes)}; expected at least 2 "
        'scenes, so that one can be left out of training; use a larger corpus, or "scenes": "shared"'
    )


def test_a_scene_that_training_lacks_falls_in_one_group_by_its_name():
    groups = group_scenes(invent_classes(SCENES[:7]))
    # Pinned: a recorded partition must mean the same for ever.
    assert [find_group(groups, scene) for scene in SCENES[7:]] == [4, 2, 2, 0, 4, 0, 2, 3]


def test_no_group_trains_on_its_scenes_and_every_utterance_is_scored_once():
    classes = invent_classes()
    test_ids = tuple(f"Ses05M_{scene}b_F{number:03d}" for scene in (*SCENES, "impro09") for number in range(3))
    groups = group_scenes(classes)
    folds = leave_groups_out(groups, tuple(classes), test_ids)
    assert tuple(fold.scenes for fold in folds) == groups
    assert sorted(name for fold in folds for name in fold.scored) == sorted(test_ids)
    for fold in folds:
        trained = {parse_utterance_id(name).scene for name in fold.train}
        assert trained == set(SCENES) - fold.scenes and not trained & {
            parse_utterance_id(name).scene for name in fold.scored
        }
        assert fold.train == tuple(name for name in classes if name in set(fold.train))


DISJOINT = read_protocol({"base": "paper", "scenes": "disjoint"})


def scenes_of(names):
    return {parse_utterance_id(name).scene for name in names}


def test_a_search_trains_without_the_scenes_of_one_group_and_validates_on_them():
    classes = invent_classes()
    shared, parts = (part_search(protocol, classes) for protocol in (PROTOCOLS["paper"], DISJOINT))
    assert parts.groups == group_scenes(classes) and shared.groups == ()
    assert set(parts.train) < set(shared.train) and set(parts.validation) < set(shared.validation)
    assert scenes_of(parts.validation) <= parts.validated_scenes
    assert scenes_of(parts.train) == set(SCENES) - parts.validated_scenes
    # What a final training reads is the same, whatever the search leaves out.
    assert parts.trained_on == shared.trained_on == tuple(sorted(classes))


def test_the_validating_group_is_the_one_whose_rarest_class_has_the_most_utterances():
    classes = invent_classes()
    parts, holdout = part_search(DISJOINT, classes), part_search(PROTOCOLS["paper"], classes).validation
    rarest = [
        min(sum(classes[name] is emotion and scenes_of([name]) <= group for name in holdout) for emotion in CLASSES)
        for group in parts.groups
    ]
    assert parts.groups[rarest.index(max(rarest))] == parts.validated_scenes


def test_a_final_training_is_one_model_a_group_or_one_alone():
    classes = invent_classes()
    test_ids = tuple(f"Ses05M_{scene}_F000" for scene in SCENES)
    (alone,) = part_search(PROTOCOLS["paper"], classes).final_folds(test_ids)
    assert (alone.scenes, alone.train, alone.scored) == (frozenset(), tuple(sorted(classes)), test_ids)
    folds = part_search(DISJOINT, classes).final_folds(test_ids)
    assert [fold.scenes for fold in folds] == list(group_scenes(classes))
    assert all(not scenes_of(fold.train) & scenes_of(fold.scored) for fold in folds)


def test_the_labels_of_the_test_session_are_refused():
    classes = invent_classes() | {"Ses05F_impro01_F000": Emotion.ANGER}
    with pytest.raises(FeatureError, match="^utterance 'Ses05F_impro01_F000': belongs to Session 5"):
        part_search(DISJOINT, classes)


def test_a_train_part_of_the_validated_scenes_alone_is_one_sentence():
    classes = {f"Ses01F_impro01_F{number:03d}": Emotion.ANGER for number in range(8)}
    classes |= {f"Ses04F_impro0{scene}_F{number:03d}": Emotion.SADNESS for scene in (1, 2) for number in range(8)}
    with pytest.raises(FeatureError) as raised:
        part_search(read_protocol({"base": "strict", "scenes": "disjoint", "name": "mine"}), classes)
    assert str(raised.value) == (
        "protocol 'mine': no utterance of the train part is outside the scenes impro01, which validate; expected at "
        'least one; use a larger corpus, or "scenes": "shared"'
    )


def test_a_class_that_nobody_has_is_no_obstacle():
    classes = {name: Emotion.ANGER for name in invent_classes(SCENES[:4], num_turns=2)}
    assert sorted(map(len, group_scenes(classes, 2))) == [2, 2]
