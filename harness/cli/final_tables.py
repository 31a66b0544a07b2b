"""What `harness retrain-best` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from harness.corpus.utterances import CLASSES
from harness.metrics import (
    confusion_matrix,
    macro_f1_of,
    predicted_classes,
    unweighted_accuracy_of,
    weighted_accuracy,
    weighted_accuracy_of,
)
from harness.statistics import bootstrap_interval, mean_and_spread
from harness.store.records import ScoreKind, TestOpeningRow, TestScores

if TYPE_CHECKING:
    from harness.retrain import FinalTraining
    from harness.without import Comparison

SYNTHETIC_SENTENCE = "This is the synthetic corpus: no score on it is a score on IEMOCAP."

#: Each score with what it is, and how to get it from a confusion matrix.
SCORES = (
    ("weighted accuracy", "weighted_accuracy", weighted_accuracy_of),
    ("unweighted accuracy", "unweighted_accuracy", unweighted_accuracy_of),
    ("macro F1", "macro_f1", macro_f1_of),
)


def print_final_training(console: Console, training: FinalTraining) -> None:
    """Say what will be trained, before it is."""
    point = ", ".join(f"{name}={value}" for name, value in training.trial.hyperparameters.items())
    console.print(
        f"Experiment {training.experiment.eid} ({training.experiment.name}), trial {training.trial.trial_index}, "
        f"best validation accuracy {training.trial.score:.4f}: {point}",
        highlight=False,
    )
    console.print(
        f"Training on train + validation for {training.num_epochs} epoch(s), the number that validation chose, "
        f"with {len(training.seeds)} seed(s).",
        highlight=False,
    )
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)


def print_test_scores(
    console: Console,
    training: FinalTraining,
    scores: Sequence[TestScores],
    openings: Sequence[TestOpeningRow],
) -> None:
    """Print the scores on the test session, how sure they are, and every opening there has been."""
    session = training.spec.protocol.test_session
    for kind in ScoreKind:
        of_kind = [score for score in scores if score.kind is kind]
        if of_kind:
            console.print(_scores_table(f"Session {session}, {kind}", of_kind))
    honest = [score for score in scores if score.kind is ScoreKind.VALIDATION_CHOSEN]
    console.print(_confusion_table(honest))
    interval = bootstrap_interval([score.predictions for score in honest])
    console.print(
        f"Intervals draw {interval.drawn} with replacement"
        + (", fewer than ten dialogues being there: they are too narrow." if interval.is_too_narrow else "."),
        highlight=False,
    )
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)
    print_openings(console, openings)


def print_openings(console: Console, openings: Sequence[TestOpeningRow]) -> None:
    """Print every opening of the test session there has been."""
    table = Table("opened at", "by", "protocol", "seeds", title="Every opening of the test session")
    for opening in openings:
        table.add_row(opening.opened_at, opening.command, opening.protocol, str(len(opening.seeds)))
    console.print(table)


def print_comparison(console: Console, training: FinalTraining, comparison: Comparison) -> None:
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
        f"Mean{' ± standard deviation' if len(training.seeds) > 1 else ''} over {len(training.seeds)} seed(s).",
        highlight=False,
    )
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)


def _scores_table(title: str, scores: Sequence[TestScores]) -> Table:
    table = Table("", *(label for label, _, _ in SCORES), title=title)
    for score in scores:
        row = [f"{100 * float(getattr(score, field)):.2f}" for _, field, _ in SCORES]
        table.add_row(f"seed {score.seed}, epoch {score.epoch}", *row)
    spreads = [mean_and_spread([float(getattr(score, field)) for score in scores]) for _, field, _ in SCORES]
    table.add_section()
    table.add_row("mean", *(f"{100 * spread.mean:.2f}" for spread in spreads))
    if len(scores) > 1:
        table.add_row("standard deviation", *(f"{100 * spread.deviation:.2f}" for spread in spreads))
    intervals = [bootstrap_interval([score.predictions for score in scores], metric) for _, _, metric in SCORES]
    table.add_row(
        "95 % interval", *(f"{100 * interval.low:.1f} to {100 * interval.high:.1f}" for interval in intervals)
    )
    return table


def _confusion_table(scores: Sequence[TestScores]) -> Table:
    counts = np.mean([confusion_matrix(*predicted_classes(score.predictions)) for score in scores], axis=0)
    table = Table("raters \\ model", *CLASSES, title="Utterances, mean over the seeds")
    for emotion, row in zip(CLASSES, counts, strict=True):
        table.add_row(emotion, *(f"{count:.1f}" for count in row))
    return table
