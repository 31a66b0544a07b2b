"""The controllers that `benchmarks.search` measures, each a process: `search_controllers.py NAME TRIALS AT_ONCE`.

Each runs the trial script of the folder it is started in, hands every trial's point over in `jobs/<number>.json`,
and keeps its records in SQLite. The same space, drawn at random.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

SCRIPT = "trial.py"
EXPERIMENT = {
    "name": "trivial",
    "script": SCRIPT,
    "resource": "cpu",
    "target": "max",
    "proposer": "random",
    "parameter_config": [{"name": "x", "range": [0.0, 1.0], "type": "float"}],
    "random_seed": 0,
}


def run_ours(num_trials: int, at_once: int) -> None:
    """`aup experiment.json`, as the command's entry point runs it."""
    from harness.cli.aup import main

    experiment = {**EXPERIMENT, "n_samples": num_trials, "n_parallel": at_once}
    Path("experiment.json").write_text(json.dumps(experiment))
    sys.argv = ["aup", "experiment.json"]
    main()


def run_auptimizer(num_trials: int, at_once: int) -> None:
    """Auptimizer's own experiment, resource manager and database, in its favour without what it imports in vain.

    TensorFlow, PyTorch and its log colours are left out, and its log is silent.
    """
    from harness.search.auptimizer import BasicConfig, Experiment, SQLiteConnector, database_setup

    environment = RawConfigParser()
    environment.optionxform = str  # type: ignore[assignment,method-assign]
    environment["Auptimizer"] = {"SQL_ENGINE": "sqlite", "SQLITE_FILE": str(Path("sqlite.db").absolute())}
    with open("env.ini", "w") as stream:
        environment.write(stream)
    database_setup.create_database(environment, ["benchmark"], at_once, "localhost")
    experiment = Experiment(
        BasicConfig(**EXPERIMENT, n_samples=num_trials, n_parallel=at_once),
        username="benchmark",
        connector=SQLiteConnector("sqlite.db"),
        auppath=str(Path.cwd()),
    )
    experiment.start()
    experiment.finish()


def run_optuna(num_trials: int, at_once: int) -> None:
    """Optuna's study in SQLite, whose objective starts the script and reads its score line."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    jobs = Path("jobs")
    jobs.mkdir()

    def objective(trial: optuna.Trial) -> float:
        job_path = jobs / f"{trial.number + 1}.json"
        job_path.write_text(json.dumps({"x": trial.suggest_float("x", 0.0, 1.0)}))
        done = subprocess.run([sys.executable, SCRIPT, str(job_path)], capture_output=True, check=True)
        return float(done.stdout.rpartition(b"#Auptimizer:")[2])

    study = optuna.create_study(
        storage="sqlite:///optuna.db", direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=num_trials, n_jobs=at_once)


#: Controller -> what runs it, and where in its folder the job files are.
CONTROLLERS: Mapping[str, tuple[Callable[[int, int], Any], str]] = {
    "ours": (run_ours, "results/experiments/1/jobs"),
    "auptimizer": (run_auptimizer, "jobs"),
    "optuna": (run_optuna, "jobs"),
}


if __name__ == "__main__":
    CONTROLLERS[sys.argv[1]][0](int(sys.argv[2]), int(sys.argv[3]))
