"""Dataclass records as plain values and back, checked field by field."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Collection, Hashable, Mapping
from dataclasses import field, fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from harness.errors import HarnessError, show_value

Record = TypeVar("Record")

_MAY_BE_MISSING = "may_be_missing"
#: How a message names the types of plain values.
_NAMES: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    type(None): "null",
}


class CodecError(HarnessError, ValueError):
    """A value does not have the type that its record expects."""


def may_be_missing(default: Any) -> Any:
    """Mark a field of a record that was added later: files leave it out while it has its default.

    Returns:
        a dataclass field
    """
    return field(default=default, metadata={_MAY_BE_MISSING: True})


def to_plain(value: Any) -> Any:
    """Turn a record into dicts, lists, texts, bytes, numbers and truth values.

    Example:
        >>> to_plain({"path": Path("a/b"), "sizes": (1, 2)})
        {'path': 'a/b', 'sizes': [1, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: to_plain(getattr(value, each.name))
            for each in fields(value)
            if _MAY_BE_MISSING not in each.metadata or getattr(value, each.name) != each.default
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return value


def from_plain(record_type: type[Record], value: Any) -> Record:
    """Read a record of dataclass ``record_type`` from what ``to_plain`` returned; floats may be NaN.

    Raises:
        CodecError: one sentence names the first field that differs, however deep

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Place:
        ...     row: int
        ...     names: tuple[str, ...]
        >>> from_plain(Place, {"row": 2, "names": ["a"]})
        Place(row=2, names=('a',))
        >>> from_plain(Place, {"row": 2, "names": ["a", None]})
        Traceback (most recent call last):
            ...
        harness.codec.CodecError: Place.names[1] is null; expected a text
    """
    read: Record = _read(record_type, value, record_type.__name__, converts=True)
    return read


def check_types(record: Any, leave_out: Collection[str] = ()) -> None:
    """Compare every field of a dataclass with its annotation, including the items of tuples and mappings.

    An int counts as a float, a truth value as neither. An int has at most 64 bits, and a float is finite:
    no writer of this package writes others.

    Args:
        leave_out: fields that are not compared

    Raises:
        TypeError: one sentence names the first field that differs

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Place:
        ...     row: int
        >>> check_types(Place("first"))
        Traceback (most recent call last):
            ...
        TypeError: row is 'first'; expected a whole number
    """
    for name, hint in _hints(cast(Hashable, type(record))).items():
        if name in leave_out:
            continue
        value = getattr(record, name)
        try:
            _read(hint, value, name, converts=False)
        except CodecError:
            # Not a list, which the value may be.
            is_tuple = typing.get_origin(hint) is tuple
            known = str(hint) if is_tuple else _name_of(hint)
            raise TypeError(f"{name} is {value!r:.80}; expected {known}") from None


def _read(hint: Any, value: Any, where: str, converts: bool) -> Any:
    """Return ``value`` as ``hint`` says.

    Args:
        converts: whether plain values become tuples, enums, paths and records; if not, they must be that already,
            and floats must be finite
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, where, converts)
    if origin is tuple:
        if isinstance(value, list | tuple if converts else tuple):
            return tuple(_read(arguments[0], one, f"{where}[{row}]", converts) for row, one in enumerate(value))
    elif origin is Mapping:
        if isinstance(value, Mapping):
            return {
                _read(arguments[0], key, f"{where} key", converts): _read(
                    arguments[1], one, f"{where}[{key!r:.80}]", converts
                )
                for key, one in value.items()
            }
    elif isinstance(value, bool):
        if hint is bool:
            return value
    elif isinstance(value, int) and hint in (int, float):
        if -(2**63) <= value < 2**63:
            return hint(value)
    elif isinstance(value, float):
        if hint is float and (converts or math.isfinite(value)):
            return value
    elif isinstance(value, origin or hint):
        return value
    elif converts:
        return _convert(hint, value, where)
    raise _wrong(where, value, _name_of(hint))


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(cast(Hashable, hint))
        optional = {each.name for each in fields(hint) if _MAY_BE_MISSING in each.metadata}
        if not isinstance(value, dict) or not set(hints) - optional <= set(value) <= set(hints):
            if not isinstance(value, dict):
                raise _wrong(where, value, f"the fields {sorted(hints)}")
            raise CodecError(f"{where} has the fields {sorted(value)!s:.400}; expected the fields {sorted(hints)}")
        given = {name: one for name, one in hints.items() if name in value}
        return hint(**{name: _read(one, value[name], f"{where}.{name}", True) for name, one in given.items()})
    if isinstance(value, str) and hint is Path:
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise _wrong(where, value, f"one of {[member.value for member in hint]}") from None
    raise _wrong(where, value, _name_of(hint))


def _read_union(hints: tuple[Any, ...], value: Any, where: str, converts: bool) -> Any:
    if value is None and type(None) in hints:
        return None
    known = [hint for hint in hints if hint is not type(None)]
    if int in known and isinstance(value, int) and not isinstance(value, bool):
        known = [int]
    for hint in known[:-1]:
        try:
            return _read(hint, value, where, converts)
        except CodecError:
            continue
    return _read(known[-1], value, where, converts)


@lru_cache(maxsize=64)
def _hints(record_type: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(record_type)
    return {each.name: hints[each.name] for each in fields(record_type)}


def _name_of(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_name_of, arguments))
    if origin is tuple:
        return "a list"
    if origin is Mapping or is_dataclass(hint):
        return "an object"
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _wrong(where: str, value: object, expected: str) -> CodecError:
    return CodecError(f"{where} is {show_value(value)}; expected {expected}")
