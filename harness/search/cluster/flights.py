"""The attempts at trials that have no end yet: waiting for a worker, or asked of Dask under a key."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.search.cluster.order import JobStarted
from harness.search.outcome import TrialJob


@dataclass(eq=False)
class Flight:
    """An attempt at a trial that has no end yet.

    Attributes:
        key: of its Dask task; None while it waits for a worker
        executions: of that attempt, the latest last: Dask runs a task again whose worker it has lost
        called_off: when its end was asked for, on the monotonic clock; None while it is wanted
        num_losses: workers that were lost while they had it
    """

    trial: TrialJob
    key: str | None
    executions: list[str]
    called_off: float | None = None
    num_losses: int = 0

    def begins(self, started: JobStarted) -> bool:
        """Take notice of an execution; returns whether it is a new one, which supersedes those before."""
        is_new = started.execution not in self.executions
        if is_new:
            self.executions.append(started.execution)
        return is_new

    def is_heard(self, execution: str) -> bool:
        """Whether what an execution tells still counts."""
        return execution in self.executions[-1:]


class Flights:
    """Every flight of a search, by its trial and by its key."""

    def __init__(self) -> None:
        self._by_trial: dict[int, Flight] = {}
        self._by_key: dict[str, Flight] = {}
        self._waiting: deque[Flight] = deque()

    def __iter__(self) -> Iterator[Flight]:
        return iter(list(self._by_trial.values()))

    def __len__(self) -> int:
        return len(self._by_trial)

    @property
    def asked(self) -> dict[str, Flight]:
        """The flights that have a task, by its key."""
        return dict(self._by_key)

    @property
    def num_asked(self) -> int:
        """How many flights have a task."""
        return len(self._by_key)

    def of_trial(self, trial_id: int) -> Flight | None:
        """Return a trial's flight; None where it has ended."""
        return self._by_trial.get(trial_id)

    def of_key(self, key: str) -> Flight | None:
        """Return a task's flight; None where the task is none of these, or was superseded."""
        return self._by_key.get(key)

    def begin(self, trial: TrialJob) -> None:
        """Have a trial wait, last in the line."""
        flight = Flight(trial, None, [])
        self._by_trial[trial.trial_id] = flight
        self._waiting.append(flight)

    def next_waiting(self) -> Flight | None:
        """Take the first that waits, and is still wanted, out of the line."""
        while self._waiting:
            flight = self._waiting.popleft()
            if flight.called_off is None:
                return flight
        return None

    def ask(self, flight: Flight, key: str) -> None:
        """Take notice that a flight has a task."""
        flight.key = key
        self._by_key[key] = flight

    def count_losses(self, keys: Iterable[str]) -> None:
        """Take notice that a worker was lost with these tasks."""
        for key in keys:
            if key in self._by_key:
                self._by_key[key].num_losses += 1

    def take_back(self, flight: Flight) -> None:
        """Let a flight wait again, first in the line: its task is no more."""
        if flight.key is not None:
            del self._by_key[flight.key]
            flight.key = None
            self._waiting.appendleft(flight)

    def land(self, flight: Flight) -> None:
        """Take a flight out: it has an end."""
        del self._by_trial[flight.trial.trial_id]
        if flight.key is not None:
            del self._by_key[flight.key]
        elif flight in self._waiting:
            self._waiting.remove(flight)

    def clear(self) -> None:
        """Forget every flight."""
        self._by_trial.clear()
        self._by_key.clear()
        self._waiting.clear()
