"""Who watches trainings."""

from __future__ import annotations

import typing


class TrainingsView(typing.Protocol):
    """What people see of the trainings."""

    def begin(self, num_trainings: int, num_finished: int) -> None:
        """Say how many trainings there are, and how many were finished before."""

    def training(self, title: str, seed: int) -> None:
        """Say that a training begins."""

    def epoch(self, stage: str, epoch: int, max_epochs: int) -> None:
        """Say that an epoch has ended."""

    def ended(self, title: str, seed: int, sentence: str) -> None:
        """Say what a training came to."""
