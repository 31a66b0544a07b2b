from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.corpus.irregularities import IrregularityKind
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.mocap import MocapTrack, read_mocap, rows_between
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, mocap_bytes, mocap_values, write_file

HEAD = MocapStream.HEAD
ROWS = mocap_bytes(HEAD, mocap_values(HEAD, num_rows=5))


def read(
    tmp_path: Path, data: bytes, stream: MocapStream = HEAD
) -> tuple[MocapTrack, list[tuple[IrregularityKind, str]]]:
    track, irregularities = read_mocap(write_file(tmp_path / "of one take" / f"{COMPLETE}.txt", data), stream)
    return track, [(found.kind, found.detail) for found in irregularities]


@pytest.mark.parametrize("stream", MocapStream)
def test_every_stream_gives_its_rows_columns_and_times(
    tiny_corpus: CorpusLayout, stream: MocapStream
) -> None:
    track, irregularities = read_mocap(tiny_corpus.mocap_path(COMPLETE, stream), stream)
    assert irregularities == []
    assert (track.times.dtype, track.values.dtype) == (np.dtype("f8"), np.dtype("f4"))
    np.testing.assert_array_equal(track.times, np.arange(1, 81) / 20)
    np.testing.assert_array_equal(track.values, mocap_values(stream, 80).astype(np.float32))
    assert track.columns[:4] == ("M1_X", "M1_Y", "M1_Z", "M2_X")
    assert len(track.columns) == stream.num_columns and len(track.times) == 80


def test_lost_markers_are_nan_and_no_irregularity(tmp_path: Path) -> None:
    values = mocap_values(HEAD, num_rows=4)
    values[1, 2] = values[3] = np.nan
    track, found = read(tmp_path, mocap_bytes(HEAD, values))
    assert found == []
    np.testing.assert_array_equal(track.values, values.astype(np.float32))


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        pytest.param(
            ROWS.replace(b"\n", b"\r\n"), IrregularityKind.CRLF_LINE_ENDS, "7 lines", id="crlf everywhere"
        ),
        pytest.param(
            ROWS.replace(b"\n", b"\r\n", 2), IrregularityKind.CRLF_LINE_ENDS, "2 lines", id="crlf header"
        ),
        pytest.param(ROWS.replace(b" 2.", b"  2."), IrregularityKind.UNEVEN_SPACING, "1 rows", id="doubled"),
        pytest.param(ROWS.replace(b"\n", b" \n"), IrregularityKind.UNEVEN_SPACING, "5 rows", id="trailing"),
        pytest.param(ROWS.replace(b" 2.", b"\t2."), IrregularityKind.UNEVEN_SPACING, "1 rows", id="tab"),
        pytest.param(
            ROWS.replace(b"\n4 ", b"\n 4 "), IrregularityKind.UNEVEN_SPACING, "1 rows", id="leading"
        ),
    ],
)
def test_line_ends_and_spacing_change_nothing_but_the_count(
    tmp_path: Path, data: bytes, kind: IrregularityKind, detail: str
) -> None:
    track, found = read(tmp_path, data)
    np.testing.assert_array_equal(track.times, np.arange(1, 6) / 20)
    np.testing.assert_array_equal(track.values, mocap_values(HEAD, 5).astype(np.float32))
    assert found == [(kind, detail)]


@pytest.mark.parametrize("block_bytes", [1, 2, 7, 64])
@pytest.mark.parametrize("num_crlf", [0, 3, 7])
def test_line_ends_are_counted_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, num_crlf: int
) -> None:
    monkeypatch.setattr("harness.corpus.mocap._BLOCK_BYTES", block_bytes)
    track, found = read(tmp_path, ROWS.replace(b"\n", b"\r\n", num_crlf))
    np.testing.assert_array_equal(track.values, mocap_values(HEAD, 5).astype(np.float32))
    assert found == ([(IrregularityKind.CRLF_LINE_ENDS, f"{num_crlf} lines")] if num_crlf else [])


def test_a_row_too_long_is_found_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.corpus.mocap._BLOCK_BYTES", 3)
    with pytest.raises(CorpusError, match="line 5: found 9 fields; expected 8"):
        read(tmp_path, ROWS.replace(b"\n4 ", b" 1.0\n4 "))


@pytest.mark.parametrize("ending", [b"\n\n", b"", b" \n \n"], ids=["blank line", "no line end", "spaces"])
def test_the_end_of_the_file_may_be_untidy(tmp_path: Path, ending: bytes) -> None:
    track, found = read(tmp_path, ROWS.rstrip() + ending)
    np.testing.assert_array_equal(track.values, mocap_values(HEAD, 5).astype(np.float32))
    assert {kind for kind, _ in found} <= {IrregularityKind.UNEVEN_SPACING}


@pytest.mark.parametrize(
    ("change", "line", "num_fields"),
    [
        pytest.param((b" 1.00500\n", b"\n"), 4, 7, id="one value less"),
        pytest.param((b" 1.00500\n", b" 1.00500 7\n"), 4, 9, id="one value more"),
        pytest.param((b" 1.00400 1.00500\n", b" 1.00400 \n"), 4, 7, id="a separator in place of a value"),
        pytest.param((b" 1.00300 1.00400 ", b" 1.00300  "), 4, 7, id="two separators around no value"),
        pytest.param((b" 4.00500\n", b"\n"), 7, 7, id="last row, ended"),
    ],
)
def test_a_row_of_another_width_is_named(
    tmp_path: Path, change: tuple[bytes, bytes], line: int, num_fields: int
) -> None:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, ROWS.replace(*change))
    assert str(caught.value) == (
        f"mocap file '{COMPLETE}.txt', line {line}: found {num_fields} fields; "
        "expected 8: frame, time and 6 values"
    )


def test_two_rows_whose_widths_make_up_for_each_other_are_found(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="line 4: found 7 fields"):
        read(tmp_path, ROWS.replace(b" 1.00500\n", b"\n").replace(b" 3.00500\n", b" 3.00500 9\n"))


def test_the_file_of_another_stream_is_refused(tiny_corpus: CorpusLayout) -> None:
    with pytest.raises(CorpusError) as caught:
        read_mocap(tiny_corpus.mocap_path(COMPLETE, MocapStream.HAND), MocapStream.FACE)
    assert str(caught.value) == (
        f"mocap file 'Session1/dialog/MOCAP_hand/{COMPLETE}.txt', line 3: found 20 fields; "
        "expected 167: frame, time and 165 values"
    )


@pytest.mark.parametrize("value", ["1.0O4", "1,004", "", "-", "None", "1_0", '"1"', "\xe9"])
def test_a_value_that_is_no_number_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read(tmp_path, ROWS.replace(b"1.00400", value.encode("latin-1")))
    found = f"found {value!r}; expected a number, or NaN for a lost marker"
    width = "found 7 fields; expected 8: frame, time and 6 values"
    assert str(caught.value) == f"mocap file '{COMPLETE}.txt', line 4: {found if value else width}"


def test_a_file_cut_off_inside_a_row_gives_the_rows_before(tmp_path: Path) -> None:
    track, found = read(tmp_path, ROWS[:-12])
    np.testing.assert_array_equal(track.values, mocap_values(HEAD, 4).astype(np.float32))
    assert found == [(IrregularityKind.TRUNCATED_MOCAP, "line 7 has 7 of 8 fields")]


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        pytest.param(
            b"", [IrregularityKind.UNREADABLE_MOCAP_HEADER, IrregularityKind.EMPTY_MOCAP], id="empty"
        ),
        pytest.param(b"\n".join(ROWS.split(b"\n")[:2]), [IrregularityKind.EMPTY_MOCAP], id="header alone"),
        pytest.param(
            b"\n".join(ROWS.split(b"\n")[:2]) + b"\n1 0.00",
            [IrregularityKind.TRUNCATED_MOCAP, IrregularityKind.EMPTY_MOCAP],
            id="cut off in the first row",
        ),
    ],
)
def test_a_file_without_a_row_is_empty_and_told(
    tmp_path: Path, data: bytes, kinds: list[IrregularityKind]
) -> None:
    track, found = read(tmp_path, data)
    assert (track.times.shape, track.values.shape) == ((0,), (0, 6))
    assert [kind for kind, _ in found] == kinds
    assert rows_between(track, 0.0, 1.0) == slice(0, 0)


@pytest.mark.parametrize("num_lost", [1, 2])
def test_a_file_without_its_header_loses_no_row(tmp_path: Path, num_lost: int) -> None:
    track, found = read(tmp_path, b"\n".join(ROWS.split(b"\n")[num_lost:]))
    np.testing.assert_array_equal(track.values, mocap_values(HEAD, 5).astype(np.float32))
    assert track.columns == ("head_1", "head_2", "head_3", "head_4", "head_5", "head_6")
    assert found == [(IrregularityKind.UNREADABLE_MOCAP_HEADER, f"{2 - num_lost} header lines")]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("Frame# Time A A A B B B\n X Y Z X Y Z", ("A_X", "A_Y", "A_Z", "B_X", "B_Y", "B_Z")),
        ("Frame#  Time A B \r\n    X Y Z X Y Z \r", ("A_X", "A_Y", "A_Z", "B_X", "B_Y", "B_Z")),
        ("Frame# Time a b c d e f\nX Y Z X Y Z", ("a", "b", "c", "d", "e", "f")),
        ("Frame# Time A A\nX Y Z X Y Z", ("head_1", "head_2", "head_3", "head_4", "head_5", "head_6")),
        ("Frame# Time\n\n", ("head_1", "head_2", "head_3", "head_4", "head_5", "head_6")),
    ],
    ids=["a marker a column", "untidy", "a name a column", "names twice", "no names"],
)
def test_columns_are_named_by_the_header_where_it_can_be_read(
    tmp_path: Path, header: str, columns: tuple[str, ...]
) -> None:
    body = b"\n".join(ROWS.split(b"\n")[2:])
    track, _ = read(tmp_path, header.encode() + b"\n" + body)
    assert track.columns == columns and len(track.times) == 5


def test_rows_out_of_order_are_sorted_by_time(tmp_path: Path) -> None:
    track, found = read(tmp_path, ROWS.replace(b"2 0.10000", b"2 0.17500"))
    np.testing.assert_array_equal(track.times, [0.05, 0.15, 0.175, 0.2, 0.25])
    assert track.values[:, 0].tolist() == [0, 2, 1, 3, 4]
    assert found == [(IrregularityKind.UNORDERED_ROWS, "time goes back 1 times")]


def test_rows_without_a_time_are_left_out(tmp_path: Path) -> None:
    track, found = read(tmp_path, ROWS.replace(b"2 0.10000", b"2 NaN"))
    assert track.values[:, 0].tolist() == [0, 2, 3, 4]
    assert found == [(IrregularityKind.ROWS_WITHOUT_TIME, "1 rows")]


@pytest.mark.parametrize("value", [b"inf", b"-Infinity", b"1e300"])
def test_infinite_values_are_lost_ones(tmp_path: Path, value: bytes) -> None:
    track, found = read(tmp_path, ROWS.replace(b"1.00400", value))
    assert np.argwhere(np.isnan(track.values)).tolist() == [[1, 4]]
    assert found == [(IrregularityKind.IMPOSSIBLE_VALUES, "1 values")]


def test_a_value_of_no_movement_is_a_lost_one(tmp_path: Path) -> None:
    """A finite 1e30 made its column's deviation infinite, and so all of the column's other values zero."""
    track, found = read(tmp_path, ROWS.replace(b"1.00400", b"-1e30"))
    assert np.argwhere(np.isnan(track.values)).tolist() == [[1, 4]]
    detail = "1 values, 1 of them finite and above 100000 in size"
    assert found == [(IrregularityKind.IMPOSSIBLE_VALUES, detail)]
    kept, found = read(tmp_path, ROWS.replace(b"1.00400", b"-99999.0"))
    assert kept.values[1, 4] == -99999 and not found


def test_a_missing_file_is_never_replaced_by_another_takes(tiny_corpus: CorpusLayout) -> None:
    other = tiny_corpus.mocap_path("Ses05M_script01_1", HEAD)
    write_file(other, ROWS)
    with pytest.raises(CorpusError) as caught:
        read_mocap(tiny_corpus.mocap_path("Ses05M_script01_1b", HEAD), HEAD)
    assert str(caught.value) == (
        "mocap file 'Session5/dialog/MOCAP_head/Ses05M_script01_1b.txt': cannot be read "
        "(No such file or directory); expected rows of frame, time and 6 values"
    )


def test_times_are_the_doubles_nearest_to_the_text(tmp_path: Path) -> None:
    texts = [f"{row / 119.9:.5f}" for row in range(1, 30001)]
    rows = "".join(f"{row} {text} 0 0 0 0 0 0\n" for row, text in enumerate(texts, start=1))
    track, _ = read(tmp_path, b"\n".join(ROWS.split(b"\n")[:2]) + b"\n" + rows.encode())
    assert track.times.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (0.05, 0.25, slice(1, 4)),
        (0.0, 9.0, slice(0, 5)),
        (0.051, 0.099, slice(1, 1)),
        (5.0, 6.0, slice(5, 5)),
        (0.25, 0.05, slice(5, 5)),
        (np.nan, np.nan, slice(5, 5)),
        (0.05, np.nan, slice(1, 1)),
    ],
)
def test_rows_of_an_utterance_lie_strictly_between_start_and_end(
    tmp_path: Path, start: float, end: float, rows: slice
) -> None:
    track, _ = read(tmp_path, ROWS)
    assert rows_between(track, start, end) == rows
