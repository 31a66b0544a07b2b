"""A search that faults are put into: its folder, its trials' scripts, its controllers and their processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.search.guardian import marked_processes
from harness.search.warm import WARM_NAME

REPOSITORY = Path(__file__).parents[1]
SCRIPT = "a trial's script.py"
SEED = 7
#: What a trivial trial searches; the score is the point.
SPACE = [{"name": "x", "range": [0.0, 1.0], "type": "float"}]
#: What a trial that records its score searches: a hyperparameter of a system of this package.
OWN_SPACE = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]
#: Seconds after which a controller that has said nothing is given up.
PATIENCE = 120.0
#: Seconds that a trial may outlive its controller. Source: the package's promise.
GRACE = 5.0
#: The environment variable by which a controller's descendants are known to the benchmark.
_MARK_NAME = "FAULTS_CONTROLLER"

_BEGINS = """
import json, os, random, subprocess, sys, time
point = json.load(open(sys.argv[1]))
value = point.get("x", point.get("dropout"))
with open("begun", "a") as stream:
    stream.write(f"{value!r}\\n")
chance = random.Random(value)
if chance.random() < 0.5:  # a grandchild, in every other case beyond the reach of the trial's process group
    subprocess.Popen(["sleep", "120"], start_new_session=chance.random() < 0.5)
"""

#: A trial that knows nothing of this package, and takes some tenths of a second.
PRINTS_ITS_SCORE = (
    _BEGINS
    + """
time.sleep(chance.uniform(0, 0.3))
print("#Auptimizer:%r" % value)
"""
)

#: A trial that writes to results.db as this package's own do, but trains nothing.
RECORDS_ITS_SCORE = (
    _BEGINS
    + """
from pathlib import Path
from harness.store.records import EpochRecord, TrialResult
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path
spec = TrialSpec.read(trial_spec_path(Path(sys.argv[1])))
with ResultsStore.open(spec.results_db) as store:
    for epoch in (1, 2, 3):
        time.sleep(chance.uniform(0, 0.1))
        store.record_epoch(spec.trial_id, EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, value, 0.5, 0.1))
    store.record_result(spec.trial_id, TrialResult(value, 1, 3, (), None, 0.3))
time.sleep(chance.uniform(0, 0.1))
"""
)


@dataclass(frozen=True)
class Prepared:
    """A tiny synthetic corpus and the results folder that has its features, made once and copied."""

    corpus: Path
    results_dir: Path


def prepare(folder: Path) -> Prepared:
    """Write a synthetic corpus of some fifty utterances, and prepare its features."""
    from harness.corpus.synthetic import SyntheticSettings, write_synthetic
    from harness.features.prepare import prepare_corpus, prepared_dir_for
    from harness.features.speech import SpeechSettings

    prepared = Prepared(folder / "IEMOCAP_full_release", folder / "results")
    write_synthetic(prepared.corpus, SyntheticSettings(scale=0.01))
    settings = SpeechSettings()
    features_dir = prepared_dir_for(prepared.results_dir, prepared.corpus, settings)
    prepare_corpus(prepared.corpus, features_dir, settings)
    return prepared


@dataclass
class FaultySearch:
    """An experiment in a folder of its own; started, and gone on with, by one and the same command.

    Attributes:
        values: what ``experiment.json`` holds
        log_dir: where controllers' output goes
        started: every controller so far
    """

    folder: Path
    values: dict[str, Any]
    log_dir: Path
    started: list[Controller] = field(default_factory=list)

    @property
    def results_db(self) -> Path:
        return self.folder / "results" / "results.db"

    def write(self, **changes: Any) -> None:
        """Write the experiment file, changed."""
        self.values |= changes
        (self.folder / "experiment.json").write_text(json.dumps(self.values))

    def start(self, before: str = "") -> Controller:
        """Start ``aup experiment.json``.

        Args:
            before: Python that the process runs first
        """
        controller = Controller(self.folder, self.log_dir, before)
        self.started.append(controller)
        return controller

    def finish(self) -> Controller:
        """Start ``aup experiment.json``, and wait for its end."""
        controller = self.start()
        controller.wait()
        return controller

    def end(self) -> None:
        """End whatever is left of it."""
        for controller in self.started:
            controller.end()


def invent_search(folder: Path, script: str, space: Sequence[Mapping[str, Any]], **values: Any) -> FaultySearch:
    """Write an experiment of trials that end in no way but finished, unless somebody ends them."""
    folder.mkdir(parents=True)
    (folder / SCRIPT).write_text(script)
    search = FaultySearch(
        folder,
        {
            "name": "a search",
            "script": SCRIPT,
            "resource": "cpu",
            "target": "max",
            "proposer": "random",
            "parameter_config": list(space),
            "random_seed": SEED,
            "max_failures": 100_000,
        },
        log_dir=folder,
    )
    search.write(**values)
    return search


def invent_trivial(folder: Path, prepared: Prepared | None, **values: Any) -> FaultySearch:
    """Invent a search whose trials print their scores or, with ``prepared``, record them."""
    if prepared is None:
        return invent_search(folder, PRINTS_ITS_SCORE, SPACE, **values)
    own = {"system": "mocap1", "corpus": str(prepared.corpus)}
    search = invent_search(folder, RECORDS_ITS_SCORE, OWN_SPACE, **own, **values)
    shutil.copytree(prepared.results_dir, folder / "results")
    return search


class Controller:
    """One `aup experiment.json` and all that descends from it.

    Attributes:
        ended_at: on the monotonic clock; None while it runs
    """

    def __init__(self, folder: Path, log_dir: Path, before: str) -> None:
        self.mark = f"{_MARK_NAME}={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.output_path = log_dir / f"output {value}"
        self.errors_path = log_dir / f"errors {value}"
        self.began_at = time.monotonic()
        self.ended_at: float | None = None
        with self.output_path.open("wb") as output, self.errors_path.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", f"{before}\nfrom harness.cli.aup import main; main()", "experiment.json"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), name: value, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        if self.process.poll() is None:
            return True
        if self.ended_at is None:
            self.ended_at = time.monotonic()
        return False

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode

    @property
    def errors(self) -> str:
        return self.errors_path.read_text("utf-8", "replace")

    @property
    def num_lines(self) -> int:
        """Lines that it has printed."""
        return self.output_path.read_bytes().count(b"\n")

    def kill(self) -> None:
        """Kill the controller, and only it, at once."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.ended_at = time.monotonic()

    def wait(self) -> None:
        """Wait for its own end.

        Raises:
            TimeoutError: it printed nothing for ``PATIENCE`` seconds
        """
        num_lines, last_sign = 0, time.monotonic()
        while self.is_running:
            if self.num_lines != num_lines:
                num_lines, last_sign = self.num_lines, time.monotonic()
            if time.monotonic() - last_sign > PATIENCE:
                self.end()
                raise TimeoutError(f"a controller printed nothing for {PATIENCE:g} s, and was ended")
            time.sleep(0.02)

    def trials(self) -> list[int]:
        """The pids of its trials' own processes, each the leader of its process group."""
        return [pid for pid in self._children() if _is_leader(pid) and not _is_warm(pid)]

    def warm_processes(self) -> list[int]:
        """The pid of the process that its trials are forked from; none where the trials are not this package's own."""
        return [pid for pid in self._children() if _is_warm(pid)]

    def grandchildren(self) -> list[int]:
        """The pids of what its trials have started."""
        found = []
        for pid in self.trials():
            try:
                found += [child.pid for child in psutil.Process(pid).children(recursive=True)]
            except psutil.Error:
                continue
        return found

    def descendants(self) -> list[int]:
        """The pids of every process that came from it and is alive, itself included."""
        return list(marked_processes(self.mark))

    def end(self) -> None:
        """End it and all that came from it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.descendants():
            kill_process(pid)

    def _children(self) -> Iterator[int]:
        try:
            for child in psutil.Process(self.process.pid).children():
                if not any(part.endswith("guardian.py") for part in child.cmdline()):
                    yield child.pid
        except psutil.Error:
            return


def kill_process(pid: int) -> bool:
    """Kill one process at once; return whether it was still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _is_warm(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() == WARM_NAME
    except psutil.Error:
        return False


def _is_leader(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False
