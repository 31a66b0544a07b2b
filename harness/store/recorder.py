"""The recorder of a trial's own process: into results.db, or through a pipe to the worker that runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TextIO

from harness.codec import from_plain, to_plain
from harness.store.records import EpochRecord, TrialEnvironment, TrialRecords, TrialResult
from harness.store.store import ResultsStore, check_finite


class Recorder(Protocol):
    """Takes a trial's records as they come; ``ResultsStore`` is one."""

    def record_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        """Record what the trial runs in."""

    def record_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        """Record one epoch as it ends."""

    def record_result(self, trial_id: int, result: TrialResult) -> None:
        """Record what a trial that trained to its end found."""


@contextmanager
def open_recorder(path: Path) -> Iterator[Recorder]:
    """Open a trial's recorder.

    Args:
        path: of results.db, or of the pipe that a worker reads

    Raises:
        StoreError: results.db cannot be used
    """
    if not path.is_fifo():
        with ResultsStore.open(path) as store:
            yield store
        return
    with path.open("w", encoding="utf-8") as pipe:
        yield _PipeRecorder(pipe)


class _PipeRecorder:
    """Writes each record as a line of JSON."""

    def __init__(self, pipe: TextIO) -> None:
        self._pipe = pipe

    def record_environment(self, trial_id: int, environment: TrialEnvironment) -> None:
        self._write("environment", environment)

    def record_epoch(self, trial_id: int, epoch: EpochRecord) -> None:
        self._write("epoch", epoch)

    def record_result(self, trial_id: int, result: TrialResult) -> None:
        check_finite(trial_id, result.score)
        self._write("result", result)

    def _write(self, kind: str, record: Any) -> None:
        # NumPy's scalars become Python's.
        json.dump({kind: to_plain(record)}, self._pipe, default=lambda value: value.item())
        self._pipe.write("\n")
        self._pipe.flush()


class RecordsPipe:
    """The worker's end of the pipe; nothing of a record is kept on its disk.

    Attributes:
        records: all that has come so far
    """

    def __init__(self, path: Path, execution: str) -> None:
        os.mkfifo(path, 0o600)
        # Open before the trial's end, which would wait for a reader.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._rest = b""
        self.records = TrialRecords(None, (), None, execution)

    def close(self) -> None:
        """Close this end; a trial that still writes gets an error."""
        os.close(self._descriptor)

    def read(self) -> list[EpochRecord]:
        """Take what has been written since the last call, and return the epochs of it.

        Raises:
            ValueError: a line is no record
        """
        parts = [self._rest]
        try:
            while part := os.read(self._descriptor, 2**16):
                parts.append(part)
        except BlockingIOError:  # the trial may write more
            pass
        *lines, self._rest = b"".join(parts).split(b"\n")
        return [epoch for line in lines for epoch in self._take(json.loads(line))]

    def _take(self, line: dict[str, Any]) -> list[EpochRecord]:
        ((kind, value),) = line.items()
        records = self.records
        if kind == "epoch":
            epoch = from_plain(EpochRecord, value)
            if epoch.epoch in {known.epoch for known in records.epochs}:
                raise ValueError(f"epoch {epoch.epoch} was recorded twice")
            self.records = replace(records, epochs=(*records.epochs, epoch))
            return [epoch]
        if kind == "environment":
            self.records = replace(records, environment=from_plain(TrialEnvironment, value))
        else:
            self.records = replace(records, result=from_plain(TrialResult, value))
        return []
