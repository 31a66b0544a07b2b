from collections import Counter

import numpy as np
import pytest

from harness.corpus.synthetic.plan import (
    FAINT_TELLS,
    MAIN_TELLS,
    SHORT_DAMAGE,
    Damage,
    annotated_end,
    plan_corpus,
)
from harness.corpus.synthetic.settings import Cue, SyntheticSettings
from harness.corpus.utterances import CLASSES, parse_utterance_id

MOTION = {Cue.FACE, Cue.HAND, Cue.HEAD}


@pytest.fixture(scope="module")
def full():
    return plan_corpus(SyntheticSettings(scale=1.0))


@pytest.fixture(scope="module")
def without_cues():
    return plan_corpus(SyntheticSettings(scale=1.0, cues=frozenset()))


def four_class(plan):
    return [
        utterance
        for dialogue in plan.dialogues
        for utterance in dialogue.utterances
        if utterance.emotion in CLASSES
    ]


def test_scale_one_has_the_real_counts(full):
    names = [parse_utterance_id(utterance.utterance_id) for utterance in four_class(full)]
    assert (len(full.dialogues), full.num_utterances, full.num_four_class) == (151, 10039, 4936)
    assert sum(name.session < 5 for name in names) == 3838
    assert sum(name.is_scripted for name in names) == 2277
    assert sum(name.is_scripted and name.session == 5 for name in names) == 473
    assert sum(name.speaker == name.marked_actor for name in names) == 2458


def test_the_mark_says_whether_the_speaker_wears_the_markers(full):
    for utterance in four_class(full):
        name = parse_utterance_id(utterance.utterance_id)
        assert utterance.is_marked == (name.speaker == name.marked_actor)


def test_utterances_do_not_overlap_and_have_ids_of_their_own(full):
    ids = [utterance.utterance_id for dialogue in full.dialogues for utterance in dialogue.utterances]
    assert len(set(ids)) == len(ids)
    for dialogue in full.dialogues:
        times = [time for utterance in dialogue.utterances for time in (utterance.start, utterance.end)]
        assert times == sorted(times)
        assert times[-1] < dialogue.seconds


def test_durations_have_the_mean_that_was_asked_for():
    plan = plan_corpus(SyntheticSettings(scale=1.0, seconds_per_utterance=4.6))
    durations = [utterance.end - utterance.start for utterance in four_class(plan)]
    assert np.mean(durations) == pytest.approx(4.6, rel=0.03)
    assert max(durations) < 34.2


def test_a_planted_cue_tells_two_classes_from_two(full):
    for cue in Cue:
        for tells, sides in ((MAIN_TELLS, "main_sides"), (FAINT_TELLS, "faint_sides")):
            right = [
                (cue in getattr(utterance, sides)) == (utterance.emotion in tells[cue].first_side)
                for utterance in four_class(full)
            ]
            assert np.mean(right) == pytest.approx(1 - tells[cue].flip_probability, abs=0.03)


def test_without_cues_nothing_that_is_planned_depends_on_the_emotion(without_cues):
    by_class = {emotion: [] for emotion in CLASSES}
    for utterance in four_class(without_cues):
        by_class[utterance.emotion].append(utterance)
    for utterances in by_class.values():
        for cue in Cue:
            assert np.mean([cue in one.main_sides for one in utterances]) == pytest.approx(0.5, abs=0.06)
            assert np.mean([cue in one.faint_sides for one in utterances]) == pytest.approx(0.5, abs=0.06)
        assert np.mean([one.is_marked for one in utterances]) == pytest.approx(0.498, abs=0.06)
        assert np.mean([one.end - one.start for one in utterances]) == pytest.approx(1.2, abs=0.05)


def test_planting_a_cue_changes_no_other(without_cues):
    only_hand = plan_corpus(SyntheticSettings(scale=1.0, cues=frozenset({Cue.HAND})))
    for one, other in zip(four_class(only_hand), four_class(without_cues), strict=True):
        assert one.main_sides - {Cue.HAND} == other.main_sides - {Cue.HAND}
        assert one.faint_sides - {Cue.HAND} == other.faint_sides - {Cue.HAND}
        assert (one.utterance_id, one.start, one.end) == (other.utterance_id, other.start, other.end)


def read_perfectly(plan, cues):
    """Share right of who sees all tells of ``cues`` and knows how often each lies."""
    utterances = four_class(plan)
    counts = Counter(utterance.emotion for utterance in utterances)
    num_right = 0
    for utterance in utterances:
        seen = cues if utterance.is_marked else cues - MOTION
        scores = dict(counts)
        for emotion in CLASSES:
            for tells, sides in ((MAIN_TELLS, utterance.main_sides), (FAINT_TELLS, utterance.faint_sides)):
                for cue in seen:
                    flip = tells[cue].flip_probability
                    agrees = (cue in sides) == (emotion in tells[cue].first_side)
                    scores[emotion] *= 1 - flip if agrees else flip
        num_right += max(scores, key=scores.get) == utterance.emotion
    return num_right / len(utterances)


def test_no_modality_suffices_and_all_together_nearly_do(full):
    alone = {
        "speech": read_perfectly(full, {Cue.SPEECH}),
        "text": read_perfectly(full, {Cue.TEXT}),
        "face": read_perfectly(full, {Cue.FACE}),
        "hand": read_perfectly(full, {Cue.HAND}),
        "head": read_perfectly(full, {Cue.HEAD}),
        "mocap": read_perfectly(full, MOTION),
    }
    assert all(0.45 < share < 0.67 for share in alone.values()), alone
    assert read_perfectly(full, set(Cue)) > max(alone.values()) + 0.25


def test_every_kind_of_damage_is_there_at_the_smallest_scale_and_changes_no_count():
    damaged = plan_corpus(SyntheticSettings(scale=0.01))
    sound = plan_corpus(SyntheticSettings(scale=0.01, irregularities=False))
    kinds = Counter(utterance.damage for one in damaged.dialogues for utterance in one.utterances)
    assert set(kinds) == {*Damage, None}
    assert all(utterance.damage is None for one in sound.dialogues for utterance in one.utterances)
    assert any(dialogue.has_crlf for dialogue in damaged.dialogues)
    assert not any(dialogue.has_crlf for dialogue in sound.dialogues)
    assert [utterance.emotion for utterance in four_class(damaged)] == [
        utterance.emotion for utterance in four_class(sound)
    ]


def test_damaged_times_are_short_or_beyond_the_recording(full):
    for dialogue in full.dialogues:
        for utterance in dialogue.utterances:
            duration = utterance.end - utterance.start
            assert (duration < 0.2) == (utterance.damage is Damage.SHORT)
            is_beyond = annotated_end(dialogue, utterance) > dialogue.seconds
            assert is_beyond == (utterance.damage is Damage.BEYOND_RECORDING)
            if utterance.damage is Damage.SHORT:
                assert duration == pytest.approx(SHORT_DAMAGE)


def test_the_scene_is_shared_by_takes_and_sessions(full):
    scenes = {dialogue.dialogue_id: dialogue.scene for dialogue in full.dialogues}
    takes = ("Ses05M_script01_1b", "Ses05M_script01_1", "Ses01F_script01_1")
    assert {scenes[take] for take in takes} == {"script01_1"}
    assert scenes["Ses03M_impro05a"] == scenes["Ses01F_impro05"] == "impro05"
