"""What a synthetic corpus depends on: its settings, and the random numbers that follow from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np

from harness.codec import check_types
from harness.corpus.utterances import Seconds
from harness.errors import CorpusError, unknown_name


class Cue(StrEnum):
    """What can carry information about the emotion."""

    SPEECH = "speech"
    TEXT = "text"
    FACE = "face"
    HAND = "hand"
    HEAD = "head"


ALL_CUES = frozenset(Cue)

#: The smallest scale at which every session still has every class.
SMALLEST_SCALE = 0.01


@dataclass(frozen=True)
class SyntheticSettings:
    """Everything that decides the bytes of a synthetic corpus.

    Attributes:
        scale: share of the real corpus's 10039 utterances, 0.01 to 1
        seed: the same seed gives the same bytes
        cues: what depends on the emotion; everything else is independent of it
        seconds_per_utterance: mean; the real corpus has 4.6 in its four classes. Short by default,
            so that the corpus is written, read and trained on in minutes
        mocap_rate: rows a second; the real corpus has 119.9. Low by default, for the same reason
        irregularities: whether the real corpus's irregularities, and damaged files, are there on purpose

    Raises:
        CorpusError: a value is outside its range

    Example:
        >>> SyntheticSettings(scale=0.5).seconds_per_utterance
        1.2
    """

    scale: float = 0.1
    seed: int = 0
    cues: frozenset[Cue] = ALL_CUES
    seconds_per_utterance: Seconds = 1.2
    mocap_rate: float = 25.0
    irregularities: bool = True

    def __post_init__(self) -> None:
        _require_between("scale", self.scale, SMALLEST_SCALE, 1.0)
        _require_between("seed", self.seed, 0, 2**63 - 1)
        _require_between("seconds_per_utterance", self.seconds_per_utterance, 0.5, 30.0)
        _require_between("mocap_rate", self.mocap_rate, 1.0, 1000.0)

    def generator(self, *names: str) -> np.random.Generator:
        """Return the random numbers that belong to ``names``, whatever else was drawn before."""
        digest = hashlib.sha256("/".join([str(self.seed), *names]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def to_json(self) -> dict[str, Any]:
        """Every setting by name, as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "cues": sorted(cue.value for cue in self.cues)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SyntheticSettings:
        """Read what ``to_json`` returned.

        Raises:
            CorpusError: a setting is missing or unknown, or outside its range
            UnknownNameError: no such cue
        """
        expected = {field.name for field in fields(cls)}
        if set(values) != expected:
            raise CorpusError(
                f"settings of a synthetic corpus: found {sorted(values)}; expected {sorted(expected)}"
            )
        settings = cls(**{**values, "cues": frozenset(read_cue(name) for name in values["cues"])})
        check_types(settings)
        return settings


def read_cue(name: str) -> Cue:
    """Return the cue called ``name``.

    Raises:
        UnknownNameError: no such cue
    """
    if name not in {cue.value for cue in Cue}:
        raise unknown_name("cue", name, [cue.value for cue in Cue])
    return Cue(name)


def _require_between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise CorpusError(
            f"synthetic corpus: {name} is {value!r}; expected a number from {low:g} to {high:g}"
            if high < 2**53
            else f"synthetic corpus: {name} is {value!r}; expected a whole number from 0 to 2**63 - 1"
        )
