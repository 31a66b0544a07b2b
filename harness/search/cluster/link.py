"""All that is asked of Dask, in a thread of its own: nothing here ever keeps the controller waiting."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import one_line
from harness.search.cluster.connection import CONNECT_TIMEOUT, open_scheduler, security_of
from harness.search.cluster.mailbox import (
    Disconnected,
    Failed,
    GivenUp,
    Lost,
    Mailbox,
    NoJobs,
    Returned,
    Told,
    WorkerGone,
    WorkersSeen,
)
from harness.search.cluster.plain import describe_error
from harness.search.cluster.settings import ClusterSettings

#: Seconds between two looks at the scheduler's workers. A choice.
_INTERVAL: Seconds = 1.0
#: Seconds that a cluster may take to end its workers before the controller leaves. A choice.
_CLOSE_TIMEOUT: Seconds = 20.0
#: Seconds for one client to close, of those that a lost scheduler costs.
_CLIENT_TIMEOUT: Seconds = 5.0
#: How a call of Dask's client ends whose scheduler is gone: its timeouts are OSErrors, and it cancels
#: what waits for a connection that it gives up.
_LOST = (OSError, asyncio.CancelledError)

_log = logging.getLogger(__name__)


class SchedulerLink:
    """A connection to a scheduler that is made again when it was lost.

    What comes back is left in a mailbox. Every task has one key, never given twice.
    """

    def __init__(self, settings: ClusterSettings, num_parallel: int, topic: str, mailbox: Mailbox) -> None:
        self._settings, self._num_parallel = settings, num_parallel
        self._topic, self._mailbox = topic, mailbox
        self._client: Any = None
        self._stream: Any = None
        self._futures: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        # Dask leaves tasks behind whose errors nobody asks for.
        self._loop.set_exception_handler(lambda loop, context: _log.debug("%s", context))
        self._is_leaving = asyncio.Event()
        self._has_seen_workers = False
        self._thread = threading.Thread(target=self._run, name="harness-dask", daemon=True)

    def open(self) -> None:
        """Begin to connect; a scheduler that is not there at first is an end, and posted as one."""
        self._thread.start()

    def submit(
        self,
        key: str,
        function: Callable[..., Any],
        *arguments: Any,
        worker: str | None = None,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        """Ask for a task: on ``worker``, or on any that has ``resources``."""

        async def ask() -> None:
            if not self._is_connected:
                await self._lose(key)
                return
            placed: dict[str, Any] = {} if resources is None else {"resources": dict(resources)}
            if worker is not None:
                placed |= {"workers": [worker], "allow_other_workers": False, "priority": 1}
            try:
                future = self._client.submit(function, *arguments, key=key, pure=False, retries=0, **placed)
            except Exception as error:  # the order cannot be sent
                self._mailbox.post(Failed(key, error))
                return
            self._futures[key] = future
            await self._follow(key, future)

        self._do(ask())

    def perform(self, key: str, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
        """Have ``work`` done with Dask's client, and post what it returns as a task's value."""

        async def perform() -> None:
            if self._is_connected:
                await self._follow(key, work(self._client))
            else:
                await self._lose(key)

        self._do(perform())

    def cancel(self, keys: Collection[str]) -> None:
        """Have tasks ended; each that is known is posted as lost."""

        async def cancel() -> None:
            futures = [self._futures[key] for key in keys if key in self._futures]
            if self._client is not None and futures:
                with suppress(Exception):  # the scheduler is gone, and its tasks with it
                    await self._client.cancel(futures, force=True)

        self._do(cancel())

    def close(self) -> None:
        """Let every task go, end a cluster that was made here, and end the thread."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended in between
                self._loop.call_soon_threadsafe(self._is_leaving.set)
            self._thread.join(_CLOSE_TIMEOUT)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        def begin() -> None:
            task = self._loop.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the thread has ended, and said so
            work.close()

    def _run(self) -> None:
        if self._settings.scheduler is None:
            # Ctrl-C in a terminal reaches a batch system's commands and workers that are not ready for it, too: all
            # that this thread starts begins without it. (multiprocessing's own helper would let it in again.)
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            async with open_scheduler(self._settings, self._num_parallel, self._take_complaint) as scheduler:
                await self._stay_connected(scheduler)
                for task in list(self._tasks):
                    task.cancel()
        except BaseException as error:  # whatever Dask or a batch system finds wrong: never an end without a word
            self._mailbox.post(GivenUp(describe_error(error)))

    @property
    def _is_connected(self) -> bool:
        """Whether the client's stream is open, and still the first: Dask opens another by itself.

        That may be to another scheduler, which knows neither our tasks nor what we listen to.
        """
        client, stream = self._client, self._stream
        if stream is None or client.scheduler_comm is not stream:
            return False
        return client.status == "running" and not stream.comm.closed()

    async def _lose(self, key: str) -> None:
        # Not at once: the controller may ask again as soon as it hears of it.
        await self._rest(_INTERVAL)
        self._mailbox.post(Lost(key))

    def _take_complaint(self, error: Exception) -> None:
        """A batch system has no worker for us: the end, unless it has given others before."""
        if not self._has_seen_workers:
            self._mailbox.post(NoJobs(one_line(error)))

    async def _stay_connected(self, scheduler: Any) -> None:
        patience = CONNECT_TIMEOUT
        last_seen = time.monotonic()
        while not self._is_leaving.is_set():
            try:
                async with self._connect(scheduler) as client:
                    patience = self._settings.patience_seconds
                    await self._watch(client)
                    last_seen = time.monotonic()
            except _LOST as error:
                if time.monotonic() - last_seen >= patience:
                    self._mailbox.post(GivenUp(describe_error(error)))
                    return
                await self._rest(_INTERVAL)

    @asynccontextmanager
    async def _connect(self, scheduler: Any) -> AsyncIterator[Any]:
        from distributed import Client

        client = Client(
            scheduler,
            asynchronous=True,
            set_as_default=False,
            timeout=CONNECT_TIMEOUT,
            security=security_of(self._settings.tls),
        )
        try:
            await client
            client.subscribe_topic(self._topic, self._hear)
            client.subscribe_topic("all", self._hear_of_all)
            self._client, self._stream = client, client.scheduler_comm
            yield client
        finally:
            self._client = self._stream = None
            self._futures.clear()
            self._mailbox.post(Disconnected())
            # It may be gone for good, and Dask would try to reach it again before it closes.
            await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=_CLIENT_TIMEOUT)

    async def _watch(self, client: Any) -> None:
        """Post the workers that there are, until the connection is lost or no longer wanted."""
        while not self._is_leaving.is_set() and self._is_connected:
            try:
                asking = asyncio.ensure_future(client.scheduler.ncores())
                # Dask may wait for an answer of a scheduler that is gone.
                while not asking.done() and self._is_connected and not self._is_leaving.is_set():
                    await asyncio.wait({asking}, timeout=_INTERVAL)
                if not asking.done():
                    asking.cancel()
                    return
                addresses = frozenset(asking.result())
                self._has_seen_workers = self._has_seen_workers or bool(addresses)
                self._mailbox.post(WorkersSeen(addresses))
            except _LOST:
                return
            await self._rest(_INTERVAL)

    def _hear(self, event: tuple[float, Mapping[str, Any]]) -> None:
        self._mailbox.post(Told(event[1]))

    def _hear_of_all(self, event: tuple[float, Mapping[str, Any]]) -> None:
        if event[1].get("action") == "remove-worker":
            lost = () if event[1].get("expected") else tuple(event[1].get("processing-tasks", ()))
            self._mailbox.post(WorkerGone(event[1]["worker"], lost))

    async def _follow(self, key: str, future: Any) -> None:
        try:
            value = await future
        except (CancelledError, asyncio.CancelledError):
            self._mailbox.post(Lost(key))
        except Exception as error:
            self._mailbox.post(Failed(key, error))
        else:
            self._mailbox.post(Returned(key, value))
        finally:
            self._futures.pop(key, None)

    async def _rest(self, seconds: Seconds) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_leaving.wait(), seconds)
