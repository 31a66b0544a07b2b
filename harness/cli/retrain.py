"""`harness retrain-best`: the final training, and the one look at the test session.

What `harness retrain-best` prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from harness.cli.options import results_argument, search_option, seeds_option, threads_option
from harness.final.saved_model import name_in_results
from harness.report.statements import describe_published, plural
from harness.report.terminal import print_statements, print_table
from harness.report.test_set import describe_scores, tabulate_opening, tabulate_openings
from harness.scoring.assessment import read_scored_opening
from harness.scoring.metrics import weighted_accuracy
from harness.scoring.statistics import mean_and_spread
from harness.store.records import ScoreKind, TestOpeningRow, TestScores
from harness.wording import SYNTHETIC_SENTENCE

if TYPE_CHECKING:
    from harness.final.modalities import SideBySide
    from harness.final.retrain import FinalTraining
    from harness.final.test_session import SessionScores
    from harness.store.store import ResultsStore

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


@click.command("retrain-best")
@results_argument
@search_option
@click.option(
    "--test", is_flag=True, help="Score the held-out session. Each opening of it is recorded, and reported for ever."
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
@threads_option
def retrain_best(
    results: Path,
    eid: int | None,
    test: bool,
    num_seeds: int,
    without: tuple[str, ...],
    replace: str | None,
    threads: int,
) -> None:
    """Train the best trial's point once more on training and validation data, and save the model.

    The number of epochs is the one that validation chose. One model is saved for each seed, in
    RESULTS/models, with a model card. What was trained before is not trained again, unless the protocol has the
    test session open in training, as published-code has with --test: then every seed trains anew to the last epoch.

    \b
    Example:
      harness retrain-best --test --seeds 5
    """
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)

    from harness.cli.options import typed_command
    from harness.final.retrain import plan_final_training
    from harness.store.store import ResultsStore

    if without and replace:
        raise click.UsageError("--without and --replace exclude each other; give one of them.")
    console = Console()
    database = results / "results.db"
    ResultsStore.open_readonly(database).close()
    with ResultsStore.open(database) as store:
        # What others are made of is trained with the test session sealed, whatever the protocol.
        opens_test = test and not (without or replace)
        training = plan_final_training(store, results, eid, num_seeds, opens_test=opens_test)
        print_final_training(console, training)
        command = typed_command() if test else None
        if without or replace:
            folder = _retrain_fusion_layers(console, training, store, without, replace, command)
        else:
            folder = _retrain(console, training, store, command)
        console.print(f"Saved to {folder}", soft_wrap=True, highlight=False)


def _retrain(console: Console, training: FinalTraining, store: ResultsStore, command: str | None) -> Path:
    from rich.progress import Progress

    from harness.final.retrain import train_final_models
    from harness.final.test_session import score_test_session

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        num_epochs = training.spec.max_epochs if training.test_chooses_epoch else training.num_epochs
        bar = progress.add_task("training", total=len(training.seeds) * num_epochs)

        def show(seed: int, epoch: int) -> None:
            progress.update(bar, advance=1, description=f"seed {seed}, epoch {epoch}")

        def tell(doing: str) -> None:
            progress.update(bar, description=doing)

        found = None
        if command is None:
            train_final_models(training, store, on_epoch=show)
        else:
            found = score_test_session(training, store, command, show, tell)
    if found is not None:
        print_test_scores(console, training, found, store)
    return training.model_dir


def _retrain_fusion_layers(
    console: Console,
    training: FinalTraining,
    store: ResultsStore,
    without: tuple[str, ...],
    replace: str | None,
    command: str | None,
) -> Path:
    from harness.final.modalities import replace_branch, retrain_without

    def tell(doing: str) -> None:
        console.print(f"{doing} ...", style="dim", highlight=False)

    if replace is None:
        folder, comparisons = retrain_without(training, store, sorted(set(without)), command, tell)
    else:
        modality, separator, model = replace.partition("=")
        if not separator:
            raise click.UsageError(f"--replace is {replace!r}; expected MODALITY=MODEL, e.g. speech=results/models/...")
        folder, comparisons = replace_branch(training, store, modality, Path(model), command, tell)
    for comparison in comparisons:
        print_comparison(console, training, comparison)
    if command is not None:
        print_openings(console, store.openings())
    return folder
