"""Motion files: two header lines, then one row of text per frame; and the motion sorted by time.

A long dialogue's face file has 46 MB. Where the counts of its separators prove that every row has the
right width, pandas' C parser reads it directly and its text is never in memory as a whole; any other
file is read line by line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.corpus.irregularities import Irregularity, IrregularityKind, Problems, irregularity_of
from harness.corpus.layout import MocapStream, path_in_corpus
from harness.corpus.utterances import Seconds
from harness.errors import CorpusError
from harness.files import open_regular

#: Columns before the values: frame number and time.
NUM_LEADING = 2

#: A gap is this many times the usual step between two rows: jitter is far below, a tenth of a second above.
GAP_STEPS = 10

#: A lost marker in the files, and NaN as C libraries write it. An empty field is not one: its row is too short.
LOST = ["NaN", "nan", "NAN", "-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"]

#: Coordinates are in millimetres, angles in degrees: what is larger, 100 m, is damage. It would make the deviation by
#: which its column is scaled as large, or overflow it, and so leave nothing of the other values.
LARGEST_VALUE = 1e5

#: Bytes counted at once: they fit into a core's own cache.
_BLOCK_BYTES = 2**18

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?i:inf|infinity)")


@dataclass(frozen=True)
class MocapTrack:
    """The motion of one dialogue in one stream.

    Attributes:
        times: float64 (num_rows,) of the rows that have one, seconds from the beginning of the dialogue, never falling
        values: float32 (num_rows, num_columns), in the unit of the file; NaN marks a lost marker
        columns: one name a column, from the file's header
    """

    times: NDArray[np.float64]
    values: NDArray[np.float32]
    columns: tuple[str, ...]


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


@dataclass(frozen=True)
class _Separators:
    num_spaces: int
    num_line_ends: int
    num_returns: int
    num_crlf: int
    num_nuls: int
    ends_with_line_end: bool


@dataclass(frozen=True)
class _MocapFile:
    path: Path
    header: list[bytes]
    first_row: bytes
    separators: _Separators
    width: int

    @cached_property
    def rows(self) -> bytes:
        with open_regular(self.path) as stream:
            stream.seek(sum(map(len, self.header)))
            return stream.read()

    def lines(self) -> Iterator[tuple[int, bytes]]:
        return enumerate(self.rows.split(b"\n"), start=len(self.header) + 1)


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
    problems: Problems = []
    try:
        file = _open_file(path, NUM_LEADING + stream.num_columns)
        num_lines = file.separators.num_crlf + sum(line.endswith(b"\r\n") for line in file.header)
        if num_lines:
            problems.append((IrregularityKind.CRLF_LINE_ENDS, f"{num_lines} lines"))
        columns = _name_columns(file.header, stream)
        if columns is None:
            detail = f"{len(file.header)} header lines"
            problems.append((IrregularityKind.UNREADABLE_MOCAP_HEADER, detail))
            columns = tuple(f"{stream}_{number}" for number in range(1, stream.num_columns + 1))
        table = _parse_rows(file, problems)
    except OSError as error:
        raise CorpusError(
            f"mocap file {path_in_corpus(path)!r}: cannot be read ({error.strerror}); "
            f"expected rows of frame, time and {stream.num_columns} values"
        ) from error
    track = _make_track(table, columns, problems)
    return track, [irregularity_of(kind, path, detail) for kind, detail in problems]


def _open_file(path: Path, width: int) -> _MocapFile:
    with open_regular(path) as stream:
        header: list[bytes] = []
        while (first_row := stream.readline()) and len(header) < 2 and not _is_row(first_row):
            header.append(first_row)
        stream.seek(sum(map(len, header)))
        return _MocapFile(path, header, first_row, _count_separators(stream), width)


def _count_separators(stream: io.BufferedReader) -> _Separators:
    block = np.empty(_BLOCK_BYTES, dtype=np.uint8)
    num_spaces = num_line_ends = num_returns = num_crlf = num_nuls = 0
    last = 0
    while num_bytes := stream.readinto(block.data):
        part = block[:num_bytes]
        is_line_end, is_return = part == ord("\n"), part == ord("\r")
        num_spaces += int(np.count_nonzero(part == ord(" ")))
        num_line_ends += int(np.count_nonzero(is_line_end))
        num_nuls += num_bytes - int(np.count_nonzero(part))
        if is_return.any() or last == ord("\r"):
            num_returns += int(np.count_nonzero(is_return))
            num_crlf += int(np.count_nonzero(is_return[:-1] & is_line_end[1:]))
            num_crlf += int(last == ord("\r") and is_line_end[0])
        last = int(part[-1])
    return _Separators(num_spaces, num_line_ends, num_returns, num_crlf, num_nuls, last == ord("\n"))


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


def _parse_rows(file: _MocapFile, problems: Problems) -> NDArray[np.float64]:
    _refuse_other_bytes(file)
    if not (file.first_row.strip() or file.rows.strip()):
        problems.append((IrregularityKind.EMPTY_MOCAP, "no row"))
        return np.empty((0, file.width))
    if _has_even_spacing(file):
        try:
            # By its path: pandas reads a file a third faster than bytes in memory.
            return _parse_numbers(str(file.path.absolute()), len(file.header))
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


def _refuse_other_bytes(file: _MocapFile) -> None:
    """Refuse bytes at which the parser alone would end a field or a line, and lose the rest of it."""
    lines: Iterable[tuple[int, bytes]] = enumerate((line.removesuffix(b"\n") for line in file.header), start=1)
    if file.separators.num_returns != file.separators.num_crlf:
        lines = chain(lines, file.lines())
    for number, line in lines:
        if b"\r" in line.rstrip(b"\r"):
            raise _other_byte(file, number, "a CR inside the line", "lines that end in LF or CRLF")
    if file.separators.num_nuls:
        number = next(number for number, line in file.lines() if b"\0" in line)
        raise _other_byte(file, number, "a NUL byte", "numbers and spaces")


def _other_byte(file: _MocapFile, number: int, found: str, expected: str) -> CorpusError:
    place = f"{path_in_corpus(file.path)!r}, line {number}"
    return CorpusError(f"mocap file {place}: holds {found}; expected {expected}")


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


def _has_even_spacing(file: _MocapFile) -> bool:
    # With as many separators as the rows need in all, a row too short implies one too long, which
    # the parser refuses; so these counts and the first row prove every row's width.
    separators = file.separators
    num_rows = separators.num_line_ends + (not separators.ends_with_line_end)
    return (
        len(file.first_row.split()) == file.width
        and file.first_row.count(b" ") == file.width - 1
        and separators.num_spaces == num_rows * (file.width - 1)
        # A return alone ends a line for the parser, and not for these counts.
        and separators.num_returns == separators.num_crlf
    )


def _rewrite_rows(file: _MocapFile, problems: Problems) -> bytes:
    lines = [(number, line) for number, line in file.lines() if line.strip()]
    rows: list[bytes] = []
    num_changed = 0
    for number, line in lines:
        fields = line.split()
        if len(fields) < file.width and number == lines[-1][0] and not file.separators.ends_with_line_end:
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


def _wrong_value(file: _MocapFile) -> CorpusError:
    fields = ((number, field) for number, line in file.lines() for field in line.split())
    wrong = (item for item in fields if not _is_number(item[1]))
    number, value = next(wrong, (len(file.header) + 1, b"numbers that are too long"))
    return CorpusError(
        f"mocap file {path_in_corpus(file.path)!r}, line {number}: found {value.decode('latin-1')!r}; "
        "expected a number, or NaN for a lost marker"
    )


def _make_track(table: NDArray[np.float64], columns: tuple[str, ...], problems: Problems) -> MocapTrack:
    """Make a track of the rows of a file, and note in ``problems`` what is wrong with them.

    Args:
        table: float64 (num_rows, 2 + num_columns): frame, time in seconds, values
    """
    times = table[:, 1].copy()
    with np.errstate(over="ignore"):
        values = table[:, NUM_LEADING:].astype(np.float32, order="C")
    is_timed = np.isfinite(times)
    if not is_timed.all():
        problems.append((IrregularityKind.ROWS_WITHOUT_TIME, f"{int((~is_timed).sum())} rows"))
        times, values = times[is_timed], values[is_timed]
    num_falls = int((np.diff(times) < 0).sum())
    if num_falls:
        problems.append((IrregularityKind.UNORDERED_ROWS, f"time goes back {num_falls} times"))
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
    is_beyond = np.abs(values) > LARGEST_VALUE
    if is_beyond.any():
        num_finite = int(np.isfinite(values[is_beyond]).sum())
        finite = f", {num_finite} of them finite and above {LARGEST_VALUE:g} in size" if num_finite else ""
        problems.append((IrregularityKind.IMPOSSIBLE_VALUES, f"{int(is_beyond.sum())} values{finite}"))
        values[is_beyond] = np.nan
    problems += _describe_gaps(times)
    if len(values) and np.isnan(values[:, 0]).all() and np.isnan(values).all():
        problems.append((IrregularityKind.LOST_MOCAP, f"no value in {len(values)} rows"))
    return MocapTrack(times, values, columns)


def _describe_gaps(times: NDArray[np.float64]) -> Problems:
    steps = np.diff(times)
    if not len(steps):
        return []
    is_gap = steps > GAP_STEPS * np.median(steps)
    if not is_gap.any():
        return []
    longest = int(steps.argmax())
    detail = f"{int(is_gap.sum())} gaps, the longest of {steps[longest]:.3f} s, starting at {times[longest]:.3f} s"
    return [(IrregularityKind.MOCAP_GAP, detail)]
