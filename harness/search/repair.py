"""A whole results folder, looked through and repaired: who is at work, results.db, its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from harness.search.experiment import experiment_folder
from harness.search.jobs import account_for_running, end_left_behind
from harness.search.lock import AlreadyRunningError, find_holder, held, lock_path
from harness.store.connection import is_outdated
from harness.store.integrity import (
    ExperimentName,
    Finding,
    FindingKind,
    ResultsInspector,
    ResultsRepairer,
    back_up,
    find_left_files,
    find_missing_files,
)
from harness.store.records import TrialStatus

_KEEPS_INDEX = (TrialStatus.RUNNING, TrialStatus.FINISHED)


def find_holders(results_dir: Path, experiments: Sequence[ExperimentName]) -> dict[int, str]:
    """Return the experiments that somebody is at work on, by eid, and a sentence on who; changes nothing."""
    holders: dict[int, str] = {}
    for path, what, eids in _locks(results_dir, experiments):
        if find_holder(path) is not None:
            try:
                with held(path, what):
                    continue
            except AlreadyRunningError as error:
                sentence = str(error)
            except OSError:
                sentence = f"{what}: another process runs it"
            holders |= dict.fromkeys(eids, sentence)
    return holders


@contextmanager
def hold_free(results_dir: Path, experiments: Sequence[ExperimentName]) -> Iterator[dict[int, str]]:
    """Keep every controller off the experiments that nobody is at work on.

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


def _locks(results_dir: Path, experiments: Sequence[ExperimentName]) -> list[tuple[Path, str, list[int]]]:
    """Return every lock with what it is of, and the experiments that it keeps."""
    eids: dict[tuple[Path, str], list[int]] = {}
    for experiment in experiments:
        what = f"{experiment.kind} in {str(results_dir)!r}"
        if experiment.is_search:
            what = f"experiment {experiment.name!r}"
        key = (lock_path(results_dir, experiment.name, experiment.kind), what)
        eids.setdefault(key, []).append(experiment.eid)
    return [(path, what, kept) for (path, what), kept in eids.items()]


def look_through(inspector: ResultsInspector) -> tuple[dict[int, str], list[Finding]]:
    """Return who is at work, as from ``find_holders``, and what is wrong with everything else; changes nothing."""
    results_dir = inspector.path.parent
    while True:
        experiments = inspector.experiment_names()
        holders = find_holders(results_dir, experiments)
        found = find_all(inspector, [each.eid for each in experiments if each.eid not in holders])
        # Somebody who began meanwhile has changed what was looked at.
        if find_holders(results_dir, experiments).keys() == holders.keys():
            return holders, found


def find_all(inspector: ResultsInspector, eids: Collection[int]) -> list[Finding]:
    """Return everything that contradicts something else in a results folder, in the order of the kinds.

    Args:
        eids: experiments to look at
    """
    damage = inspector.find_damage()
    if damage:
        # Whatever else a damaged file says means nothing.
        return damage
    results_dir = inspector.path.parent
    others = [each.eid for each in inspector.experiment_names() if each.eid not in eids]
    found = [
        *inspector.find_contradictions(eids),
        *find_left_files(results_dir, [experiment_folder(results_dir, eid).path for eid in others]),
        *find_missing_files(inspector),
    ]
    order = list(FindingKind)
    return sorted(found, key=lambda finding: order.index(finding.kind))


def copy_outdated(path: Path, tell: Callable[[str], None]) -> bool:
    """Copy a database of an earlier version, and tell of it, before anything brings it up to date; else do nothing.

    Returns:
        whether there is a copy now
    """
    outdated = is_outdated(path)
    if outdated:
        _copy(path, tell)
    return outdated


def _copy(path: Path, tell: Callable[[str], None]) -> None:
    tell(f"A copy of the database as it was: '{back_up(path)}'.")


def repair_all(path: Path, eids: Collection[int], tell: Callable[[str], None], has_copy: bool = False) -> int:
    """Repair what the trials' own records decide; a copy of the database is made before the first repair.

    One kind is repaired after the other, with a new look after each, for one repair may settle another.

    Args:
        path: of results.db
        eids: experiments to look at, each of which the caller holds
        tell: called with a sentence for the copy, and one for each thing that was repaired
        has_copy: whether ``copy_outdated`` has made one

    Returns:
        the number of things that were repaired

    Raises:
        HarnessError: the copy or a repair could not be written
        OSError: a file beside the database could not be
    """
    num_repaired = 0
    tried: set[FindingKind] = set()
    with ResultsInspector.open_readonly(path) as inspector, ResultsRepairer.open(path) as repairer:
        if not has_copy:
            repairer.on_first_change = partial(_copy, path, tell)
        while True:
            found = [finding for finding in find_all(inspector, eids) if finding.kind not in tried]
            if not found:
                return num_repaired
            tried.add(found[0].kind)
            if found[0].kind is FindingKind.NOBODY_RUNS_TRIAL:
                _end_jobs(inspector, repairer, eids)
            for finding in found:
                if finding.kind is found[0].kind:
                    done = _repair(repairer, finding)
                    num_repaired += done is not None
                    if done is not None:
                        tell(f"{finding.sentence}. Repaired: {done}.")


def _repair(repairer: ResultsRepairer, finding: Finding) -> str | None:
    if finding.kind is FindingKind.LEFT_FILE:
        assert finding.path is not None
        repairer.prepare_change()
        finding.path.unlink(missing_ok=True)
        return "it was removed"
    return repairer.repair(finding)


def _end_jobs(inspector: ResultsInspector, repairer: ResultsRepairer, eids: Collection[int]) -> None:
    """End what dead controllers' jobs have left on this machine, and say how the trials of a search ended."""
    for experiment in inspector.experiment_names():
        if experiment.eid in eids:
            mark = experiment_folder(inspector.path.parent, experiment.eid).mark
            try:
                running = repairer.running_trials(experiment.eid)
                begun = Counter(
                    trial.trial_index for trial in repairer.trials(experiment.eid) if trial.status in _KEEPS_INDEX
                )
            except ValueError:
                # A point or status that cannot be read, which is told of elsewhere; the mark finds the jobs too.
                end_left_behind(mark, [])
                continue
            # Of two attempts at one trial only one may come to have finished: those are left to the repairer.
            if experiment.is_search and max(begun.values(), default=0) <= 1:
                account_for_running(repairer, experiment.eid, mark)
            else:
                end_left_behind(mark, running)
