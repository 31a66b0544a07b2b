"""What early stopping saves, and what it costs: `python -m benchmarks.early_stopping CORPUS --system S --into FOLDER`.

For each search seed the same search runs by `aup` without early stopping, with `median` and with `asha`, in turn. The
trials have the same hyperparameters and training seeds. Printed are, for each rule, the epochs that were trained, the
seconds from the search's first trial to its end, the pruned trials, the best trial's validation accuracy, and, with
``--replications``, what `harness replicate` measures of its hyperparameters with new seeds. A search that is finished
in FOLDER is not run again.

``--replay`` runs the searches without early stopping alone. Whether a trial is pruned depends on curves of trials of
lower index and on nothing else, so that what the rules would have ended follows from the curves. Seconds are then those
of the trained epochs, without starts. A best trial that is another one than without early stopping is trained again,
once where both rules keep the same.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.choices import REPOSITORY, run_command
from harness.report.findings import Findings, read_findings
from harness.scoring.statistics import Spread, mean_and_spread
from harness.store.pruning import EarlyStopping, PruningRule
from harness.store.records import EpochRecord, ExperimentStatus, TrialRow
from harness.store.store import ResultsStore
from harness.training.early_stopping import find_threshold, is_compared, least_rivals

RULES = ("none", "median", "asha")


@dataclass(frozen=True)
class Measured:
    """One search.

    Attributes:
        seconds: from its begin to its end, the corpus prepared; of the epochs alone in a replay
        best: the best trial's validation accuracy, from 0 to 1
        replicated: of its hyperparameters with new seeds; NaN without a replication
    """

    num_epochs: int
    num_pruned: int
    seconds: float
    best: float
    replicated: float


def write_search(
    folder: Path, name: str, rule: str, seed: int, asked: argparse.Namespace, point: Mapping[str, Any] | None = None
) -> None:
    """Write the experiment file of one search, or of the one trial at a point, and its script."""
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
        "n_samples": 1 if point else asked.trials,
        **({"points": [point]} if point else {}),
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


def search(
    folder: Path, name: str, rule: str, seed: int, asked: argparse.Namespace, point: Mapping[str, Any] | None = None
) -> Findings:
    """Run one search, unless it is finished, and train its best trial's hyperparameters with new seeds."""
    if find_search(folder, name) is None:
        write_search(folder, name, rule, seed, asked, point)
        run_command(name, folder, "aup", "experiment.json")
    found = find_search(folder, name)
    assert found is not None, f"{name}: it has not finished"
    if asked.replications and found.replication is None:
        eid, num_seeds = str(found.experiment.eid), str(asked.replications)
        run_command(name, folder, "harness", "replicate", "--experiment", eid, "--seeds", num_seeds)
        found = find_search(folder, name)
    assert found is not None and found.best is not None and found.best.score is not None, f"{name}: no trial finished"
    return found


def measure(folder: Path, rule: str, seed: int, asked: argparse.Namespace) -> Measured:
    """Measure one search."""
    found = search(folder, f"{rule}, seed {seed}", rule, seed, asked)
    assert found.best is not None and found.best.score is not None
    return Measured(
        num_epochs=sum(len(found.epochs.get(trial.trial_id, ())) for trial in found.trials),
        num_pruned=found.num_pruned,
        seconds=found.seconds_in_all or math.nan,
        best=found.best.score,
        replicated=math.nan if found.replication is None else found.replication.spread.mean,
    )


def replay(folder: Path, rule: str, seed: int, asked: argparse.Namespace) -> Measured:
    """Measure what a rule would have left of a search that ran without early stopping."""
    found = search(folder, f"none, seed {seed}", "none", seed, asked)
    curves = [found.epochs[trial.trial_id] for trial in found.trials]
    kept = count_kept_epochs(curves, rule, asked.max_epochs)
    whole = [trial for trial, curve, count in zip(found.trials, curves, kept, strict=True) if count == len(curve)]
    best = max(whole, key=_score)
    if best != found.best and asked.replications:
        found = search(folder, f"trial {best.trial_index} of seed {seed}", "none", seed, asked, best.hyperparameters)
    return Measured(
        num_epochs=sum(kept),
        num_pruned=len(curves) - len(whole),
        seconds=sum(epoch.seconds for curve, count in zip(curves, kept, strict=True) for epoch in curve[:count]),
        best=_score(best),
        replicated=math.nan if found.replication is None else found.replication.spread.mean,
    )


def count_kept_epochs(curves: Sequence[Sequence[EpochRecord]], rule: str, max_epochs: int) -> list[int]:
    """Return after how many epochs a rule ends each trial, by the trials' curves without it, in order of their index.

    No curve may have ended by ``patience``.

    Example:
        >>> def curve(*accuracies):
        ...     return [EpochRecord(1 + i, 0.0, 0.0, 0.0, 0.0, each, 0.0, 1.0) for i, each in enumerate(accuracies)]
        >>> count_kept_epochs([curve(0.1, 0.2, 0.5, 0.6), curve(0.1, 0.2, 0.6, 0.7)] + 2 * [curve(0.1, 0.4, 0.4, 0.9)],
        ...     "asha", max_epochs=4)
        [4, 4, 3, 3]
    """
    if rule == "none":
        return [len(curve) for curve in curves]
    stopping = EarlyStopping(PruningRule(rule))
    best = [list(accumulate((epoch.validation_accuracy for epoch in curve), max)) for curve in curves]
    kept: list[int] = []
    for index, own in enumerate(best):
        kept.append(len(own))
        for epoch in range(1, len(own) + 1):
            if index < least_rivals(stopping) or not is_compared(stopping, epoch, max_epochs):
                continue
            rivals = [best[other][epoch - 1] for other in range(index) if kept[other] >= epoch]
            threshold = find_threshold(stopping, rivals)
            if threshold is not None and own[epoch - 1] < threshold:
                kept[index] = epoch
                break
    return kept


def _score(trial: TrialRow) -> float:
    return -math.inf if trial.score is None else trial.score


def describe_rule(rule: str, measured: Sequence[Measured], without: Sequence[Measured]) -> str:
    """Return a line of the table, in Markdown: sums over the search seeds, and means of shares and accuracies."""
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
    parser.add_argument("--replay", action="store_true", help="run no search with a rule; read it off the curves")
    asked = parser.parse_args(arguments)
    measured: dict[str, list[Measured]] = {rule: [] for rule in RULES}
    for seed in range(asked.seeds):
        for rule in RULES:
            measured[rule].append((replay if asked.replay else measure)(asked.into, rule, seed, asked))
            print(f"{rule}, seed {seed}: {measured[rule][-1]}", flush=True)
    print("\n| early stopping | epochs | seconds | pruned | best accuracy, % | with new seeds, % |")
    print("|---|---|---|---|---|---|")
    for rule in RULES:
        print(describe_rule(rule, measured[rule], measured["none"]))


if __name__ == "__main__":
    main()
