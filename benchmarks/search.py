"""The time that a search adds to its trials: `python -m benchmarks.search`.

A trial is the cheapest script that prints a score. The bookkeeping of one is the time from the start of its
job to the start of the next, less the bare start of the same script: measured by every fourth trial, which
starts the script once more (its own time is left out), or, with several trials at once, by starting as many
at once before and after each search. Job files bear the times.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.interleaved import Timing, print_machine, time_in_turn
from benchmarks.search_controllers import CONTROLLERS, SCRIPT

REPOSITORY = Path(__file__).parents[1]

#: Of the trials, one in so many starts the script once more and says how long that took.
STARTS_BARE_EVERY = 4
#: Trials at either end of a search whose bookkeeping is compared.
WINDOW = 100
#: Seconds between two looks at a controller's memory and threads.
LOOK_INTERVAL = 0.05
#: Seconds without a new trial after which a controller is given up: Auptimizer's can wait for itself for ever.
PATIENCE = 30.0

TRIAL = """#!{python}
import sys
if {every} and int(sys.argv[1].rpartition("/")[2].partition(".")[0]) % {every} == 0:
    import subprocess, time
    for _ in range(2):  # the first of a process is slower
        began = time.perf_counter()
        subprocess.run([sys.executable, __file__, "jobs/1.json"], stdout=subprocess.DEVNULL)
    with open("bare", "a") as stream:
        print(sys.argv[1].rpartition("/")[2].partition(".")[0], time.perf_counter() - began, file=stream)
print("#Auptimizer:0.5")
"""


@dataclass(frozen=True)
class SearchTiming:
    """The cost of one search; times in milliseconds a trial, memory in MB.

    Attributes:
        first, last: of the first and the last trials, at most ``WINDOW`` each
        bare_first, bare_last: of the bare starts beside them
        whole: mean over all trials, and the mean of all bare starts
        opening: from the start of the controller to the first job file
        memory: private and shared, at the tenth trial and at the end
        threads: most of the controller
    """

    first: float
    last: float
    bare_first: float
    bare_last: float
    whole: tuple[float, float]
    opening: float
    memory: tuple[float, float]
    threads: int

    @property
    def bookkeeping(self) -> tuple[float, float, float]:
        """Of a trial at the beginning, at the end, and of the mean one."""
        return self.first - self.bare_first, self.last - self.bare_last, self.whole[0] - self.whole[1]


def start_bare(folder: Path, num_starts: int, at_once: int) -> float:
    """Start the script so often, ``at_once`` at a time; return milliseconds a start."""
    command = [sys.executable, SCRIPT, "jobs/1.json"]
    with ThreadPoolExecutor(at_once) as executor:
        began = time.perf_counter()
        list(
            executor.map(
                lambda _: subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True),
                range(num_starts),
            )
        )
        return 1000 * (time.perf_counter() - began) / num_starts


def run_controller(name: str, folder: Path, num_trials: int, at_once: int) -> tuple[float, list[tuple[float, ...]]]:
    """Run a search to its end; return when it began, and (time, bytes, threads) of every look at its controller.

    Raises:
        TimeoutError: no trial began for ``PATIENCE`` seconds
    """
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.search_controllers", name, str(num_trials), str(at_once)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors").open("wb"),
    )
    looks: list[tuple[float, ...]] = []
    watched = psutil.Process(process.pid)
    job_dir = folder / CONTROLLERS[name][1]
    try:
        while process.poll() is None:
            with suppress(psutil.Error):
                looks.append((time.time(), watched.memory_info().rss, watched.num_threads()))
            last_sign = job_dir.stat().st_mtime if job_dir.is_dir() else began
            if time.time() - last_sign > PATIENCE:
                raise TimeoutError(f"{name}: began no trial for {PATIENCE:g} s")
            time.sleep(LOOK_INTERVAL)
    finally:
        process.kill()
        process.wait()
    return began, looks


def time_search(name: str, num_trials: int, at_once: int) -> SearchTiming:
    """Run one search in a folder of its own, and its bare starts.

    Raises:
        TimeoutError: the controller hung
        RuntimeError: it ran another number of trials than it was told to
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        every = STARTS_BARE_EVERY if at_once == 1 else 0
        (folder / SCRIPT).write_text(TRIAL.format(python=sys.executable, every=every))
        (folder / SCRIPT).chmod(0o755)
        num_starts = min(num_trials, WINDOW)
        before = start_bare(folder, num_starts, at_once)
        began, looks = run_controller(name, folder, num_trials, at_once)
        after = start_bare(folder, num_starts, at_once)
        jobs = [path for path in (folder / CONTROLLERS[name][1]).glob("*.json") if path.stem.isdecimal()]
        if len(jobs) != num_trials:
            errors = (folder / "errors").read_text("utf-8", "replace").strip()[-500:]
            raise RuntimeError(f"{name}: {len(jobs)} of {num_trials} trials were begun: {errors}")
        starts = {int(path.stem): path.stat().st_mtime for path in jobs}
        bare = {0: before / 1000, num_trials + 1: after / 1000}
        if every:
            lines = (folder / "bare").read_text().splitlines()
            bare = {int(line.split()[0]): float(line.split()[1]) for line in lines}
    return summarise(began, starts, bare, looks, at_once)


def summarise(
    began: float,
    starts: dict[int, float],
    bare: dict[int, float],
    looks: Sequence[tuple[float, ...]],
    at_once: int,
) -> SearchTiming:
    """Take the windows of a search, each with the bare starts that were made beside it.

    Args:
        starts: seconds since the epoch, by the trial's number from 1
        bare: seconds, by the number of the trial that they were made in, or before 1, or after the last
    """
    times = sorted(starts.values())
    # A trial that started the script once more says nothing of itself.
    intervals = {
        number: following - start
        for number, (start, following) in enumerate(zip(times, times[1:], strict=False), start=1)
        if number not in bare
    }
    width = max(1, min(WINDOW, len(times) // 2))
    # With one at once a stray slow trial is left out by the median; with several, starts come in bursts.
    centre = statistics.median if at_once == 1 else statistics.fmean

    def of_window(values: dict[int, float], lowest: float, highest: float) -> float:
        found = [value for number, value in values.items() if lowest <= number <= highest]
        return 1000 * centre(found or list(values.values()))

    def memory_at(moment: float) -> float:
        return min(looks, key=lambda look: abs(look[0] - moment))[1] / 1e6

    begins, ends = (0, width), (len(times) + 1 - width, len(times) + 1)
    return SearchTiming(
        first=of_window(intervals, *begins),
        last=of_window(intervals, *ends),
        bare_first=of_window(bare, *begins),
        bare_last=of_window(bare, *ends),
        whole=(1000 * statistics.fmean(intervals.values()), 1000 * statistics.fmean(bare.values())),
        opening=1000 * (times[0] - began),
        memory=(memory_at(times[min(9, len(times) - 1)]), memory_at(times[-1])),
        threads=int(max(look[2] for look in looks)),
    )


def describe(timings: Sequence[SearchTiming]) -> str:
    """Sum up the searches of one controller: medians, and in brackets their range."""

    def spread(values: Sequence[float]) -> str:
        low, high = min(values), max(values)
        return f"{statistics.median(values):.1f}" + (f" ({low:.1f} to {high:.1f})" if len(values) > 1 else "")

    first, last, mean = zip(*(timing.bookkeeping for timing in timings), strict=True)
    begin, end = zip(*(timing.memory for timing in timings), strict=True)
    return (
        f"bookkeeping {spread(first)} ms at the beginning, {spread(last)} at the end, mean {spread(mean)}; "
        f"bare start {spread([timing.whole[1] for timing in timings])} ms; "
        f"opening {spread([timing.opening for timing in timings])} ms; "
        f"{max(timing.threads for timing in timings)} threads; "
        f"{statistics.median(begin):.1f} MB at trial 10, {statistics.median(end):.1f} at the end"
    )


def open_search(folder: Path) -> float:
    """Begin a search of one trial in a new folder; return seconds to its job file."""
    folder.mkdir()
    (folder / SCRIPT).write_text(TRIAL.format(python=sys.executable, every=0))
    began, _ = run_controller("ours", folder, 1, 1)
    return (folder / CONTROLLERS["ours"][1] / "1.json").stat().st_mtime - began


def print_opening(num_runs: int) -> None:
    """Print what the time from `aup experiment.json` to the first trial is made of, each part with those before."""
    modules = "harness.cli.aup, harness.search.controller, harness.search.display"
    imports = {"Python": "os", "and NumPy": "numpy.random", "and what aup imports": modules}
    timings = time_in_turn(
        {
            # Without Python's own end, which a search that has been opened has before it.
            label: lambda names=names: subprocess.run(
                [sys.executable, "-c", f"import os, {names}; os._exit(0)"], cwd=REPOSITORY, check=True
            )
            for label, names in imports.items()
        },
        num_runs,
    )
    with tempfile.TemporaryDirectory() as folder:
        opened = Timing(tuple(open_search(Path(folder) / str(number)) for number in range(num_runs)))
    parts = [f"{label} {timing}" for label, timing in timings.items()]
    print("opening:", "; ".join([*parts, f"and the databases, to the first trial {opened}"]))


def available(names: Sequence[str]) -> list[str]:
    """Leave out the controllers that are not installed, and say so."""
    if "optuna" in names and importlib.util.find_spec("optuna") is None:
        print("optuna is not installed: left out")
    return [name for name in names if name != "optuna" or importlib.util.find_spec("optuna") is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Milliseconds that a search adds to a trivial trial, memory and threads of its controller: "
        "the aup command against Optuna with SQLite, and against Auptimizer as it comes."
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 200], help="of a search  [default: 20 200]")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 2, 4], help="at once  [default: 1 2 4]")
    parser.add_argument("--rounds", type=int, default=3, help="searches of each kind, in turn  [default: 3]")
    parser.add_argument(
        "--controllers", nargs="+", choices=list(CONTROLLERS), default=list(CONTROLLERS), help="[default: all]"
    )
    options = parser.parse_args(arguments)
    names = available(options.controllers)
    print_machine(["numpy", "auptimizer", *(["optuna"] if "optuna" in names else [])])
    if "ours" in names:
        print_opening(max(3, options.rounds))
    for at_once in options.parallel:
        for num_trials in options.trials:
            timings: dict[str, list[SearchTiming]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    try:
                        timings[name].append(time_search(name, num_trials, at_once))
                    except TimeoutError as error:
                        print(f"{error} with {at_once} at once: that search is left out")
            for name, found in timings.items():
                if found:
                    print(f"{name}, {num_trials} trials, {at_once} at once: {describe(found)}", flush=True)


if __name__ == "__main__":
    main()
