"""The costs and gains of a cluster: `python -m benchmarks.cluster`.

First the local runner and a cluster of one worker run the same trivial trials in turn. Then trials that only wait, as
those of other machines do for this one, run on 1, 2 and 4 workers. Then simulated workers whose jobs end at once show
what a trial costs the controller, and whether that grows with the trials or with the workers. Last, real trials of
speech4, on a synthetic corpus that is made first, run as a worker runs them until their first epoch: in turn where the
trial imports TensorFlow itself, and where it is a fork of the process that its worker keeps.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.interleaved import Timing, print_machine, ratio
from benchmarks.start import POINTS, prepare_features
from harness.features.copies import FoundFeatures
from harness.search.dask.messages import Event, JobEpoch, TaskMessage
from harness.search.dask.worker import KeptJobs, TrialPlace, run_trial
from harness.search.jobs import JobLimits
from harness.search.keys import JobScript
from harness.search.process import usable_cores
from harness.splits.protocol import PROTOCOLS
from harness.store.trial_spec import TrialSpec

REPOSITORY = Path(__file__).parents[1]
#: Seconds after which a search is given up.
PATIENCE = 400.0

TRIAL = """#!{python}
import time
time.sleep({seconds})
print("#Auptimizer:0.5")
"""


@dataclass(frozen=True)
class Look:
    """The controller as a trial ends: its processor time and the clock in seconds, and the workers that it has."""

    processor: float
    clock: float
    num_workers: int


@dataclass(frozen=True)
class ControllerCost:
    """Milliseconds of the controller's own processor time a trial.

    Attributes:
        first, last: of the first and the last tenth of the trials after whose end another one began
        whole: from the start of the process to the last end, over all trials
    """

    first: float
    last: float
    whole: float


def run_search(folder: Path, script: str, **changes: Any) -> list[Look]:
    """Run a search to its end, and return a look for each trial.

    Raises:
        RuntimeError: it ended otherwise
    """
    folder.mkdir()
    (folder / "trial.py").write_text(script)
    (folder / "trial.py").chmod(0o755)
    experiment = {
        "name": "trivial",
        "script": "trial.py",
        "target": "max",
        "proposer": "random",
        "parameter_config": [{"name": "x", "range": [0.0, 1.0], "type": "float"}],
        "random_seed": 0,
    }
    (folder / "experiment.json").write_text(json.dumps({**experiment, **changes}))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster_controller", "looks.json"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the search ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    looks = [Look(*values) for values in json.loads((folder / "looks.json").read_text())]
    if len(looks) != changes["n_samples"]:
        raise RuntimeError(f"{len(looks)} of {changes['n_samples']} trials ended")
    return looks


def measure_interval(looks: Sequence[Look]) -> float:
    """Return the median milliseconds from a trial's end to the next one's."""
    clocks = [look.clock for look in looks]
    return 1000 * statistics.median(later - sooner for sooner, later in zip(clocks, clocks[1:], strict=False))


def trials_an_hour(looks: Sequence[Look], num_workers: int) -> float:
    """Return the rate once every worker has ended its first trial."""
    first, last = looks[num_workers - 1], looks[-1]
    return 3600 * (len(looks) - num_workers) / (last.clock - first.clock)


def measure_controller(looks: Sequence[Look], num_workers: int) -> ControllerCost:
    """Sum up the looks of a search of so many trials at once."""
    followed = looks[: len(looks) - num_workers]
    width = max(2, len(followed) // 10)

    def of(window: Sequence[Look]) -> float:
        return 1000 * (window[-1].processor - window[0].processor) / (len(window) - 1)

    return ControllerCost(of(followed[:width]), of(followed[-width:]), 1000 * looks[-1].processor / len(looks))


@contextmanager
def simulated_cluster(num_workers: int) -> Iterator[str]:
    """Start a process of so many workers whose jobs end at once; yields the address of their scheduler."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cluster_simulation", str(num_workers), str(port)],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{num_workers} simulated workers did not start")
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


def compare_with_local(folder: Path, num_trials: int, num_rounds: int) -> None:
    """Print milliseconds a trivial trial, one at a time: here, and on a cluster of one worker."""
    script = TRIAL.format(python=sys.executable, seconds=0)
    resources = {"cpu": {"resource": "cpu"}, "dask": {"resource": "dask", "cluster": {"local": 1}}}
    found: dict[str, list[float]] = {name: [] for name in resources}
    for number in range(num_rounds):
        for name, resource in resources.items():
            looks = run_search(folder / f"{name} {number}", script, n_samples=num_trials, n_parallel=1, **resource)
            found[name].append(measure_interval(looks))
    added = [there - here for here, there in zip(found["cpu"], found["dask"], strict=True)]
    print(
        f"one at a time, from end to end of {num_trials} trivial trials: here {_spread(found['cpu'])} ms, "
        f"on a worker {_spread(found['dask'])}; added {_spread(added)}",
        flush=True,
    )


def compare_workers(folder: Path, numbers: Sequence[int], seconds: float, num_trials: int, num_rounds: int) -> None:
    """Print trials an hour, of trials that wait for ``seconds``, by the number of workers."""
    script = TRIAL.format(python=sys.executable, seconds=seconds)
    found: dict[int, list[float]] = {number: [] for number in numbers}
    for round_number in range(num_rounds):
        for number in numbers:
            changes = {"n_samples": num_trials * number, "n_parallel": number}
            where = folder / f"{number} workers {round_number}"
            looks = run_search(where, script, resource="dask", cluster={"local": number}, **changes)
            found[number].append(trials_an_hour(looks, number))
    for number, rates in found.items():
        ideal = 3600 * number / seconds
        share = f"{100 * statistics.median(rates) / ideal:.0f} % of {ideal:.0f}"
        print(f"{number} workers, trials that wait {seconds:g} s: {_spread(rates)} an hour, {share}", flush=True)


def simulate(folder: Path, num_workers: int, num_trials: int, num_rounds: int) -> None:
    """Print what a trial costs the controller of so many workers."""
    costs = []
    for number in range(num_rounds):
        with simulated_cluster(num_workers) as address:
            looks = run_search(
                folder / f"{num_workers} simulated {number}",
                TRIAL.format(python=sys.executable, seconds=0),
                resource="dask",
                cluster={"scheduler": address},
                n_samples=num_trials + num_workers,
                n_parallel=num_workers,
            )
        if max(look.num_workers for look in looks) != num_workers:
            raise RuntimeError(f"{max(look.num_workers for look in looks)} of {num_workers} workers were accepted")
        costs.append(measure_controller(looks, num_workers))
    print(
        f"{num_workers} simulated workers, {num_trials + num_workers} trials: the controller's processor time a trial "
        f"{_spread([cost.first for cost in costs])} ms at the beginning, {_spread([cost.last for cost in costs])} at "
        f"the end, {_spread([cost.whole for cost in costs])} with its own start and the workers' acceptance",
        flush=True,
    )


def compare_starts(folder: Path, num_rounds: int) -> None:
    """Print seconds from a task's start to its first epoch, of a trial that imports TensorFlow itself and of a fork."""
    features = FoundFeatures(prepare_features(folder, scale=0.03), None)
    script = REPOSITORY / "jobs" / "trial.py"
    warm = TaskMessage(
        trial_id=1,
        jid=1,
        job_file=json.dumps({**POINTS["speech4"], "job_id": 1}),
        spec=TrialSpec(1, 1, 0, 0, "speech4", PROTOCOLS["paper"], folder, folder / "results.db", 2, None, 1),
        script=JobScript(script, folder, (sys.executable, str(script)), str(script), is_harness_trial=True),
        script_content=script.read_bytes(),
        limits=JobLimits(None, None, 0),
        environment={},
        mark="HARNESS_EXPERIMENT=benchmark",
        sees_cards=False,
        digest="",
        topic="",
    )
    tasks = {"cold": replace(warm, script=replace(warm.script, is_harness_trial=False)), "warm": warm}
    found: dict[str, list[float]] = {name: [] for name in tasks}
    with closing(KeptJobs()) as kept:
        # The first round does not count: its fork waits for the import.
        for _ in range(num_rounds + 1):
            for name, task in tasks.items():
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    found[name].append(_seconds_to_epoch(task, TrialPlace(Path(place), usable_cores(), features, kept)))
    cold, forked = (Timing(tuple(found[name][1:])) for name in tasks)
    print(
        f"speech4 on a worker, from a task's start to its first epoch: {cold} where the trial imports TensorFlow, "
        f"{forked} where it is a fork: {ratio(cold, forked)} as long",
        flush=True,
    )


def _seconds_to_epoch(task: TaskMessage, place: TrialPlace) -> float:
    """Run a trial until its first epoch is reported."""
    began, seconds = time.monotonic(), list[float]()

    def log(event: Event) -> None:
        if isinstance(event, JobEpoch):
            seconds.append(time.monotonic() - began)

    returned = run_trial(task, place, is_wanted=lambda: not seconds, log=log)
    if not seconds:
        raise RuntimeError(f"a trial ended without an epoch: {returned.output.tail[-500:]}")
    return seconds[0]


def _environment() -> dict[str, str]:
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _spread(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    digits = 0 if low >= 100 else 1
    spread = f" ({low:.{digits}f} to {high:.{digits}f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.{digits}f}{spread}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="What trials cost on a Dask cluster beside the local runner, how many an hour end on several "
        "workers, the controller's own processor time with up to 1000 simulated ones, and the start of a real trial."
    )
    parser.add_argument("--rounds", type=int, default=5, help="searches of each kind, in turn  [default: 5]")
    parser.add_argument("--trials", type=int, default=40, help="of a search that is compared  [default: 40]")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4], help="real ones  [default: 1 2 4]")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a trial waits on them  [default: 2]")
    parser.add_argument(
        "--simulated", type=int, nargs="*", default=[50, 200, 1000], help="workers  [default: 50 200 1000]"
    )
    parser.add_argument("--simulated-trials", type=int, default=1000, help="besides one a worker  [default: 1000]")
    parser.add_argument("--simulated-rounds", type=int, default=3, help="searches of each number  [default: 3]")
    parser.add_argument("--starts", type=int, default=5, help="of each kind on a worker, in turn  [default: 5]")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("distributed") is None:
        parser.error("Dask is not installed; run  pip install -e '.[cluster]'  first")
    print_machine(["distributed", "dask", "auptimizer"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.workers:
            compare_with_local(folder, options.trials, options.rounds)
            each = max(2, options.trials // 4)
            compare_workers(folder, options.workers, options.seconds, each, max(1, options.rounds - 2))
        for num_workers in options.simulated:
            simulate(folder, num_workers, options.simulated_trials, options.simulated_rounds)
        if options.starts:
            compare_starts(folder, options.starts)


if __name__ == "__main__":
    main()
