"""Records as plain values and back: all that this package sends between machines, checked on arrival."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from harness import __version__
from harness.errors import HarnessError, one_line

Record = TypeVar("Record")


class WireError(HarnessError, ValueError):
    """What came over the wire is not what this package sends."""


def to_plain(value: Any) -> Any:
    """Turn a record into dicts, lists, texts, bytes, numbers and truth values.

    Example:
        >>> to_plain({"path": Path("a/b"), "sizes": (1, 2)})
        {'path': 'a/b', 'sizes': [1, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
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
    """Read a record of dataclass ``record_type``, to the inside of its fields; floats may be NaN.

    Raises:
        WireError: one sentence names the first field that differs

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
        harness.search.cluster.plain.WireError: Place.names[1] is None; expected str
    """
    read: Record = _read(record_type, value, record_type.__name__)
    return read


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, where)
    if is_dataclass(hint):
        return _read_record(hint, value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_read(arguments[0], one, f"{where}[{number}]") for number, one in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {
            _read(arguments[0], key, f"{where} key"): _read(arguments[1], one, f"{where}[{key!r:.80}]")
            for key, one in value.items()
        }
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            try:
                return hint(value)
            except ValueError:
                raise _wrong(where, value, f"one of {[member.value for member in hint]}") from None
        if hint is Path and isinstance(value, str):
            return Path(value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
            return value
    raise _wrong(where, value, getattr(hint, "__name__", str(hint)))


def _read_union(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in hints:
        return None
    known = [hint for hint in hints if hint is not type(None)]
    if isinstance(value, int) and not isinstance(value, bool) and int in known:
        return value
    for hint in known[:-1]:
        try:
            return _read(hint, value, where)
        except WireError:
            continue
    return _read(known[-1], value, where)


def _read_record(record_type: Any, value: Any, where: str) -> Any:
    hints = _hints(record_type)
    if not isinstance(value, dict) or set(value) != set(hints):
        found = sorted(value) if isinstance(value, dict) else value
        raise _wrong(where, found, f"the fields {sorted(hints)}")
    return record_type(**{name: _read(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


@lru_cache(maxsize=64)
def _hints(record_type: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(record_type)
    return {field.name: hints[field.name] for field in fields(record_type)}


def _wrong(where: str, value: object, expected: str) -> WireError:
    return WireError(f"{where} is {value!r:.80}; expected {expected}")


def describe_error(error: BaseException) -> str:
    """Return what any error says, on one line of at most 300 characters."""
    # Source: distributed's Scheduler.update_graph, which hands on no cause.
    if "deserialization of the task graph" in str(error):
        return f"its scheduler cannot read the task: harness-iemocap {__version__} must be installed beside that, too"
    return f"{type(error).__name__}: {one_line(Exception(str(error)))}"[:300]
