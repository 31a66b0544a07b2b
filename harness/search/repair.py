"""Check and repair of a whole results folder: who holds its experiments, results.db, and its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.errors import HarnessError
from harness.search.experiment import experiment_folder
from harness.search.jobs import account_for_running
from harness.search.lock import AlreadyRunningError, describe_holder, find_holder, held, lock_path
from harness.search.outcome import find_doubtful_scores
from harness.store.integrity import (
    Finding,
    FindingKind,
    back_up,
    find_damage,
    find_left_files,
    find_missing_files,
    in_order,
    is_half_written,
)
from harness.store.records import ExperimentRow, ExperimentStatus, TrialStatus, utc_now
from harness.store.store import ResultsStore


def find_holders(results_dir: Path, experiments: Sequence[ExperimentRow]) -> dict[int, str]:
    """Return the experiments that a process runs, by eid, and a sentence about it; changes nothing."""
    holders: dict[int, str] = {}
    for path, what, eids in _locks(results_dir, experiments):
        holder = find_holder(path)
        if holder is not None:
            holders |= dict.fromkeys(eids, describe_holder(what, holder))
    return holders


@contextmanager
def hold_free(results_dir: Path, experiments: Sequence[ExperimentRow]) -> Iterator[dict[int, str]]:
    """Keep every controller off the experiments that no process runs.

    Yields:
        the others, as from ``find_holders``
    """
    holders: dict[int, str] = {}
    with ExitStack() as stack:
        for path, what, eids in _locks(results_dir, experiments):
            try:
                stack.enter_context(held(path, what))
            except AlreadyRunningError as error:
                holders |= dict.fromkeys(eids, str(error))
        yield holders


def _locks(results_dir: Path, experiments: Sequence[ExperimentRow]) -> list[tuple[Path, str, list[int]]]:
    """Return every lock with what it is of, and the experiments that it keeps."""
    eids: dict[tuple[Path, str], list[int]] = {}
    for experiment in experiments:
        what = f"{experiment.kind} in {str(results_dir)!r}"
        if experiment.is_search:
            what = f"experiment {experiment.name!r}"
        key = (lock_path(results_dir, experiment.name, experiment.kind), what)
        eids.setdefault(key, []).append(experiment.eid)
    return [(path, what, kept) for (path, what), kept in eids.items()]


def look_through(store: ResultsStore) -> tuple[dict[int, str], list[Finding]]:
    """Return who runs what, as from ``find_holders``, and what is wrong with everything else; changes nothing."""
    results_dir = store.path.parent
    while True:
        experiments = store.experiments()
        holders = find_holders(results_dir, experiments)
        found = find_all(store, [each.eid for each in experiments if each.eid not in holders])
        # A process that began meanwhile has changed what was looked at.
        if find_holders(results_dir, experiments).keys() == holders.keys():
            return holders, found


def find_all(store: ResultsStore, eids: Collection[int]) -> list[Finding]:
    """Return everything that contradicts something else in a results folder, in the order of the kinds.

    Args:
        eids: experiments to look at
    """
    damage = find_damage(store)
    if damage:
        # Whatever else a damaged file says means nothing.
        return damage
    results_dir = store.path.parent
    others = [each.eid for each in store.experiments() if each.eid not in eids]
    held_folders = [experiment_folder(results_dir, eid).path for eid in others]
    return in_order(
        [
            *find_doubtful_scores(store, eids),
            *find_left_files(results_dir, held_folders),
            *find_missing_files(store),
        ]
    )


def account_for_earlier(store: ResultsStore, results_dir: Path, name: str) -> None:
    """Record how the experiments of a name, and their trials, ended that a dead controller has left running."""
    for experiment in store.experiments():
        if experiment.name == name:
            folder = experiment_folder(results_dir, experiment.eid)
            account_for_running(store, experiment.eid, folder.mark)
            _remove_half_written(folder.path)
            if experiment.status is ExperimentStatus.RUNNING:
                store.update_experiment(experiment.eid, ExperimentStatus.INTERRUPTED, utc_now())


def record_broken_off(store: ResultsStore, eid: int, mark: str) -> None:
    """Record as much as can be of the trials that an error has just ended, and of their experiment.

    Args:
        mark: as ``account_for_running`` takes it
    """
    with suppress(HarnessError, OSError):
        account_for_running(store, eid, mark, "its controller ended with an error while the job ran")
        store.update_experiment(eid, ExperimentStatus.INTERRUPTED, utc_now())


def _remove_half_written(folder: Path) -> None:
    """Remove the files of an experiment's folder whose writers were killed before they were whole: they are made again.

    What a user keeps there under a name of his own, a folder too, is left alone.
    """
    for path in filter(is_half_written, folder.rglob("*.partial*")):
        path.unlink(missing_ok=True)


_REPAIRED = (FindingKind.UNFINISHED_TRIAL, FindingKind.UNFINISHED_EXPERIMENT, FindingKind.LEFT_FILE)


def repair_all(store: ResultsStore, eids: Collection[int], report_line: Callable[[str], None]) -> int:
    """Repair what the trials' own records decide; a copy of the database is made before the first repair.

    Args:
        store: open for writing
        eids: experiments to look at, each of which the caller holds
        report_line: called with a sentence for the copy, and one for each thing that was repaired

    Returns:
        the number of things that were repaired

    Raises:
        HarnessError: the copy or a repair could not be written
        OSError: a file beside the database could not be
    """
    found = [finding for finding in find_all(store, eids) if finding.kind in _REPAIRED]
    if found:
        report_line(f"The original database was copied to '{back_up(store.path)}'.")
        _end_trials(store, eids)
    for finding in found:
        report_line(f"{finding.sentence}. Repaired: {_repair(store, finding)}.")
    return len(found)


def _end_trials(store: ResultsStore, eids: Collection[int]) -> None:
    """End what dead controllers' jobs have left on this machine, and record how the trials ended."""
    for experiment in store.experiments():
        if experiment.eid in eids:
            if experiment.is_search:
                mark = experiment_folder(store.path.parent, experiment.eid).mark
                account_for_running(store, experiment.eid, mark)
                continue
            # Such a trial runs in the process that recorded it, which is gone. What a training of `tables` leaves on
            # the test set may not be whole: it is trained again.
            cause = "its process disappeared while the trial ran"
            for trial in store.running_trials(experiment.eid):
                store.finish_trial(trial.trial_id, TrialStatus.KILLED, message=cause)


def _repair(store: ResultsStore, finding: Finding) -> str:
    """Repair one thing, after ``_end_trials``, and return what was done, in words."""
    if finding.kind is FindingKind.LEFT_FILE:
        assert finding.path is not None
        kept = _free_name(finding.path)
        try:
            finding.path.rename(kept)
        except FileNotFoundError:
            return "it is gone: another process has deleted or renamed it meanwhile"
        return f"it was renamed to '{kept.name}'; delete it if nobody needs what it holds"
    assert finding.row_id is not None
    if finding.kind is FindingKind.UNFINISHED_EXPERIMENT:
        status = ExperimentStatus.INTERRUPTED
        store.update_experiment(finding.row_id, status, utc_now())
        return f"it is now marked {status}; the command that started it resumes it"
    trial = store.trial(finding.row_id)
    cause = "the result was recorded" if trial.status is TrialStatus.FINISHED else trial.message
    return f"it is now marked {trial.status}: {cause}"


def _free_name(left: Path) -> Path:
    """Return a name for a left file that is no longer that of a file being written, so that it is not found again."""
    kept, number = left.with_name(f"{left.name}.kept"), 2
    while os.path.lexists(kept):
        kept, number = left.with_name(f"{left.name}.kept{number}"), number + 1
    return kept
