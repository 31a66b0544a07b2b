"""SIGKILL at random instants, for the controller, its trials, what they started and what they are forked from.

Then the same command again.
"""

from __future__ import annotations

import random
import time
from enum import StrEnum
from pathlib import Path

from benchmarks.faults_count import (
    Fault,
    Tally,
    compare_finished,
    count_faults,
    count_orphans,
    expect_end,
    read_finished,
    watch_end,
)
from benchmarks.faults_search import (
    Controller,
    FaultySearch,
    Prepared,
    invent_search,
    invent_trivial,
    kill_process,
)

#: Kills of one search; the next one begins in an empty folder, for its opening is a fault's favourite place.
KILLS_A_SEARCH = 20
#: Trials by which a search grows that is done before it has had its kills.
TRIALS_AT_ONCE = 10
#: Seconds after a controller's start within which it is killed, where not after a line of its output. A choice:
#: a second or two is what opening takes, and the first trials.
OPENING = 1.5
#: Of the killed controllers, one in so many is not followed by another before all that came from it has ended.
WATCHES_EVERY = 3
#: A script of this package's own trials.
REAL_SCRIPT = "import sys\nfrom harness.training.trial import main\nsys.exit(main(sys.argv))\n"
#: What a real trial searches: little, of the quickest system.
REAL_SPACE = [
    {"name": "dense", "range": [8, 16], "type": "int"},
    {"name": "dropout", "range": [0.0, 0.4], "type": "float"},
]
REAL_SYSTEM = "head2"


class Victim(StrEnum):
    CONTROLLER = "of controllers"
    TRIAL = "of trials"
    GRANDCHILD = "of grandchildren"
    WARM = "of warm processes"


def kill_in_trivial(folder: Path, num_kills: int, num_parallel: int, seed: int, prepared: Prepared) -> Tally:
    """Kill ``num_kills`` times in searches of trivial trials, every other of which records its score itself."""
    generator = random.Random(seed)
    tally = Tally()
    number = 0
    while tally.done["kills"] < num_kills:
        own = prepared if number % 2 else None
        search = invent_trivial(folder / f"kills {number}", own, n_samples=TRIALS_AT_ONCE, n_parallel=num_parallel)
        goal = min(num_kills, tally.done["kills"] + KILLS_A_SEARCH)
        try:
            _kill_and_resume(search, goal, OPENING, generator, tally)
            count_faults(search, tally)
        except TimeoutError as error:
            tally.add(Fault.INCONSISTENT, str(error))
        finally:
            search.end()
        number += 1
    return tally


def kill_in_real(folder: Path, num_kills: int, num_parallel: int, seed: int, prepared: Prepared) -> Tally:
    """Kill ``num_kills`` times in a search that trains, prepares its corpus's features at first, and scores alike.

    The same search runs undisturbed before: a trial that was killed and run again must score the same.
    """
    generator = random.Random(seed)
    tally = Tally()
    values = {
        "system": REAL_SYSTEM,
        "corpus": str(prepared.corpus),
        "max_epochs": 3,
        "n_samples": 3,
        "n_parallel": num_parallel,
    }
    undisturbed = invent_search(folder / "undisturbed", REAL_SCRIPT, REAL_SPACE, **values)
    search = invent_search(folder / "real", REAL_SCRIPT, REAL_SPACE, **values)
    try:
        began = time.monotonic()
        undisturbed.finish()
        seconds = time.monotonic() - began
        _kill_and_resume(search, num_kills, seconds, generator, tally)
        undisturbed.write(n_samples=search.values["n_samples"])
        undisturbed.finish()
        expected = {index: trial.score for index, trial in read_finished(undisturbed).items()}
        count_faults(search, tally, score_of=lambda trial: expected.get(trial.trial_index))
    except TimeoutError as error:
        tally.add(Fault.INCONSISTENT, str(error))
    finally:
        undisturbed.end()
        search.end()
    return tally


def _kill_and_resume(
    search: FaultySearch, goal: int, opening: float, generator: random.Random, tally: Tally
) -> None:
    """Kill until ``tally`` counts ``goal`` kills, and go on until every trial has finished."""
    finished = read_finished(search)
    while tally.done["kills"] < goal:
        # How often a killed trial is started again at once is no part of what the search is.
        search.write(job_failure={"job_retries": generator.choice([0, 3]), "ignore_fail": True})
        controller = search.start()
        while tally.done["kills"] < goal and controller.is_running:
            _wait_for_an_instant(controller, opening, generator)
            victim = _kill(controller, generator)
            if victim is not None:
                tally.done["kills"] += 1
                tally.done[victim] += 1
        if not controller.is_running:
            if controller.exit_code == 0:
                search.write(n_samples=search.values["n_samples"] + TRIALS_AT_ONCE)
            expect_end(controller, tally)
            if controller.exit_code == 0 or generator.random() < 1 / WATCHES_EVERY:
                watch_end(search, tally)
            now = read_finished(search)
            compare_finished(finished, now, tally)
            finished = now
            count_orphans(search, tally)
    # One that was killed more often than it may be retried runs again when the search goes on.
    for _ in range(3):
        if not controller.is_running:
            controller = search.start()
        controller.wait()
        expect_end(controller, tally)
        watch_end(search, tally)
        now = read_finished(search)
        compare_finished(finished, now, tally)
        finished = now
        if len(finished) >= search.values["n_samples"]:
            break


def _wait_for_an_instant(controller: Controller, opening: float, generator: random.Random) -> None:
    """Wait for a random moment: after the start, or just after one of the next lines that the controller prints."""
    if generator.random() < 0.5:
        _sleep(controller, generator.uniform(0, opening))
        return
    num_lines = controller.num_lines + generator.randint(1, 6)
    deadline = time.monotonic() + 2 * opening
    while controller.is_running and controller.num_lines < num_lines and time.monotonic() < deadline:
        time.sleep(0.001)
    # Some milliseconds are what the controller's bookkeeping takes after what it prints.
    _sleep(controller, generator.choice([0, generator.uniform(0, 0.01), generator.uniform(0, 0.1)]))


def _sleep(controller: Controller, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while controller.is_running and time.monotonic() < deadline:
        time.sleep(min(0.01, max(0.0, deadline - time.monotonic())))


def _kill(controller: Controller, generator: random.Random) -> Victim | None:
    """Kill somebody, and say who; None where nobody of that kind was there."""
    victim = generator.choices(list(Victim), weights=[4, 4, 2, 2])[0]
    if victim is Victim.CONTROLLER:
        if not controller.is_running:
            return None
        controller.kill()
        return victim
    pids = {
        Victim.TRIAL: controller.trials,
        Victim.GRANDCHILD: controller.grandchildren,
        Victim.WARM: controller.warm_processes,
    }[victim]()
    return victim if pids and kill_process(generator.choice(pids)) else None
