"""Searches over ten-line scripts, run in this process or as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.search.controller import run_search
from harness.search.experiment_file import read_experiment_file
from harness.search.view import FoldOutcome, SearchPlan, SearchReport
from harness.store.records import TrialRow
from harness.store.store import ResultsStore

REPOSITORY = Path(__file__).parents[2]

#: A trial that knows nothing of this package; ``x`` is its only hyperparameter.
SCORES_X = """
import json, sys
print("#Auptimizer:%r" % json.load(open(sys.argv[1]))["x"])
"""

#: A trial that goes on until a file ``go`` appears.
WAITS_FOR_GO = """
import json, os, sys, time
point = json.load(open(sys.argv[1]))
while not os.path.exists("go"):
    time.sleep(0.02)
print("#Auptimizer:%r" % point["x"])
"""

#: A trial of this package's own, but for the training: ``{work}`` comes before its end.
RECORDS_ITS_SCORE = """
import json, os, signal, sys, time
from pathlib import Path
from harness.store.recorder import open_recorder
from harness.store.records import TrialResult
from harness.store.trial_spec import TrialSpec, trial_spec_path
spec = TrialSpec.read(trial_spec_path(Path(sys.argv[1])))
point = json.loads(Path(sys.argv[1]).read_text())
def record(score):
    with open_recorder(spec.results_db) as results:
        results.record_result(spec.trial_id, TrialResult(score, 1, 1, (), None, 0.1))
{work}
"""


class SilentView:
    """Remembers the notes and the plan."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.plan: SearchPlan | None = None
        self.outcomes: Sequence[FoldOutcome] = ()

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def progress(self, doing: str, done: int, total: int) -> None:
        pass

    def begin(self, plan: SearchPlan, store: ResultsStore) -> None:
        self.plan = plan

    def look(self) -> float | None:
        return None

    def end(self, report: SearchReport) -> None:
        pass

    def end_folds(self, outcomes: Sequence[FoldOutcome]) -> None:
        self.outcomes = outcomes


def write_experiment(folder: Path, script_text: str, /, **changes: Any) -> Path:
    """Write an experiment over ``x`` from 0 to 1 and its script, and return the experiment file."""
    values = {
        "name": "a search",
        "script": "trial's script.py",
        "resource": "cpu",
        "target": "max",
        "proposer": "random",
        "parameter_config": [{"name": "x", "range": [0.0, 1.0], "type": "float"}],
        "n_samples": 3,
        "n_parallel": 2,
        "random_seed": 5,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trial's script.py").write_text(script_text)
    path = folder / "experiment.json"
    path.write_text(json.dumps({**values, **changes}))
    return path


def search(path: Path, fresh: bool = False, view: SilentView | None = None) -> SearchReport:
    """Run a search in this process."""
    return run_search(read_experiment_file(path), view or SilentView(), fresh)


def trials_of(path: Path, eid: int | None = None) -> list[TrialRow]:
    """Return every attempt of an experiment, the latest one by default."""
    with ResultsStore.open_readonly(path.parent / "results" / "results.db") as store:
        if eid is None:
            experiment = store.latest_experiment()
            if experiment is None:
                return []
            eid = experiment.eid
        return store.trials(eid)


def points_by_index(path: Path) -> dict[int, tuple[object, int]]:
    """The point and seed of each trial index; every attempt must have the same."""
    found: dict[int, tuple[object, int]] = {}
    for trial in trials_of(path):
        said = (trial.hyperparameters["x"], trial.seed)
        assert found.setdefault(trial.trial_index, said) == said
    return found


#: Every controller that a test has started.
STARTED: list[subprocess.Popen[str]] = []


def end_started() -> None:
    """End the controllers that a failed test has left behind."""
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def start_aup(
    path: Path, *options: str, before: Sequence[str] = (), **settings: Any
) -> subprocess.Popen[str]:
    """Start `aup` as a user does, with what is typed before it, in a process group of its own."""
    command = [*before, sys.executable, "-c", "from harness.cli.aup import main; main()", str(path), *options]
    process: subprocess.Popen[str] = subprocess.Popen(
        command,
        **{
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,
            "env": environment(),
            **settings,
        },
    )
    STARTED.append(process)
    return process


def environment() -> dict[str, str]:
    """This process's environment, in which the package is found."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name != "HARNESS_CORPUS"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def num_running(path: Path) -> int:
    """Count the trials that run, 0 before there is a database."""
    try:
        return sum(trial.status == "running" and trial.pid is not None for trial in trials_of(path))
    except Exception:
        return 0


def start_running(path: Path, num_trials: int, seconds: float = 20.0) -> subprocess.Popen[str]:
    """Start `aup`, and wait until so many trials run."""
    process = start_aup(path)
    wait_until(lambda: num_running(path) == num_trials, seconds)
    return process


def wait_until_gone(pids: Iterable[int | None], seconds: float = 5.0) -> None:
    """Wait until none of the processes is left."""
    waited_for = [pid for pid in pids if pid is not None]
    wait_until(lambda: not any(map(is_alive, waited_for)), seconds)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or while it was read
        if Path("/proc/self").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a controller, and only it, at once."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
