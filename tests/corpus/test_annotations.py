from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.corpus.labels import Turn, read_annotations
from harness.corpus.layout import CorpusLayout
from harness.corpus.utterances import Emotion
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, HEADER, write_file

FIRST = f"[6.2901 - 8.2357]\t{COMPLETE}_F000\tneu\t[2.5000, 2.5000, 2.5000]\n".encode()
TURN = Turn(f"{COMPLETE}_F000", 6.2901, 8.2357, Emotion.NEUTRAL, (2.5, 2.5, 2.5))


def read(tmp_path: Path, *lines: bytes) -> tuple[list[Turn], list[Irregularity]]:
    path = tmp_path / "Session1" / "dialog" / "EmoEvaluation" / f"{COMPLETE}.txt"
    return read_annotations(write_file(path, HEADER + b"".join(lines)))


def test_the_first_line_of_each_block_is_a_turn(tiny_corpus: CorpusLayout) -> None:
    turns, irregularities = read_annotations(tiny_corpus.annotation_path(COMPLETE))
    votes = ((Emotion.ANGER,),)
    assert turns == [
        Turn(f"{COMPLETE}_F000", 0.5, 1.5, Emotion.NEUTRAL, (2.5, 3.0, 3.5), votes),
        Turn(f"{COMPLETE}_M000", 1.75, 2.25, Emotion.ANGER, (2.5, 3.0, 3.5), votes),
        Turn(f"{COMPLETE}_F001", 2.5, 3.0, Emotion.UNDECIDED, (2.5, 3.0, 3.5), votes),
        Turn(f"{COMPLETE}_M001", 3.0, 3.75, Emotion.SADNESS, (2.5, 3.0, 3.5), votes),
    ]
    assert irregularities == []


def test_crlf_changes_nothing_but_the_count(tiny_corpus: CorpusLayout) -> None:
    path = tiny_corpus.annotation_path(COMPLETE)
    expected, _ = read_annotations(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    turns, irregularities = read_annotations(path)
    assert turns == expected
    assert [found.kind for found in irregularities] == [IrregularityKind.CRLF_LINE_ENDS]


def test_bytes_that_are_not_utf8_lose_no_turn(tmp_path: Path) -> None:
    turns, irregularities = read(tmp_path, FIRST, b"C-E1:\tAnger;\t(na\xefve)\n")
    assert turns == [replace(TURN, votes=((Emotion.ANGER,),))]
    assert [found.kind for found in irregularities] == [IrregularityKind.NOT_UTF8]


def test_the_first_of_duplicate_turns_counts(tmp_path: Path) -> None:
    turns, irregularities = read(tmp_path, FIRST, b"\n", FIRST.replace(b"neu", b"ang"))
    assert turns == [TURN]
    (found,) = irregularities
    assert found == Irregularity(
        kind=IrregularityKind.DUPLICATE_TURN,
        dialogue_id=COMPLETE,
        utterance_id=f"{COMPLETE}_F000",
        path=f"Session1/dialog/EmoEvaluation/{COMPLETE}.txt",
        detail="line 5: labelled ang, and neu earlier",
    )


@pytest.mark.parametrize(
    ("line", "kind", "detail"),
    [
        pytest.param(
            b"[8.2401 - 9.0]\tSes01F_impro02_F001\tang\t[2.5, 2.5, 2.5]\n",
            IrregularityKind.TURN_OF_ANOTHER_DIALOGUE,
            "line 4: found Ses01F_impro02_F001",
            id="another dialogue's",
        ),
        pytest.param(
            b"[8.2401 - 9.0]\tSes01F_impro01_F001\tbored\t[2.5, 2.5, 2.5]\n",
            IrregularityKind.UNKNOWN_EMOTION,
            "line 4: found 'bored'",
            id="unknown label",
        ),
        pytest.param(
            b"[8.2401 - 9.0]\tSes01F_impro01_MXX0\tang\t[2.5, 2.5, 2.5]\n",
            IrregularityKind.NOT_AN_UTTERANCE,
            "line 4: found Ses01F_impro01_MXX0",
            id="XX and a digit",
        ),
        pytest.param(
            b"[8.2401 - 9.0]\tSes01F_im\n",
            IrregularityKind.UNREADABLE_LINE,
            r"line 4: found '[8.2401 - 9.0]\tSes01F_im'",
            id="cut off",
        ),
    ],
)
def test_a_line_that_is_no_turn_of_this_dialogue_is_left_out_and_told(
    tmp_path: Path, line: bytes, kind: IrregularityKind, detail: str
) -> None:
    turns, irregularities = read(tmp_path, FIRST, line)
    assert turns == [TURN]
    assert [(found.kind, found.detail) for found in irregularities] == [(kind, detail)]


@pytest.mark.parametrize("times", ["6,2901 - ?", "-6.2901 - 8.2357", "-8.2357 - -6.2901"])
def test_a_turn_with_unreadable_times_is_kept_without_them(tmp_path: Path, times: str) -> None:
    turns, irregularities = read(tmp_path, FIRST.replace(b"6.2901 - 8.2357", times.encode()))
    assert [turn.utterance_id for turn in turns] == [TURN.utterance_id]
    assert math.isnan(turns[0].start) and math.isnan(turns[0].end) and turns[0].vad == TURN.vad
    assert [(found.kind, found.utterance_id, found.detail) for found in irregularities] == [
        (IrregularityKind.UNREADABLE_TIMES, TURN.utterance_id, f"line 3: found '[{times}]'")
    ]


def test_a_turn_that_ends_before_it_starts_is_kept_and_told(tmp_path: Path) -> None:
    turns, irregularities = read(tmp_path, FIRST.replace(b"8.2357", b"5.2357"))
    assert (turns[0].start, turns[0].end) == (6.2901, 5.2357)
    assert [(found.kind, found.detail) for found in irregularities] == [
        (IrregularityKind.REVERSED_TIMES, "line 3: from 6.2901 s to 5.2357 s")
    ]


@pytest.mark.parametrize("ratings", [b"", b"[2.5000, 2.5000]", b"[a, b, c]", b"[2.5000, 2.5"])
def test_a_turn_with_unreadable_ratings_is_kept_without_them(tmp_path: Path, ratings: bytes) -> None:
    turns, irregularities = read(tmp_path, FIRST.replace(b"[2.5000, 2.5000, 2.5000]", ratings))
    assert (turns[0].emotion, turns[0].start) == (Emotion.NEUTRAL, 6.2901)
    assert all(math.isnan(rating) for rating in turns[0].vad)
    assert [(found.kind, found.detail) for found in irregularities] == [
        (IrregularityKind.UNREADABLE_RATINGS, f"line 3: found {ratings.decode()!r}")
    ]


@pytest.mark.parametrize("rating", [b"99", b"5.5001", b"0.4999", b"0.0", b"-2.5"])
def test_a_rating_off_the_scale_is_no_rating_and_is_counted(tmp_path: Path, rating: bytes) -> None:
    found_ratings = b"[2.5000, " + rating + b", 2.5000]"
    turns, irregularities = read(tmp_path, FIRST.replace(b"[2.5000, 2.5000, 2.5000]", found_ratings))
    assert [turns[0].vad[0], turns[0].vad[2]] == [2.5, 2.5] and math.isnan(turns[0].vad[1])
    detail = f"line 3: found {found_ratings.decode()!r}; expected 0.5 to 5.5"
    assert [(found.kind, found.utterance_id, found.detail) for found in irregularities] == [
        (IrregularityKind.RATINGS_OFF_SCALE, TURN.utterance_id, detail)
    ]


def test_the_ends_of_the_scale_are_ratings(tmp_path: Path) -> None:
    turns, irregularities = read(tmp_path, FIRST.replace(b"[2.5000, 2.5000, 2.5000]", b"[5.5000, 1.0, 0.5000]"))
    assert (turns[0].vad, irregularities) == ((5.5, 1.0, 0.5), [])


@pytest.mark.parametrize("data", [b"", HEADER, b"\0\5\26\7"], ids=["empty", "header alone", "not text"])
def test_a_file_without_a_turn_is_no_label_file(tmp_path: Path, data: bytes) -> None:
    path = write_file(tmp_path / "Session1" / f"{COMPLETE}.txt", data)
    with pytest.raises(CorpusError) as caught:
        read_annotations(path)
    assert str(caught.value) == (
        f"label file 'Session1/{COMPLETE}.txt': found no turn of dialogue '{COMPLETE}' in "
        f"{data.count(10) + 1} lines; expected lines like "
        r"'[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]'"
    )


def test_each_rater_has_a_vote_and_the_actors_own_words_have_none(tmp_path: Path) -> None:
    block = FIRST + b"C-E2:\tNeutral state;\t()\nC-E3:\tSadness; Anger;\t(so; fear)\nC-F1:\tFear;\t()\nC-E4:\t;\t()\n"
    turns, irregularities = read(tmp_path, block, b"\n", FIRST.replace(b"F000", b"F001"))
    assert [turn.votes for turn in turns] == [((Emotion.NEUTRAL,), (Emotion.SADNESS, Emotion.ANGER)), ()]
    assert irregularities == []


def test_a_vote_counts_for_the_turn_of_its_block_alone(tmp_path: Path) -> None:
    lost = FIRST.replace(b"F000", b"F001").replace(b"neu", b"???")
    turns, _ = read(tmp_path, FIRST, b"C-E1:\tSadness;\t()\n\n", lost, b"C-E1:\tFear;\t()\n\nC-E1:\tOther;\t()\n")
    assert [turn.votes for turn in turns] == [((Emotion.SADNESS,),)]


def test_a_word_that_names_no_emotion_is_left_out_and_noted(tmp_path: Path) -> None:
    turns, irregularities = read(tmp_path, FIRST, b"C-E1:\tSadness; Bored;\t()\n")
    assert turns[0].votes == ((Emotion.SADNESS,),)
    (found,) = irregularities
    assert (found.kind, found.utterance_id) == (IrregularityKind.UNKNOWN_VOTE, f"{COMPLETE}_F000")
    assert found.detail == "line 4: found 'Bored'"
