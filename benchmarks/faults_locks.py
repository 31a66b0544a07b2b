"""Another process holds a search's database locked, for longer than most programs wait."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.faults_count import (
    Tally,
    compare_finished,
    count_faults,
    expect_end,
    read_finished,
    watch_end,
)
from benchmarks.faults_search import FaultySearch, Prepared, invent_trivial

#: Seconds for which the database is locked at a time.
LOCKED_SECONDS = 10.0
#: Seconds between two locks, in which the search must get on.
PAUSE = 0.5
#: Trials by which a search grows that is done before the last lock.
TRIALS_AT_ONCE = 40
#: Waits for a lock that the search itself may hold, tells, holds it, and lets it go.
LOCKER = """
import sqlite3, sys, time
path, how, seconds = sys.argv[1:]
connection = sqlite3.connect(path, timeout=60, isolation_level=None)
connection.execute(f"BEGIN {how}")
print("locked", flush=True)
time.sleep(float(seconds))
connection.execute("ROLLBACK")
"""


def lock_the_database(
    folder: Path, num_locks: int, num_parallel: int, prepared: Prepared, seconds: float = LOCKED_SECONDS
) -> Tally:
    """Lock results.db again and again while trials that record their scores run.

    Args:
        num_locks: of ``seconds`` each
    """
    tally = Tally()
    search = invent_trivial(folder, prepared, n_samples=TRIALS_AT_ONCE, n_parallel=num_parallel)
    try:
        _lock_and_go_on(search, num_locks, seconds, tally)
        count_faults(search, tally)
    finally:
        search.end()
    return tally


def _lock_and_go_on(search: FaultySearch, num_locks: int, seconds: float, tally: Tally) -> None:
    job_dir = search.results_db.parent / "experiments" / "1" / "jobs"
    controller = search.start()
    while not job_dir.exists() and controller.is_running:
        time.sleep(0.01)
    finished = read_finished(search)
    for number in range(num_locks):
        how = ("IMMEDIATE", "EXCLUSIVE")[number % 2]
        with subprocess.Popen(
            [sys.executable, "-c", LOCKER, str(search.results_db), how, str(seconds)], stdout=subprocess.PIPE
        ) as locker:
            if locker.stdout is None or locker.stdout.readline() != b"locked\n":
                raise SystemExit(f"results.db: not locked; expected to have it locked for {seconds} s")
            began = time.monotonic()
            while locker.poll() is None:
                if not controller.is_running:
                    expect_end(controller, tally)
                    search.write(n_samples=search.values["n_samples"] + TRIALS_AT_ONCE)
                    controller = search.start()
                time.sleep(0.05)
            tally.done["locks"] += 1
            tally.done["seconds locked"] += round(time.monotonic() - began)
        now = read_finished(search)
        compare_finished(finished, now, tally)
        finished = now
        time.sleep(PAUSE)
    controller.wait()
    expect_end(controller, tally)
    watch_end(search, tally)
