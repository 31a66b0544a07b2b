"""From the proposal to the first training step, part by part, and the commands' help: `python -m benchmarks.start`.

Starts real trials of the combined model and of speech4, each in a process of its own as a search starts it, on a
synthetic corpus that is made and prepared first, and says where the time before the second step goes: once where the
trial imports TensorFlow itself, and once where it is a fork of a process that has (a warm start). Beside them
stand processes that do nothing of ours (Python alone; importing TensorFlow; importing Keras), so that what a shorter
start could save is told from what it could not. `harness --help` and `aup --help` stand beside Python alone and
Python importing click. All of these take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.interleaved import Timing, print_machine, ratio, time_in_turn
from benchmarks.invented_search import invented_experiment
from benchmarks.report import Process
from benchmarks.timed_trial import ASKED_FOR
from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.features.prepare import prepare_corpus
from harness.features.speech import speech_settings
from harness.files import write_json
from harness.search.process import JobProcess, job_environment, usable_cores
from harness.search.warm import WarmStarter
from harness.splits.protocol import PROTOCOLS
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path

TIMED_TRIAL = Path(__file__).parent / "timed_trial.py"

#: One point of each system, in the middle of its search space.
POINTS: Mapping[str, dict[str, Any]] = {
    "fusion": {"adamlr": 0.0005, "dropout": 0.2, "textlstm": 225, "speechlstm": 125, "finalfc": 250},
    "speech4": {"speechlstm": 128, "dense": 512, "attention": "decoder", "dropout": 0.2, "learning_rate": 0.001},
}

PYTHON_ALONE = "python -c pass"
IMPORTING_CLICK = "python -c 'import click'"
COMMANDS = {
    PYTHON_ALONE: "pass",
    IMPORTING_CLICK: "import click",
    "harness --help": "import sys; from harness.cli.main import main; sys.argv = ['harness', '--help']; main()",
    "aup --help": "import sys; from harness.cli.aup import main; sys.argv = ['aup', '--help']; main()",
}
REFERENCES = {
    PYTHON_ALONE: "pass",
    "python -c 'import tensorflow'": "import tensorflow",
    "python -c 'import keras' (and TensorFlow)": "import keras",
}


@dataclass
class TimedTrials:
    """Trials of one system, each started as a search starts it, and the parts of their starts.

    Attributes:
        warm: forks the trials; None where each imports for itself
        starts: of each trial, seconds by part, in the order of the parts
    """

    system: str
    prepared_dir: Path
    job_dir: Path
    store: ResultsStore
    eid: int
    threads: int
    warm: WarmStarter | None
    starts: list[dict[str, float]] = field(default_factory=list)

    def __call__(self) -> None:
        number = len(self.starts)
        proposed = time.monotonic()
        job_path = self.job_dir / f"{number}.json"
        write_json(job_path, {**POINTS[self.system], "job_id": number})
        TrialSpec(
            trial_id=self.store.start_trial(self.eid, number, 0, POINTS[self.system], number),
            eid=self.eid,
            trial_index=number,
            seed=0,
            system=self.system,
            protocol=PROTOCOLS["paper"],
            prepared_dir=self.prepared_dir,
            results_db=self.store.path,
            # As many as a real training has steps; the process ends after the second.
            max_epochs=1000,
            patience=None,
            threads=self.threads,
        ).write(trial_spec_path(job_path))
        times_path = self.job_dir / f"{number}.times"
        asked_for = time.monotonic()
        environment = job_environment((), self.threads, {ASKED_FOR: repr(asked_for)})
        command = [sys.executable, str(TIMED_TRIAL), str(job_path), str(times_path)]
        output_path = self.job_dir / f"{number}.out"
        job = JobProcess(command, self.job_dir, environment, output_path, self.warm)
        while not job.has_ended:
            time.sleep(0.001)
        if job.end().exit_code != 0:
            raise SystemExit(f"a trial of {self.system} failed: {output_path.read_text('utf-8', 'replace')}")
        parts = json.loads(times_path.read_text("utf-8"))
        self.starts.append({"recording the trial, writing its files": asked_for - proposed, **parts})

    def print_parts(self, num_runs: int) -> None:
        """Print each part's median over the last ``num_runs`` trials, and that of their sum."""
        counted = self.starts[-num_runs:]
        sums = Timing(tuple(sum(start.values()) for start in counted))
        start = "each imports TensorFlow" if self.warm is None else "warm starts"
        print(f"{self.system}, {start}: {sums} from the proposal to the end of the second step")
        for part in counted[0]:
            timing = Timing(tuple(start[part] for start in counted))
            print(f"  {part:38} {timing.median:7.3f} s  {timing.median / sums.median:6.1%}")


def prepare_features(folder: Path, scale: float) -> Path:
    """Make a synthetic corpus and its features in ``folder``, where that has not been done."""
    corpus_dir, prepared_dir = folder / "corpus", folder / "prepared"
    write_synthetic(corpus_dir, SyntheticSettings(scale=scale))
    prepare_corpus(corpus_dir, prepared_dir, speech_settings(PROTOCOLS["paper"], "short-term"))
    return prepared_dir


def measure_help(num_runs: int) -> None:
    """Print what the commands' help takes, beside what no command can do without."""
    timings = time_in_turn({name: python_process(code) for name, code in COMMANDS.items()}, num_runs)
    print("Help")
    for name, timing in timings.items():
        print(f"  {name:42} {timing}")
    ours, click = timings["harness --help"], timings[IMPORTING_CLICK]
    print(f"  harness --help against Python alone: {ratio(ours, timings[PYTHON_ALONE])}")
    print(f"  harness --help beyond Python and click: {1000 * (ours.median - click.median):.0f} ms")


def python_process(code: str) -> Process:
    """A Python process that runs ``code`` and prints nowhere."""
    return Process([sys.executable, "-c", code])


def measure_trials(folder: Path, systems: Sequence[str], scale: float, num_runs: int) -> None:
    """Print what each system's trials take to start, beside processes that do nothing of ours."""
    prepared_dir = prepare_features(folder, scale)
    with tempfile.TemporaryDirectory() as results, ResultsStore.open(Path(results) / "results.db") as store:
        candidates: dict[str, Process | TimedTrials] = {}
        for name, code in REFERENCES.items():
            candidates[name] = python_process(code)
        threads = usable_cores()
        with closing(WarmStarter(TIMED_TRIAL.parent, job_environment((), threads, {}))) as warm:
            for system in systems:
                for starter in (None, warm):
                    name = f"{system}, cold" if starter is None else f"{system}, warm"
                    eid = store.create_experiment(invented_experiment(100, system))
                    job_dir = Path(results) / name
                    job_dir.mkdir()
                    candidates[name] = TimedTrials(system, prepared_dir, job_dir, store, eid, threads, starter)
            while warm.is_importing:
                time.sleep(0.01)
            timings = time_in_turn(candidates, num_runs)
    print("Processes that do nothing of ours")
    for name in REFERENCES:
        print(f"  {name:42} {timings[name]}")
    for candidate in candidates.values():
        if isinstance(candidate, TimedTrials):
            candidate.print_parts(num_runs)
    for system in systems:
        print(f"{system}: cold starts take {ratio(timings[f'{system}, cold'], timings[f'{system}, warm'])} as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(POINTS), default=list(POINTS), help="default: all")
    parser.add_argument(
        "--scale", type=float, default=0.1, help="of the synthetic corpus, at least 0.03: two batches (default: 0.1)"
    )
    parser.add_argument("--runs", type=int, default=5, help="counted trials of each system (default: 5)")
    parser.add_argument("--help-runs", type=int, default=20, help="counted runs of each command's help (default: 20)")
    parser.add_argument("--folder", type=Path, help="keeps corpus and features for the next time")
    arguments = parser.parse_args()
    print_machine(["tensorflow", "keras", "click"])
    measure_help(arguments.help_runs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        measure_trials(folder, arguments.systems, arguments.scale, arguments.runs)


if __name__ == "__main__":
    main()
