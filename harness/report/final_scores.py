"""The scores of `harness retrain-best` and `harness evaluate` in a terminal: one screen, details, and comparisons."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from harness.models.systems import name_system
from harness.report.evaluations import describe_evaluation, tabulate_evaluation
from harness.report.findings import read_replication
from harness.report.folds import describe_folds, tabulate_folds, tabulate_pooled
from harness.report.statements import Statement, describe_published, name_final_length
from harness.report.tables import Table, write_precisely
from harness.report.terminal import print_line, print_scored_opening, print_statements, print_table
from harness.report.test_set import (
    BASELINES_LEFT_OUT,
    describe_before,
    describe_probes,
    describe_scores,
    name_opening,
    order_scores,
    tabulate_opening,
    tabulate_openings,
)
from harness.scoring.assessment import Assessment, ScoredEvaluation, ScoredOpening
from harness.scoring.folds import FoldedScores
from harness.scoring.metrics import weighted_accuracy
from harness.scoring.statistics import TOO_NARROW, mean_and_spread
from harness.store.records import ExperimentRow, ScoreKind, TestOpeningRow, TrialStatus, last_attempts
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE, note_last_epoch, plural, write_duration, write_time

if TYPE_CHECKING:
    from harness.final.ensemble import Ensemble
    from harness.final.folds import FoldTraining
    from harness.final.modalities import SideBySide
    from harness.final.retrain import FinalTraining


def print_final_training(console: Console, training: FinalTraining) -> None:
    """Say what will be trained, before it is."""
    hyperparameters = ", ".join(f"{name}={value}" for name, value in training.trial.hyperparameters.items())
    named = name_system(training.system.name, training.trial.hyperparameters)
    title = (
        f"Experiment {training.experiment.eid} ({training.experiment.name}), trial {training.trial.trial_index} "
        f"of {named}, best validation accuracy {training.trial.score:.4f}: {hyperparameters}"
    )
    print_line(console, title)
    seeds, epochs = plural(len(training.seeds), "seed"), plural(training.num_epochs, "epoch")
    length = name_final_length(training.spec.protocol.to_json(), training.trial.best_epoch)
    if training.test_chooses_epoch:
        text = (
            f"Training on train + validation for {plural(training.spec.max_epochs, 'epoch')} with {seeds}, with the "
            f"test session open: protocol '{training.spec.protocol.name}' scores every epoch on it. Each model is "
            f"saved after {epochs}, {length}."
        )
    else:
        text = f"Training on train + validation for {epochs}, {length}, with {seeds}."
    print_line(console, text)
    experiment = training.experiment
    if note := note_last_epoch(training.trial.best_epoch, experiment.max_epochs, experiment.shortened):
        console.print(note, style="yellow", highlight=False)
    if training.folds:
        console.print(f"Scenes are disjoint: {_describe_cost(training)}", highlight=False)
    if training.experiment.is_synthetic:
        console.print(SYNTHETIC_SENTENCE, highlight=False)
    if training.experiment.corpus_note is not None:
        console.print(training.experiment.corpus_note, style="yellow", highlight=False)


def describe_intent(store: ResultsStore, experiments: Sequence[ExperimentRow], test_sets: str, num_models: int) -> str:
    """Say what a test evaluation is about to do, what stands behind it, and how often there was one before.

    Args:
        experiments: the searches whose best hyperparameters are scored, of one corpus
        test_sets: what is scored, in words
        num_models: that are scored
    """
    num_trials = [
        sum(trial.status is TrialStatus.FINISHED for trial in last_attempts(store.trials(each.eid)))
        for each in experiments
    ]
    replications = [read_replication(store, each) for each in experiments]
    num_seeds = min(
        json.loads(each.settings).get("seeds_per_trial", 1) + (0 if found is None else len(found.trials))
        for each, found in zip(experiments, replications, strict=True)
    )
    trials = plural(sum(num_trials), "finished trial")
    of_searches = "" if len(experiments) == 1 else f" of {len(experiments)} searches"
    replicated = "" if num_seeds > 1 else ": `harness replicate` measures how much of their score was luck"
    return (
        f"--test scores {plural(num_models, 'model')} on {test_sets}, and records that for good. Behind the "
        f"hyperparameters {'stands' if sum(num_trials) == 1 else 'stand'} {trials}{of_searches} and "
        f"{plural(num_seeds, 'seed')}{replicated}. {describe_before(store, experiments)}"
    )


def print_ensemble(console: Console, ensemble: Ensemble) -> None:
    """Say what the ensemble is, before it is trained."""
    console.print(
        f"Together they are an ensemble: one model, whose answer is the mean of the probabilities of its "
        f"{plural(ensemble.num_models, 'model')}"
        f"{''.join(f', and of {kind.phrase}, weighed on validation' for kind in ensemble.added)}.",
        highlight=False,
    )


def print_cost_of_scenes(console: Console, disjoint: FinalTraining) -> None:
    """Say what it costs to score the same hyperparameters without the scored scenes, before they are trained."""
    console.print(f"Then with the scored scenes left out: {_describe_cost(disjoint)}", highlight=False)


def print_known_scenes(console: Console, opening: TestOpeningRow) -> None:
    """Say that a test evaluation has scored these models with the scored scenes left out too."""
    console.print(
        f"Test evaluation {opening.opening_id} of {write_time(opening.opened_at)} UTC has scored these models, and the "
        "same hyperparameters with the scored scenes left out. It is not repeated.",
        highlight=False,
    )


def _describe_cost(training: FinalTraining) -> str:
    """Say what disjoint scenes cost, beforehand."""
    seconds = training.expected_seconds
    num_epochs = training.spec.max_epochs if training.test_chooses_epoch else training.num_epochs
    about = "" if seconds is None else f", about {write_duration(seconds)} at the speed of the trial"
    return (
        f"each seed has one model for each of {len(training.folds)} groups of scenes, trained "
        f"without the group. That is {plural(len(training.trainings), 'training')} of {plural(num_epochs, 'epoch')}"
        f"{about}."
    )


def print_fold(console: Console, fold: FoldTraining, number: int, num_folds: int, test: bool) -> None:
    """Say which fold comes, and where it has its test evaluation already.

    Args:
        number: of the fold, from 1
        test: whether the test sets are scored
    """
    console.print()
    console.print(f"Fold {number} of {num_folds}: {fold.fold} is the test set.", style="bold", highlight=False)
    if test and fold.opening is not None:
        console.print(
            f"Test evaluation {fold.opening.opening_id} of {write_time(fold.opening.opened_at)} UTC has scored these "
            "models, and is not repeated; to score them once more, name the fold: --experiment "
            f"{fold.training.experiment.eid}.",
            highlight=False,
        )


def print_folded_scores(console: Console, scores: FoldedScores, *, is_brief: bool) -> None:
    """Print the scores of every fold, and the pooled ones.

    Args:
        is_brief: of the pooled scores only the scores themselves, the classes, the baselines and the scenes
    """
    console.print()
    print_statements(console, describe_folds(scores))
    print_table(console, tabulate_folds(scores))
    tables = tabulate_pooled(scores)
    for table in [tables[0], tables[1], *tables[4:7]] if tables and is_brief else tables:
        print_table(console, table)


def print_summary(console: Console, scored: ScoredOpening, left_out: Sequence[str] = ()) -> None:
    """Print scores, classes, baselines and scenes of a test evaluation so that they fit 80 columns and 30 lines.

    Args:
        left_out: a sentence for each baseline that could not be fitted
    """
    assessment = scored.assessment
    counts = f"{plural(assessment.num_utterances, 'utterance')} of {plural(assessment.num_dialogues, 'dialogue')}."
    _, scenes, *others = describe_scores(scored)
    warnings = [statement for statement in others if statement.is_warning]
    statements = [Statement("Test set", f"{name_opening(scored)} {counts}"), scenes, *warnings]
    more = "`harness retrain-best --details`, or the model card"
    _print_screen(console, statements, left_out, tabulate_opening(scored), assessment, more)


def print_evaluation(console: Console, scored: ScoredEvaluation, left_out: Sequence[str], *, details: bool) -> None:
    """Print an evaluation on another corpus: scores, classes and baselines, or everything.

    Args:
        left_out: a sentence for each thing that could not stand beside the model's scores
    """
    statements = describe_evaluation(scored)
    if not details:
        # What was scored, what training had read of it, and the largest class; of the rest the warnings.
        brief = [*statements[:3], *(statement for statement in statements[3:] if statement.is_warning)]
        more = "the same command with --details, which does not score again"
        _print_screen(console, brief, left_out, tabulate_evaluation(scored), scored.assessment, more)
        return
    print_statements(console, statements)
    for sentence in left_out:
        console.print(sentence, highlight=False, markup=False)
    for table in tabulate_evaluation(scored):
        print_table(console, table)


def _print_screen(
    console: Console,
    statements: Sequence[Statement],
    left_out: Sequence[str],
    parts: Sequence[Table],
    assessment: Assessment,
    more: str,
) -> None:
    """Print the scores, the classes and the baselines among the parts of an assessment.

    Args:
        more: where the other parts can be read
    """
    scores, classes, _, _, comparisons, _, by_scenes, *_ = parts
    tables = [
        keep_columns(scores, "score, %", "mean", "deviation", "95 % interval", "seeds averaged"),
        keep_columns(classes, "class", "utterances", "precision, %", "recall, %", "95 % interval", "F1, %"),
        keep_columns(comparisons, *comparisons.columns[:2], "model better by", "95 % interval"),
        keep_columns(by_scenes, *by_scenes.columns),
    ]
    if left_out:
        # The reasons are known, and take the place of the sentence that can only guess at them.
        statements = [statement for statement in statements if statement.heading != BASELINES_LEFT_OUT]
    print_statements(console, statements)
    # Each baseline that is left out saves its row below; the details have the whole sentences.
    lines = textwrap.wrap(" ".join(left_out), console.width, max_lines=len(left_out) + 1, placeholder=" …")
    if lines:
        console.print("\n".join(lines), highlight=False, markup=False)
    for table in tables:
        print_table(console, table)
    is_too_narrow = any("*" in cell for table in tables for row in table.rows for cell in row)
    sentences = [
        f"Intervals: bootstrap over {assessment.drawn}; for a class, of its recall.",
        *([TOO_NARROW] if is_too_narrow else []),
        f"Everything else: {more}.",
    ]
    console.print("\n".join(sentences), style="dim", highlight=False)


def print_probes(console: Console, scored: ScoredOpening) -> None:
    """Print how much of what is scored in a test evaluation is recognition of the scenes."""
    print_statements(console, [describe_probes(scored.assessment, bool(scored.opening.is_synthetic))])


def keep_columns(table: Table, *columns: str) -> Table:
    """Return a table of some of the columns, without its title and note."""
    places = [table.columns.index(column) for column in columns]
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    return replace(table, title="", columns=columns, rows=rows, note="")


def print_details(
    console: Console,
    training: FinalTraining,
    scored: ScoredOpening | None,
    left_out: Sequence[str],
    openings: Sequence[TestOpeningRow],
) -> None:
    """Print everything about the latest test evaluation of the models, and every test evaluation there has been.

    Args:
        left_out: a sentence for each baseline that could not be fitted
    """
    if scored is None:
        console.print("These models have no test evaluation yet; --test makes one.", highlight=False)
    else:
        print_seeds(console, training, scored)
        console.print()
        print_scored_opening(console, scored)
        console.print()
        for sentence in left_out:
            console.print(sentence, highlight=False)
        if training.experiment.is_synthetic:
            console.print(SYNTHETIC_SENTENCE, highlight=False)
        elif training.experiment.is_on_iemocap:
            print_statements(console, [describe_published()])
    print_table(console, tabulate_openings(openings))


def print_seeds(console: Console, training: FinalTraining, scored: ScoredOpening) -> None:
    """Print the scores of each seed, those of the optimistic kind in a table of their own."""
    ordered = order_scores(scored.assessment.leading)
    columns = ("", *(f"{name}, %" for name in ordered))
    for kind in ScoreKind:
        rows = tuple(
            (
                str(score.kind) if score.kind.is_mean_of_models else f"seed {score.seed}, epoch {score.epoch}",
                *(f"{100 * getattr(score, field):.2f}" for field in ordered.values()),
            )
            for score in scored.opening.scores
            if score.kind is kind and kind.is_of_model
        )
        title = f"{training.spec.protocol.test_set}, {kind}"
        print_table(console, Table(title, columns, rows, frozenset(columns[1:])))


def print_comparison(console: Console, training: FinalTraining, comparison: SideBySide) -> None:
    """Print what it costs to train the fusion layers alone."""
    rows = []
    for variant in comparison.variants:
        accuracies = [
            weighted_accuracy(comparison.emotions, probabilities.argmax(axis=1))
            for probabilities in variant.probabilities.values()
        ]
        seconds = f"{mean_and_spread(variant.seconds).mean:.1f}" if variant.seconds else ""
        rows.append((variant.kind.split(", ", 1)[-1], write_precisely(mean_and_spread(accuracies)), seconds))
    columns = ("", "weighted accuracy, %", "seconds a seed")
    mean = "Mean ± standard deviation" if len(training.seeds) > 1 else "Mean"
    note = f"{mean} over {plural(len(training.seeds), 'seed')}."
    if training.experiment.is_synthetic:
        note += f" {SYNTHETIC_SENTENCE}"
    title = f"Scored on {comparison.scored_on}"
    print_table(console, Table(title, columns, tuple(rows), frozenset(columns[1:]), note))
