"""Dialogues as users give them: the order and the names of the turns, and one sentence for whatever is not right."""

import math
from pathlib import Path

import pytest

from harness.errors import CorpusError
from harness.final.recorded import Recorded, read_dialogue, read_recordings


def write_csv(folder: Path, content: str | bytes) -> Path:
    path = folder / "a talk.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_each_line_of_a_csv_file_is_a_turn_with_what_its_columns_give(tmp_path):
    text = 'Speaker, text,wav,start,end,note\r\nAnn,"Oh, come\n on!",a/1.wav,0.5,2,loud\r\n\r\nBob,,,,,\r\n'
    dialogue = read_dialogue(write_csv(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert [(turn.turn_id, turn.speaker) for turn in dialogue.turns] == [("1", "Ann"), ("2", "Bob")]
    assert dialogue.turns[0].recorded == Recorded(tmp_path / "a/1.wav", "Oh, come\n on!", None, 0.5, 2.0)
    assert dialogue.turns[1].recorded == Recorded(None, "", None, -math.inf, math.inf)
    assert dialogue.turns[1].place == f"dialogue {str(tmp_path / 'a talk.csv')!r}, line 5"
    assert dialogue.unread == ("note",)


def test_an_absent_column_is_not_an_empty_cell(tmp_path):
    (turn,) = read_dialogue(write_csv(tmp_path, "id,speaker\nfirst,F\n")).turns
    assert (turn.turn_id, turn.recorded) == ("first", Recorded())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "{}: is empty; expected a line of headings such as 'speaker,text,wav', and below it a line for each turn"),
        ("\n \n", "{}: is empty; expected a line of headings"),
        ("speaker,text\n", "{}: has no turn below its headings; expected a line for each turn"),
        ("who;text\nF;hi\n", "{}, line 1: has the columns ['who;text']; expected 'speaker' among them, and commas"),
        ("speaker,text,text\nF,a,b\n", "{}, line 1: has the column 'text' twice; expected each column once"),
        ("speaker,text\nF,oh, no\n", "{}, line 2: has 3 cells; expected 2, as in the line of headings; put a cell"),
        ('speaker,text\nF,"oh\n', "{}, line 2: cannot be read as CSV (unexpected end of data); expected cells"),
        ("speaker,text\n ,oh\n", "{}, line 2: the cell 'speaker' is empty; expected a name for who speaks"),
        ("speaker\nA\nB\nA\nC\n", "{}, line 5: speaker 'C' is the third, after 'A' and 'B'; expected two speakers"),
        ("speaker,start\nF,soon\n", "{}, line 2: the cell 'start' is 'soon'; expected seconds, such as 12.5"),
        ("speaker,end\nF,1_000\n", "{}, line 2: the cell 'end' is '1_000'; expected seconds, such as 12.5"),
        ("speaker,end\nF,nan\n", "{}, line 2: the cell 'end' is 'nan'; expected seconds, such as 12.5"),
        ("speaker,start,end\nF,2,1\n", "{}, line 2: is from 2 s to 1 s; expected its end after its start"),
        ("speaker,start\nF,2\nM,\nF,1.5\n", "{}, line 4: starts at 1.5 s, and a turn above it at 2 s; expected the"),
        ("speaker,id\nF,a\nM,a\n", "{}, line 3: a turn above it is named 'a' too; expected each 'id' once"),
        ("speaker,wav\nF,x.wav\nM,x.wav\n", "{}, line 3: its recording '{folder}/x.wav' is that of turn '1' too; "),
        (b"speaker,text\nF,a\0b\n", "{}, line 2: holds a NUL byte; expected text in UTF-8"),
        (b"speaker,text\nF,caf\xe9\n", "{}, line 2: holds the byte 0xe9, which is not UTF-8; expected text in UTF-8"),
        (b"\xff\xfes\0p\0", "{}, line 1: begins with the mark of UTF-16; expected text in UTF-8"),
        (b"\xef\xbb\xbf" * 2 + b"speaker\nF\n", "{}, line 1: holds a byte order mark; expected at most one, at the"),
    ],
)
def test_a_csv_file_that_is_not_as_it_should_be_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = write_csv(tmp_path, content)
    with pytest.raises(CorpusError) as raised:
        read_dialogue(path)
    assert str(raised.value).startswith(sentence.format(f"dialogue {str(path)!r}", folder=tmp_path))
    assert str(raised.value).isprintable()


def test_no_file_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no such file; expected a CSV file, or a folder of turns"):
        read_dialogue(tmp_path / "gone.csv")


def test_the_numbers_of_a_folders_files_put_its_turns_in_order(tmp_path):
    for name in ("10_F.wav", "2_M b.wav", "1_F.wav", ".hidden.wav", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "2_M b.txt").write_text("\ufeffOh no.\n", "utf-8")
    dialogue = read_dialogue(tmp_path)
    assert [(turn.turn_id, turn.speaker) for turn in dialogue.turns] == [("1_F", "F"), ("2_M b", "M b"), ("10_F", "F")]
    assert dialogue.turns[1].recorded == Recorded(tmp_path / "2_M b.wav", "Oh no.")
    assert dialogue.turns[2].recorded == Recorded(tmp_path / "10_F.wav")
    assert dialogue.unread == ("notes.txt",)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "{}: has no turn, for it is empty; expected files such as 01_F.wav and 01_F.txt, a number and a speaker"),
        (["words.txt"], "{}: has no turn, for none of its 1 files is one; expected files such as 01_F.wav"),
        (["01_F.wav", "end.wav"], "{}: recording 'end.wav' has no number and speaker in its name; expected a name"),
        (["01_F.wav", "1_M.txt"], "{}, turn '1_M': turn '01_F' has the same number; expected each number once"),
        # The words of one of them would have been dropped without a word.
        (["01_F.txt", "01_F.TXT"], "{}: has two files '01_F' that end in .txt; expected one"),
        (["1_A.txt", "2_B.txt", "3_C.txt"], "{}, turn '3_C': speaker 'C' is the third, after 'A' and 'B'; expected"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_refused_in_one_sentence(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(CorpusError) as raised:
        read_dialogue(tmp_path)
    assert str(raised.value).startswith(sentence.format(f"dialogue {str(tmp_path)!r}"))


def test_words_of_a_folder_that_are_no_text_are_refused_with_file_and_line(tmp_path):
    (tmp_path / "01_F.txt").write_bytes(b"oh\nno\0")
    with pytest.raises(CorpusError) as raised:
        read_dialogue(tmp_path)
    assert str(raised.value) == (
        f"words '{tmp_path}/01_F.txt', line 2: holds a NUL byte; expected text in UTF-8"
    )


def test_a_folder_of_recordings_has_any_names_and_their_words(tmp_path):
    for name in ("hello.wav", "hello.txt", "Oh dear.WAV", "notes.pdf", ".hidden.wav"):
        (tmp_path / name).write_text(" hi \n" if name.endswith(".txt") else "")
    found = read_recordings(tmp_path)
    assert [(turn.turn_id, turn.recorded) for turn in found.turns] == [
        ("Oh dear", Recorded(tmp_path / "Oh dear.WAV")),
        ("hello", Recorded(tmp_path / "hello.wav", "hi")),
    ]
    assert found.unread == ("notes.pdf",)


def test_a_csv_file_of_recordings_needs_no_speaker_and_no_order(tmp_path):
    found = read_recordings(write_csv(tmp_path, "id,wav,start\nb,x.wav,3\na,x.wav,1\n"))
    named = [(turn.turn_id, turn.speaker, turn.recorded.start) for turn in found.turns]
    assert named == [("b", "", 3.0), ("a", "", 1.0)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "{}: is empty; expected a line of headings such as 'id,text,wav', and below it a line for each recording"),
        ("id,text\n", "{}: has no line below its headings; expected a line for each recording"),
        ("id,path\na,x.wav\n", "{}, line 1: has the columns ['id', 'path']; expected 'wav', 'text' or 'mocap' among"),
        ("id,text\na,x\na,y\n", "{}, line 3: a turn above it is named 'a' too; expected each 'id' once"),
    ],
    ids=["empty", "no line", "no column", "one id twice"],
)
def test_recordings_in_a_csv_file_that_is_not_as_it_should_be_are_one_sentence(tmp_path, content, sentence):
    path = write_csv(tmp_path, content)
    with pytest.raises(CorpusError) as caught:
        read_recordings(path)
    assert str(caught.value).startswith(sentence.format(f"recordings {str(path)!r}"))


def test_a_folder_without_recordings_is_one_sentence(tmp_path):
    with pytest.raises(CorpusError) as caught:
        read_recordings(tmp_path)
    expected = "has no recording; expected files such as hello.wav, with the words in hello.txt"
    assert str(caught.value) == f"folder {str(tmp_path)!r}: {expected}"
