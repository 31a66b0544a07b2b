"""What the benchmark reads off the curves of a search without early stopping is what a search with a rule trains."""

from pathlib import Path

import pytest

from benchmarks.early_stopping import RULES, count_kept_epochs
from harness.search.view import Ending
from harness.store.records import EpochRecord, TrialStatus
from harness.store.store import ResultsStore
from tests.search.searches import search, write_experiment

MAX_EPOCHS = 10
POINTS = [{"x": number / 12} for number in range(12)]
#: A trial's curve follows from its point alone.
PRINTS_FIXED_CURVES = f"""
import json, random, sys
invented, best = random.Random(json.load(open(sys.argv[1]))["x"]), 0.0
for epoch in range(1, {MAX_EPOCHS} + 1):
    accuracy = invented.random() * min(1, epoch / 7)
    best = max(best, accuracy)
    print("#Auptimizer-epoch:", json.dumps(dict(epoch=epoch, validation_accuracy=accuracy)))
print("#Auptimizer:%r" % best)
"""


def search_by_rule(folder: Path, rule: str) -> tuple[list[TrialStatus], list[list[EpochRecord]]]:
    """Search with a rule, and return the end and the recorded curve of each trial, in order."""
    settings = {"points": POINTS, "n_samples": len(POINTS), "max_epochs": MAX_EPOCHS}
    path = write_experiment(folder, PRINTS_FIXED_CURVES, name=rule, early_stopping=rule, **settings)
    report = search(path)
    assert (report.ending, report.num_failed) == (Ending.DONE, 0)
    with ResultsStore.open_readonly(folder / "results" / "results.db") as store:
        (found,) = [each for each in store.experiments() if each.name == rule]
        trials = sorted(store.trials(found.eid), key=lambda trial: trial.trial_index)
        return [trial.status for trial in trials], [store.epochs(trial.trial_id) for trial in trials]


@pytest.mark.timeout(240)
def test_a_replay_counts_the_epochs_that_each_rule_really_trains(tmp_path: Path) -> None:
    searched = {rule: search_by_rule(tmp_path / "a search", rule) for rule in RULES}
    _, whole = searched["none"]
    assert [len(curve) for curve in whole] == len(POINTS) * [MAX_EPOCHS]
    for rule, (statuses, curves) in searched.items():
        kept = [len(curve) for curve in curves]
        assert count_kept_epochs(whole, rule, MAX_EPOCHS) == kept, rule
        assert [status is TrialStatus.PRUNED for status in statuses] == [count < MAX_EPOCHS for count in kept]
    assert {len(curve) for curve in searched["asha"][1]} == {3, 9, MAX_EPOCHS}
    assert {len(curve) for curve in searched["median"][1]} > {3, 4, 5, MAX_EPOCHS}
