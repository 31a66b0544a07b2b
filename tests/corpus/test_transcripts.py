from __future__ import annotations

from pathlib import Path

import pytest

from harness.corpus.irregularities import Irregularity, IrregularityKind
from harness.corpus.labels import read_transcripts
from harness.corpus.layout import CorpusLayout
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, write_file

FIRST = f"{COMPLETE}_F000 [006.2901-008.2357]: Excuse me.\n".encode()


def read(tmp_path: Path, *lines: bytes) -> tuple[dict[str, str], list[Irregularity]]:
    return read_transcripts(write_file(tmp_path / f"{COMPLETE}.txt", b"".join(lines)))


def test_colons_and_tags_stay_in_what_was_said(tiny_corpus: CorpusLayout) -> None:
    transcripts, irregularities = read_transcripts(tiny_corpus.transcript_path(COMPLETE))
    assert transcripts == {
        f"{COMPLETE}_F000": "Excuse me.",
        f"{COMPLETE}_M000": "I said: [LAUGHTER] no.",
        f"{COMPLETE}_F001": "[LAUGHTER]",
        f"{COMPLETE}_M001": "Oh.",
    }
    assert irregularities == []


def test_a_bracketed_time_inside_what_was_said_stays_there(tmp_path: Path) -> None:
    transcripts, _ = read(tmp_path, FIRST.replace(b"Excuse me.", b"at [1-2]: yes"))
    assert transcripts == {f"{COMPLETE}_F000": "at [1-2]: yes"}


@pytest.mark.parametrize(
    ("line", "kind", "utterance_id", "detail"),
    [
        pytest.param(
            b"M: Yeah.\n", IrregularityKind.NOT_AN_UTTERANCE, None, "line 2: begins with 'M:'", id="no id"
        ),
        pytest.param(
            f"{COMPLETE}_MXX0 [001.0000-002.0000]: Yeah.\n".encode(),
            IrregularityKind.NOT_AN_UTTERANCE,
            None,
            f"line 2: begins with '{COMPLETE}_MXX0'",
            id="XX and a digit",
        ),
        pytest.param(
            FIRST.replace(b"Excuse me.", b"Again."),
            IrregularityKind.DUPLICATE_TRANSCRIPT,
            f"{COMPLETE}_F000",
            "line 2: its id is already on an earlier line",
            id="twice",
        ),
        pytest.param(
            b"Ses01F_impro02_F000 [006.2901-008.2357]: Hm.\n",
            IrregularityKind.TURN_OF_ANOTHER_DIALOGUE,
            "Ses01F_impro02_F000",
            "line 2: found Ses01F_impro02_F000",
            id="another dialogue's",
        ),
        pytest.param(
            f"{COMPLETE}_F001 [006.2901-00".encode(),
            IrregularityKind.UNREADABLE_LINE,
            f"{COMPLETE}_F001",
            "line 2: no colon after the id and its times",
            id="cut off",
        ),
    ],
)
def test_a_line_that_is_no_transcript_is_left_out_and_told(
    tmp_path: Path, line: bytes, kind: IrregularityKind, utterance_id: str | None, detail: str
) -> None:
    transcripts, irregularities = read(tmp_path, FIRST, line)
    assert transcripts == {f"{COMPLETE}_F000": "Excuse me."}
    assert [(found.kind, found.utterance_id, found.detail) for found in irregularities] == [
        (kind, utterance_id, detail)
    ]


def test_a_transcript_without_words_is_empty_and_told(tmp_path: Path) -> None:
    transcripts, irregularities = read(tmp_path, FIRST.replace(b"Excuse me.", b""))
    assert transcripts == {f"{COMPLETE}_F000": ""}
    assert [found.kind for found in irregularities] == [IrregularityKind.EMPTY_TRANSCRIPT]


def test_crlf_and_latin_1_are_read_and_told(tmp_path: Path) -> None:
    data = FIRST.replace(b"Excuse me.\n", b"the caf\xe9\r\n")
    transcripts, irregularities = read(tmp_path, data)
    assert transcripts == {f"{COMPLETE}_F000": "the café"}
    assert [found.kind for found in irregularities] == [
        IrregularityKind.NOT_UTF8,
        IrregularityKind.CRLF_LINE_ENDS,
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read_transcripts(tmp_path / f"{COMPLETE}.txt")
    assert str(caught.value) == (
        f"file '{COMPLETE}.txt': cannot be read (No such file or directory); expected transcripts"
    )
