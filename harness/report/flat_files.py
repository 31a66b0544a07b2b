"""Files of flat rows: CSV and Parquet."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, ClassVar

from harness.errors import HarnessError
from harness.files import write_then_rename
from harness.store.export import ColumnType, Rows, Value
from harness.wording import SYNTHETIC_SENTENCE

#: In place of a file.
STANDARD_OUTPUT = Path("-")

#: Rows that Parquet keeps and compresses together: thousands of trials' predictions need not fit the memory.
_ROWS_OF_A_GROUP = 50_000

#: What makes a spreadsheet take a text for a formula, and run it.
#: Source: OWASP, CSV Injection.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def write_rows(path: Path, rows: Rows, write: Callable[[BinaryIO, Rows], int]) -> int:
    """Write rows into a file, whole or not at all, or to standard output, and return how many there were.

    Args:
        path: ``STANDARD_OUTPUT``, or a file, whose folder is made
        write: ``write_csv`` or ``write_parquet``
    """
    if path == STANDARD_OUTPUT:
        num_rows = write(sys.stdout.buffer, rows)
        sys.stdout.buffer.flush()
        return num_rows
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_then_rename(path) as stream:
        return write(stream, rows)


def write_csv(stream: BinaryIO, rows: Rows) -> int:
    """Write rows as CSV in UTF-8, with a line of headings, and return how many there were.

    A missing value is an empty cell, a truth value ``true`` or ``false``; numbers keep every digit. A text
    that a spreadsheet would run as a formula gets an apostrophe before it, and is data.
    """
    writer = csv.writer(_Lines(stream), lineterminator=_Lines.TERMINATOR)
    writer.writerow([_write_cell(column.name) for column in rows.columns])
    num_rows = 0
    for row in rows.rows:
        writer.writerow([_write_cell(value) for value in row])
        num_rows += 1
    return num_rows


@dataclass(frozen=True)
class _Lines:
    """Lines that end as text files do, written by a writer that believes they end in two characters.

    Of what may end a line, Python's writer puts only the characters of its own line end between quotes.
    """

    TERMINATOR: ClassVar[str] = "\r\n"
    stream: BinaryIO

    def write(self, line: str) -> None:
        self.stream.write(f"{line.removesuffix(self.TERMINATOR)}\n".encode())


def _write_cell(value: Value) -> str:
    """Return what stands in a cell.

    Example:
        >>> _write_cell("=1+1"), _write_cell("-1.5"), _write_cell(-1.5), _write_cell(True), _write_cell(None)
        ("'=1+1", '-1.5', '-1.5', 'true', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_BEGINS_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return str(value)


def write_parquet(stream: BinaryIO, rows: Rows) -> int:
    """Write rows as Parquet, every value exact, and return how many there were.

    The file's own metadata says what is to be known of a score on the synthetic corpus.

    Raises:
        HarnessError: pyarrow is not installed
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise HarnessError(
            "Parquet: pyarrow is not installed; install it with  pip install 'harness-iemocap[parquet]'  , or "
            "export with --csv"
        ) from error
    types = {
        ColumnType.WHOLE_NUMBER: pyarrow.int64(),
        ColumnType.NUMBER: pyarrow.float64(),
        ColumnType.TEXT: pyarrow.string(),
        ColumnType.TRUTH: pyarrow.bool_(),
    }
    fields = [(column.name, types[column.type]) for column in rows.columns]
    schema = pyarrow.schema(fields, metadata={"is_synthetic": f"Where true: {SYNTHETIC_SENTENCE}"})
    num_rows = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in _at_least_one_group(rows):
            columns = zip(*group, strict=True) if group else [()] * len(fields)
            arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            num_rows += len(group)
    return num_rows


def _at_least_one_group(rows: Rows) -> Iterator[tuple[tuple[Value, ...], ...]]:
    group = tuple(islice(rows.rows, _ROWS_OF_A_GROUP))
    yield group
    while group := tuple(islice(rows.rows, _ROWS_OF_A_GROUP)):
        yield group
