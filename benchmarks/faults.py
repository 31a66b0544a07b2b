"""Nothing lost, whatever happens: `python -m benchmarks.faults`.

Real searches, by `aup experiment.json`, are killed, locked out of their database, and left without room on
their disk; then the same command goes on. At the end is counted what that has cost: trials that are lost or
repeated, processes that were orphaned, and whatever contradicts itself. Zero of each is what is claimed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faults_count import Tally
from benchmarks.faults_disk import fill_the_disk
from benchmarks.faults_kills import kill_in_real, kill_in_trivial
from benchmarks.faults_locks import lock_the_database
from benchmarks.faults_search import Prepared, prepare
from benchmarks.interleaved import print_machine

#: Faults of a mode that are named; all are counted.
NUM_NAMED = 20

#: A mode: takes a folder of its own and the prepared corpus, and returns what it did and what that cost.
Mode = Callable[[Path, Prepared], Tally]


def choose_modes(options: argparse.Namespace) -> dict[str, Mode]:
    """Return the modes that are asked for, all where none is, by what their summary calls them."""
    asks = options.kills is not None or options.real is not None or options.locks or options.full_disk
    kills = options.kills if asks else 200
    real = options.real if asks else 10
    modes: dict[str, Mode] = {}
    if kills:
        modes["kills, trivial trials"] = lambda folder, prepared: kill_in_trivial(
            folder, kills, options.parallel or 2, options.seed, prepared
        )
    if real:
        modes["kills, real training"] = lambda folder, prepared: kill_in_real(
            folder, real, options.parallel or 2, options.seed, prepared
        )
    if options.locks or not asks:
        modes["locks"] = lambda folder, prepared: lock_the_database(
            folder, options.num_locks, options.parallel or 8, prepared
        )
    if options.full_disk or not asks:
        modes["full disk"] = lambda folder, prepared: fill_the_disk(folder, options.parallel or 2, prepared)
    return modes


def summarise(name: str, tally: Tally, seconds: float) -> str:
    """Sum a mode up: what was done, and what it cost.

    Example:
        >>> tally = Tally()
        >>> tally.done["kills"] += 2
        >>> summarise("kills", tally, 7.0)
        'kills: 2 kills in 7 s: 0 lost, 0 repeated, 0 orphaned, 0 inconsistent'
    """
    done = ", ".join(f"{count} {what}" for what, count in tally.done.items())
    slowest = f"; the last process was gone {tally.slowest_end:.1f} s after its controller at most"
    return f"{name}: {done} in {seconds:.0f} s{slowest if tally.slowest_end else ''}: {tally.counts}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Put faults into running searches, go on with each, and count what that has cost. With no "
        "option all modes run. Exits with 1 if anything was lost, repeated, orphaned or inconsistent."
    )
    parser.add_argument("--kills", type=int, help="SIGKILLs in searches of trivial trials  [default: 200]")
    parser.add_argument("--real", type=int, help="SIGKILLs in a search that trains  [default: 10]")
    parser.add_argument("--locks", action="store_true", help="another process locks the database")
    parser.add_argument("--num-locks", type=int, default=6, help="locks of 10 s, one after the other  [default: 6]")
    parser.add_argument("--full-disk", action="store_true", help="the disk fills, and files reach a size limit")
    parser.add_argument("--parallel", type=int, help="trials at once  [default: 2, and 8 with --locks]")
    parser.add_argument("--seed", type=int, default=0, help="of the instants and the victims  [default: 0]")
    options = parser.parse_args(arguments)
    if not Path("/proc/self/environ").is_file():
        print("error: there is no /proc here: orphans could not be seen; run this on Linux", file=sys.stderr)
        return 2
    print_machine(["auptimizer", "sqlite-utils"])
    num_faults = 0
    with tempfile.TemporaryDirectory(prefix="faults; it's a \"folder\" ") as text:
        prepared = prepare(Path(text) / "prepared")
        for number, (name, run) in enumerate(choose_modes(options).items()):
            began = time.monotonic()
            tally = run(Path(text) / str(number), prepared)
            for fault, sentence in tally.faults[:NUM_NAMED]:
                print(f"  {fault}: {sentence:.500}")
            print(summarise(name, tally, time.monotonic() - began), flush=True)
            num_faults += len(tally.faults)
    return 1 if num_faults else 0


if __name__ == "__main__":
    sys.exit(main())
