"""The thread that talks to Dask: it never ends in silence."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import WorkFailedError
from harness.search.dask.client import DaskClient, Handlers, Task, TaskLost
from harness.search.dask.settings import ClusterSettings
from tests.search.searches import wait_until


class Calls(list[tuple[Any, ...]]):
    """Remembers what the client reports, by the handler's name."""

    def __init__(self) -> None:
        names = ("disconnected", "workers_seen", "worker_left", "event")
        self.handlers = Handlers(
            **{name: lambda *values, name=name: self.append((name, *values)) for name in names}  # type: ignore[misc]
        )


def a_client() -> tuple[DaskClient, Calls]:
    calls = Calls()
    cluster = ClusterSettings(scheduler="tcp://127.0.0.1:1")
    settings: Any = SimpleNamespace(name="x", num_parallel=1, cluster=cluster)
    return DaskClient(settings, "t", calls.handlers, lambda: None), calls


async def _cancelled() -> None:
    raise asyncio.CancelledError


def test_a_question_that_dask_cancels_is_a_lost_connection() -> None:
    client, calls = a_client()
    stream = SimpleNamespace(comm=SimpleNamespace(closed=lambda: False))
    dask = SimpleNamespace(status="running", scheduler_comm=stream, scheduler=SimpleNamespace(ncores=_cancelled))
    client._client, client._stream = dask, stream
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(client._watch_workers(dask))
    client.handle()
    assert calls == []


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("x")], ids=["cancelled", "a fault"])
def test_whatever_ends_the_thread_is_reported(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @asynccontextmanager
    async def fail(*arguments: Any) -> AsyncIterator[None]:
        raise error
        yield

    monkeypatch.setattr("harness.search.dask.client.open_scheduler", fail)
    client, calls = a_client()
    client.open()
    wait_until(lambda: not client._thread.is_alive())
    with pytest.raises(WorkFailedError, match=rf"^experiment 'x': .*reached \({type(error).__name__}: "):
        client.handle()
    assert calls == []


def test_a_worker_that_was_asked_to_leave_has_lost_nothing() -> None:
    client, calls = a_client()
    event = {"action": "remove-worker", "worker": "tcp://a", "processing-tasks": {"k"}}
    client._take_scheduler_event((time.time(), event))
    client._take_scheduler_event((time.time(), {**event, "expected": True}))
    client._take_scheduler_event((time.time(), {"action": "add-worker", "worker": "tcp://b"}))
    client.handle()
    assert calls == [("worker_left", "tcp://a", ("k",)), ("worker_left", "tcp://a", ())]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(None, None), (asyncio.CancelledError(), TaskLost), (ValueError("x"), ValueError)],
    ids=["returned", "cancelled", "failed"],
)
def test_a_task_ends_once_with_its_value_or_its_error(error: BaseException | None, expected: Any) -> None:
    async def work(dask: Any) -> int:
        if error is not None:
            raise error
        return 3

    client, _ = a_client()
    stream = SimpleNamespace(comm=SimpleNamespace(closed=lambda: False))
    client._client = SimpleNamespace(status="running", scheduler_comm=stream)
    client._stream = stream
    ended: list[Task] = []
    task = Task("k", ended.append)
    asyncio.run(client._follow(task, work))
    assert ended == []
    client.handle()
    assert ended == [task]
    assert (task.value, None if task.error is None else type(task.error)) == (None if error else 3, expected)
