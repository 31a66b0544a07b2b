"""`harness retrain-best`: the final training, the test evaluation, the model card, and the printed scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_argument, search_option, seeds_option, threads_option, typed_command

if TYPE_CHECKING:
    from rich.console import Console

    from harness.final.modalities import SideBySide
    from harness.final.retrain import FinalTraining
    from harness.report.tables import Table
    from harness.scoring.assessment import ScoredOpening
    from harness.store.records import TestOpeningRow
    from harness.store.store import ResultsStore


@click.command("retrain-best")
@results_argument
@search_option
@click.option(
    "--test",
    is_flag=True,
    help="Score the held-out session. Each test evaluation is recorded, and reported for ever.",
)
@seeds_option(default=5, help="Trainings to average over, with different seeds.")
@click.option(
    "--without",
    type=click.Choice(["speech", "text", "mocap"]),
    multiple=True,
    help="Modality to do without, once or twice: the branches that stay are frozen, the fusion layers trained again, "
    "and that is compared with a whole retraining and with zeros in place of the input.",
)
@click.option(
    "--replace",
    metavar="MODALITY=MODEL",
    help="Branch to take from MODEL, the final models of a system of that modality alone; the branches are frozen, "
    "and the fusion layers trained again.",
)
@click.option(
    "--details",
    is_flag=True,
    help="Print all test scores: seeds, groups, confusion, calibration, every test evaluation. Without --test, those "
    "of the models' latest test evaluation.  [default: with --test scores, classes and baselines]",
)
@threads_option
def retrain_best(
    results: Path,
    eid: int | None,
    test: bool,
    num_seeds: int,
    without: tuple[str, ...],
    replace: str | None,
    details: bool,
    threads: int,
) -> None:
    """Train the best trial's hyperparameters once more on training and validation data, and save the model.

    The number of epochs is the one that validation chose. One model is saved for each seed, in
    RESULTS/models, with a model card that has every test score. Models that were trained before are not trained
    again, unless the protocol has the test session open in training, as published-code has with --test: then every
    seed trains anew to the last epoch.

    \b
    Example:
      harness retrain-best --test --seeds 5
    """
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)

    from rich.console import Console

    from harness.final.retrain import plan_final_training
    from harness.report.model_card import write_model_card
    from harness.store.store import ResultsStore

    if without and replace:
        raise click.UsageError("--without and --replace exclude each other; give one of them.")
    console = Console()
    database = results / "results.db"
    ResultsStore.open_readonly(database).close()
    with ResultsStore.open(database) as store:
        # Other models are made of models that were trained with the test session sealed, whatever the protocol.
        opens_test = test and not (without or replace)
        training = plan_final_training(store, results, eid, num_seeds, opens_test=opens_test)
        print_final_training(console, training)
        command = typed_command() if test else None
        folder, scored = training.model_dir, None
        comparisons: list[SideBySide] = []
        left_out: tuple[str, ...] = ()
        try:
            if without or replace:
                folder, comparisons = _retrain_fusion_layers(console, training, store, without, replace, command)
            else:
                left_out = _retrain(console, training, store, command)
        finally:
            # Saved models have a card even if a later step failed.
            if (training.model_dir / "model.json").exists():
                scored = write_model_card(training.model_dir, store)
        if folder != training.model_dir:
            scored = write_model_card(folder, store)
        for comparison in comparisons:
            print_comparison(console, training, comparison)
        if details:
            print_details(console, training, scored, left_out, store.openings())
        elif test and not comparisons and scored is not None:
            print_summary(console, scored)
        console.print(f"Saved to {folder}", soft_wrap=True, highlight=False)


def _retrain(
    console: Console, training: FinalTraining, store: ResultsStore, command: str | None
) -> tuple[str, ...]:
    """Train, score the test session if there is a command for the record, and return the baselines left out."""
    from rich.progress import Progress

    from harness.final.retrain import train_final_models
    from harness.final.test_session import score_test_session

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        num_epochs = training.spec.max_epochs if training.test_chooses_epoch else training.num_epochs
        bar = progress.add_task("training", total=len(training.seeds) * num_epochs)

        def show_epoch(seed: int, epoch: int) -> None:
            progress.update(bar, advance=1, description=f"seed {seed}, epoch {epoch}")

        def show(doing: str) -> None:
            progress.update(bar, description=doing)

        if not training.test_chooses_epoch:
            train_final_models(training, store, on_epoch=show_epoch)
        return () if command is None else score_test_session(training, store, command, show_epoch, show)


def _retrain_fusion_layers(
    console: Console,
    training: FinalTraining,
    store: ResultsStore,
    without: tuple[str, ...],
    replace: str | None,
    command: str | None,
) -> tuple[Path, list[SideBySide]]:
    from harness.final.modalities import replace_branch, retrain_without

    def show(doing: str) -> None:
        console.print(f"{doing} ...", style="dim", highlight=False)

    if replace is None:
        return retrain_without(training, store, sorted(set(without)), command, show)
    modality, separator, model = replace.partition("=")
    if not separator:
        raise click.UsageError(f"--replace is {replace!r}; expected MODALITY=MODEL, e.g. speech=results/models/...")
    return replace_branch(training, store, modality, Path(model), command, show)


def print_final_training(console: Console, training: FinalTraining) -> None:
    """Say what will be trained, before it is."""
    from harness.report.statements import plural
    from harness.wording import SYNTHETIC_SENTENCE

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


def print_summary(console: Console, scored: ScoredOpening) -> None:
    """Print the scores, the classes and the baselines of a test evaluation so that they fit 80 columns, 24 lines."""
    from harness.report.statements import Statement, plural
    from harness.report.terminal import print_statements, print_table
    from harness.report.test_set import describe_scores, name_opening, tabulate_opening
    from harness.scoring.statistics import TOO_NARROW

    assessment = scored.assessment
    scores, classes, _, _, comparisons, *_ = tabulate_opening(scored)
    tables = [
        keep_columns(scores, "score, %", "mean", "deviation", "95 % interval", "seeds averaged"),
        keep_columns(classes, "class", "utterances", "precision, %", "recall, %", "95 % interval", "F1, %"),
        keep_columns(comparisons, "baseline", "weighted, %", "model better by", "95 % interval"),
    ]
    counts = f"{plural(assessment.num_utterances, 'utterance')} of {plural(assessment.num_dialogues, 'dialogue')}."
    warnings = [statement for statement in describe_scores(scored)[1:] if statement.is_warning]
    print_statements(console, [Statement("Test set", f"{name_opening(scored)} {counts}"), *warnings])
    for table in tables:
        print_table(console, table)
    is_too_narrow = any("*" in cell for table in tables for row in table.rows for cell in row)
    sentences = [
        f"Intervals: bootstrap over {assessment.drawn}; a class's is of its recall.",
        *([TOO_NARROW] if is_too_narrow else []),
        "Everything else: `harness retrain-best --details`, or the model card.",
    ]
    console.print("\n".join(sentences), style="dim", highlight=False)


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
    from harness.report.statements import describe_published
    from harness.report.terminal import print_statements, print_table
    from harness.report.test_set import describe_scores, tabulate_opening, tabulate_openings
    from harness.wording import SYNTHETIC_SENTENCE

    if scored is None:
        console.print("These models have no test evaluation on record; --test makes one.", highlight=False)
    else:
        print_seeds(console, training, scored)
        console.print()
        print_statements(console, describe_scores(scored))
        for table in tabulate_opening(scored):
            print_table(console, table)
        console.print()
        for sentence in left_out:
            console.print(sentence, highlight=False)
        if training.experiment.is_synthetic:
            console.print(SYNTHETIC_SENTENCE, highlight=False)
        else:
            print_statements(console, [describe_published()])
    print_table(console, tabulate_openings(openings))


def print_seeds(console: Console, training: FinalTraining, scored: ScoredOpening) -> None:
    """Print the scores of each seed, those of the optimistic kind in a table of their own."""
    from harness.report.tables import Table
    from harness.report.terminal import print_table
    from harness.store.records import ScoreKind

    columns = ("", "weighted accuracy, %", "unweighted accuracy, %", "macro F1, %")
    for kind in ScoreKind:
        rows = tuple(
            (
                f"seed {score.seed}, epoch {score.epoch}",
                f"{100 * score.weighted_accuracy:.2f}",
                f"{100 * score.unweighted_accuracy:.2f}",
                f"{100 * score.macro_f1:.2f}",
            )
            for score in scored.opening.scores
            if score.kind is kind and not kind.is_baseline
        )
        title = f"Session {training.spec.protocol.test_session}, {kind}"
        print_table(console, Table(title, columns, rows, frozenset(columns[1:])))


def print_comparison(console: Console, training: FinalTraining, comparison: SideBySide) -> None:
    """Print what it costs to train the fusion layers alone."""
    from harness.report.statements import plural
    from harness.report.tables import Table
    from harness.report.terminal import print_table
    from harness.scoring.metrics import weighted_accuracy
    from harness.scoring.statistics import mean_and_spread
    from harness.wording import SYNTHETIC_SENTENCE

    rows = []
    for variant in comparison.variants:
        accuracies = [
            weighted_accuracy(comparison.emotions, probabilities.argmax(axis=1))
            for probabilities in variant.probabilities.values()
        ]
        spread = mean_and_spread(accuracies)
        deviation = f" ± {100 * spread.deviation:.2f}" if len(accuracies) > 1 else ""
        seconds = f"{mean_and_spread(variant.seconds).mean:.1f}" if variant.seconds else ""
        rows.append((variant.kind.split(", ", 1)[-1], f"{100 * spread.mean:.2f}{deviation}", seconds))
    columns = ("", "weighted accuracy, %", "seconds a seed")
    mean = "Mean ± standard deviation" if len(training.seeds) > 1 else "Mean"
    note = f"{mean} over {plural(len(training.seeds), 'seed')}."
    if training.experiment.is_synthetic:
        note += f" {SYNTHETIC_SENTENCE}"
    title = f"Scored on {comparison.scored_on}"
    print_table(console, Table(title, columns, tuple(rows), frozenset(columns[1:]), note))
