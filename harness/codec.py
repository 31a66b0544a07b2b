"""Whether a record that was read from a file has the types that its fields say."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, cast


def check_types(record: Any) -> None:
    """Compare every field of a dataclass with its annotation, to the inside of tuples and mappings.

    An int counts as a float, a truth value as neither. An int has at most 64 bits, and a float is finite:
    no writer of this package writes others.

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
        TypeError: row is 'first'; expected int
    """
    for name, hint in _hints(cast(Hashable, type(record))).items():
        value = getattr(record, name)
        if not _fits(value, hint):
            expected = hint.__name__ if isinstance(hint, type) else str(hint).replace("collections.abc.", "")
            raise TypeError(f"{name} is {value!r:.80}; expected {expected}")


@lru_cache(maxsize=32)
def _hints(record_type: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(record_type)
    return {field.name: hints[field.name] for field in fields(record_type)}


def _fits(value: object, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(one, arguments[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _fits(key, arguments[0]) and _fits(one, arguments[1]) for key, one in value.items()
        )
    if isinstance(value, bool):
        return hint is bool
    if isinstance(value, int):
        return hint in (int, float) and -(2**63) <= value < 2**63
    if isinstance(value, float):
        return hint is float and math.isfinite(value)
    return isinstance(value, origin or hint)
