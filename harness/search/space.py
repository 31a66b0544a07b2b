"""A search space: Auptimizer's ``parameter_config`` as records, and the points drawn from it.

Reading one refuses every mistake with one sentence, before a trial starts.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

from harness.errors import ExperimentFileError, HarnessError, show_value
from harness.models.hyperparameters import is_number
from harness.models.systems import System, read_hyperparameters
from harness.search.key_types import (
    MAX_NAME,
    MAX_TRIALS,
    Anything,
    Key,
    ListOf,
    Names,
    Positive,
    Section,
    Text,
    TrueOrFalse,
    WholeNumber,
)
from harness.search.keys import check_keys
from harness.splits.protocol import Protocol

#: A point's values by hyperparameter, plain values.
Point = dict[str, Any]

#: Digits that a value on a grid keeps, so that 0.1 + 2 x 0.1 is 0.3.
_GRID_DIGITS = 12


class ParameterType(StrEnum):
    INT = "int"
    FLOAT = "float"
    CHOICE = "choice"


@dataclass(frozen=True)
class Parameter:
    """One hyperparameter's range.

    Attributes:
        low, high: bounds, both of them drawn too; 0 for a choice
        choices: what a choice is made of; empty for numbers
        is_log: whether the logarithm is uniform rather than the value
        step: distance between neighbouring values from ``low`` on; None for all that lies between
    """

    name: str
    type: ParameterType
    low: float = 0
    high: float = 0
    choices: tuple[Any, ...] = ()
    is_log: bool = False
    step: float | None = None

    def draw(self, generator: np.random.Generator) -> Any:
        """Draw one value.

        Example:
            >>> parameter = Parameter("dropout", ParameterType.FLOAT, 0.0, 0.4, step=0.1)
            >>> parameter.draw(np.random.default_rng(2))
            0.4
        """
        if self._num_even is None:
            return self._between(generator.random())
        return self._nth(int(generator.integers(self._num_even)))

    def from_unit(self, share: float) -> Any:
        """Return the value at a share, from 0 to below 1, of the range: every value has an equal part of it.

        Example:
            >>> parameter = Parameter("units", ParameterType.INT, 1, 4)
            >>> [parameter.from_unit(share) for share in (0.0, 0.3, 0.99)]
            [1, 2, 4]
        """
        return self._between(share) if self._num_even is None else self._nth(int(share * self._num_even))

    def to_number(self, value: Any) -> int | float:
        """Return the place, from 0 on, of a choice or of a value on a grid; any other number as it is.

        Example:
            >>> parameter = Parameter("dropout", ParameterType.FLOAT, 0.1, 0.4, step=0.1)
            >>> parameter.to_number(0.3), parameter.from_number(2)
            (2, 0.3)
        """
        if self.type is ParameterType.CHOICE:
            texts = [json.dumps(choice, sort_keys=True) for choice in self.choices]
            return texts.index(json.dumps(value, sort_keys=True))
        number: int | float = value if self.step is None else round((value - self.low) / self.step)
        return number

    def from_number(self, number: int | float) -> Any:
        """Return the value that ``to_number`` makes a number of."""
        return self._nth(int(number)) if self.type is ParameterType.CHOICE or self.step is not None else number

    def holds(self, value: Any) -> bool:
        """Return whether a value is one that can be drawn.

        Example:
            >>> parameter = Parameter("dropout", ParameterType.FLOAT, 0.0, 0.4, step=0.1)
            >>> [parameter.holds(value) for value in (0.3, 0.35, 0.5, "0.3")]
            [True, False, False, False]
        """
        if self.type is ParameterType.CHOICE:
            return json.dumps(value, sort_keys=True) in {json.dumps(choice, sort_keys=True) for choice in self.choices}
        if not is_number(value) or not self.low <= value <= self.high:
            return False
        if self.type is ParameterType.INT and value != int(value):
            return False
        return self.step is None or self._on_grid(round((value - self.low) / self.step)) == value

    @property
    def num_values(self) -> int | None:
        """Count the values that can be drawn; None for a continuum."""
        if self.type is ParameterType.INT and self.step is None:
            return int(self.high - self.low) + 1
        return 1 if self.low == self.high and self._num_even is None else self._num_even

    def values(self) -> Iterator[Any]:
        """Every value that can be drawn, once; of a continuum only its lower bound."""
        if self.type is ParameterType.FLOAT and self.step is None:
            return iter([float(self.low)])
        return map(self._nth, range(self.num_values or 0))

    def to_json(self) -> dict[str, Any]:
        """Everything that decides which values are drawn, as plain values."""
        if self.type is ParameterType.CHOICE:
            return {"name": self.name, "range": list(self.choices), "type": self.type.value}
        entry: dict[str, Any] = {
            "name": self.name,
            "range": [self.low, self.high],
            "type": self.type.value,
        }
        if self.is_log:
            entry["log"] = True
        if self.step is not None:
            entry["step"] = self.step
        return entry

    @property
    def _num_even(self) -> int | None:
        """The number of values, where all are drawn equally often; None for a continuum and for a logarithmic scale."""
        if self.type is ParameterType.CHOICE:
            return len(self.choices)
        if self.step is not None:
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return int(self.high) - int(self.low) + 1 if self.type is ParameterType.INT and not self.is_log else None

    def _nth(self, number: int) -> Any:
        """Return a value of finitely many by its place, from 0 on."""
        if self.type is ParameterType.CHOICE:
            return self.choices[number]
        return int(self.low) + number if self.step is None else self._on_grid(number)

    def _between(self, share: float) -> int | float:
        """Return the value at a share, from 0 to below 1, of a continuum or of a logarithmic scale."""
        if not self.is_log:
            return float(self.low + share * (self.high - self.low))
        # Each integer gets the share of the logarithmic scale that rounds to it.
        margin = 0.5 if self.type is ParameterType.INT else 0.0
        low, high = math.log(self.low - margin), math.log(self.high + margin)
        value = math.exp(low + share * (high - low))
        if self.type is ParameterType.INT:
            return int(min(max(round(value), self.low), self.high))
        return float(min(max(value, self.low), self.high))

    def _on_grid(self, number: int) -> int | float:
        assert self.step is not None
        value = self.low + number * self.step
        if self.type is ParameterType.INT:
            return int(value)
        return float(f"{value:.{_GRID_DIGITS}g}")


@dataclass(frozen=True)
class SearchSpace:
    """Every hyperparameter that is searched, in the file's order."""

    parameters: tuple[Parameter, ...]

    def draw(self, generator: np.random.Generator) -> Point:
        """Draw one point."""
        return {parameter.name: parameter.draw(generator) for parameter in self.parameters}

    @property
    def num_points(self) -> int | None:
        """Count the points of a finite space; None where a continuum is searched.

        Example:
            >>> layers = Parameter("layers", ParameterType.INT, 1, 3)
            >>> gates = Parameter("gates", ParameterType.CHOICE, choices=("sigmoid", "hard_sigmoid"))
            >>> SearchSpace((layers, gates)).num_points
            6
        """
        counts = [parameter.num_values for parameter in self.parameters]
        known = [count for count in counts if count is not None]
        return math.prod(known) if len(known) == len(counts) else None

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, once."""
        names = [parameter.name for parameter in self.parameters]
        for values in itertools.product(*(parameter.values() for parameter in self.parameters)):
            yield dict(zip(names, values, strict=True))

    def to_json(self) -> list[dict[str, Any]]:
        """Auptimizer's ``parameter_config``, with nothing in it but what decides the points."""
        return [parameter.to_json() for parameter in self.parameters]


def read_points(values: object, space: SearchSpace, origin: str) -> tuple[Point, ...]:
    """Read the points that come first in a search.

    Args:
        values: the list as JSON gave it
        origin: what to call the list in a message

    Raises:
        ExperimentFileError: a point lacks a searched hyperparameter, has another one, has a value that cannot be drawn,
            or stands twice
    """
    if not isinstance(values, list) or not values:
        raise ExperimentFileError(
            f'{origin} is {show_value(values)}; expected a list of points, e.g. [{{"dropout": 0.2}}]'
        )
    names = sorted(parameter.name for parameter in space.parameters)
    points: dict[str, Point] = {}
    for number, value in enumerate(values, start=1):
        place = f"{origin}: point {number}"
        if not isinstance(value, Mapping) or sorted(value) != names:
            found = sorted(value) if isinstance(value, Mapping) else show_value(value)
            raise ExperimentFileError(f"{place} has {found}; expected exactly the searched {names}")
        for parameter in space.parameters:
            if not parameter.holds(value[parameter.name]):
                raise ExperimentFileError(
                    f"{place}: {parameter.name} is {show_value(value[parameter.name])}; expected a value of its range "
                    "in the search space"
                )
        # Of 2.0 an int is 2, and of -0.0 a float is 0.0: one point must not have two spellings.
        point = {
            parameter.name: int(value[parameter.name])
            if parameter.type is ParameterType.INT
            else float(value[parameter.name]) + 0.0
            if parameter.type is ParameterType.FLOAT
            else value[parameter.name]
            for parameter in space.parameters
        }
        # As JSON, in which true is not 1.
        spelt = json.dumps(point, sort_keys=True)
        if spelt in points:
            earlier = list(points).index(spelt) + 1
            raise ExperimentFileError(f"{place} is point {earlier} again; expected each point once")
        points[spelt] = point
    return tuple(points.values())


def space_from_json(entries: Sequence[Mapping[str, Any]]) -> SearchSpace:
    """Read back what ``SearchSpace.to_json`` wrote."""
    parameters = []
    for entry in entries:
        kind = ParameterType(entry["type"])
        if kind is ParameterType.CHOICE:
            parameters.append(Parameter(entry["name"], kind, choices=tuple(entry["range"])))
        else:
            low, high = entry["range"]
            log, step = bool(entry.get("log", False)), entry.get("step")
            parameters.append(Parameter(entry["name"], kind, low, high, is_log=log, step=step))
    return SearchSpace(tuple(parameters))


#: Names that Auptimizer, its proposers or results.db keep for themselves.
_RESERVED = ("job_id", "tid", "trial_id", "trial_index", "save_model", "n_iterations")
#: Beyond it neighbouring integers are one and the same in a file of JSON numbers.
_LARGEST = 2**53

#: Hyperparameters of one search: half of the columns that SQLite gives a table, for those of other searches lie there
#: too. Source: SQLITE_MAX_COLUMN, 2000 unless it was compiled otherwise.
MAX_HYPERPARAMETERS = 1000

#: The keys of one hyperparameter in a search space. ``interval`` and ``n`` are those of Auptimizer's proposer
#: ``sequence``.
PARAMETER = Section(
    {
        "name": Key(Text(max_characters=MAX_NAME), "The hyperparameter's name, as harness systems NAME lists it."),
        "range": Key(
            ListOf(Anything()), "The lowest and the highest value, both drawn too; of a choice all values, each once."
        ),
        "type": Key(Names([kind.value for kind in ParameterType]), "The type of the values.", ParameterType.INT.value),
        "log": Key(TrueOrFalse(), "Whether the logarithm is drawn evenly rather than the value.", False),
        "step": Key(Positive(), "The distance between neighbouring values from the lowest on.", takes_null=True),
        "interval": Key(Positive(), "Proposer sequence: the distance between the values of its grid."),
        "n": Key(WholeNumber(2, MAX_TRIALS), "Proposer sequence: the number of values of its grid."),
    },
    required=("name", "range"),
    rules={
        "allOf": [
            {"not": {"required": ["name"], "properties": {"name": {"enum": list(_RESERVED)}}}},
            {
                "if": {"required": ["type"], "properties": {"type": {"const": ParameterType.CHOICE.value}}},
                "then": {"properties": {"log": False, "step": False, "range": {"uniqueItems": True}}},
                "else": {
                    "properties": {
                        "range": {
                            "items": {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST},
                            "minItems": 2,
                            "maxItems": 2,
                        }
                    }
                },
            },
            {
                # Also where no type is given: the default.
                "if": {"properties": {"type": {"const": ParameterType.INT.value}}},
                "then": {"properties": {"range": {"items": {"multipleOf": 1}}, "step": {"multipleOf": 1}}},
            },
            {
                "if": {"required": ["log"], "properties": {"log": {"const": True}}},
                "then": {
                    "properties": {"step": {"type": "null"}, "range": {"items": {"exclusiveMinimum": 0}}},
                },
            },
        ]
    },
)


_EXPECTED_ENTRIES = 'a list with at least one {"name": ..., "range": ..., "type": ...}'


def require_entries(held: Mapping[str, Any], origin: str) -> object:
    """Return the ``parameter_config`` of a search space's file, as JSON gave it.

    Args:
        origin: what to call the file in a message

    Raises:
        ExperimentFileError: it has none
    """
    if "parameter_config" not in held:
        raise ExperimentFileError(f"{origin}: parameter_config is missing; expected {_EXPECTED_ENTRIES}")
    return held["parameter_config"]


def read_search_space(entries: object, origin: str, system: System | None) -> SearchSpace:
    """Read Auptimizer's ``parameter_config``.

    Args:
        entries: the list as JSON gave it
        origin: what to call the list in a message, e.g. ``"search space 'search_spaces/fusion.json'"``
        system: whose hyperparameters are searched; None for a script of which nothing is known

    Raises:
        ExperimentFileError: a parameter is not one that can be searched
    """
    if not isinstance(entries, list) or not entries:
        raise ExperimentFileError(
            f"{origin}: parameter_config is {show_value(entries)}; expected {_EXPECTED_ENTRIES}"
        )
    if len(entries) > MAX_HYPERPARAMETERS:
        raise ExperimentFileError(
            f"{origin}: parameter_config has {len(entries)} hyperparameters; expected at most {MAX_HYPERPARAMETERS}, "
            "for results.db has a column for each"
        )
    parameters: list[Parameter] = []
    for number, entry in enumerate(entries, start=1):
        parameter = _read_parameter(entry, f"{origin}: parameter {number}", origin, allows_others=system is None)
        for earlier in parameters:
            # results.db has a column for each, and SQLite's columns know no upper and lower case.
            if earlier.name.lower() == parameter.name.lower():
                twice = "is given twice" if earlier.name == parameter.name else f"comes after {earlier.name!r}"
                raise ExperimentFileError(
                    f"{origin}: parameter {parameter.name!r} {twice}; expected each name once (upper and lower case "
                    "count as the same)"
                )
        if system is not None:
            _check_against_system(parameter, origin, system)
        parameters.append(parameter)
    return SearchSpace(tuple(parameters))


def check_extremes(space: SearchSpace, origin: str, system: System, protocol: Protocol) -> None:
    """Build a point from each parameter's bounds and choices, so that no trial is the first to fail at one.

    Raises:
        ExperimentFileError: a value that the system's hyperparameter cannot have
    """
    for parameter in space.parameters:
        for value in parameter.choices or (parameter.low, parameter.high):
            try:
                read_hyperparameters(system, {parameter.name: value}, protocol)
            except HarnessError as error:
                raise ExperimentFileError(f"{origin}: parameter {parameter.name!r}: {error}") from error


def check_grid(space: SearchSpace, entries: Sequence[Mapping[str, Any]], origin: str) -> None:
    """Check the grid that proposer ``sequence`` lays over a space.

    Args:
        entries: of the file, one for each parameter

    Raises:
        ExperimentFileError: ``interval`` or ``n`` makes no grid, or all together make too many points
    """
    num_points = math.prod(
        _count_values(parameter, entry, f"{origin}: parameter {parameter.name!r}")
        for parameter, entry in zip(space.parameters, entries, strict=True)
    )
    if num_points > MAX_TRIALS:
        raise ExperimentFileError(
            f"{origin}: proposer is 'sequence', whose grid has more than {MAX_TRIALS} points; expected no more, by a "
            "larger interval or a smaller n"
        )


def _count_values(parameter: Parameter, entry: Mapping[str, Any], origin: str) -> int:
    """Count the values of a parameter as Auptimizer's proposer does, to one more than ``MAX_TRIALS``.

    Raises:
        ExperimentFileError: as ``check_grid``
    """
    if parameter.type is ParameterType.CHOICE:
        return len(parameter.choices)
    interval, number = entry.get("interval", 1), entry.get("n", 2)
    for key, value, allowed in (("interval", interval, Positive()), ("n", number, WholeNumber(2, MAX_TRIALS))):
        if not allowed.accepts(value):
            raise ExperimentFileError(f"{origin}: {key} is {show_value(value)}; expected {allowed.expected}")
    num_values = parameter.num_values
    if "n" in entry and "interval" not in entry:
        if num_values is not None and number > num_values:
            raise ExperimentFileError(
                f"{origin}: n is {number}, but there are only {num_values} values between its bounds; expected no more"
            )
        interval = (parameter.high - parameter.low) / (number - 1)
        if parameter.type is ParameterType.INT:
            # So there can be almost twice as many values as asked for.
            interval = math.floor(interval)
    steps: float = (parameter.high - parameter.low) / interval
    return math.floor(min(steps, MAX_TRIALS)) + 1


def _read_parameter(entry: object, numbered: str, origin: str, allows_others: bool) -> Parameter:
    if not isinstance(entry, Mapping):
        raise ExperimentFileError(f'{numbered} is {show_value(entry)}; expected {{"name": ..., "range": ...}}')
    name = entry.get("name")
    if not isinstance(name, str) or not name or "\0" in name:
        raise ExperimentFileError(f"{numbered}: name is {_found(entry, 'name')}; expected a hyperparameter's name")
    if len(name) > MAX_NAME:
        raise ExperimentFileError(
            f"{numbered}: name has {len(name)} characters, {name[:40]!r} and so on; expected at most {MAX_NAME}"
        )
    if name.lower() in _RESERVED:
        raise ExperimentFileError(
            f"{numbered}: name {name!r} is reserved for the search itself; expected any name but {sorted(_RESERVED)}"
        )
    origin = f"{origin}: parameter {name!r}"
    check_keys(entry.keys(), PARAMETER.keys, origin, allows_others)
    allowed = [kind.value for kind in ParameterType]
    # Auptimizer's default.
    kind = entry.get("type", ParameterType.INT.value)
    if kind not in allowed:
        raise ExperimentFileError(f"{origin}: type is {_found(entry, 'type')}; expected one of {allowed}")
    if ParameterType(kind) is ParameterType.CHOICE:
        return _read_choice(name, entry, origin)
    return _read_number(name, ParameterType(kind), entry, origin)


def _read_choice(name: str, entry: Mapping[str, Any], origin: str) -> Parameter:
    choices = entry.get("range")
    if not isinstance(choices, list) or not choices:
        raise ExperimentFileError(f"{origin}: range is {_found(entry, 'range')}; expected a list of choices")
    for key in ("log", "step"):
        if key in entry:
            raise ExperimentFileError(f"{origin}: {key} is given for a choice; expected it for numbers only")
    for choice in choices:
        if isinstance(choice, int) and abs(choice) > _LARGEST:
            expected = f"an integer of at most {_LARGEST} in size"
            raise ExperimentFileError(f"{origin}: choice {show_value(choice)}; expected {expected}")
    known: dict[str, str] = {}
    for choice in choices:
        shown, spelt = show_value(choice), _spell(choice)
        if spelt in known:
            twice = "is given twice" if known[spelt] == shown else f"is {known[spelt]}, which is given too"
            raise ExperimentFileError(f"{origin}: choice {shown} {twice}; expected each choice once")
        known[spelt] = shown
    return Parameter(name, ParameterType.CHOICE, choices=tuple(choices))


def _spell(choice: Any) -> str:
    """Write a choice as JSON in which each number has one spelling, for 1 and 1.0 are one choice."""

    def number_of(text: str) -> int | float:
        number = float(text)
        return int(number) if number.is_integer() else number

    return json.dumps(json.loads(json.dumps(choice), parse_float=number_of), sort_keys=True)


def _read_number(name: str, kind: ParameterType, entry: Mapping[str, Any], origin: str) -> Parameter:
    bounds = entry.get("range")
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise ExperimentFileError(f"{origin}: range is {_found(entry, 'range')}; expected [low, high]")
    is_int = kind is ParameterType.INT
    for bound in bounds:
        if not is_number(bound) or abs(bound) > _LARGEST or (is_int and bound != int(bound)):
            expected = f"{'an integer' if is_int else 'a number'} of at most {_LARGEST} in size"
            if "type" not in entry:
                # Auptimizer's default is easily met by accident.
                expected += " where no type is given, or the type 'float'"
            raise ExperimentFileError(f"{origin}: bound {show_value(bound)}; expected {expected}")
    low, high = (int(bound) if is_int else float(bound) for bound in bounds)
    if low > high:
        raise ExperimentFileError(f"{origin}: low {low} is above high {high}; expected [low, high]")
    is_log = entry.get("log", False)
    if not isinstance(is_log, bool):
        raise ExperimentFileError(f"{origin}: log is {show_value(is_log)}; expected true or false")
    if is_log and low <= 0:
        raise ExperimentFileError(f"{origin}: low {low} has no logarithm; with log, expected a low above 0")
    step = entry.get("step")
    if step is not None:
        if is_log:
            raise ExperimentFileError(f"{origin}: log and step are both given; expected one of them")
        if not is_number(step) or step <= 0 or (is_int and step != int(step)):
            raise ExperimentFileError(
                f"{origin}: step is {show_value(step)}; expected {'an integer' if is_int else 'a number'} above 0"
            )
        step = int(step) if is_int else float(step)
        if (high - low) / step > _LARGEST:
            raise ExperimentFileError(
                f"{origin}: step is {step}, with more than {_LARGEST} values between low {low} and high {high}; "
                "expected a larger step"
            )
    return Parameter(name, kind, low, high, is_log=is_log, step=step)


def _check_against_system(parameter: Parameter, origin: str, system: System) -> None:
    defaults = {field.name: field.default for field in fields(system.hyperparameters)}
    if parameter.name not in defaults:
        raise ExperimentFileError(
            f"{origin}: unknown hyperparameter {parameter.name!r} of system {system.name!r}; expected one of "
            f"{sorted(defaults)}"
        )
    default = defaults[parameter.name]
    origin = f"{origin}: parameter {parameter.name!r}"
    if isinstance(default, StrEnum):
        allowed = [member.value for member in type(default)]
        if parameter.type is not ParameterType.CHOICE:
            raise ExperimentFileError(
                f"{origin}: type is {parameter.type.value!r}; expected 'choice' from {allowed}"
            )
        _check_choices(parameter, origin, lambda choice: choice in allowed, f"one of {allowed}")
    elif isinstance(default, int):
        if parameter.type is ParameterType.FLOAT:
            raise ExperimentFileError(f"{origin}: type is 'float'; expected 'int' or a choice of integers")
        _check_choices(parameter, origin, lambda choice: isinstance(choice, int), "an integer")
    else:
        _check_choices(parameter, origin, is_number, "a number")


def _check_choices(
    parameter: Parameter, origin: str, is_allowed: Callable[[Any], bool], expected: str
) -> None:
    for choice in parameter.choices:
        if isinstance(choice, bool) or not is_allowed(choice):
            raise ExperimentFileError(f"{origin}: choice {show_value(choice)}; expected {expected}")


def _found(entry: Mapping[str, Any], key: str) -> str:
    return show_value(entry[key]) if key in entry else "missing"
