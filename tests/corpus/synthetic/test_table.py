from collections import Counter

import pytest

from harness.corpus.index import PUBLISHED_COUNTS, PUBLISHED_HAPPINESS, PUBLISHED_TOTALS
from harness.corpus.layout import SESSIONS
from harness.corpus.synthetic.plan import (
    OTHER_COUNTS,
    SCRIPTED_COUNTS,
    apportion,
    count_classes,
    count_others,
    dialogue_ids,
)
from harness.corpus.utterances import DIALOGUE_PATTERN, Emotion


def test_scale_one_has_the_published_classes():
    assert count_classes(1.0) == {session: dict(PUBLISHED_COUNTS[session]) for session in SESSIONS}


def test_scale_one_has_the_published_totals_by_session_and_by_label():
    others = count_others(1.0)
    for session in SESSIONS:
        four_class = sum(PUBLISHED_COUNTS[session].values())
        assert sum(others[session].values()) + four_class == PUBLISHED_TOTALS[session]
        assert others[session][Emotion.HAPPINESS] == PUBLISHED_HAPPINESS[session]
    by_label = sum((Counter(counts) for counts in others.values()), Counter())
    assert by_label == OTHER_COUNTS
    assert sum(SCRIPTED_COUNTS.values()) == 2277


@pytest.mark.parametrize("scale", [0.01, 0.03, 0.1, 0.5])
def test_a_smaller_scale_keeps_the_proportions(scale):
    classes, others = count_classes(scale), count_others(scale)
    assert sum(sum(counts.values()) for counts in classes.values()) == round(4936 * scale)
    assert sum(sum(counts.values()) for counts in others.values()) == round(5103 * scale)
    for session in SESSIONS:
        for emotion, count in classes[session].items():
            assert abs(count - PUBLISHED_COUNTS[session][emotion] * scale) <= 1
            assert count >= 1


def test_scale_one_has_the_real_dialogues():
    names = [name for session in SESSIONS for name in dialogue_ids(session, scale=1.0)]
    assert len(names) == len(set(names)) == 151
    assert all(DIALOGUE_PATTERN.fullmatch(name) for name in names)
    assert {"Ses05M_script01_1b", "Ses03M_impro05a", "Ses03M_impro08b", "Ses02F_impro08"} <= set(names)
    assert not {"Ses01F_impro08", "Ses03M_impro05", "Ses03F_impro05a"} & set(names)


@pytest.mark.parametrize("session", SESSIONS)
def test_every_scale_has_both_actors_and_both_kinds(session):
    names = dialogue_ids(session, scale=0.01)
    kinds = {(name[5], "script" in name) for name in names}
    assert kinds == {("F", False), ("F", True), ("M", False), ("M", True)}
    assert ("Ses05M_script01_1b" in names) == (session == 5)


def test_parts_add_up():
    assert apportion(10, [3.3, 3.3, 3.4]) == [3, 3, 4]
    assert sum(apportion(17, [1, 2, 3, 4])) == 17
    assert apportion(0, [1, 1]) == [0, 0]
