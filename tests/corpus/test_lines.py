from __future__ import annotations

from pathlib import Path

import pytest

from harness.corpus.irregularities import IrregularityKind
from harness.corpus.labels import read_lines
from harness.errors import CorpusError
from tests.corpus.written import write_file


@pytest.mark.parametrize(
    ("data", "lines", "found"),
    [
        pytest.param(b"a\n\nb", ["a", "", "b"], [], id="plain"),
        pytest.param(b"", [""], [], id="empty"),
        pytest.param(b"\xef\xbb\xbfa", ["a"], [], id="byte order mark"),
        pytest.param(
            b"a\r\nb\r\n", ["a", "b", ""], [(IrregularityKind.CRLF_LINE_ENDS, "2 lines")], id="crlf"
        ),
        pytest.param(
            b"a\ncaf\xe9 \x85.",
            ["a", "caf\xe9 \x85."],
            [(IrregularityKind.NOT_UTF8, "line 2 holds the byte 0xe9")],
            id="latin-1",
        ),
        pytest.param("café".encode(), ["café"], [], id="utf-8"),
    ],
)
def test_lines_are_read_whatever_their_bytes(
    tmp_path: Path, data: bytes, lines: list[str], found: list[tuple[IrregularityKind, str]]
) -> None:
    read, irregularities = read_lines(write_file(tmp_path / "Ses01F_impro01.txt", data), contents="labels")
    assert read == lines
    assert [(irregularity.kind, irregularity.detail) for irregularity in irregularities] == found


def test_a_missing_file_is_named_with_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        read_lines(tmp_path / "Session1" / "x.txt", contents="labels")
    assert str(caught.value) == (
        "file 'Session1/x.txt': cannot be read (No such file or directory); expected labels"
    )
