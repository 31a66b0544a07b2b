"""What is searched, and between which bounds: Auptimizer's ``parameter_config`` as records."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

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
        if self.type is ParameterType.CHOICE:
            return self.choices[int(generator.integers(len(self.choices)))]
        if self.step is not None:
            return self._on_grid(int(generator.integers(self._num_steps())))
        if self.type is ParameterType.INT:
            if not self.is_log:
                return int(generator.integers(int(self.low), int(self.high), endpoint=True))
            # Each integer gets the share of the logarithmic scale that rounds to it.
            exponent = generator.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5))
            return int(min(max(round(math.exp(exponent)), self.low), self.high))
        if self.is_log:
            value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
            return float(min(max(value, self.low), self.high))
        return float(self.low + (self.high - self.low) * generator.random())

    @property
    def num_values(self) -> int | None:
        """Count the values that can be drawn; None for a continuum."""
        if self.type is ParameterType.CHOICE:
            return len({json.dumps(choice, sort_keys=True) for choice in self.choices})
        if self.step is not None:
            return self._num_steps()
        if self.type is ParameterType.INT:
            return int(self.high - self.low) + 1
        return 1 if self.low == self.high else None

    def values(self) -> Iterator[Any]:
        """Every value that can be drawn, once; of a continuum only its lower bound."""
        if self.type is ParameterType.CHOICE:
            yield from {json.dumps(choice, sort_keys=True): choice for choice in self.choices}.values()
        elif self.step is not None:
            yield from (self._on_grid(number) for number in range(self._num_steps()))
        elif self.type is ParameterType.INT:
            yield from range(int(self.low), int(self.high) + 1)
        else:
            yield float(self.low)

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

    def _num_steps(self) -> int:
        assert self.step is not None
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

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
