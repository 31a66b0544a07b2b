"""The report of 100, 1000 and 10 000 trials: `python -m benchmarks.report`.

Measures `harness report RESULTS` as it is typed, the whole process: seconds, most memory, size of the page. The
results hold what a search of the combined model leaves: 30 epochs a trial, 838 validation predictions for each that
finished, and one failure in twenty trials.

Compared with the page that Optuna's own plots make of the same trials (history, intermediate values, parallel
coordinates, with plotly's script inside, out of Optuna's SQLite storage), and with a Python process that does
nothing. Optuna's page has neither tables nor a confusion, and draws every trial's line where ours draws the best 300.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.interleaved import print_machine, ratio, time_in_turn
from benchmarks.invented_search import fill_results, invent_trials, search_space

REPORT = [sys.executable, "-c", "import sys; from harness.cli.main import main; main()", "report"]
OPTUNA_PAGE = """
import sys, optuna
from optuna import visualization
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="search", storage=sys.argv[1])
plots = (visualization.plot_optimization_history, visualization.plot_intermediate_values,
         visualization.plot_parallel_coordinate)
with open(sys.argv[2], "w") as page:
    for number, plot in enumerate(plots):
        page.write(plot(study).to_html(full_html=False, include_plotlyjs=number == 0))
"""


def fill_optuna(storage: str, num_trials: int) -> None:
    """Write the same trials to a new study of Optuna's."""
    import optuna
    from optuna.distributions import FloatDistribution, IntDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {"int": IntDistribution, "float": FloatDistribution}
    distributions = {entry["name"]: kinds[entry["type"]](*entry["range"]) for entry in search_space()}
    study = optuna.create_study(storage=storage, study_name="search", direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if trial.has_finished else optuna.trial.TrialState.FAIL,
                params=trial.point,
                distributions=distributions,
                value=trial.score if trial.has_finished else None,
                intermediate_values=dict(enumerate(trial.accuracies, start=1)),
            )
            for trial in invent_trials(num_trials)
        ]
    )


@dataclass
class Process:
    """A command that is run again and again, and the most memory it ever had resident."""

    command: list[str]
    peak_memory_bytes: int = field(default=0, init=False)

    def __call__(self) -> None:
        process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{self.command} exited with code {process.returncode}; expected 0")
        scale = 1 if sys.platform == "darwin" else 1024
        self.peak_memory_bytes = max(self.peak_memory_bytes, usage.ru_maxrss * scale)


def measure(folder: Path, num_trials: int, num_runs: int, with_optuna: bool) -> None:
    """Fill a results folder, make its report in turn with Optuna's page, and print what each took."""
    fill_results(folder / "results.db", num_trials)
    pages = {"harness report": folder / "report.html"}
    candidates = {
        "python -c pass": Process([sys.executable, "-c", "pass"]),
        "harness report": Process([*REPORT, str(folder)]),
    }
    if with_optuna:
        storage = f"sqlite:///{folder}/optuna.db"
        fill_optuna(storage, num_trials)
        pages["optuna's plots"] = folder / "optuna.html"
        candidates["optuna's plots"] = Process(
            [sys.executable, "-c", OPTUNA_PAGE, storage, str(pages["optuna's plots"])]
        )
    timings = time_in_turn(candidates, num_runs)
    size = (folder / "results.db").stat().st_size / 2**20
    print(f"{num_trials} trials (results.db {size:.0f} MiB)")
    for name, timing in timings.items():
        line = f"  {name}: {timing}"
        if name in pages:
            memory = candidates[name].peak_memory_bytes / 2**20
            line += f", at most {memory:.0f} MiB, page {pages[name].stat().st_size / 1e6:.2f} MB"
        print(line)
    if with_optuna:
        told = ratio(timings["optuna's plots"], timings["harness report"])
        print(f"  optuna's plots against harness report: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000], help="how many, each in turn")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default: 5)")
    parser.add_argument(
        "--optuna-up-to",
        type=int,
        default=1000,
        help="most trials that Optuna's page is made of, since its storage takes minutes for more (default: 1000)",
    )
    arguments = parser.parse_args()
    has_optuna = find_spec("optuna") is not None and find_spec("plotly") is not None
    print_machine(["altair", "vl-convert-python", *(["optuna", "plotly"] if has_optuna else [])])
    if not has_optuna:
        print("Optuna and plotly are not installed: no comparison with Optuna's plots.")
    for num_trials in arguments.trials:
        with tempfile.TemporaryDirectory() as folder:
            measure(
                Path(folder), num_trials, arguments.runs, has_optuna and num_trials <= arguments.optuna_up_to
            )


if __name__ == "__main__":
    main()
