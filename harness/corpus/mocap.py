"""Motion files: two header lines, then one row of text a frame.

A long dialogue's face file has 46 MB, so its text goes to pandas' C parser as it is wherever the
counts of its separators prove that every row has the right width; anything else is looked at
line by line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.corpus.irregularities import Irregularity, IrregularityKind, irregularity_of
from harness.corpus.layout import MocapStream, path_in_corpus
from harness.corpus.utterances import Seconds
from harness.errors import CorpusError

#: Columns before the values: frame number and time.
NUM_LEADING = 2

#: What the files write for a lost marker, and what C libraries write for NaN. Nothing else is one:
#: an empty field is a row too short.
LOST = ["NaN", "nan", "NAN", "-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"]

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?i:inf|infinity)")

Problems = list[tuple[IrregularityKind, str]]


@dataclass(frozen=True)
class MocapTrack:
    """The motion of one dialogue in one stream.

    Attributes:
        times: float64 (num_rows,), seconds from the beginning of the dialogue, never falling
        values: float32 (num_rows, num_columns), in the unit of the file; NaN marks a lost marker
        columns: one name a column, from the file's header
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    columns: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Rows of the file that have a time."""
        return len(self.times)


@dataclass(frozen=True)
class _MocapText:
    path: Path
    text: bytes
    num_header_lines: int
    body_start: int
    width: int

    def lines(self) -> Iterator[tuple[int, bytes]]:
        lines = self.text[self.body_start :].split(b"\n")
        return enumerate(lines, start=self.num_header_lines + 1)


def read_mocap(path: Path, stream: MocapStream) -> tuple[MocapTrack, list[Irregularity]]:
    """Read one motion file.

    Args:
        path: the file of one dialogue
        stream: which of the three it is; decides the number of columns

    Returns:
        the track, of no rows where the file has none; and what is wrong with the file

    Raises:
        CorpusError: there is no such file, a row has another width, or a value is no number
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"mocap file {path_in_corpus(path)!r}: cannot be read ({error.strerror}); "
            f"expected rows of frame, time and {stream.num_columns} values"
        ) from error
    problems: Problems = []
    if b"\r" in text:
        num_lines = text.count(b"\r\n")
        problems.append((IrregularityKind.CRLF_LINE_ENDS, f"{num_lines} lines"))
    header, body_start = _read_header(text)
    columns = _name_columns(header, stream)
    if columns is None:
        problems.append((IrregularityKind.UNREADABLE_MOCAP_HEADER, f"{len(header)} header lines"))
        columns = tuple(f"{stream}_{number}" for number in range(1, stream.num_columns + 1))
    file = _MocapText(path, text, len(header), body_start, NUM_LEADING + stream.num_columns)
    track = _make_track(_parse_rows(file, problems), columns, problems)
    return track, [irregularity_of(kind, path, detail) for kind, detail in problems]


def rows_between(track: MocapTrack, start: Seconds, end: Seconds) -> slice:
    """Find the rows of an utterance: start < time < end.

    Returns:
        a slice of the track's rows; empty where none lies between, or a bound is NaN

    Example:
        >>> track = MocapTrack(np.array([0.5, 1.0, 1.5, 2.0]), np.zeros((4, 6), np.float32), ())
        >>> rows_between(track, 0.5, 2.0)
        slice(1, 3, None)
    """
    first = int(np.searchsorted(track.times, start, side="right"))
    last = int(np.searchsorted(track.times, end, side="left"))
    return slice(first, max(first, 0 if np.isnan(end) else last))


def _read_header(text: bytes) -> tuple[list[bytes], int]:
    header: list[bytes] = []
    position = 0
    while len(header) < 2 and position < len(text):
        line_end = text.find(b"\n", position) + 1 or len(text)
        line = text[position:line_end]
        if _is_row(line):
            break
        header.append(line)
        position = line_end
    return header, position


def _is_row(line: bytes) -> bool:
    fields = line.split(maxsplit=1)
    return bool(fields) and _is_number(fields[0])


def _is_number(field: bytes) -> bool:
    return _NUMBER.fullmatch(field) is not None or field.decode("latin-1") in LOST


def _name_columns(header: list[bytes], stream: MocapStream) -> tuple[str, ...] | None:
    if len(header) != 2:
        return None
    markers, coordinates = (line.decode("latin-1").split() for line in header)
    if [name.lower() for name in markers[:NUM_LEADING]] == ["frame#", "time"]:
        markers = markers[NUM_LEADING:]
    if len(set(markers)) == len(markers) == stream.num_columns:
        return tuple(markers)
    coordinates = coordinates[-stream.num_columns :]
    if len(coordinates) == stream.num_columns == 3 * len(markers):
        markers = [marker for marker in markers for _ in range(3)]
    if not len(markers) == len(coordinates) == stream.num_columns:
        return None
    names = tuple(f"{marker}_{coordinate}" for marker, coordinate in zip(markers, coordinates, strict=True))
    return names if len(set(names)) == len(names) else None


def _parse_rows(file: _MocapText, problems: Problems) -> NDArray[np.float64]:
    if re.compile(rb"\S").search(file.text, file.body_start) is None:
        problems.append((IrregularityKind.EMPTY_MOCAP, "no row"))
        return np.empty((0, file.width))
    if _has_even_spacing(file):
        try:
            # By its path: pandas reads a file a third faster than bytes in memory.
            return _parse_numbers(str(file.path.absolute()), file.num_header_lines)
        except ValueError:
            pass
    rows = _rewrite_rows(file, problems)
    if not rows:
        problems.append((IrregularityKind.EMPTY_MOCAP, "no whole row"))
        return np.empty((0, file.width))
    try:
        return _parse_numbers(io.BytesIO(rows), num_header_lines=0)
    except ValueError as error:
        raise _wrong_value(file) from error


def _parse_numbers(source: str | io.BytesIO, num_header_lines: int) -> NDArray[np.float64]:
    table = pd.read_csv(
        source,
        sep=" ",
        header=None,
        skiprows=num_header_lines,
        dtype=np.float64,
        engine="c",
        na_values=LOST,
        keep_default_na=False,
        quoting=csv.QUOTE_NONE,
        compression=None,
        encoding_errors="replace",
    )
    return table.to_numpy()


def _has_even_spacing(file: _MocapText) -> bool:
    # With as many separators as the rows need in all, a row too short implies one too long, which
    # the parser refuses; so these counts and the first row prove every row's width.
    text, start = file.text, file.body_start
    num_rows = text.count(b"\n", start) + (not text.endswith(b"\n"))
    first_row = text[start : text.find(b"\n", start) + 1 or len(text)]
    return (
        len(first_row.split()) == file.width
        and first_row.count(b" ") == file.width - 1
        and text.count(b" ", start) == num_rows * (file.width - 1)
    )


def _rewrite_rows(file: _MocapText, problems: Problems) -> bytes:
    lines = [(number, line) for number, line in file.lines() if line.strip()]
    rows: list[bytes] = []
    num_changed = 0
    for number, line in lines:
        fields = line.split()
        if len(fields) < file.width and number == lines[-1][0] and not file.text.endswith(b"\n"):
            detail = f"line {number} has {len(fields)} of {file.width} fields"
            problems.append((IrregularityKind.TRUNCATED_MOCAP, detail))
            break
        if len(fields) != file.width:
            raise CorpusError(
                f"mocap file {path_in_corpus(file.path)!r}, line {number}: found {len(fields)} fields; "
                f"expected {file.width}: frame, time and {file.width - NUM_LEADING} values"
            )
        row = b" ".join(fields)
        num_changed += row != line.rstrip(b"\r")
        rows.append(row)
    if num_changed:
        problems.append((IrregularityKind.UNEVEN_SPACING, f"{num_changed} rows"))
    return b"\n".join(rows)


def _wrong_value(file: _MocapText) -> CorpusError:
    fields = ((number, field) for number, line in file.lines() for field in line.split())
    number, value = next(item for item in fields if not _is_number(item[1]))
    return CorpusError(
        f"mocap file {path_in_corpus(file.path)!r}, line {number}: found {value.decode('latin-1')!r}; "
        "expected a number, or NaN for a lost marker"
    )


def _make_track(table: NDArray[np.float64], columns: tuple[str, ...], problems: Problems) -> MocapTrack:
    times = table[:, 1].copy()
    with np.errstate(over="ignore"):
        values = table[:, NUM_LEADING:].astype(np.float32, order="C")
    is_timed = np.isfinite(times)
    if not is_timed.all():
        problems.append((IrregularityKind.ROWS_WITHOUT_TIME, f"{int((~is_timed).sum())} rows"))
        times, values = times[is_timed], values[is_timed]
    num_falls = int((np.diff(times) < 0).sum())
    if num_falls:
        problems.append((IrregularityKind.UNORDERED_ROWS, f"time falls {num_falls} times"))
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    is_infinite = np.isinf(values)
    if is_infinite.any():
        problems.append((IrregularityKind.INFINITE_VALUES, f"{int(is_infinite.sum())} values"))
        values[is_infinite] = np.nan
    return MocapTrack(times, values, columns)
