"""Prepared features on their way to workers that cannot see the controller's: each file leaves it once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.features.manifest import MANIFEST_NAME, Manifest
from harness.files import read_json
from harness.search.cluster.enlisting import session_files
from harness.search.cluster.feature_store import WORD_VECTORS_NAME, keep_features, keep_piece
from harness.search.cluster.link import SchedulerLink
from harness.search.cluster.order import ExpectedFeatures
from harness.search.cluster.plain import describe_error, to_plain

#: Bytes of a piece, and pieces on their way at once: what workers hold in memory of it. A choice.
_PIECE_BYTES = 8 * 2**20
_NUM_PIECES = 3
#: Seconds for which the first worker waits for others to be sent the features with it. A choice.
_GATHERING: Seconds = 0.5
#: A worker may fail for another's sake: the one that it fetches a piece from may be lost.
_NUM_ATTEMPTS = 3


@dataclass(frozen=True)
class _Piece:
    """A part of a file: where the controller has it, and what it is called on a worker."""

    path: Path
    name: str
    offset: int
    num_bytes: int

    def read(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.num_bytes)


class FeatureSender:
    """Sends the sessions that a search may open, and no other, to workers that ask for them.

    The controller gives each piece to one worker, and the others fetch it from there.
    """

    def __init__(self, name: str, link: SchedulerLink, expected: ExpectedFeatures) -> None:
        self._name, self._link, self._expected = name, link, expected
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._gone: set[str] = set()
        self._num_attempts: dict[str, int] = {}
        self._num_batches = 0
        self._batch: str | None = None
        self._failures: dict[str, str | None] = {}

    def send(self, address: str) -> None:
        """Have the features sent to a worker."""
        with self._lock:
            self._waiting.append(address)
        self._num_attempts[address] = self._num_attempts.get(address, 0) + 1
        self._begin()

    def forget(self, address: str) -> None:
        """Take notice that a worker has left."""
        with self._lock:
            self._gone.add(address)
            if address in self._waiting:
                self._waiting.remove(address)
        self._num_attempts.pop(address, None)

    def take(self, key: str, outcome: object) -> bool:
        """Take what a batch came to, None where it never began; returns whether ``key`` is the batch's."""
        if key != self._batch:
            return False
        self._batch = None
        with self._lock:
            has_more = bool(self._waiting)
        # Without an outcome the scheduler was gone: whoever was there then has been forgotten.
        self._failures |= outcome if isinstance(outcome, dict) else {}
        if has_more:
            self._begin()
        return True

    def done(self) -> list[tuple[str, str | None]]:
        """Take the workers that have been sent the features, each with what went wrong for good, or None."""
        done = [(address, failure) for address, failure in self._failures.items() if address in self._num_attempts]
        self._failures = {}
        return [
            (address, failure if self._num_attempts[address] >= _NUM_ATTEMPTS else None) for address, failure in done
        ]

    def _begin(self) -> None:
        if self._batch is None:
            self._num_batches += 1
            self._batch = f"{self._name}-features-{self._num_batches}"
            self._link.perform(self._batch, self._send_batch)

    async def _send_batch(self, client: Any) -> dict[str, str | None]:
        """Send to all that wait; returns what went wrong by address, None for nothing, of those that have not left."""
        await asyncio.sleep(_GATHERING)
        with self._lock:
            addresses, self._waiting = self._waiting, []
            # Of this batch alone: one that comes again with its address is of the next.
            gone = self._gone = set()
        batch = _Batch(client, self._expected, addresses, gone)
        try:
            await batch.send()
        except Exception as error:  # a piece was lost with the worker that held it, or the scheduler
            cause = describe_error(error.exceptions[0] if isinstance(error, ExceptionGroup) else error)
            return {address: batch.failures.get(address, cause) for address in addresses if address not in gone}
        return {address: batch.failures.get(address) for address in addresses if address not in gone}


class _Batch:
    """One sending to some workers, in Dask's own thread."""

    def __init__(self, client: Any, expected: ExpectedFeatures, addresses: list[str], gone: set[str]) -> None:
        self._client, self._expected, self._gone = client, expected, gone
        self._addresses = addresses
        self.failures: dict[str, str] = {}

    async def send(self) -> None:
        slots = asyncio.Semaphore(_NUM_PIECES)

        async def send_one(number: int, piece: _Piece) -> None:
            async with slots:
                await self._send_piece(number, piece)

        async with asyncio.TaskGroup() as group:
            for number, piece in enumerate(_pieces(self._expected)):
                group.create_task(send_one(number, piece))
        manifest = read_json(Path(self._expected.prepared_dir) / MANIFEST_NAME)
        sessions = {str(session) for session in self._expected.sessions}
        manifest["sessions"] = {key: value for key, value in manifest["sessions"].items() if key in sessions}
        await self._on_each(keep_features, to_plain(self._expected), manifest)

    async def _send_piece(self, number: int, piece: _Piece) -> None:
        reached = [address for address in self._addresses if address not in self._gone | set(self.failures)]
        if not reached:
            return
        content = await asyncio.to_thread(piece.read)
        holder = reached[number % len(reached)]
        (held,) = await self._client.scatter([content], workers=[holder], hash=False)
        await self._on_each(keep_piece, to_plain(self._expected), piece.name, piece.offset, held)

    async def _on_each(self, function: Any, *arguments: Any) -> None:
        """Run a function on every worker that is still there; one that fails is left out from then on."""
        futures = {
            self._client.submit(
                function, *arguments, workers=[address], allow_other_workers=False, pure=False, priority=1
            ): address
            for address in self._addresses
            if address not in self._gone and address not in self.failures
        }
        while futures:
            tasks = {asyncio.ensure_future(_settled(future)): future for future in futures}
            done, pending = await asyncio.wait(tasks, timeout=1.0, return_when=asyncio.ALL_COMPLETED)
            for task in pending:
                task.cancel()
            for task in done:
                address = futures.pop(tasks[task])
                failure = task.result()
                if failure is not None:
                    self.failures[address] = failure
            for future in [future for future, address in futures.items() if address in self._gone]:
                # Its task would wait for that very worker for ever.
                self.failures[futures.pop(future)] = "it has left"
                with suppress(Exception):
                    await self._client.cancel([future], force=True)


async def _settled(future: Any) -> str | None:
    """Wait for a task; returns what went wrong."""
    from concurrent.futures import CancelledError

    try:
        await future
    except CancelledError:
        return "a piece was lost on the way"
    except Exception as error:
        return describe_error(error)
    return None


def _pieces(expected: ExpectedFeatures) -> Iterator[_Piece]:
    prepared_dir = Path(expected.prepared_dir)
    files = [
        (prepared_dir / name, name, size)
        for name, size, _ in session_files(Manifest.read(prepared_dir), expected.sessions)
    ]
    if expected.word_vectors is not None:
        vectors = Path(expected.word_vectors)
        files.append((vectors, WORD_VECTORS_NAME, vectors.stat().st_size))
    for path, name, size in files:
        for offset in range(0, max(size, 1), _PIECE_BYTES):
            yield _Piece(path, name, offset, min(_PIECE_BYTES, size - offset))
