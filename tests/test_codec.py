"""Records as plain values and back, each field checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from harness.codec import CodecError, check_types, from_plain, to_plain


@dataclass
class Record:
    count: int = 1
    share: float = 0.5
    name: str | None = None
    ids: tuple[int, ...] = ()


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Nested:
    record: Record | None
    path: Path
    colour: Colour
    shares: Mapping[str, float] = field(default_factory=dict)
    number: int | float = 0
    is_new: bool = False
    content: bytes = b""


NESTED = Nested(Record(2, 0.25, "x", (1, 2)), Path("a/b"), Colour.BLUE, {"x": 1.0}, 3, True, b"c")


@pytest.mark.parametrize("nested", [NESTED, Nested(None, Path("."), Colour.RED, {}, 0.5)], ids=["full", "empty"])
def test_a_record_comes_back_as_it_went(nested: Nested) -> None:
    again = from_plain(Nested, to_plain(nested))
    assert again == nested
    assert type(again.number) is type(nested.number)
    check_types(again)


def test_a_float_that_is_sent_may_be_nan_and_one_in_a_file_may_not() -> None:
    read = from_plain(Record, to_plain(Record(share=math.nan)))
    assert math.isnan(read.share)
    with pytest.raises(TypeError):
        check_types(read)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"record": {"count": 1}},
            "Nested.record has the fields ['count']; expected the fields ['count', 'ids', 'name', 'share']",
        ),
        ({"record": to_plain(Record(ids=(1, True)))}, "Nested.record.ids[1] is true; expected a whole number"),
        ({"path": 3}, "Nested.path is 3; expected a path"),
        ({"colour": "green"}, "Nested.colour is 'green'; expected one of ['red', 'blue']"),
        ({"shares": {"x": "1"}}, "Nested.shares['x'] is '1'; expected a number"),
        ({"shares": [1.0]}, "Nested.shares is [1.0]; expected an object"),
        ({"is_new": 1}, "Nested.is_new is 1; expected true or false"),
        ({"number": False}, "Nested.number is false; expected a number"),
        ({"content": "c"}, "Nested.content is 'c'; expected bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_value_of_another_type_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CodecError) as caught:
        from_plain(Nested, {**to_plain(NESTED), **changes})
    assert str(caught.value) == message


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(CodecError, match="Record is 'x'; expected the fields"):
        from_plain(Record, "x")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record(True), "count is True; expected a whole number"),
        (Record(1.0), "count is 1.0; expected a whole number"),
        (Record(2**63), "count is 9223372036854775808; expected a whole number"),
        (Record(share="x"), "share is 'x'; expected a number"),
        (Record(share=float("nan")), "share is nan; expected a number"),
        (Record(name=3), "name is 3; expected a text or null"),
        (Record(ids=[1]), "ids is [1]; expected tuple[int, ...]"),
        (Record(ids=(1, None)), "ids is (1, None); expected tuple[int, ...]"),
    ],
    ids=lambda value: str(value),
)
def test_a_field_of_another_type_is_named(record: Record, message: str) -> None:
    check_types(Record(3, 1, "x", (1, 2)))
    with pytest.raises(TypeError) as caught:
        check_types(record)
    assert str(caught.value) == message
