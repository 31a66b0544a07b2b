"""What trains, what validates and what tests, as utterance ids."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parts:
    """The utterance ids of one split, each part sorted.

    Attributes:
        validation: empty where the test set is the validation set too
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def trained_on(self) -> tuple[str, ...]:
        """What the model that is scored was trained on: train and validation."""
        return tuple(sorted(self.train + self.validation))
