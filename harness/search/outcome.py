"""One attempt at a trial: its job, and its outcome from how the job ended, what it recorded and what it printed."""

from __future__ import annotations

import math
import mmap
import re
import signal
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DIVERGED_EXIT_CODE, one_line
from harness.search.process import EndedBy, JobEnd
from harness.search.space import Point
from harness.store.integrity import Finding, FindingKind, find_contradictions, is_same_score, name_trial
from harness.store.pruning import Pruning
from harness.store.records import TrialRow, TrialStatus
from harness.store.reported import EPOCH_MARKER, PREDICTIONS_MARKER
from harness.store.store import ResultsStore

#: The marker before a score in a job's output. Source: Auptimizer's ``print_result``.
SCORE_MARKER = b"#Auptimizer:"

#: A score as a script may print it: Python's float() would take `1_000` for a thousand too.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
#: Bytes that are kept of a job's output, from its end.
_TAIL_BYTES = 8000
#: Characters of the last line in a message.
_LINE_LENGTH = 300
#: The exceptions of Python, NumPy, PyTorch and TensorFlow, in whichever module, when no memory is left.
_MEMORY_ERROR = re.compile(r"([\w.]+\.)?(MemoryError|_ArrayMemoryError|OutOfMemoryError|ResourceExhaustedError)\b")
#: The words that a C++ or a Rust program prints before it aborts for want of memory.
_ABORTS_FOR_MEMORY = ("std::bad_alloc", "memory allocation of ")
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True)
class TrialJob:
    """One attempt at a trial as a job, before it starts.

    Attributes:
        jid: Auptimizer's id; an attempt that repeats another has the same
        job_path: Auptimizer's job file, the script's one argument
        output_path: where the job's output goes
    """

    trial_id: int
    trial_index: int
    jid: int
    point: Point
    job_path: Path
    output_path: Path


@dataclass(frozen=True)
class TrialOutcome:
    """The end of one attempt at a trial.

    Attributes:
        score: finite; None unless finished
        message: one sentence with the cause, or why it was pruned; None where it finished
        last_output: the end of what the job printed
    """

    status: TrialStatus
    score: float | None
    message: str | None
    exit_code: int | None
    signal: int | None
    last_output: str

    @property
    def may_be_retried(self) -> bool:
        """Another attempt may fare better: the cause lay outside the trial."""
        return self.status in (TrialStatus.KILLED, TrialStatus.OUT_OF_MEMORY)


@dataclass(frozen=True)
class JobOutput:
    """A job's output.

    Attributes:
        tail: the end of it; bytes that are not UTF-8 are replaced
        score_text: the text after the last score marker; None where there was none
    """

    tail: str
    score_text: str | None

    @property
    def last_line(self) -> str:
        """The last line that is neither empty nor a report; nothing in it moves a cursor or colours text."""
        lines = [line for line in self._lines if line.strip()]
        return lines[-1].strip()[:_LINE_LENGTH] if lines else ""

    @property
    def raised(self) -> str:
        """The line of the last traceback with its exception, whatever came after it; else the last line."""
        lines = self._lines
        headers = [number for number, line in enumerate(lines) if line.endswith(_TRACEBACK)]
        after = lines[headers[-1] + 1 :] if headers else []
        return next((line for line in after if line and not line[0].isspace()), self.last_line)

    @property
    def _lines(self) -> list[str]:
        markers = (SCORE_MARKER.decode(), EPOCH_MARKER, PREDICTIONS_MARKER)
        lines = self.tail.splitlines()
        return [one_line(line) for line in lines if not any(marker in line for marker in markers)]


def read_output(path: Path) -> JobOutput:
    """Read a job's output, however long, without holding it in memory."""
    try:
        with path.open("rb") as stream:
            if not stream.seek(0, 2):
                return JobOutput("", None)
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as output:
                tail = output[-_TAIL_BYTES:].decode("utf-8", "replace")
                found = output.rfind(SCORE_MARKER)
                if found < 0:
                    return JobOutput(tail, None)
                end = found + len(SCORE_MARKER) + _LINE_LENGTH
                printed = output[found:end].decode("utf-8", "replace")
    except OSError as error:
        return JobOutput(f"the output cannot be read: {error.strerror}", None)
    return JobOutput(tail, find_score_text(printed))


def find_score_text(printed: str) -> str | None:
    """Return the text after the last score marker of some output, as ``read_output`` does; None where there is none.

    Example:
        >>> find_score_text("epoch 1\\n#Auptimizer:0.5\\nbye\\n")
        '0.5'
    """
    _, found, after = printed.rpartition(SCORE_MARKER.decode())
    return (after.splitlines() or [""])[0].strip() if found else None


def judge(
    end: JobEnd,
    output: JobOutput,
    recorded_score: float | None,
    is_harness_trial: bool,
    pruning: Pruning | None = None,
) -> TrialOutcome:
    """Decide how an attempt at a trial ended.

    Args:
        recorded_score: written to results.db by the trial's own process; None where it wrote none
        is_harness_trial: the trial records its score; otherwise the last score line counts
        pruning: on record; None where it was not pruned. However its job ended then, it is pruned

    Example:
        >>> end = JobEnd(EndedBy.ITSELF, exit_code=1, signal=None)
        >>> judge(end, JobOutput("MemoryError", None), None, is_harness_trial=True).status.value
        'out of memory'
    """
    score, complaint = (recorded_score, "") if is_harness_trial else read_score(output.score_text)
    status, message = _judge_end(end, output, score, is_harness_trial)
    if pruning is not None:
        status, message = TrialStatus.PRUNED, pruning.sentence
    if status is TrialStatus.FINISHED:
        if score is None:
            status, message = TrialStatus.CRASHED, complaint or _exited(end, output, None)
        elif not math.isfinite(score):
            status = TrialStatus.DIVERGED
            message = f"the job's score is {score}; expected a finite number"
    has_finished = status is TrialStatus.FINISHED
    return TrialOutcome(
        status,
        score if has_finished else None,
        None if has_finished else message,
        end.exit_code,
        end.signal,
        output.tail,
    )


def _judge_end(
    end: JobEnd, output: JobOutput, score: float | None, is_harness_trial: bool
) -> tuple[TrialStatus, str]:
    if end.ended_by is EndedBy.TIMEOUT:
        message = f"the job took longer than timeout_seconds, {end.detail} s, and was ended"
        return TrialStatus.TIMED_OUT, message
    if end.ended_by is EndedBy.MEMORY_LIMIT:
        return TrialStatus.OUT_OF_MEMORY, f"the job used {end.detail}, and was ended"
    if end.ended_by is EndedBy.STOP:
        return TrialStatus.STOPPED, "the search was ended while the job ran"
    if end.ended_by is EndedBy.SYSTEM:
        return TrialStatus.CRASHED, f"the job could not be started: {end.detail}"
    if end.ended_by is EndedBy.REPORT:
        return TrialStatus.CRASHED, end.detail
    if end.ended_by is EndedBy.MACHINE:
        return TrialStatus.KILLED, f"the job was lost with its machine: {end.detail}"
    if end.signal is not None:
        if end.kernel_was_out_of_memory:
            return TrialStatus.OUT_OF_MEMORY, "the system ran out of memory, and killed the job"
        name = _signal_name(end.signal)
        if end.signal == signal.SIGABRT and any(words in output.tail for words in _ABORTS_FOR_MEMORY):
            return TrialStatus.OUT_OF_MEMORY, f"the job died of {name}{_last_words(output)}"
        if end.signal in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
            return TrialStatus.CRASHED, f"the job died of {name}{_last_words(output)}"
        return TrialStatus.KILLED, f"the job was killed by {name}{_last_words(output)}"
    if end.exit_code == 0:
        return TrialStatus.FINISHED, ""
    if _MEMORY_ERROR.match(output.raised):
        return TrialStatus.OUT_OF_MEMORY, _exited(end, output, score)
    if is_harness_trial and end.exit_code == DIVERGED_EXIT_CODE:
        return TrialStatus.DIVERGED, _exited(end, output, score)
    return TrialStatus.CRASHED, _exited(end, output, score)


def read_score(text: str | None) -> tuple[float | None, str]:
    """Read a score line. Auptimizer's ``print_result`` may print several results, of which the first is the score.

    Returns:
        the score, and an empty string; None and a sentence where the line holds no score, None alone without a line

    Example:
        >>> read_score("0.5"), read_score("0.5,12.1")
        ((0.5, ''), (0.5, ''))
        >>> read_score("7,8")[0] is None
        True
    """
    if text is None:
        return None, ""
    numbers = [number.strip() for number in text.split(",")]
    # `7,8` is seven and eight, or 7.8 in half of Europe: nobody but its writer knows.
    is_decimal_comma = len(numbers) == 2 and all(re.fullmatch(r"[+-]?\d+", number) for number in numbers)
    if _NUMBER.fullmatch(numbers[0]) and not is_decimal_comma:
        return float(numbers[0]), ""
    return None, f"the job's last score is {text!r:.80}; expected a number after {SCORE_MARKER.decode()}"


def _exited(end: JobEnd, output: JobOutput, score: float | None) -> str:
    when = "before writing a result" if score is None else f"after writing the result {score:g}"
    return f"the job exited with code {end.exit_code} {when}{_last_words(output)}"


def _last_words(output: JobOutput) -> str:
    return f"; its last line was: {output.last_line}" if output.last_line else "; it printed nothing"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def find_doubtful_scores(store: ResultsStore, eids: Collection[int]) -> Iterator[Finding]:
    """Yield what contradicts itself in the database, and each score that its own job printed otherwise."""
    found = find_contradictions(store, eids)
    yield from found
    known = {finding.subject for finding in found if finding.kind is FindingKind.WRONG_SCORE}
    for experiment in store.experiments():
        if experiment.eid not in eids:
            continue
        attempts = Counter[int]()
        for trial in store.trials(experiment.eid):
            jid = trial.jid or 0
            witnesses = _find_printed_scores(trial, attempts[jid])
            attempts[jid] += 1
            score = trial.score if trial.status is TrialStatus.FINISHED else trial.result_score
            if score is None or all(is_same_score(score, printed) for printed in witnesses.values()):
                continue
            name = name_trial({**vars(trial), "name": experiment.name})
            said = ", ".join(f"its {where} is {number}" for where, number in [("score", score), *witnesses.items()])
            if name not in known:
                yield Finding(FindingKind.WRONG_SCORE, name, said, "the same number", trial.trial_id)


def find_doubtful_trials(store: ResultsStore, eids: Collection[int]) -> frozenset[int]:
    """Return the trials whose records, or whose job's output, contradict the score on record."""
    found = find_doubtful_scores(store, eids)
    return frozenset(each.row_id for each in found if each.kind is FindingKind.WRONG_SCORE and each.row_id is not None)


def _find_printed_scores(trial: TrialRow, num_earlier: int) -> dict[str, float]:
    """Return the scores that a trial's job printed, by where they are kept.

    Args:
        num_earlier: attempts that the same job had before
    """
    printed = {"last score in last_output": find_score_text(trial.last_output or "")}
    if trial.job_path is not None and trial.jid is not None:
        output_path = Path(trial.job_path).with_name(f"{trial.jid}.{num_earlier}.out")
        if output_path.is_file():
            printed[f"last score in '{output_path.name}'"] = read_output(output_path).score_text
    numbers = {where: read_score(text)[0] for where, text in printed.items()}
    return {where: number for where, number in numbers.items() if number is not None}
