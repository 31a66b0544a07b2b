"""What early stopping saves, and what it costs: `python -m benchmarks.early_stopping CORPUS --system S --into FOLDER`.

For each search seed the same search runs by `aup` without early stopping, with `median` and with `asha`, in turn. The
trials have the same hyperparameters and training seeds. Printed are, for each rule, the epochs that were trained, the
seconds from the search's first trial to its end, the pruned trials, the best trial's validation accuracy, and, with
``--replications``, what `harness replicate` measures of its hyperparameters with new seeds. A search that is finished
in FOLDER is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.choices import REPOSITORY, run_command
from harness.report.findings import Findings, read_findings
from harness.scoring.statistics import Spread, mean_and_spread
from harness.store.records import ExperimentStatus
from harness.store.store import ResultsStore

RULES = ("none", "median", "asha")


@dataclass(frozen=True)
class Measured:
    """One search.

    Attributes:
        seconds: from its begin to its end, the corpus prepared
        best: the best trial's validation accuracy, from 0 to 1
        replicated: of its hyperparameters with new seeds; NaN without a replication
    """

    num_epochs: int
    num_pruned: int
    seconds: float
    best: float
    replicated: float


def write_search(folder: Path, name: str, rule: str, seed: int, asked: argparse.Namespace) -> None:
    """Write the experiment file of one search, and its script."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "jobs", folder / "jobs", dirs_exist_ok=True)
    experiment = {
        "name": name,
        "system": asked.system,
        "protocol": asked.protocol,
        "corpus": str(asked.corpus.absolute()),
        "script": "jobs/trial.py",
        "resource": "cpu",
        "n_parallel": asked.parallel,
        "proposer": "random",
        "random_seed": seed,
        "n_samples": asked.trials,
        "target": "max",
        "max_epochs": asked.max_epochs,
        "search_space": str(asked.search_space or REPOSITORY / "search_spaces" / f"{asked.system}.json"),
        "early_stopping": rule,
    }
    (folder / "experiment.json").write_text(json.dumps(experiment, indent=2))


def find_search(folder: Path, name: str) -> Findings | None:
    """Return a search that has finished; None where it has not."""
    path = folder / "results" / "results.db"
    if not path.exists():
        return None
    with ResultsStore.open(path) as results:
        named = [each for each in results.experiments() if each.name == name and each.is_search]
        if not named or named[-1].status is not ExperimentStatus.FINISHED:
            return None
        return read_findings(results, named[-1].eid)


def measure(folder: Path, rule: str, seed: int, asked: argparse.Namespace) -> Measured:
    """Run one search, unless it is finished, and measure it."""
    name = f"{rule}, seed {seed}"
    if find_search(folder, name) is None:
        write_search(folder, name, rule, seed, asked)
        run_command(name, folder, "aup", "experiment.json")
    found = find_search(folder, name)
    assert found is not None, f"{name}: it has not finished"
    if asked.replications and found.replication is None:
        eid, num_seeds = str(found.experiment.eid), str(asked.replications)
        run_command(name, folder, "harness", "replicate", "--experiment", eid, "--seeds", num_seeds)
        found = find_search(folder, name)
    assert found is not None and found.best is not None and found.best.score is not None, f"{name}: no trial finished"
    return Measured(
        num_epochs=sum(len(found.epochs.get(trial.trial_id, ())) for trial in found.trials),
        num_pruned=found.num_pruned,
        seconds=found.seconds_in_all or math.nan,
        best=found.best.score,
        replicated=math.nan if found.replication is None else found.replication.spread.mean,
    )


def describe_rule(rule: str, measured: Sequence[Measured], without: Sequence[Measured]) -> str:
    """Return a line of the table, in Markdown: each figure is a mean over the search seeds."""
    epochs = [each.num_epochs / all_of_it.num_epochs for each, all_of_it in zip(measured, without, strict=True)]
    seconds = [each.seconds / all_of_it.seconds for each, all_of_it in zip(measured, without, strict=True)]
    cells = [
        rule,
        f"{sum(each.num_epochs for each in measured)} ({100 * mean_and_spread(epochs).mean:.0f} %)",
        f"{sum(each.seconds for each in measured):.0f} ({100 * mean_and_spread(seconds).mean:.0f} %)",
        f"{sum(each.num_pruned for each in measured)}",
        _write(mean_and_spread([each.best for each in measured])),
        _write(mean_and_spread([each.replicated for each in measured])),
    ]
    return f"| {' | '.join(cells)} |"


def _write(spread: Spread) -> str:
    return "" if math.isnan(spread.mean) else f"{100 * spread.mean:.1f} (deviation {100 * spread.deviation:.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a corpus in IEMOCAP's layout")
    parser.add_argument("--into", type=Path, required=True, help="folder of the searches")
    parser.add_argument("--system", default="text2")
    parser.add_argument("--search-space", type=Path, help="default: the system's own file of search_spaces/")
    parser.add_argument("--protocol", default="paper")
    parser.add_argument("--seeds", type=int, default=5, help="searches, each with another random_seed")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--max-epochs", type=int, default=30)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--replications", type=int, default=0, help="new seeds of each best trial; 0 for none")
    asked = parser.parse_args(arguments)
    measured: dict[str, list[Measured]] = {rule: [] for rule in RULES}
    for seed in range(asked.seeds):
        for rule in RULES:
            measured[rule].append(measure(asked.into, rule, seed, asked))
            print(f"{rule}, seed {seed}: {measured[rule][-1]}", flush=True)
    print("\n| early stopping | epochs | seconds | pruned | best accuracy, % | with new seeds, % |")
    print("|---|---|---|---|---|---|")
    for rule in RULES:
        print(describe_rule(rule, measured[rule], measured["none"]))


if __name__ == "__main__":
    main()
