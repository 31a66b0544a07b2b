"""Lines of the corpus's text files, whatever their bytes and line ends."""

from __future__ import annotations

from pathlib import Path

from harness.corpus.irregularities import Irregularity, IrregularityKind, irregularity_of
from harness.corpus.layout import path_in_corpus
from harness.errors import CorpusError


def read_lines(path: Path, contents: str) -> tuple[list[str], list[Irregularity]]:
    """Read a label file or a transcript file.

    Args:
        path: the file
        contents: what it should hold, for the error, e.g. ``"labels"``

    Returns:
        its lines without their ends; and what is wrong with its bytes

    Raises:
        CorpusError: there is no such file, it may not be read, or it is in UTF-16
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"file {path_in_corpus(path)!r}: cannot be read ({error.strerror}); expected {contents}"
        ) from error
    irregularities: list[Irregularity] = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(
            f"file {path_in_corpus(path)!r}, line 1: begins with the mark of UTF-16; expected {contents} in UTF-8"
        )
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        detail = f"{data.count(bytes(1))} of them, the first in line {line}"
        irregularities.append(irregularity_of(IrregularityKind.NUL_BYTES, path, detail))
        data = data.replace(b"\0", b"")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        detail = f"line {line} holds the byte 0x{data[error.start]:02x}"
        irregularities.append(irregularity_of(IrregularityKind.NOT_UTF8, path, detail))
        text = data.decode("latin-1")
    if "\r\n" in text:
        num_lines = text.count("\r\n")
        irregularities.append(irregularity_of(IrregularityKind.CRLF_LINE_ENDS, path, f"{num_lines} lines"))
        text = text.replace("\r\n", "\n")
    if "\r" in text and "\n" not in text:
        detail = f"{text.count(chr(13))} lines, which end in CR alone"
        irregularities.append(irregularity_of(IrregularityKind.CRLF_LINE_ENDS, path, detail))
        text = text.replace("\r", "\n")
    # Not splitlines: Latin-1's 0x85 would end a line there.
    return text.split("\n"), irregularities
