import math

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES, Emotion, Utterance
from harness.features.dialogues import ContextTurns, Dialogues


def turn(utterance_id, start, emotion="ang"):
    return Utterance(utterance_id, Emotion(emotion), 2.5, 2.5, 2.5, start, start + 1, "so", None, 0)


TURNS = [
    turn("Ses02F_impro01_F000", 4.0),
    turn("Ses01F_impro01_F001", 5.0, "fru"),
    turn("Ses01F_impro01_F000", 1.0),
    turn("Ses01F_impro01_M000", 2.5, "xxx"),
    turn("Ses01F_impro01_M001", 6.0),
]
SCORED = {one.utterance_id for one in TURNS if one.emotion in CLASSES}


def test_every_turn_is_in_its_dialogue_in_the_order_of_time():
    dialogues = Dialogues.arrange(TURNS, SCORED)
    assert [name[3:] for name in dialogues.utterance_ids] == [
        "01F_impro01_F000",
        "01F_impro01_M000",
        "01F_impro01_F001",
        "01F_impro01_M001",
        "02F_impro01_F000",
    ]
    assert list(dialogues) == [slice(0, 4), slice(4, 5)]
    assert dialogues.speakers.tolist() == [0, 1, 0, 1, 0]
    assert dialogues.is_scored.tolist() == [True, False, False, True, True]


def test_equal_starts_are_in_the_order_of_their_ids():
    turns = [turn(f"Ses01F_impro01_{name}", 1.0) for name in ("M001", "F002", "M000")]
    dialogues = Dialogues.arrange(turns, ())
    assert [name[-4:] for name in dialogues.utterance_ids] == ["F002", "M000", "M001"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, ["F000", "M000", "F001", "M001"]), (1, ["F000", "F001", "M000", "M001"])],
    ids=["its first", "its second"],
)
def test_a_turn_of_unknown_time_stands_after_the_turn_before_it_of_its_speaker(number, expected):
    starts = {"F000": 1.0, "F001": 3.0, "M000": 2.0, "M001": 4.0, f"F00{number}": math.nan}
    turns = [turn(f"Ses01F_impro01_{name}", start) for name, start in starts.items()]
    dialogues = Dialogues.arrange(turns, ())
    assert [name[-4:] for name in dialogues.utterance_ids] == expected


def test_the_published_form_leaves_out_the_turns_without_a_class_and_says_so():
    dialogues = Dialogues.arrange(TURNS, SCORED, ContextTurns.LABELLED_ONLY)
    assert set(dialogues.utterance_ids) == SCORED
    assert dialogues.bounds.tolist() == [0, 2, 3]
    assert np.all(dialogues.is_scored)
    assert ContextTurns.ALL.note is None
    assert "labels of the test set choose" in ContextTurns.LABELLED_ONLY.note


def test_no_label_changes_the_dialogues():
    others = [turn(one.utterance_id, one.start, "neu") for one in TURNS]
    one, other = Dialogues.arrange(TURNS, SCORED), Dialogues.arrange(others, SCORED)
    assert one.utterance_ids == other.utterance_ids
    assert np.array_equal(one.bounds, other.bounds) and np.array_equal(one.is_scored, other.is_scored)


def test_dialogues_are_laid_out_padded_and_back():
    dialogues = Dialogues.arrange(TURNS, SCORED)
    values = np.arange(10).reshape(5, 2)
    numbers = np.array([1, 0])
    padded = dialogues.pad(values, numbers, fill=-1)
    assert padded.tolist() == [
        [[8, 9], [-1, -1], [-1, -1], [-1, -1]],
        [[0, 1], [2, 3], [4, 5], [6, 7]],
    ]
    again = np.zeros_like(values)
    dialogues.unpad(padded, numbers, again)
    assert np.array_equal(again, values)
    assert dialogues.lengths.tolist() == [4, 1]
