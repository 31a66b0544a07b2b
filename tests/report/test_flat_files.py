"""What is written is what was read back, in either format, and only ever data."""

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.flat_files import write_csv, write_parquet
from harness.store.export import Column, ColumnType, ExportedRows, Rows, read_rows
from harness.store.store import ResultsStore
from tests.search.searches import environment

TYPES = (ColumnType.WHOLE_NUMBER, ColumnType.NUMBER, ColumnType.TEXT, ColumnType.TRUTH)


def table(rows: list[tuple[Any, ...]], names: tuple[str, ...] = ("whole", "number", "text", "truth")) -> Rows:
    return Rows(tuple(Column(name, kind) for name, kind in zip(names, TYPES, strict=True)), iter(rows))


def to_csv(rows: Rows) -> str:
    stream = io.BytesIO()
    write_csv(stream, rows)
    return stream.getvalue().decode("utf-8")


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.booleans(),
    )
)


@given(ROWS)
def test_csv_gives_back_every_value(rows: list[tuple[Any, ...]]) -> None:
    header, *found = csv.reader(io.StringIO(to_csv(table(rows)), newline=""))
    assert header == ["whole", "number", "text", "truth"]
    read = [
        (
            int(whole) if whole else None,
            float(number) if number else None,
            text.removeprefix("'") if original[2][:1] != "'" else text,
            truth == "true",
        )
        for (whole, number, text, truth), original in zip(found, rows, strict=True)
    ]
    assert read == rows


@given(ROWS)
def test_no_text_of_a_csv_begins_a_formula(rows: list[tuple[Any, ...]]) -> None:
    for row in list(csv.reader(io.StringIO(to_csv(table(rows)), newline="")))[1:]:
        if row[2].startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
            float(row[2])


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("-inf", "'-inf"),
        ("-1.5e-3", "-1.5e-3"),
        ("'quoted", "'quoted"),
        ("decoder", "decoder"),
        ("a\nb,\"c\"", "a\nb,\"c\""),
    ],
)
def test_a_formula_gets_an_apostrophe_and_a_number_none(text: str, cell: str) -> None:
    _, row = csv.reader(io.StringIO(to_csv(table([(-1, -0.5, text, True)])), newline=""))
    assert row == ["-1", "-0.5", cell, "true"]


def test_a_heading_is_no_formula_either() -> None:
    assert to_csv(table([], ("=a", "b", "c", "d"))) == "'=a,b,c,d\n"


def test_csv_opens_as_numbers_and_truths_in_pandas(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(to_csv(table([(1, 0.1, "a", True), (2, None, "b", False)])), encoding="utf-8")
    frame = pd.read_csv(path)
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "float64", "str", "bool"]
    assert frame["number"].iloc[0] == 0.1 and math.isnan(frame["number"].iloc[1])


@pytest.mark.parametrize("num_rows", [0, 3, 120_000], ids=["none", "a few", "more than a group"])
def test_parquet_gives_back_every_value_with_its_type(tmp_path: Path, num_rows: int) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, the extra 'parquet', is not installed")
    rows = [(n - 2**62, n / 7 if n % 5 else None, f"={n}", n % 2 == 0) for n in range(num_rows)]
    path = tmp_path / "a.parquet"
    with path.open("wb") as stream:
        assert write_parquet(stream, table(rows)) == num_rows
    found = parquet.read_table(path)
    assert [(field.name, str(field.type)) for field in found.schema] == [
        ("whole", "int64"), ("number", "double"), ("text", "string"), ("truth", "bool"),
    ]  # fmt: skip
    assert list(zip(*found.to_pydict().values(), strict=True)) == rows
    assert b"no score on it is a score on IEMOCAP" in found.schema.metadata[b"is_synthetic"]


def test_rows_are_written_as_they_are_read() -> None:
    """A search of thousands of trials has more predictions than the memory takes."""
    stream, sizes = io.BytesIO(), []

    def read() -> Iterator[tuple[Any, ...]]:
        for number in range(3):
            sizes.append(len(stream.getvalue()))
            yield (number, 0.5, "a", True)

    columns = tuple(Column(name, kind) for name, kind in zip("abcd", TYPES, strict=True))
    assert write_csv(stream, Rows(columns, read())) == 3
    assert sizes == sorted(set(sizes))


def test_without_pyarrow_one_sentence_says_what_to_install(searched: Path) -> None:
    program = (
        "import io, sys\nsys.modules['pyarrow'] = None\nfrom harness.report.flat_files import write_parquet\n"
        "from harness.store.export import Rows\nfrom harness.errors import HarnessError\n"
        "try:\n    write_parquet(io.BytesIO(), Rows((), iter(())))\nexcept HarnessError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout == (
        "Parquet: pyarrow is not installed; install it with  pip install 'harness-iemocap[parquet]'  , or export "
        "with --csv\n"
    )


def test_a_search_is_the_same_in_both_formats(searched: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, the extra 'parquet', is not installed")
    with ResultsStore.open_readonly(searched) as reader:
        text = to_csv(read_rows(reader, ExportedRows.TRIALS, [1]))
        with (tmp_path / "a.parquet").open("wb") as stream:
            write_parquet(stream, read_rows(reader, ExportedRows.TRIALS, [1]))
    exact = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    for read, row in zip(csv.DictReader(io.StringIO(text, newline="")), exact, strict=True):
        known = {name: value for name, value in row.items() if value is not None}
        assert {read[name] for name in row if name not in known} == {""}
        for name, value in known.items():
            assert (read[name] if isinstance(value, str) else json.loads(read[name])) == value
