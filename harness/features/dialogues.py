"""Dialogues: the turns of each sorted by time, who speaks them, and which of them are scored."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.corpus.utterances import CLASSES, Utterance
from harness.errors import ShapeError
from harness.features.context import ContextTurns

#: The letters of the turns, in the order of the numbers of ``Dialogues.speakers``.
SPEAKERS = ("F", "M")


@dataclass(frozen=True, eq=False)
class Dialogues:
    """The turns of some dialogues, one dialogue after the other; no label is in it.

    Attributes:
        utterance_ids: of every turn: each dialogue's in the order of their starts, equal starts by id
        bounds: int64 (num_dialogues + 1,); dialogue ``d`` has the turns from ``bounds[d]`` to before ``bounds[d + 1]``
        speakers: int64 (num_turns,), indices into ``SPEAKERS``
        is_scored: bool (num_turns,), the turns whose labels train or score a model; the others are context alone
    """

    utterance_ids: tuple[str, ...]
    bounds: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.int64]
    is_scored: npt.NDArray[np.bool_]

    @classmethod
    def arrange(
        cls, turns: Iterable[Utterance], scored: Collection[str], which: ContextTurns = ContextTurns.ALL
    ) -> Dialogues:
        """Put the turns of some dialogues in order.

        A turn of unknown time stands where the same speaker's turn before it (by id) stands.

        Args:
            turns: of whole dialogues, in any order
            scored: the ids of those that are trained on or scored
            which: ``LABELLED_ONLY`` keeps the scored turns alone
        """
        kept = set(scored)
        by_id = sorted(turns, key=attrgetter("utterance_id"))
        ordered: list[Utterance] = []
        bounds = [0]
        for _, dialogue in groupby(sorted(by_id, key=_dialogue_id), key=_dialogue_id):
            in_order = _order(list(dialogue))
            if which is ContextTurns.LABELLED_ONLY:
                in_order = [turn for turn in in_order if turn.utterance_id in kept]
            if in_order:
                ordered += in_order
                bounds.append(len(ordered))
        return cls(
            utterance_ids=tuple(turn.utterance_id for turn in ordered),
            bounds=np.array(bounds, dtype=np.int64),
            speakers=np.array([SPEAKERS.index(turn.name.speaker[-1]) for turn in ordered], dtype=np.int64),
            is_scored=np.array([turn.utterance_id in kept for turn in ordered], dtype=bool),
        )

    def __len__(self) -> int:
        return len(self.utterance_ids)

    def check(self, probabilities: npt.NDArray[np.float64]) -> None:
        """Check that there are four probabilities of each turn.

        Raises:
            ShapeError: there are not
        """
        expected = (len(self), len(CLASSES))
        if probabilities.shape != expected:
            raise ShapeError(
                f"probabilities of a dialogue's turns have shape {probabilities.shape}; expected {expected}"
            )

    def __iter__(self) -> Iterator[slice]:
        """Yield the rows of each dialogue."""
        for first, end in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            yield slice(int(first), int(end))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Turns of each dialogue, int64 (num_dialogues,)."""
        return np.diff(self.bounds)

    def pad(self, values: npt.NDArray[Any], numbers: npt.NDArray[np.int64], fill: float = 0) -> npt.NDArray[Any]:
        """Lay out the values of some dialogues' turns, padded on the right to the longest of them.

        Args:
            values: (num_turns, ...)
            numbers: int (batch,), of dialogues

        Returns:
            (batch, turns, ...), of the type of ``values``
        """
        lengths = self.lengths[numbers]
        padded = np.full((len(numbers), lengths.max(initial=0), *values.shape[1:]), fill, dtype=values.dtype)
        for row, number in enumerate(numbers):
            padded[row, : lengths[row]] = values[self.bounds[number] : self.bounds[number + 1]]
        return padded

    def unpad(self, padded: npt.NDArray[Any], numbers: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Write what ``pad`` laid out back into ``values`` (num_turns, ...), without the padding."""
        for row, number in enumerate(numbers):
            values[self.bounds[number] : self.bounds[number + 1]] = padded[row, : self.lengths[number]]


def _dialogue_id(turn: Utterance) -> str:
    return turn.name.dialogue_id


def _order(turns: Sequence[Utterance]) -> list[Utterance]:
    """Sort turns that are sorted by id by their starts."""
    known: dict[str, float] = {}
    starts = {}
    for turn in turns:
        speaker = turn.name.speaker
        if not math.isnan(turn.start):
            known[speaker] = turn.start
        starts[turn.utterance_id] = known.get(speaker, -math.inf)
    return sorted(turns, key=lambda turn: starts[turn.utterance_id])
