"""What `harness retrain-best` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.report.openings import tabulate_openings
from harness.report.sentences import describe_published, plural
from harness.report.terminal import print_statements, print_table
from harness.report.test_session import tabulate_opening
from harness.report.test_statements import describe_scores
from harness.saved_model import name_in_results
from harness.scoring.metrics import weighted_accuracy
from harness.scoring.scored_opening import read_scored_opening
from harness.scoring.statistics import mean_and_spread
from harness.store.records import ScoreKind, TestOpeningRow, TestScores

if TYPE_CHECKING:
    from harness.retrain import FinalTraining
    from harness.sealed_test import SessionScores
    from harness.store.results import ResultsStore
    from harness.without import SideBySide

#: The fields of a score, and what they are called.
SCORES = {
    "weighted_accuracy": "weighted accuracy, %",
    "unweighted_accuracy": "unweighted accuracy, %",
    "macro_f1": "macro F1, %",
}


def print_final_training(console: Console, training: FinalTraining) -> None:
    """Say what will be trained, before it is."""
    point = ", ".join(f"{name}={value}" for name, value in training.trial.hyperparameters.items())
    console.print(
        f"Experiment {training.experiment.eid} ({training.experiment.name}), trial {training.trial.trial_index}, "
        f"best validation accuracy {training.trial.score:.4f}: {point}",
        highlight=False,
    )
    seeds, epochs = plural(len(training.seeds), "seed"), plural(training.num_epochs, "epoch")
    if training.test_chooses_epoch:
        text = (
            f"Training on train + validation for {plural(training.spec.max_epochs, 'epoch')} with {seeds}, the test "
            f"session open: protocol '{training.spec.protocol.name}' scores every epoch on it. Saved is each model "
            f"after {epochs}, the number that validation chose."
        )
    else:
        text = f"Training on train + validation for {epochs}, the number that validation chose, with {seeds}."
    console.print(text, highlight=False)
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)


def print_test_scores(
    console: Console, training: FinalTraining, found: SessionScores, results: ResultsStore
) -> None:
    """Print the scores on the test session part by part, how sure they are, and every opening there has been."""
    session = training.spec.protocol.test_session
    for kind in ScoreKind:
        of_kind = [score for score in found.scores if score.kind is kind]
        if of_kind and not kind.is_baseline:
            console.print(_seeds_table(f"Session {session}, {kind}", of_kind))
    scored = read_scored_opening(results, training.experiment.eid, name_in_results(training.model_dir))
    if scored is not None:
        console.print()
        print_statements(console, describe_scores(scored))
        for table in tabulate_opening(scored):
            print_table(console, table)
        console.print()
    for sentence in found.left_out:
        console.print(sentence, highlight=False)
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)
    else:
        print_statements(console, [describe_published()])
    print_openings(console, results.openings())


def print_openings(console: Console, openings: Sequence[TestOpeningRow]) -> None:
    """Print every opening of the test session there has been, of whatever corpus."""
    print_table(console, tabulate_openings(openings))


def print_comparison(console: Console, training: FinalTraining, comparison: SideBySide) -> None:
    """Print what it costs to train the fusion layers alone."""
    table = Table("", "weighted accuracy", "seconds a seed", title=f"Scored on {comparison.scored_on}")
    for variant in comparison.variants:
        accuracies = [
            weighted_accuracy(comparison.emotions, probabilities.argmax(axis=1))
            for probabilities in variant.probabilities.values()
        ]
        spread = mean_and_spread(accuracies)
        deviation = f" ± {100 * spread.deviation:.2f}" if len(accuracies) > 1 else ""
        seconds = f"{mean_and_spread(variant.seconds).mean:.1f}" if variant.seconds else ""
        table.add_row(variant.kind.split(", ", 1)[-1], f"{100 * spread.mean:.2f}{deviation}", seconds)
    console.print(table)
    console.print(
        f"Mean{' ± standard deviation' if len(training.seeds) > 1 else ''} over {plural(len(training.seeds), 'seed')}.",
        highlight=False,
    )
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)


def _seeds_table(title: str, scores: Sequence[TestScores]) -> Table:
    table = Table("", *SCORES.values(), title=title)
    for score in scores:
        row = [f"{100 * float(getattr(score, field)):.2f}" for field in SCORES]
        table.add_row(f"seed {score.seed}, epoch {score.epoch}", *row)
    return table
