"""Timing candidates in turn, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from harness.search.process import usable_cores


@dataclass(frozen=True)
class Timing:
    """The times of one candidate's runs.

    Attributes:
        seconds: one a run, in the order of the runs
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.4g} s ({min(self.seconds):.4g} to {max(self.seconds):.4g})"


def time_in_turn(
    candidates: Mapping[str, Callable[[], object]], num_runs: int, num_warm_ups: int = 1
) -> dict[str, Timing]:
    """Run every candidate once a round, ``num_warm_ups`` rounds uncounted and then ``num_runs``."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(num_warm_ups + num_runs):
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            if number >= num_warm_ups:
                seconds[name].append(time.perf_counter() - began)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratio(slower: Timing, faster: Timing) -> str:
    """The ratio of two candidates' times: the median over the rounds, and its range."""
    ratios = [one / other for one, other in zip(slower.seconds, faster.seconds, strict=True)]
    return f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"


def print_machine(packages: Sequence[str] = ()) -> None:
    """Print what the figures were measured on: system, cores, load, and versions of ``packages``."""
    load = os.getloadavg()[0]
    print(f"{platform.system()} {platform.machine()}, {usable_cores()} cores, load {load:.1f} before")
    print(", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]))


def require_same(what: str, is_same: bool) -> None:
    """End the program where what is to be timed does not give the same numbers."""
    if not is_same:
        raise SystemExit(f"{what}: the numbers differ from ours; expected the same, before anything is timed")
