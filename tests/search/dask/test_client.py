"""The thread that talks to Dask: it never ends without a word."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from harness.search.cluster.link import SchedulerLink
from harness.search.cluster.mailbox import GivenUp, Mailbox, WorkerGone
from harness.search.cluster.settings import ClusterSettings
from tests.search.searches import wait_until


def a_link() -> tuple[SchedulerLink, Mailbox]:
    mailbox = Mailbox(lambda: None)
    return SchedulerLink(ClusterSettings(scheduler="tcp://127.0.0.1:1"), 1, "t", mailbox), mailbox


async def _cancelled() -> None:
    raise asyncio.CancelledError


def test_a_question_that_dask_cancels_is_a_lost_connection() -> None:
    link, mailbox = a_link()
    stream = SimpleNamespace(comm=SimpleNamespace(closed=lambda: False))
    client = SimpleNamespace(
        status="running", scheduler_comm=stream, scheduler=SimpleNamespace(ncores=_cancelled)
    )
    link._client, link._stream = client, stream
    asyncio.run(link._watch(client))
    assert not list(mailbox.read())


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("x")], ids=["cancelled", "a fault"])
def test_whatever_ends_the_thread_is_posted(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @asynccontextmanager
    async def fail(*arguments: Any) -> AsyncIterator[None]:
        raise error
        yield

    monkeypatch.setattr("harness.search.cluster.link.open_scheduler", fail)
    link, mailbox = a_link()
    link.open()
    wait_until(lambda: not link._thread.is_alive())
    (message,) = mailbox.read()
    assert isinstance(message, GivenUp) and message.cause.startswith(type(error).__name__)


def test_a_worker_that_was_asked_to_leave_has_lost_nothing() -> None:
    link, mailbox = a_link()
    event = {"action": "remove-worker", "worker": "tcp://a", "processing-tasks": {"k"}}
    link._hear_of_all((time.time(), event))
    link._hear_of_all((time.time(), {**event, "expected": True}))
    link._hear_of_all((time.time(), {"action": "add-worker", "worker": "tcp://b"}))
    assert list(mailbox.read()) == [WorkerGone("tcp://a", ("k",)), WorkerGone("tcp://a", ())]
