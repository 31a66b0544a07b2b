"""The cost of faults to a search: counted from results.db and the process table."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum

import psutil

from benchmarks.faults_search import GRACE, REPOSITORY, SEED, Controller, FaultySearch
from harness.search.proposer import RandomPoints, trial_seed
from harness.search.space import space_from_json
from harness.store.records import TrialRow, TrialStatus
from harness.store.store import ResultsStore


class Fault(StrEnum):
    """Counts of what must never happen to a search."""

    LOST = "lost"
    REPEATED = "repeated"
    ORPHANED = "orphaned"
    INCONSISTENT = "inconsistent"


@dataclass
class Tally:
    """The faults that were put into searches, and their cost.

    Attributes:
        done: how often each thing was done or seen, by its name
        faults: each with a sentence
        slowest_end: the longest that anything was seen to outlive its controller, in seconds
    """

    done: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[Fault, str]] = field(default_factory=list)
    slowest_end: float = 0.0

    def add(self, fault: Fault, sentence: str) -> None:
        """Count a fault."""
        self.faults.append((fault, sentence))

    @property
    def counts(self) -> str:
        """The number of each fault, in words."""
        found = Counter(fault for fault, _ in self.faults)
        return ", ".join(f"{found[fault]} {fault}" for fault in Fault)


def read_finished(search: FaultySearch) -> dict[int, TrialRow]:
    """Return the finished attempt of each trial index that has one; none before there is a database."""
    return {trial.trial_index: trial for trial in _read_trials(search) if trial.status is TrialStatus.FINISHED}


def _read_trials(search: FaultySearch) -> list[TrialRow]:
    if not search.results_db.exists():
        return []
    with ResultsStore.open_readonly(search.results_db) as store:
        experiment = store.latest_experiment()
        return [] if experiment is None else store.trials(experiment.eid)


def compare_finished(before: dict[int, TrialRow], now: dict[int, TrialRow], tally: Tally) -> None:
    """Count finished trials that are gone or changed; a finished trial is final."""
    for index, trial in before.items():
        if now.get(index) != trial:
            tally.add(Fault.LOST, f"trial {index} was finished as {trial}, and is {now.get(index)} now")


def expect_end(controller: Controller, tally: Tally) -> None:
    """Count a controller that neither was killed nor came to the end of its search without a complaint."""
    tally.done["controllers started"] += 1
    has_ended_well = controller.exit_code == 0 and not controller.errors
    if controller.exit_code != -signal.SIGKILL and not has_ended_well:
        said = controller.errors.strip()[-500:]
        tally.add(Fault.INCONSISTENT, f"a controller ended by itself with exit code {controller.exit_code}: {said}")


def count_orphans(search: FaultySearch, tally: Tally) -> None:
    """Count what has outlived its controller for longer than it may; ends it."""
    for controller in search.started:
        if not controller.is_running and controller.ended_at is not None:
            outlived = time.monotonic() - controller.ended_at
            if outlived > GRACE:
                for pid in controller.descendants():
                    tally.add(Fault.ORPHANED, f"{_describe(pid)} outlived its controller by {outlived:.1f} s")
                controller.end()


def watch_end(search: FaultySearch, tally: Tally) -> None:
    """Wait until nothing is left of the last controller, without starting another one that could end it."""
    (*_, controller) = search.started
    assert controller.ended_at is not None
    while controller.descendants() and time.monotonic() - controller.ended_at <= GRACE:
        time.sleep(0.05)
    tally.slowest_end = max(tally.slowest_end, time.monotonic() - controller.ended_at)
    tally.done["ends watched"] += 1
    count_orphans(search, tally)


def _describe(pid: int) -> str:
    try:
        return f"process {pid} ({' '.join(psutil.Process(pid).cmdline())[:120]})"
    except psutil.Error:
        return f"process {pid}"


def count_faults(
    search: FaultySearch,
    tally: Tally,
    score_of: Callable[[TrialRow], float | None] = lambda trial: next(iter(trial.hyperparameters.values())),
) -> None:
    """Count what a search that is done has lost, repeated or contradicts.

    Args:
        score_of: what a trial must have scored; by default its one hyperparameter
    """
    trials = _read_trials(search)
    _count_lost(search, trials, tally, score_of)
    _count_repeated(search, trials, tally)
    for sentence in (*_find_in_results(search, trials), *_ask_harness(search)):
        tally.add(Fault.INCONSISTENT, sentence)
    tally.done["trials"] += len({trial.trial_index for trial in trials})
    tally.done["attempts"] += len(trials)


def _count_lost(
    search: FaultySearch,
    trials: list[TrialRow],
    tally: Tally,
    score_of: Callable[[TrialRow], float | None],
) -> None:
    finished = {trial.trial_index: trial for trial in trials if trial.status is TrialStatus.FINISHED}
    for index in range(search.values["n_samples"]):
        if index not in finished:
            ends = [f"{trial.status}: {trial.message}" for trial in trials if trial.trial_index == index]
            tally.add(Fault.LOST, f"trial {index} has not finished: {ends}")
        elif finished[index].score != score_of(finished[index]):
            tally.add(Fault.LOST, f"trial {index} scored another trial's score, {finished[index].score}")


def _count_repeated(search: FaultySearch, trials: list[TrialRow], tally: Tally) -> None:
    points = RandomPoints(space_from_json(search.values["parameter_config"]), SEED)
    num_by_value: Counter[str] = Counter()
    attempts: dict[int, list[TrialRow]] = defaultdict(list)
    for trial in trials:
        index = trial.trial_index
        attempts[index].append(trial)
        expected = (points.point(index), trial_seed(SEED, index))
        if (trial.hyperparameters, trial.seed) != expected:
            found = (trial.hyperparameters, trial.seed)
            tally.add(Fault.REPEATED, f"attempt {trial.attempt} of trial {index} had {found}, not {expected}")
        num_by_value[repr(next(iter(trial.hyperparameters.values())))] += 1
    for index, each in attempts.items():
        numbers = [trial.attempt for trial in each]
        if numbers != list(range(1, len(each) + 1)):
            tally.add(Fault.REPEATED, f"trial {index} has the attempts {numbers}")
        if any(trial.status is TrialStatus.FINISHED for trial in each[:-1]):
            tally.add(Fault.REPEATED, f"trial {index} was started again after it had finished")
    ledger = search.folder / "begun"
    begun = Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter[str]()
    for value, number in begun.items():
        if number > num_by_value[value]:
            tally.add(Fault.REPEATED, f"point {value} began {number} times, and has {num_by_value[value]} attempts")


def _find_in_results(search: FaultySearch, trials: list[TrialRow]) -> Iterator[str]:
    """Ask results.db, in plain SQL and apart from ``harness check``."""
    for trial in trials:
        has_finished = trial.status is TrialStatus.FINISHED
        name = f"attempt {trial.attempt} of trial {trial.trial_index}"
        if trial.status is TrialStatus.RUNNING or trial.ended_at is None:
            yield f"{name} is {trial.status} since {trial.started_at}, until {trial.ended_at}, and nobody runs it"
        elif trial.ended_at < trial.started_at:
            yield f"{name} ended at {trial.ended_at}, before it began at {trial.started_at}"
        if has_finished != (trial.score is not None and math.isfinite(trial.score)):
            yield f"{name} is {trial.status} with the score {trial.score}"
        if not has_finished and not trial.message:
            yield f"{name} is {trial.status} for no cause"
    with closing(sqlite3.connect(search.results_db)) as connection:
        for (said,) in connection.execute("PRAGMA integrity_check"):
            if said != "ok":
                yield f"results.db: {said}"
        for row in connection.execute("PRAGMA foreign_key_check"):
            yield f"results.db: foreign key {row}"
        for name, status, ended_at in connection.execute("SELECT name, status, ended_at FROM experiments"):
            if status != "finished" or ended_at is None:
                yield f"experiment {name!r} is {status}, ended at {ended_at}"


def _ask_harness(search: FaultySearch) -> Iterator[str]:
    """Return what ``harness check --results`` finds."""
    code = "from harness.cli.main import main; main()"
    command = [sys.executable, "-c", code, "check", "--results", str(search.results_db.parent)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        yield from (f"harness check: {line}" for line in (done.stdout + done.stderr).splitlines())
