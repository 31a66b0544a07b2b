"""Epochs and predictions that a job's script prints while it runs: read, recorded, and compared with other trials.

For scripts that know nothing of this package. An epoch is recorded when the comparison of the one before it is decided,
however far ahead the script is: so what is on record of a trial does not depend on who is quicker.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.errors import ExperimentFileError
from harness.store.records import EpochRecord, Prediction, TrialRecords, TrialResult
from harness.store.reported import EPOCH_MARKER, PREDICTIONS_MARKER, read_line
from harness.store.store import ResultsStore
from harness.training.early_stopping import Comparison, EpochQueue

#: Seconds between two looks at what jobs have printed. A choice: short beside an epoch.
REPORTS_INTERVAL: Seconds = 0.25
_CHUNK = 2**20
#: Chunks of so many bytes that one look at a job reads; then it is another's turn. A choice: a fraction of a second.
_CHUNKS_AT_ONCE = 32
#: Bytes of the longest report. A choice: the predictions of some hundred thousand utterances.
_LONGEST_LINE = 2**24
_MARKERS = (EPOCH_MARKER.encode(), PREDICTIONS_MARKER.encode())
#: Bytes of a marker that may have come before the rest of it.
_CHUNK_OVERLAP = max(map(len, _MARKERS)) - 1


class TrialReports:
    """The reports of one job.

    Args:
        output_path: what the job prints
        comparison: ends the trial early; None where nothing does

    Attributes:
        problem: why a line cannot be taken, in one sentence; None where all could be
        is_complete: the job has ended, and all that it printed has been read
    """

    def __init__(
        self, results: ResultsStore, trial_id: int, output_path: Path, comparison: Comparison | None = None
    ) -> None:
        self._queue = EpochQueue(partial(results.record_epoch, trial_id), comparison)
        self._output_path = output_path
        self._offset = 0
        self._rest = b""
        self._has_more = False
        self._began = self._last_came = time.monotonic()
        #: Epochs that this look at the output has found.
        self._found: list[EpochRecord] = []
        self._predictions: tuple[Prediction, ...] = ()
        self.problem: str | None = None
        self.is_complete = False

    @property
    def is_behind(self) -> bool:
        """An epoch has come whose comparison waits for a trial of lower index."""
        return self._queue.is_behind

    @property
    def is_pruned(self) -> bool:
        """The reason is on record."""
        return self._queue.is_pruned

    def follow(self, has_ended: bool = False) -> None:
        """Take what has been printed since the last call, or as much of it as is read at once.

        An incomplete line is one only once the job has ended.
        Nothing counts after a line that cannot be read; the epochs before it do.
        """
        self._has_more = False
        try:
            for line in self._read_lines(has_ended) if self.problem is None else ():
                if len(line) > _LONGEST_LINE:
                    raise ExperimentFileError(
                        f"{line[:40].decode('utf-8', 'replace')!r}...: a line of more than "
                        f"{_LONGEST_LINE // 2**20} MiB; expected a shorter one"
                    )
                self._take(read_line(line.decode("utf-8", "replace")))
        except ExperimentFileError as error:
            self.problem = f"the job reported what cannot be read: {error}"
        self._queue.add(self._share_time())
        self.is_complete = has_ended and not (self._has_more and self.problem is None)
        self._queue.decide()

    def follow_to_end(self, has_ended: bool) -> None:
        """Take all that is left of a job that has been reaped.

        Args:
            has_ended: by itself; the last line of a job that was ended may be cut off, and an incomplete one is none
        """
        try:
            size = self._output_path.stat().st_size
        except OSError:
            size = 0
        self.follow(has_ended)
        # No further than it was: a process that left the job's group may print for ever.
        while self._has_more and self.problem is None and self._offset <= size:
            self.follow(has_ended)

    def records(self, score: float) -> TrialRecords | None:
        """Return the result of a job that has finished with a score; None where it reported nothing."""
        epochs = self._queue.recorded
        if not epochs and not self._predictions:
            return None
        best = max(epochs, key=lambda epoch: epoch.validation_accuracy).epoch if epochs else 1
        seconds = time.monotonic() - self._began
        result = TrialResult(score, best, max(1, len(epochs)), self._predictions, None, seconds)
        return TrialRecords(environment=None, epochs=(), result=result)

    def _take(self, report: EpochRecord | tuple[Prediction, ...] | None) -> None:
        if isinstance(report, tuple):
            self._predictions = report
        elif report is not None:
            num_come = self._queue.num_come + len(self._found)
            if report.epoch != num_come + 1:
                raise ExperimentFileError(
                    f"{EPOCH_MARKER} epoch is {report.epoch} after {num_come} epochs; expected {num_come + 1}"
                )
            self._found.append(report)

    def _share_time(self) -> list[EpochRecord]:
        """Return the found epochs; those without ``seconds`` get equal parts of the time since the last look found any.

        When each of them was printed is not known.
        """
        found, self._found = self._found, []
        if found:
            now = time.monotonic()
            given = [epoch.seconds for epoch in found if not math.isnan(epoch.seconds)]
            part = max(0.0, now - self._last_came - sum(given)) / max(1, len(found) - len(given))
            found = [replace(epoch, seconds=part) if math.isnan(epoch.seconds) else epoch for epoch in found]
            self._last_came = now
        return found

    def _read_lines(self, has_ended: bool) -> Iterator[bytes]:
        """Yield the lines with a marker; of a line without one nothing is kept, however long it is."""
        try:
            with self._output_path.open("rb") as output:
                output.seek(self._offset)
                for _ in range(_CHUNKS_AT_ONCE):
                    if not (chunk := output.read(_CHUNK)):
                        break
                    self._offset += len(chunk)
                    yield from self._split(chunk)
                else:
                    self._has_more = True
                    return
        except OSError:
            # Whoever removed it, or the full disk, leaves the same to the job's last output.
            return
        if has_ended and _has_marker(self._rest):
            yield self._rest
            self._rest = b""

    def _split(self, chunk: bytes) -> list[bytes]:
        text = self._rest + chunk
        if not _has_marker(text):
            self._rest = text.rpartition(b"\n")[2][-_CHUNK_OVERLAP:]
            return []
        *lines, self._rest = text.split(b"\n")
        if not _has_marker(self._rest):
            self._rest = self._rest[-_CHUNK_OVERLAP:]
        elif len(self._rest) > _LONGEST_LINE:
            # It is what cannot be read, in its turn: the lines before it count.
            lines.append(self._rest)
        return [line for line in lines if _has_marker(line)]


def _has_marker(text: bytes) -> bool:
    return any(marker in text for marker in _MARKERS)
