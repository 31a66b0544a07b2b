"""The connection to a Dask scheduler, in a thread of its own: the controller never waits for Dask."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import WorkFailedError
from harness.search.dask.cluster import open_scheduler, security_of
from harness.search.dask.messages import describe_error
from harness.search.experiment_file import ExperimentSettings

#: Seconds in which a running scheduler answers. Our default.
CONNECT_TIMEOUT: Seconds = 10.0
#: Seconds between two looks at the connection. Our default.
_INTERVAL: Seconds = 1.0
#: Seconds that a cluster may take to end its workers before the controller leaves. Our default.
_CLOSE_TIMEOUT: Seconds = 20.0
#: Seconds for one of Dask's clients to close, among those that a lost scheduler costs.
_CLIENT_TIMEOUT: Seconds = 5.0
#: How a call of Dask's client ends whose scheduler is gone: its timeouts are OSErrors, and it cancels
#: what waits for a connection that it closes.
_LOST = (OSError, asyncio.CancelledError)
#: The end of a message about what ended a search.
_RESUME = "recorded trials are safe: fix the cause and run the same command again"

_log = logging.getLogger(__name__)


class TaskLost(Exception):
    """Dask has forgotten a task: it was cancelled, or its scheduler is gone."""


@dataclass(eq=False)
class Task:
    """A Dask task, or a coroutine that runs in the thread of Dask's client.

    Attributes:
        key: Dask's; empty for a coroutine
        on_end: called with the task in the controller's thread, once
        future: Dask's, or the coroutine, while it runs
        value, error: of a task that has ended
    """

    key: str
    on_end: Callable[[Task], None]
    future: Any = None
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True)
class Handlers:
    """The controller's part of the connection: all are called in its own thread, by ``DaskClient.handle``.

    Attributes:
        workers_seen: takes the addresses of the workers that are there now
        worker_left: takes the address and the keys of the tasks that were lost with the worker, none where it was
            asked to leave; it may be back at once under the same address
        event: takes what a running task has logged
    """

    disconnected: Callable[[], None]
    workers_seen: Callable[[frozenset[str]], None]
    worker_left: Callable[[str, Collection[str]], None]
    event: Callable[[Mapping[str, Any]], None]


class DaskClient:
    """A connection to a scheduler that is made again when it was lost.

    Dask's thread puts calls of the controller's handlers into one queue; the controller makes them.
    """

    def __init__(
        self, settings: ExperimentSettings, topic: str, handlers: Handlers, wake: Callable[[], None]
    ) -> None:
        assert settings.cluster is not None
        self._settings, self._cluster = settings, settings.cluster
        self._topic, self._handlers, self._wake = topic, handlers, wake
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._num_tasks = 0
        self._client: Any = None
        self._stream: Any = None
        self._running: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # Dask leaves tasks behind whose errors nothing awaits.
        self._loop.set_exception_handler(lambda loop, context: _log.debug("%s", context))
        self._is_leaving = asyncio.Event()
        self._has_had_workers = False
        self._thread = threading.Thread(target=self._run, name="harness-dask", daemon=True)

    def open(self) -> None:
        """Begin to connect; a scheduler that is not there at first is a failure."""
        self._thread.start()

    def handle(self) -> None:
        """Make the calls that are in the queue now, in their order.

        Raises:
            WorkFailedError: there is no scheduler, or the batch system gives it no workers
        """
        for _ in range(self._calls.qsize()):
            self._calls.get_nowait()()

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        on_end: Callable[[Task], None],
        worker: str | None = None,
        resources: Mapping[str, float] | None = None,
    ) -> Task:
        """Submit a task to ``worker``, or to any that has ``resources``, each under a new key."""
        placed: dict[str, Any] = {} if resources is None else {"resources": dict(resources)}
        if worker is not None:
            placed |= {"workers": [worker], "allow_other_workers": False, "priority": 1}
        self._num_tasks += 1
        key = f"{self._topic}-{function.__name__}-{self._num_tasks}"
        placed |= {"key": key, "pure": False, "retries": 0}
        return self.perform(lambda client: client.submit(function, *arguments, **placed), on_end, key)

    def perform(self, work: Callable[[Any], Awaitable[Any]], on_end: Callable[[Task], None], key: str = "") -> Task:
        """Have ``work`` done with Dask's client; it ends with the connection."""
        task = Task(key, on_end)
        self._begin(self._follow(task, work))
        return task

    def cancel(self, tasks: Collection[Task]) -> None:
        """Have Dask's tasks ended; each that runs ends as lost."""

        async def cancel() -> None:
            futures = [task.future for task in tasks if task.future is not None]
            if self._client is not None and futures:
                with suppress(Exception):  # the scheduler is gone, and its tasks with it
                    await self._client.cancel(futures, force=True)

        if tasks:
            self._begin(cancel())

    def close(self) -> None:
        """Let every task go, end a cluster that was made here, and end the thread."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended in between
                self._loop.call_soon_threadsafe(self._is_leaving.set)
            self._thread.join(_CLOSE_TIMEOUT)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        def begin() -> None:
            running = self._loop.create_task(work)
            self._running.add(running)
            running.add_done_callback(self._running.discard)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the thread has ended, and its failure is in the queue
            work.close()

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        self._calls.put(partial(call, *arguments))
        self._wake()

    def _run(self) -> None:
        if self._cluster.scheduler is None:
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
            async with open_scheduler(self._cluster, self._settings.num_parallel, self._complain) as scheduler:
                await self._stay_connected(scheduler)
        except BaseException as error:  # whatever Dask or a batch system raises: the thread never ends in silence
            self._post(_throw, no_scheduler(self._settings, describe_error(error)))

    def _complain(self, cause: str) -> None:
        """End the search because a batch system gives no workers, unless it has given some before."""
        if not self._has_had_workers:
            said = f"its batch system gives it no workers: {cause}; {_RESUME}"
            self._post(_throw, WorkFailedError(f"experiment {self._settings.name!r}: {said}"))

    async def _stay_connected(self, scheduler: Any) -> None:
        has_connected = False
        while not self._is_leaving.is_set():
            try:
                async with self._connect(scheduler) as client:
                    has_connected = True
                    watching = asyncio.ensure_future(self._watch_workers(client))
                    # Not awaited: Dask may wait for an answer of a scheduler that is gone.
                    while self._is_connected and not self._is_leaving.is_set() and not watching.done():
                        await self._rest()
                    if not watching.cancel():
                        watching.result()
            except _LOST:
                if not has_connected:
                    raise
            await self._rest()

    @asynccontextmanager
    async def _connect(self, scheduler: Any) -> AsyncIterator[Any]:
        from distributed import Client

        client = Client(
            scheduler,
            asynchronous=True,
            set_as_default=False,
            timeout=CONNECT_TIMEOUT,
            security=security_of(self._cluster.tls),
        )
        try:
            await client
            client.subscribe_topic(self._topic, lambda event: self._post(self._handlers.event, event[1]))
            client.subscribe_topic("all", self._take_scheduler_event)
            self._client, self._stream = client, client.scheduler_comm
            yield client
        finally:
            self._client = self._stream = None
            for running in list(self._running):
                running.cancel()
            self._post(self._handlers.disconnected)
            # It may be gone for good, and Dask would try to reach it again before it closes.
            await asyncio.wait({asyncio.ensure_future(client.close())}, timeout=_CLIENT_TIMEOUT)

    async def _watch_workers(self, client: Any) -> None:
        """Report the workers that there are, again and again."""
        while True:
            addresses = frozenset(await client.scheduler.ncores())
            self._has_had_workers = self._has_had_workers or bool(addresses)
            self._post(self._handlers.workers_seen, addresses)
            await asyncio.sleep(_INTERVAL)

    @property
    def _is_connected(self) -> bool:
        """True while the client's first stream is open: Dask opens another by itself.

        That may be to another scheduler, which knows neither our tasks nor our topics.
        """
        client, stream = self._client, self._stream
        if stream is None or client.scheduler_comm is not stream:
            return False
        return client.status == "running" and not stream.comm.closed()

    def _take_scheduler_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        said = event[1]
        if said.get("action") == "remove-worker":
            lost = () if said.get("expected") else tuple(said.get("processing-tasks", ()))
            self._post(self._handlers.worker_left, said["worker"], lost)

    async def _follow(self, task: Task, work: Callable[[Any], Awaitable[Any]]) -> None:
        try:
            if self._is_connected:
                task.future = work(self._client)
                task.value = await task.future
            else:
                # Not at once: the controller may submit it again as soon as it has lost it.
                await self._rest()
                task.error = TaskLost()
        except (CancelledError, asyncio.CancelledError):
            task.error = TaskLost()
        except Exception as error:  # the task's own, or Dask's where the message cannot be sent
            task.error = error
        task.future = None
        self._post(task.on_end, task)

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_leaving.wait(), _INTERVAL)


def no_scheduler(settings: ExperimentSettings, cause: str) -> WorkFailedError:
    """Return the error for a scheduler that is gone, or was never there."""
    cluster = settings.cluster
    if cluster is not None and cluster.scheduler is None:
        said = f"its Dask cluster could not be started, or was lost ({cause})"
    else:
        certificates = "" if cluster is None or cluster.tls is None else ", with certificates of the same authority"
        said = (
            f"its Dask scheduler cannot be reached ({cause}); expected one at the address in the key cluster of the "
            f"experiment file{certificates}"
        )
    return WorkFailedError(f"experiment {settings.name!r}: {said}; {_RESUME}")


def _throw(error: Exception) -> None:
    raise error
