"""A whole results folder, looked through and repaired: who is at work, results.db, its files, Auptimizer's books."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness.errors import StoreError
from harness.search.auptimizer import DatabaseError, SearchConnector, explain
from harness.search.controller import account_for_running
from harness.search.experiment import experiment_folder
from harness.search.jobs import end_left_behind
from harness.search.lock import AlreadyRunningError, find_holder, held, lock_path
from harness.store.connection import is_damage, is_outdated, open_unwritten
from harness.store.integrity import (
    ExperimentName,
    Finding,
    FindingKind,
    JobRow,
    ResultsInspector,
    ResultsRepairer,
    back_up,
    find_left_files,
    find_missing_files,
)
from harness.store.records import TrialStatus

#: Auptimizer's database in an experiment's folder of that module.
_BOOKS_NAME = "sqlite.db"
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
        *_find_open_books(inspector, eids),
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
                    done = _repair(inspector, repairer, finding)
                    num_repaired += done is not None
                    if done is not None:
                        tell(f"{finding.sentence}. Repaired: {done}.")


def _repair(inspector: ResultsInspector, repairer: ResultsRepairer, finding: Finding) -> str | None:
    if finding.kind in (FindingKind.OPEN_BOOKS, FindingKind.DAMAGED_BOOKS):
        assert finding.path is not None
        repairer.prepare_change()
        try:
            return _repair_books(inspector, finding)
        except DatabaseError as error:
            raise explain(finding.path.parent, error) from error
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


def _find_open_books(inspector: ResultsInspector, eids: Collection[int]) -> list[Finding]:
    """Find what Auptimizer's own databases hold open though nobody runs, and scores that results.db has otherwise.

    Args:
        eids: experiments to look at
    """
    found: list[Finding] = []
    for experiment in inspector.experiment_names():
        path = _books_path(inspector.path.parent, experiment.eid)
        if experiment.is_search and experiment.eid in eids and path.is_file():
            found += _find_in_books(path, experiment, inspector.jobs(experiment.eid))
    return found


def _repair_books(inspector: ResultsInspector, finding: Finding) -> str:
    """Close an experiment's books as its trials ended, or move damaged ones out of the way."""
    assert finding.path is not None and finding.row_id is not None
    if finding.kind is FindingKind.DAMAGED_BOOKS:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        moved = finding.path.with_name(f"{_BOOKS_NAME}.damaged-{moment}")
        for suffix in ("-wal", "-shm"):
            finding.path.with_name(_BOOKS_NAME + suffix).unlink(missing_ok=True)
        os.replace(finding.path, moved)
        return f"they were moved to '{moved}'; `aup` begins new ones, and results.db has all that matters"
    jobs = inspector.jobs(finding.row_id)
    open_jobs, wrong_jobs, _ = _compare(finding.path, jobs)
    scores = {job.jid: job.score for job in jobs}
    connector = SearchConnector(finding.path)
    with closing(connector):
        for jid in sorted({*open_jobs, *wrong_jobs}):
            score = scores.get(jid)
            connector.end_job_attempt(jid)
            connector.end_job(jid, score, "FAILED" if score is None else "FINISHED")
        connector.free_all_resources()
    return "its jobs are closed as results.db says that they ended, and its resources are free"


def _find_in_books(path: Path, experiment: ExperimentName, jobs: Sequence[JobRow]) -> Iterator[Finding]:
    subject = f"Auptimizer's books of {experiment}"
    try:
        open_jobs, wrong_jobs, num_busy = _compare(path, jobs)
    except DatabaseError as error:
        if not is_damage(error):
            raise StoreError(
                f"Auptimizer's database '{path}': cannot be read ({error}); try again when nobody uses it"
            ) from error
        found, expected = f"'{path}' cannot be read ({error})", "a database of Auptimizer's"
        yield Finding(FindingKind.DAMAGED_BOOKS, subject, found, expected, experiment.eid, path=path)
        return
    problems = []
    if open_jobs:
        problems.append(f"the jobs {open_jobs} are open")
    if num_busy:
        problems.append(f"{num_busy} of its resources are busy")
    if wrong_jobs:
        problems.append(f"the jobs {wrong_jobs} have other scores than in results.db")
    if problems:
        found, expected = ", ".join(problems), "none, for no process runs them"
        yield Finding(FindingKind.OPEN_BOOKS, subject, found, expected, experiment.eid, path=path)


def _compare(path: Path, jobs: Sequence[JobRow]) -> tuple[list[int], list[int], int]:
    """Return the jobs (jid) that are open, those with another score than ``jobs``, and the busy resources."""
    with closing(open_unwritten(path).conn) as connection:
        # Auptimizer's own columns, as its ``setupdb`` makes them.
        rows = connection.execute("SELECT jid, status, end_time, score FROM job ORDER BY jid").fetchall()
        attempts = connection.execute("SELECT jid, end_time FROM job_attempt ORDER BY jid, num").fetchall()
        ((num_busy,),) = connection.execute("SELECT count(*) FROM resource WHERE status = 'busy'").fetchall()
    # Of a job's attempts the last one counts.
    attempt_ends = dict(attempts)
    open_jobs = [
        jid
        for jid, status, ended_at, _ in rows
        if status == "RUNNING" or ended_at is None or attempt_ends.get(jid, ended_at) is None
    ]
    known = {job.jid: job.score for job in jobs if not job.is_running}
    wrong = [jid for jid, _, _, score in rows if jid in known and jid not in open_jobs and score != known[jid]]
    return open_jobs, wrong, num_busy


def _books_path(results_dir: Path, eid: int) -> Path:
    return experiment_folder(results_dir, eid).auptimizer_dir / _BOOKS_NAME
