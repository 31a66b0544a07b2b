"""What Dask's threads leave for the controller's own, which alone acts on it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WorkersSeen:
    """The addresses of the workers that the scheduler has now."""

    addresses: frozenset[str]


@dataclass(frozen=True)
class WorkerGone:
    """A worker has left, perhaps to come again at once under the same address.

    Attributes:
        lost: keys of the tasks that went with it, unless it was asked to leave
    """

    address: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Returned:
    """A task has come to its end; ``value`` is what it returned."""

    key: str
    value: Any


@dataclass(frozen=True)
class Failed:
    """A task ended with an error, of its own or Dask's."""

    key: str
    error: BaseException


@dataclass(frozen=True)
class Lost:
    """Dask has forgotten a task: it was cancelled, or its scheduler is gone."""

    key: str


@dataclass(frozen=True)
class Told:
    """An event of a task that runs."""

    event: Mapping[str, Any]


@dataclass(frozen=True)
class Disconnected:
    """The scheduler is gone, and with it every task; it may come back."""


@dataclass(frozen=True)
class GivenUp:
    """The scheduler did not come back within the time that was left to it, or could not be made."""

    cause: str


@dataclass(frozen=True)
class NoJobs:
    """The batch system takes no job, or ends all of them before their workers come."""

    cause: str


Message = WorkersSeen | WorkerGone | Returned | Failed | Lost | Told | Disconnected | GivenUp | NoJobs


class Mailbox:
    """Takes messages from any thread and wakes the controller, which reads them."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._wake = wake

    def post(self, message: Message) -> None:
        """Leave a message."""
        self._messages.put(message)
        self._wake()

    def read(self) -> Iterator[Message]:
        """Take the messages that are there, in their order."""
        for _ in range(self._messages.qsize()):
            yield self._messages.get_nowait()
