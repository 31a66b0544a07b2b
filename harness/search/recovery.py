"""What a controller that is gone has left: ended, accounted for, and gone on with."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.search.auptimizer import SearchConnector
from harness.search.orphans import end_left_behind
from harness.search.proposer import PastTrial
from harness.store.records import TrialRow, TrialStatus
from harness.store.results import ResultsStore

#: How a trial can end whose cause lay outside it: it runs again when the search goes on.
_INTERRUPTED = (TrialStatus.KILLED, TrialStatus.STOPPED)


def account_for_running(store: ResultsStore, eid: int, mark: str) -> list[TrialRow]:
    """End the jobs of a controller that is gone, and say in results.db how each trial ended.

    A trial that had recorded its result has done all its work, and counts as finished.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment

    Returns:
        the trials that were running, as they stand now
    """
    running = store.running_trials(eid)
    end_left_behind(mark, running)
    for trial in store.running_trials(eid):
        if trial.result_score is not None and math.isfinite(trial.result_score):
            store.finish_trial(
                trial.trial_id,
                TrialStatus.FINISHED,
                trial.result_score,
                "its controller was gone before it could see the job end; the result was recorded",
            )
        else:
            store.finish_trial(
                trial.trial_id, TrialStatus.KILLED, message="its controller was gone while the job ran"
            )
    return [store.trial(trial.trial_id) for trial in running]


def close_books(connector: SearchConnector, trials: Iterable[TrialRow]) -> None:
    """Tell Auptimizer's own database that jobs have ended, and that nothing is in use."""
    for trial in trials:
        if trial.jid is not None:
            status = "FINISHED" if trial.score is not None else "FAILED"
            connector.end_job_attempt(trial.jid)
            connector.end_job(trial.jid, trial.score, status)
    connector.free_all_resources()


def last_attempts(trials: Iterable[TrialRow]) -> list[TrialRow]:
    """Keep the last attempt of each trial index, by index."""
    latest = {trial.trial_index: trial for trial in sorted(trials, key=lambda trial: trial.attempt)}
    return [latest[index] for index in sorted(latest)]


def past_trials(trials: Iterable[TrialRow]) -> list[PastTrial]:
    """Return what a proposer must know of the trials that there have been."""
    return [
        PastTrial(
            trial.trial_index,
            trial.hyperparameters,
            trial.score,
            has_ended=trial.status not in _INTERRUPTED,
        )
        for trial in last_attempts(trials)
    ]
