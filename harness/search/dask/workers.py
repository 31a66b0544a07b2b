"""The workers of a cluster as the controller knows them: checked, sent the features, accepted or refused."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import CancelledError
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from harness import __version__
from harness.codec import CodecError, from_plain, to_plain
from harness.corpus.utterances import Seconds
from harness.errors import WorkFailedError
from harness.features.copies import ExpectedFeatures, Piece, manifest_of_copy, pieces_of
from harness.search.dask.client import DaskClient, Task, TaskLost, no_scheduler
from harness.search.dask.messages import CheckResult, Expectations, describe_error
from harness.search.dask.worker import check_worker, keep_features, keep_piece
from harness.search.experiment_file import ExperimentSettings

#: Seconds after which a note says that a worker has not answered. Our default: a free worker answers in one.
_BUSY_SECONDS: Seconds = 30.0
#: Seconds after which a note says that the search waits. Our default.
_NOTE_AFTER: Seconds = 60.0
#: Seconds in which workers find a scheduler that has come back. Our default.
_REJOINING: Seconds = 30.0
#: Workers lost at one stage, one after the other, after which the next at that stage does not count as promising.
_ALLOWED_LOSSES = 3
#: Times that the features are sent to a worker: it may fail because the one that it fetches a piece from is lost.
_NUM_SENDINGS = 3
#: Pieces sent at once: they bound the memory that a worker needs for them. Our default.
_NUM_PIECES = 3


class Standing(Enum):
    """The stage that a worker has reached; it passes the first three until it is accepted."""

    CHECKING = auto()
    SENDING_FEATURES = auto()
    CHECKING_FEATURES = auto()
    ACCEPTED = auto()
    REFUSED = auto()


_STAGES = (Standing.CHECKING, Standing.SENDING_FEATURES, Standing.CHECKING_FEATURES)


@dataclass(eq=False)
class _Worker:
    """A worker that is there.

    Attributes:
        check: the task of its latest check
        number: of that check, counted over all workers
        checked_at: when that check was submitted, on the monotonic clock
        num_sendings: times that the features were sent to it
        failure: of the latest sending; None where it went well
        is_noted: whether a note has said that it does not answer
    """

    address: str
    check: Task | None = None
    number: int = 0
    checked_at: Seconds = 0.0
    standing: Standing = Standing.CHECKING
    num_sendings: int = 0
    failure: str | None = None
    is_noted: bool = False


class Workers:
    """Decides which workers may run trials; used in the controller's own thread.

    Args:
        on_none_left: called when the last accepted worker is gone

    Attributes:
        accepted: the addresses of those that may run trials now
        complaints: the reason for each refusal, by address
    """

    def __init__(
        self,
        client: DaskClient,
        expectations: Expectations,
        settings: ExperimentSettings,
        note: Callable[[str], None],
        on_none_left: Callable[[], None],
    ) -> None:
        self._client, self._expectations, self._note = client, expectations, note
        self._on_none_left = on_none_left
        assert settings.cluster is not None
        self._settings, self._patience = settings, settings.cluster.patience_seconds
        self._workers: dict[str, _Worker] = {}
        self._sending: Task | None = None
        self._num_checks = 0
        self._num_lost: Counter[Standing] = Counter()
        self._num_checks_at_loss = 0
        self._last_promising = time.monotonic()
        # At first the scheduler has yet to answer.
        self._disconnected_at: float | None = time.monotonic()
        self._connected_at = -math.inf
        self._has_noted_wait = False
        self.accepted: set[str] = set()
        self.complaints: dict[str, str] = {}

    @property
    def seconds_without(self) -> Seconds:
        """Seconds since there was a worker that may run a trial, or is likely to be accepted."""
        self._touch()
        return time.monotonic() - self._last_promising

    def see(self, addresses: frozenset[str]) -> None:
        """Compare the known workers with those that the scheduler has now; new ones are checked."""
        now = time.monotonic()
        if self._disconnected_at is not None:
            self._disconnected_at, self._connected_at = None, now
        for address in set(self._workers) - addresses:
            self.remove(address)
        for address in sorted(addresses - set(self._workers)):
            self._workers[address] = _Worker(address)
            self._check(self._workers[address], Standing.CHECKING)
        self._send_features()
        for worker in self._workers.values():
            is_checking = worker.standing in (Standing.CHECKING, Standing.CHECKING_FEATURES)
            if is_checking and not worker.is_noted and now - worker.checked_at > _BUSY_SECONDS:
                worker.is_noted = True
                self._note(
                    f"Worker {worker.address} has not answered for {_BUSY_SECONDS:g} s, probably because it is busy "
                    "with other tasks; it gets trials once it answers."
                )

    def remove(self, address: str) -> None:
        """Forget a worker that has left, and count the loss; another with its address is checked anew."""
        worker = self._workers.get(address)
        self._drop(address)
        # Workers that were there together when one was lost count once.
        if worker is not None and worker.standing in _STAGES and worker.number > self._num_checks_at_loss:
            self._num_lost[worker.standing] += 1
            self._num_checks_at_loss = self._num_checks

    def clear(self) -> None:
        """Forget every worker: the scheduler is gone. That counts as nobody's loss."""
        self._sending = None
        if self._disconnected_at is None:
            self._disconnected_at = time.monotonic()
        for address in list(self._workers):
            self._drop(address)

    def check_patience(self) -> None:
        """Write a note about a long wait for a worker or for the scheduler, and end the search after a longer one.

        Raises:
            WorkFailedError: the wait is longer than the patience
        """
        waited, now, limit = self.seconds_without, time.monotonic(), self._patience
        lacks_scheduler = self._disconnected_at is not None and now - self._disconnected_at >= waited
        if waited > limit and now - self._connected_at > min(_REJOINING, limit):
            if lacks_scheduler:
                raise no_scheduler(self._settings, f"it has not answered for {limit:g} s")
            refused = "; ".join(f"worker {address} was refused: {why}" for address, why in self.complaints.items())
            raise WorkFailedError(
                f"experiment {self._settings.name!r}: for {limit:g} s there was no worker that may run a trial "
                f"({refused or 'the scheduler has none'}); recorded trials are safe: start such a worker and run the "
                "same command again"
            )
        if waited > _NOTE_AFTER and not self._has_noted_wait:
            hours, rest = divmod(round(limit), 3600)
            longest = f"{hours} h" if hours and not rest else f"{limit:g} s"
            if lacks_scheduler:
                text = f"For {waited:.0f} s the scheduler has not answered; the search waits {longest} for it."
            else:
                text = f"For {waited:.0f} s no worker could run a trial; the search waits {longest} for one."
            self._note(text)
        self._has_noted_wait = waited > _NOTE_AFTER

    def _check(self, worker: _Worker, standing: Standing) -> None:
        self._num_checks += 1
        worker.standing, worker.number = standing, self._num_checks
        worker.checked_at, worker.is_noted = time.monotonic(), False

        def take(task: Task) -> None:
            if self._workers.get(worker.address) is worker:
                self._take_check(worker, task)

        expectations = to_plain(self._expectations)
        worker.check = self._client.submit(check_worker, expectations, on_end=take, worker=worker.address)

    def _take_check(self, worker: _Worker, task: Task) -> None:
        if isinstance(task.error, TaskLost):
            # With its scheduler, most likely. The worker is checked again as soon as it is seen again.
            self._drop(worker.address)
            return
        if task.error is not None:
            self._refuse(worker, f"it could not answer ({describe_error(task.error)})")
            return
        try:
            result = from_plain(CheckResult, task.value)
        except CodecError as error:
            self._refuse(worker, f"its answer is not one of this version ({error})")
            return
        if result.differences:
            self._refuse(worker, "; ".join(result.differences))
        elif result.needs_features and worker.num_sendings >= _NUM_SENDINGS:
            self._refuse(worker, f"the features could not be sent to it ({worker.failure})")
        elif result.needs_features:
            # They are sent at the next look, to all workers that need them by then.
            worker.standing = Standing.SENDING_FEATURES
            del self._num_lost[Standing.CHECKING]
        else:
            worker.standing = Standing.ACCEPTED
            self.accepted.add(worker.address)
            self._num_lost.clear()

    def _send_features(self) -> None:
        """Send the features to every worker that needs them, unless a sending is still running."""
        features = self._expectations.features
        receivers = [worker for worker in self._workers.values() if worker.standing is Standing.SENDING_FEATURES]
        if self._sending is not None or features is None or not receivers:
            return
        for worker in receivers:
            worker.num_sendings += 1
        addresses = [worker.address for worker in receivers]

        def take(task: Task) -> None:
            if task is not self._sending:
                return
            self._sending = None
            for worker in receivers:
                if self._workers.get(worker.address) is worker:
                    failures = task.value or dict.fromkeys(addresses, describe_error(task.error or TaskLost()))
                    worker.failure = failures[worker.address]
                    self._check(worker, Standing.CHECKING_FEATURES)

        self._sending = self._client.perform(lambda dask: send_features(dask, features, addresses), take)

    def _refuse(self, worker: _Worker, complaint: str) -> None:
        self._touch()
        worker.standing = Standing.REFUSED
        self.complaints[worker.address] = complaint
        expected = f"expected harness-iemocap {__version__} and all else as here"
        self._note(f"Worker {worker.address} gets no trials: {complaint}; {expected}.")

    def _drop(self, address: str) -> None:
        self._touch()
        worker = self._workers.pop(address, None)
        self.complaints.pop(address, None)
        if worker is not None and worker.check is not None:
            self._client.cancel([worker.check])
        if address in self.accepted:
            self.accepted.discard(address)
            if not self.accepted:
                self._on_none_left()

    def _may_become_ready(self, worker: _Worker) -> bool:
        """Return True where a worker is likely to be accepted: few were lost in a row at the stages before it."""
        ahead = _STAGES[_STAGES.index(worker.standing) :] if worker.standing in _STAGES else ()
        return bool(ahead) and all(self._num_lost[stage] <= _ALLOWED_LOSSES for stage in ahead)

    def _touch(self) -> None:
        if self.accepted or any(map(self._may_become_ready, self._workers.values())):
            self._last_promising = time.monotonic()


async def send_features(dask: Any, expected: ExpectedFeatures, addresses: Collection[str]) -> dict[str, str | None]:
    """Send the sessions that a search may open, and no other, to some workers.

    Each piece of a file leaves this machine once: one worker gets it, and the others fetch it from there.

    Args:
        dask: Dask's own client

    Returns:
        the error of each worker by its address, None where there was none
    """
    failures: dict[str, str | None] = dict.fromkeys(addresses)
    running: dict[str, tuple[str, Any]] = {}
    slots = asyncio.Semaphore(_NUM_PIECES)

    def reached() -> list[str]:
        return [address for address, failure in failures.items() if failure is None]

    async def run_on(address: str, function: Any, *arguments: Any) -> None:
        placed = {"workers": [address], "allow_other_workers": False, "priority": 1}
        future = dask.submit(function, to_plain(expected), *arguments, pure=False, **placed)
        running[future.key] = address, future
        try:
            await future
        except CancelledError:
            failures[address] = "a piece was lost on the way, or the worker itself"
        except Exception as error:
            failures[address] = describe_error(error)
        del running[future.key]

    async def send_piece(number: int, piece: Piece) -> None:
        async with slots:
            receivers = reached()
            if not receivers:
                return
            content = await asyncio.to_thread(piece.read)
            try:
                holder = receivers[number % len(receivers)]
                (held,) = await dask.scatter([content], workers=[holder], hash=False)
            except Exception as error:  # the holder is lost, or the scheduler
                failures.update(dict.fromkeys(receivers, describe_error(error)))
                return
            await asyncio.gather(
                *(run_on(address, keep_piece, piece.name, piece.offset, held) for address in receivers)
            )

    async def cancel_lost() -> None:
        # A task waits for its own worker for ever.
        while True:
            await asyncio.sleep(1.0)
            there = await dask.scheduler.ncores()
            lost = [future for address, future in running.values() if address not in there]
            if lost:
                await dask.cancel(lost, force=True)

    cancelling = asyncio.ensure_future(cancel_lost())
    try:
        await asyncio.gather(*(send_piece(number, piece) for number, piece in enumerate(pieces_of(expected))))
        manifest = manifest_of_copy(expected)
        await asyncio.gather(*(run_on(address, keep_features, manifest) for address in reached()))
    finally:
        cancelling.cancel()
    return failures
