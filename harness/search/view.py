"""What a search tells whoever watches it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from harness.corpus.utterances import Seconds
from harness.store.records import ExperimentRow, TrialRow, TrialStatus

if TYPE_CHECKING:
    from harness.search.trial_job import TrialJob
    from harness.search.trial_outcome import TrialOutcome
    from harness.store.results import ResultsStore


#: What colours text, moves a cursor or names a window on a terminal. Source: ECMA-48, sections 5.4 and 5.6.
_TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[@-Z\\^_])")


def one_line(text: str) -> str:
    """Show foreign text on one line: what a terminal would obey is left out, what nobody could see is spelt out.

    Example:
        >>> one_line("red: \\x1b[31mno\\x1b[0m\\nnext\\x00")
        'red: no\\\\nnext\\\\x00'
    """
    visible = _TERMINAL_SEQUENCE.sub("", text).replace("\t", " ")
    if visible.isprintable():
        return visible
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in visible
    )


class Ending(StrEnum):
    """Why a search ended."""

    DONE = "done"
    TOO_MANY_FAILURES = "too many failures"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class SearchPlan:
    """What a controller is about to do.

    Attributes:
        num_trials: in all, those of earlier controllers included
        num_done: trials that have ended already, finished or failed
        num_interrupted: trials that an earlier controller began and that run again
        threads: processor threads of one trial
    """

    experiment: ExperimentRow
    num_trials: int
    num_done: int
    num_interrupted: int
    num_parallel: int
    threads: int


@dataclass(frozen=True)
class SearchReport:
    """What a search came to.

    Attributes:
        num_trials: in all
        num_by_status: trials by how their last attempt ended
        best: None where no trial has finished
        max_failures: failed trials beyond which the search counts as failed
    """

    experiment: ExperimentRow
    ending: Ending
    num_trials: int
    num_by_status: Mapping[TrialStatus, int]
    best: TrialRow | None
    max_failures: int


class SearchView(Protocol):
    """Who watches a search; no method may fail because nobody is there to read."""

    def note(self, sentence: str) -> None:
        """Something that the user should know."""

    def progress(self, doing: str, done: int, total: int) -> None:
        """How far the corpus is prepared."""

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        """The first trial is about to start."""

    def trial_started(self, trial: TrialJob) -> None:
        """A job is about to run."""

    def trial_ended(self, trial: TrialJob, outcome: TrialOutcome) -> None:
        """A job has ended, and is recorded."""

    def look(self) -> Seconds | None:
        """Show how things stand; returns when to be asked again, None for not before a job ends."""

    def end(self, report: SearchReport) -> None:
        """Nothing runs any more."""
