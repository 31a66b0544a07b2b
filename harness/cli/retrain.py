"""`harness retrain-best`: the final training, and the one look at the test session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import results_argument, search_option, seeds_option, threads_option

if TYPE_CHECKING:
    from rich.console import Console

    from harness.retrain import FinalTraining
    from harness.store.results import ResultsStore


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
    from harness.tensorflow_start import start_tensorflow

    start_tensorflow(threads)

    from rich.console import Console

    from harness.cli.final_tables import print_final_training
    from harness.cli.typed_command import typed_command
    from harness.retrain import plan_final_training
    from harness.store.queries import ResultsReader
    from harness.store.results import ResultsStore

    if without and replace:
        raise click.UsageError("--without and --replace exclude each other; give one of them.")
    console = Console()
    database = results / "results.db"
    ResultsReader.open_readonly(database).close()
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

    from harness.cli.final_tables import print_test_scores
    from harness.retrain import train_final_models
    from harness.sealed_test import score_test_session

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
    from harness.cli.final_tables import print_comparison, print_openings
    from harness.without import replace_branch, retrain_without

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
