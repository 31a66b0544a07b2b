"""The settings of a synthetic corpus, their random numbers, and the marker file in the corpus's root."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpus.utterances import Seconds
from harness.errors import CorpusError, unknown_name
from harness.files import read_json
from harness.wording import SYNTHETIC_SENTENCE


class Cue(StrEnum):
    """The streams that can carry information about the emotion."""

    SPEECH = "speech"
    TEXT = "text"
    FACE = "face"
    HAND = "hand"
    HEAD = "head"


ALL_CUES = frozenset(Cue)

#: Written last: a corpus without it is not complete.
MARKER_NAME = "SYNTHETIC.json"

#: There while a corpus is being written, and after a write that broke off.
UNFINISHED_NAME = "SYNTHETIC.unfinished.json"

#: Raised whenever the same settings come to give other bytes.
GENERATOR_VERSION = 3

#: The smallest scale at which every session still has every class.
SMALLEST_SCALE = 0.01


@dataclass(frozen=True)
class SyntheticSettings:
    """Everything that decides the bytes of a synthetic corpus.

    Attributes:
        scale: share of the real corpus's 10039 utterances, 0.01 to 1
        seed: the same seed gives the same bytes
        cues: those that depend on the emotion; everything else is independent of it
        seconds_per_utterance: mean; the real corpus has 4.6 in its four classes. Short by default,
            so that the corpus is written, read and trained on in minutes
        mocap_rate: rows a second; the real corpus has 119.9. Low by default, for the same reason
        irregularities: whether the real corpus's irregularities, and damaged files, are there on purpose
        emotion_words: share of the lines whose emotion words tell what the words are to tell, 0 to 1; those of the
            other lines are any. They mean the same in all scenes
        scene_words: share of the lines whose scene words do so, 0 to 1, each scene with words of its own; those of
            the other lines are any of any scene
        scene_moods: how much more a scene has of the class that it brings out, 0 to 1. 0 is none, and 1 all that
            its session has left
        moods: chance that a speaker keeps the class of his own previous turn on purpose, 0 to 1, in any scene, and
            that a turn on which the raters disagree expresses that class. With 0 the turns of a dialogue are in an
            order of chance

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
    emotion_words: float = 0.7
    scene_words: float = 0.9
    scene_moods: float = 0.8
    moods: float = 0.95

    def __post_init__(self) -> None:
        _require_between("scale", self.scale, SMALLEST_SCALE, 1.0)
        _require_between("seed", self.seed, 0, 2**63 - 1)
        _require_between("seconds_per_utterance", self.seconds_per_utterance, 0.5, 30.0)
        _require_between("mocap_rate", self.mocap_rate, 1.0, 1000.0)
        for name in ("emotion_words", "scene_words", "scene_moods", "moods"):
            _require_between(name, getattr(self, name), 0.0, 1.0)

    def generator(self, *names: str) -> np.random.Generator:
        """Return the random numbers that belong to ``names``, whatever else was drawn before."""
        digest = hashlib.sha256("/".join([str(self.seed), *names]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def to_json(self) -> dict[str, Any]:
        """Every setting by name, as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "cues": sorted(cue.value for cue in self.cues)}


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


def is_synthetic(corpus_root: Path) -> bool:
    """Return whether the corpus in ``corpus_root`` was made by this package, finished or not."""
    return any((corpus_root / name).is_file() for name in (MARKER_NAME, UNFINISHED_NAME))


def describe(settings: SyntheticSettings) -> dict[str, Any]:
    """Return the contents of the marker file of a corpus with ``settings``."""
    return {"generator_version": GENERATOR_VERSION, "note": SYNTHETIC_SENTENCE, "settings": settings.to_json()}


def says_the_same(path: Path, settings: SyntheticSettings) -> bool:
    """Return whether the marker file at ``path`` exists and is that of ``settings``."""
    try:
        return bool(read_json(path) == describe(settings))
    except (OSError, ValueError):
        return False
