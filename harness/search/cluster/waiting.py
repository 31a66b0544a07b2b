"""How long a search has waited for a worker or for its scheduler: said after a while, and its end when patience is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from harness.corpus.utterances import Seconds
from harness.errors import WorkFailedError
from harness.search.cluster import endings
from harness.search.experiment_file import ExperimentSettings

#: Seconds after which a wait is told of, once. A choice.
_TOLD_AFTER: Seconds = 60.0
#: Seconds in which workers find a scheduler that has come back. A choice.
_REJOINING: Seconds = 30.0


class Waiting:
    """Judges a search's waits, in the controller's own thread; at first its scheduler has yet to answer."""

    def __init__(self, settings: ExperimentSettings, patience: Seconds, note: Callable[[str], None]) -> None:
        self._settings, self._patience, self._note = settings, patience, note
        self._cut_off_at: float | None = time.monotonic()
        self._reached_at = -math.inf
        self._is_told = False

    def lose_scheduler(self) -> None:
        """Take notice that the scheduler is gone, or still is."""
        if self._cut_off_at is None:
            self._cut_off_at = time.monotonic()

    def find_scheduler(self) -> None:
        """Take notice that the scheduler answers."""
        if self._cut_off_at is not None:
            self._cut_off_at, self._reached_at = None, time.monotonic()

    def judge(self, seconds: Seconds, complaints: Mapping[str, str]) -> None:
        """Say that for so long no worker could run a trial, or end the search for it.

        Args:
            complaints: what was wrong with each worker that was refused, by address

        Raises:
            WorkFailedError: it was for longer than patience lasts
        """
        now = time.monotonic()
        is_without_scheduler = self._cut_off_at is not None and now - self._cut_off_at >= seconds
        if seconds > self._patience and now - self._reached_at > min(_REJOINING, self._patience):
            if is_without_scheduler:
                cause = f"it has not answered for {self._patience:g} s"
                raise WorkFailedError(endings.no_scheduler(self._settings, cause))
            raise WorkFailedError(endings.no_worker(self._settings, self._patience, complaints))
        is_long = seconds > _TOLD_AFTER
        if is_long and not self._is_told:
            self._note(endings.waits(seconds, self._patience, is_without_scheduler))
        self._is_told = is_long
