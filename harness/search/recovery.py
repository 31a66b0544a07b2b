"""What a controller that is gone has left: ended, accounted for, and gone on with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from harness.search.auptimizer import SearchConnector
from harness.search.orphans import end_left_behind
from harness.search.proposer import PastTrial
from harness.search.trial_outcome import read_output
from harness.store.records import TrialRow, TrialStatus
from harness.store.results import ResultsStore

#: How a trial can end whose cause lay outside it: it runs again when the search goes on.
_INTERRUPTED = (TrialStatus.KILLED, TrialStatus.STOPPED)


def account_for_running(
    store: ResultsStore, eid: int, mark: str, cause: str = "its controller was gone while the job ran"
) -> None:
    """End the jobs of a controller that is gone, and say in results.db how each trial ended.

    A trial that had recorded its result has done all its work, and counts as finished.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment
        cause: why a trial that had recorded no result was killed
    """
    end_left_behind(mark, store.running_trials(eid))
    for trial in store.running_trials(eid):
        last_output = _last_output(trial)
        if trial.result_score is not None and math.isfinite(trial.result_score):
            store.finish_trial(
                trial.trial_id,
                TrialStatus.FINISHED,
                trial.result_score,
                "its controller did not see the job end; the result was recorded",
                last_output=last_output,
            )
        else:
            store.finish_trial(
                trial.trial_id,
                TrialStatus.KILLED,
                message=cause,
                last_output=last_output,
            )


def _last_output(trial: TrialRow) -> str | None:
    """Return the end of what a trial's last attempt printed; None where it had no time to begin."""
    if trial.job_path is None:
        return None
    job_path = Path(trial.job_path)
    outputs = job_path.parent.glob(f"{job_path.stem}.*.out")
    attempts = {int(found[1]): path for path in outputs if (found := re.fullmatch(r".*\.(\d+)\.out", path.name))}
    return read_output(attempts[max(attempts)]).tail if attempts else None


def close_books(connector: SearchConnector, trials: Iterable[TrialRow]) -> None:
    """Tell Auptimizer's own database how the jobs ended that it has open, and that nothing is in use.

    A controller can be killed between its writes to results.db and to this one; results.db is right.

    Args:
        trials: every attempt of the experiment, none of them running
    """
    last = {trial.jid: trial for trial in sorted(trials, key=lambda trial: trial.trial_id)}
    connector.skip_jobs(max((jid for jid in last if jid is not None), default=0))
    for jid in connector.open_jobs():
        score = last[jid].score if jid in last else None
        connector.end_job_attempt(jid)
        connector.end_job(jid, score, "FAILED" if score is None else "FINISHED")
    connector.free_all_resources()


def remove_half_written(folder: Path) -> None:
    """Remove the files of an experiment's folder whose writers were killed before they were whole."""
    for path in folder.rglob("*.partial*"):
        path.unlink(missing_ok=True)


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
