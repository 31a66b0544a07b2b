"""The types of an experiment file's values: what each accepts, how a message names it, and its JSON Schema."""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

#: SQLite's largest whole number.
LARGEST_NUMBER = 2**63 - 1
#: Characters of an experiment's or a hyperparameter's name, which stands in tables, on axes and in messages.
MAX_NAME = 200
#: Our default, far beyond what a search can run: a list of them is held in memory.
MAX_TRIALS = 1_000_000
_UNITS: Mapping[str, int] = {
    **{"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class ValueType(ABC):
    """The type of a value of an experiment file."""

    @abstractmethod
    def to_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 7) of the values that are accepted."""


class CheckedType(ValueType):
    """A type whose values are checked one by one as they are read; ``expected`` names it in a message."""

    @property
    @abstractmethod
    def expected(self) -> str: ...

    @abstractmethod
    def accepts(self, value: object) -> bool: ...


@dataclass(frozen=True)
class Anything(ValueType):
    """A value that this package passes on, or that only people read."""

    def to_schema(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Text(CheckedType):
    """A text, which is more than spaces unless it can be empty.

    Attributes:
        max_characters: None for any number
    """

    can_be_empty: bool = False
    max_characters: int | None = None

    @property
    def expected(self) -> str:
        return "a text" if self.max_characters is None else f"a text of at most {self.max_characters} characters"

    def accepts(self, value: object) -> bool:
        if not isinstance(value, str) or "\0" in value:
            return False
        is_short = self.max_characters is None or len(value) <= self.max_characters
        return is_short and (self.can_be_empty or bool(value.strip()))

    def to_schema(self) -> dict[str, Any]:
        pattern = r"^[^\u0000]*$" if self.can_be_empty else r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
        longest = {} if self.max_characters is None else {"maxLength": self.max_characters}
        return {"type": "string", "pattern": pattern, **longest}


@dataclass(frozen=True)
class FileName(ValueType):
    """The path of a file with one of several endings, in upper or lower case.

    Example:
        >>> FileName((".npz", ".csv", ".parquet")).expected
        'a file that ends in .npz, .csv or .parquet'
    """

    endings: tuple[str, ...]

    @property
    def expected(self) -> str:
        """How a message names it."""
        *others, last = self.endings
        return f"a file that ends in {', '.join(others)} or {last}"

    def to_schema(self) -> dict[str, Any]:
        endings = "|".join(_in_any_case(ending) for ending in self.endings)
        return {"type": "string", "pattern": rf"^[^\u0000]*({endings})$"}


@dataclass(frozen=True)
class FunctionName(ValueType):
    """A function of a Python file, ``FILE.py:FUNCTION``.

    Attributes:
        pattern: a regular expression of the whole text
    """

    pattern: str

    def to_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class Names(CheckedType):
    """A name of a closed list.

    Attributes:
        folds_case: whether upper and lower case are the same
    """

    allowed: Collection[str]
    folds_case: bool = False

    @property
    def expected(self) -> str:
        return f"one of {list(self.allowed)}"

    def fold(self, value: object) -> object:
        """Return a value as it stands in the list."""
        return value.lower() if self.folds_case and isinstance(value, str) else value

    def accepts(self, value: object) -> bool:
        folded = self.fold(value)
        return isinstance(folded, str) and folded in self.allowed

    def to_schema(self) -> dict[str, Any]:
        names = {"enum": list(self.allowed)}
        if not self.folds_case:
            return names
        spelt = (_in_any_case(name) for name in self.allowed)
        return {"anyOf": [names, {"type": "string", "pattern": f"^({'|'.join(spelt)})$"}]}


@dataclass(frozen=True)
class WholeNumber(CheckedType):
    """A whole number between two bounds, both allowed."""

    low: int
    high: int = LARGEST_NUMBER

    @property
    def expected(self) -> str:
        return f"a whole number from {self.low} " + ("on" if self.high == LARGEST_NUMBER else f"to {self.high}")

    def accepts(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def to_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class TrueOrFalse(CheckedType):
    @property
    def expected(self) -> str:
        return "true or false"

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)

    def to_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Positive(CheckedType):
    """A finite number above 0."""

    @property
    def expected(self) -> str:
        return "a number above 0"

    def accepts(self, value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max

    def to_schema(self) -> dict[str, Any]:
        return {"type": "number", "exclusiveMinimum": 0, "maximum": sys.float_info.max}


@dataclass(frozen=True)
class Size(CheckedType):
    """A number of bytes, as a number or as a text with a unit."""

    @property
    def expected(self) -> str:
        return 'bytes, or a text such as "4 GB"'

    def accepts(self, value: object) -> bool:
        return 1 <= self.num_bytes(value) <= LARGEST_NUMBER

    def num_bytes(self, value: object) -> float:
        """Return a size in bytes, 0 for what is no size."""
        match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value))
        unit = _UNITS.get(match[2].upper()) if match else None
        return 0.0 if match is None or unit is None else float(match[1]) * unit

    def to_schema(self) -> dict[str, Any]:
        units = "|".join(_in_any_case(unit) for unit in _UNITS if unit)
        return {
            "anyOf": [
                {"type": "number", "minimum": 1, "maximum": LARGEST_NUMBER},
                {"type": "string", "pattern": rf"^(?=.*[1-9])\s*\d+(\.\d+)?\s*({units})?\s*$"},
            ]
        }


@dataclass(frozen=True)
class Off(ValueType):
    """A switch of Auptimizer's that must not be on."""

    def to_schema(self) -> dict[str, Any]:
        return {"enum": [False, None, 0, "", [], {}]}


@dataclass(frozen=True)
class ListOf(ValueType):
    """A list of values of one type, at least one of them unless it can be empty.

    Attributes:
        max_values: None for any number
    """

    item: ValueType
    can_be_empty: bool = False
    max_values: int | None = None

    def to_schema(self) -> dict[str, Any]:
        most = {} if self.max_values is None else {"maxItems": self.max_values}
        return {"type": "array", "minItems": 0 if self.can_be_empty else 1, **most, "items": self.item.to_schema()}


@dataclass(frozen=True)
class Either(ValueType):
    """A value of one of several types."""

    types: tuple[ValueType, ...]

    def to_schema(self) -> dict[str, Any]:
        return {"anyOf": [each.to_schema() for each in self.types]}


@dataclass(frozen=True)
class Key:
    """One key of an experiment file.

    Attributes:
        description: one sentence for people
        default: of a key that is missing; None where there is none, or where it depends on other keys
        takes_null: whether null is as good as a missing key
        is_of_trials: whether only this package's own trials read it
    """

    type: ValueType
    description: str
    default: Any = None
    takes_null: bool = False
    is_of_trials: bool = False

    def to_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (draft 7) of the key's values."""
        schema = self.type.to_schema()
        if self.takes_null:
            schema = {"anyOf": [schema, {"type": "null"}]}
        default = {} if self.default is None else {"default": self.default}
        return {"description": self.description, **schema, **default}


Wanted = TypeVar("Wanted", bound=ValueType)


@dataclass(frozen=True)
class Section(ValueType):
    """An object with known keys.

    Attributes:
        keys: by name
        others: the type of every other key's value; None where there must be no other
        required: keys that must be there
        rules: what the JSON Schema says besides, about keys together
    """

    keys: Mapping[str, Key]
    others: ValueType | None = None
    required: tuple[str, ...] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)

    def to_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: key.to_schema() for name, key in self.keys.items()},
            "additionalProperties": False if self.others is None else self.others.to_schema(),
            **({"required": list(self.required)} if self.required else {}),
            **self.rules,
        }

    def find(self, dotted: str, wanted: type[Wanted]) -> tuple[Key, Wanted]:
        """Return a key, and the one of its types that is wanted; a dotted key lies in a section.

        Raises:
            KeyError: no such key, or none of that type

        Example:
            >>> inner = Section({"epochs": Key(WholeNumber(1), "Epochs of a training.")})
            >>> Section({"rule": Key(Either((Text(), inner)), "A rule.")}).find("rule.epochs", WholeNumber)[1]
            WholeNumber(low=1, high=9223372036854775807)
        """
        name, _, rest = dotted.partition(".")
        key = self.keys[name]
        for each in _alternatives(key.type):
            if rest and isinstance(each, Section):
                return each.find(rest, wanted)
            if not rest and isinstance(each, wanted):
                return key, each
        raise KeyError(dotted)


def _in_any_case(text: str) -> str:
    """Return the regular expression of a text in upper or lower case, letter by letter."""
    return "".join(f"[{each.upper()}{each.lower()}]" if each.isalpha() else re.escape(each) for each in text)


def _alternatives(of: ValueType) -> Iterator[ValueType]:
    if isinstance(of, Either):
        for each in of.types:
            yield from _alternatives(each)
    else:
        yield of
