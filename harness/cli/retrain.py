"""`harness retrain-best`: the final training, the test evaluation, the model card, and the printed scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import (
    DATABASE,
    SEARCH_NUMBER,
    name_test_scores,
    require_results,
    results_argument,
    seeds_option,
    threads_option,
    typed_command,
)
from harness.errors import HarnessError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.final.ensemble import Ensemble
    from harness.final.folds import FoldTraining
    from harness.final.modalities import SideBySide
    from harness.final.retrain import FinalTraining
    from harness.store.store import ResultsStore


@click.command("retrain-best")
@results_argument
@click.option(
    "--experiment",
    "eids",
    type=SEARCH_NUMBER,
    multiple=True,
    help=(
        "Number of the search. Given twice or more, the best trials of these searches are one ensemble, as with --top."
        "  [default: the latest]"
    ),
)
@click.option(
    "--test",
    is_flag=True,
    help="Score the held-out session. Each test evaluation is recorded, and shown in every later report.",
)
@seeds_option(default=5, help="Trainings to average over, with different seeds.")
@click.option(
    "--top",
    "num_trials",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help=(
        "Trials to train again, the best of each search. With more than one they are an ensemble: one model, whose "
        "answer is the mean of the probabilities of every seed of every trial."
    ),
)
@click.option(
    "--with",
    "added",
    type=click.Choice(["svm", "tfidf"]),
    multiple=True,
    help=(
        "Model to answer together with the trials of --top: a support vector machine over functionals of speech, or a "
        "linear model over TF-IDF of the words. Its weight is chosen on validation alone. May be given twice."
    ),
)
@click.option(
    "--scenes",
    "with_scenes",
    is_flag=True,
    help=(
        "With --test, also score the same hyperparameters with the scored scenes left out of training. This trains "
        "one more model for each seed and group of scenes; the cost is printed beforehand."
    ),
)
@click.option(
    "--without",
    type=click.Choice(["speech", "text", "mocap"]),
    multiple=True,
    help=(
        "Modality to leave out; may be given twice. The other branches are frozen and the fusion layers trained "
        "again; the result is compared with a complete retraining and with zeros in place of the input."
    ),
)
@click.option(
    "--replace",
    metavar="MODALITY=MODEL",
    help=(
        "Branch to take from MODEL, a saved model of a system that reads this modality alone; all branches are "
        "frozen, and the fusion layers trained again."
    ),
)
@click.option(
    "--details",
    is_flag=True,
    help="Print all test scores: seeds, groups, confusion, calibration, every test evaluation. Without --test, those "
    "of the models' latest test evaluation.  [default: with --test scores, classes, baselines and scenes]",
)
@threads_option
def retrain_best(
    results: Path,
    eids: tuple[int, ...],
    test: bool,
    num_seeds: int,
    num_trials: int,
    added: tuple[str, ...],
    with_scenes: bool,
    without: tuple[str, ...],
    replace: str | None,
    details: bool,
    threads: int,
) -> None:
    """Train the best trial's hyperparameters once more on training and validation data, and save the model.

    The number of epochs is the one that validation chose. One model is saved for each seed, in RESULTS/models, with a
    model card that has every test score. Models that exist already are not trained again, unless the protocol scores
    every epoch on the test session, as published-code does with --test. Then every seed is trained again, to the last
    epoch.

    With --scenes the test evaluation also scores models that have not read the scenes that they are scored on. If such
    an evaluation of these models is already recorded, it is printed and not repeated.

    In an experiment with folds, every fold has its own models, and --test scores each fold's own test set. A fold that
    has been scored is scored again only if --experiment names it.

    With --top, --with or several --experiment, the test evaluation scores the mean of all models, and each of them
    alone beside it.

    \b
    Example:
      harness retrain-best --test --seeds 5
    """
    replaced = None if replace is None else _read_replacement(replace)
    is_changed = bool(without or replaced)
    if without and replaced:
        raise click.UsageError("--without and --replace exclude each other; give one of them.")
    if with_scenes and (not test or is_changed):
        raise click.UsageError("--scenes needs --test, and excludes --without and --replace.")
    eids = tuple(dict.fromkeys(eids))
    eid = eids[0] if eids else None
    is_ensemble = num_trials > 1 or len(eids) > 1 or bool(added)
    if is_ensemble and (with_scenes or is_changed):
        raise click.UsageError(
            "--top, --with and several --experiment exclude --scenes, --without and --replace."
        )

    require_results(results)
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)

    from rich.console import Console

    from harness.final.ensemble import plan_ensemble
    from harness.final.folds import find_folded, plan_fold_ensembles, plan_folds
    from harness.final.retrain import plan_final_training
    from harness.final.saved_model import AddedKind, name_in_results
    from harness.final.test_session import find_opening
    from harness.report.final_scores import (
        print_comparison,
        print_details,
        print_final_training,
        print_known_scenes,
        print_probes,
        print_summary,
    )
    from harness.report.model_card import write_model_card
    from harness.scoring.assessment import read_scored_opening
    from harness.store.store import ResultsStore

    console = Console(markup=False, emoji=False)
    with name_test_scores(results) as stores, ResultsStore.open(results / DATABASE) as store:
        stores.append(store)
        folded = find_folded(store) if eid is None and not is_changed else None
        kinds = sorted(map(AddedKind, set(added)))
        if folded is not None:
            if is_ensemble:
                folds = plan_fold_ensembles(store, results, folded, num_trials, num_seeds, added=kinds)
            else:
                folds = plan_folds(store, results, folded, num_seeds, opens_test=test, with_scenes=with_scenes)
            _retrain_folds(console, folds, store, test, with_scenes, details)
            return
        if is_ensemble:
            ensemble = plan_ensemble(store, results, eids, num_trials, num_seeds, added=kinds)
            if test:
                _print_intent(console, store, ensemble.members, ensemble.num_models)
            _retrain_ensemble(console, store, ensemble, test, details)
            return
        # Other models are made of models that were trained with the test session sealed, whatever the protocol.
        opens_test = test and not is_changed
        training = plan_final_training(store, results, eid, num_seeds, opens_test=opens_test)
        print_final_training(console, training)
        known = find_opening(store.openings(), training, with_scenes=True) if with_scenes else None
        if known is not None:
            print_known_scenes(console, known)
        elif test:
            _print_intent(console, store, [training], len(training.seeds))
        command = typed_command() if test and known is None else None
        folder = training.model_dir
        comparisons: list[SideBySide] = []
        left_out: tuple[str, ...] = ()
        try:
            if is_changed:
                folder, comparisons = _retrain_fusion_layers(console, training, store, without, replaced, command)
            else:
                left_out = _retrain(console, training, store, command, with_scenes)
        except BaseException:
            _write_card_after_error(training, store)
            raise
        scored = write_model_card(training.model_dir, store)
        if known is not None:
            model = name_in_results(training.model_dir)
            scored = read_scored_opening(store, training.experiment.eid, model, known.opening_id)
        if folder != training.model_dir:
            scored = write_model_card(folder, store)
        for comparison in comparisons:
            print_comparison(console, training, comparison)
        if details:
            print_details(console, training, scored, left_out, store.openings())
        elif test and scored is not None:
            if comparisons:
                print_probes(console, scored)
            else:
                print_summary(console, scored, left_out)
        console.print(f"Saved to {folder}", soft_wrap=True, highlight=False)


def _read_replacement(text: str) -> tuple[str, Path]:
    """Read the modality and the model of ``--replace``."""
    modality, separator, model = text.partition("=")
    if not separator:
        raise click.UsageError(f"--replace is {text!r}; expected MODALITY=MODEL, e.g. speech=results/models/...")
    return modality, Path(model)


def _print_intent(
    console: Console, store: ResultsStore, trainings: Sequence[FinalTraining], num_models: int
) -> None:
    """Say, before anything is trained, what a test evaluation is about to do; nobody is asked."""
    from harness.report.final_scores import describe_intent

    experiments = {training.experiment.eid: training.experiment for training in trainings}
    test_sets = dict.fromkeys(training.spec.protocol.test_set for training in trainings)
    said = describe_intent(store, list(experiments.values()), ", ".join(test_sets), num_models)
    console.print(said, highlight=False, soft_wrap=True)


@contextmanager
def _show_training(
    console: Console, num_epochs: int
) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """Show a bar of so many epochs on a terminal; it goes away at the end.

    Yields:
        a function of the seed and the number of an epoch that has ended, and one of what is done besides
    """
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=num_epochs)

        def show_epoch(seed: int, epoch: int) -> None:
            progress.update(bar, advance=1, description=f"seed {seed}, epoch {epoch}")

        def show(doing: str) -> None:
            progress.update(bar, description=doing)

        yield show_epoch, show


def _retrain_ensemble(
    console: Console, store: ResultsStore, ensemble: Ensemble, test: bool, details: bool, is_alone: bool = True
) -> None:
    """Train the members of an ensemble, save their mean as one model, and score it.

    Args:
        is_alone: whether its scores are printed; those of several folds are printed together
    """
    from harness.final.ensemble import train_ensemble
    from harness.final.test_session import score_test_session
    from harness.report.final_scores import print_details, print_ensemble, print_final_training, print_summary
    from harness.report.model_card import write_model_card

    for member in ensemble.members:
        print_final_training(console, member)
    print_ensemble(console, ensemble)
    best = ensemble.members[0]
    left_out: tuple[str, ...] = ()
    total = sum(len(member.trainings) * member.num_epochs for member in ensemble.members)
    with _show_training(console, total) as (show_epoch, show):
        train_ensemble(ensemble, store, show_epoch)
        if test:
            left_out = score_test_session(best, store, typed_command(), show_epoch, show, ensemble=ensemble)
    for member in ensemble.members:
        write_model_card(member.model_dir, store)
    scored = write_model_card(ensemble.model_dir, store)
    if details:
        print_details(console, best, scored, left_out, store.openings())
    elif is_alone and test and scored is not None:
        print_summary(console, scored, left_out)
    console.print(f"Saved to {ensemble.model_dir}", soft_wrap=True, highlight=False)


def _retrain_folds(
    console: Console,
    folds: Sequence[FoldTraining],
    store: ResultsStore,
    test: bool,
    with_scenes: bool,
    details: bool,
) -> None:
    """Train the models of every fold, and score each fold's test set that these models have not been scored on."""
    from harness.report.final_scores import (
        print_details,
        print_final_training,
        print_fold,
        print_folded_scores,
    )
    from harness.report.model_card import write_model_card
    from harness.scoring.folds import Scored, name_making, read_folded_scores

    folded = store.folded(folds[0].training.experiment)
    assert folded is not None
    left = [fold.training for fold in folds if fold.opening is None]
    if test and left:
        num_models = [
            len(fold.training.seeds) if fold.ensemble is None else fold.ensemble.num_models
            for fold in folds
            if fold.opening is None
        ]
        _print_intent(console, store, left, sum(num_models))
    for number, fold in enumerate(folds, start=1):
        training = fold.training
        print_fold(console, fold, number, len(folds), test)
        if fold.ensemble is not None:
            _retrain_ensemble(console, store, fold.ensemble, test and fold.opening is None, details, is_alone=False)
            continue
        print_final_training(console, training)
        command = typed_command() if test and fold.opening is None else None
        try:
            left_out = _retrain(console, training, store, command, with_scenes)
        except BaseException:
            _write_card_after_error(training, store)
            raise
        if (training.model_dir / "model.json").exists():
            scored = write_model_card(training.model_dir, store)
            if details:
                print_details(console, training, scored, left_out, store.openings())
            console.print(f"Saved to {training.model_dir}", soft_wrap=True, highlight=False)
    # Without --test what is on record is shown; with it the scores of these models, whether new or known.
    ensemble = folds[0].ensemble
    asked = Scored("" if ensemble is None else name_making(ensemble.model_dir.name)) if test else None
    print_folded_scores(console, read_folded_scores(store, folded, asked), is_brief=not details)


def _write_card_after_error(training: FinalTraining, store: ResultsStore) -> None:
    """Write the card of models that are saved although a later step failed; that step's error is the one to show."""
    from harness.report.model_card import write_model_card

    with suppress(HarnessError, OSError):
        if (training.model_dir / "model.json").exists():
            write_model_card(training.model_dir, store)


def _retrain(
    console: Console, training: FinalTraining, store: ResultsStore, command: str | None, with_scenes: bool
) -> tuple[str, ...]:
    """Train, score the test session if there is a command for the record, and return what was not fitted beside it.

    Args:
        with_scenes: whether to train and score the same hyperparameters without the scored scenes too
    """
    from harness.final.retrain import plan_disjoint_training, train_final_models
    from harness.final.test_session import score_test_session
    from harness.report.final_scores import print_cost_of_scenes
    from harness.report.model_card import write_model_card

    # Models that have not read the scored scenes anyway have nothing to set beside them.
    adds_scenes = with_scenes and command is not None and not training.folds
    disjoint = plan_disjoint_training(training) if adds_scenes else None
    if disjoint is not None:
        print_cost_of_scenes(console, disjoint)
    num_epochs = training.spec.max_epochs if training.test_chooses_epoch else training.num_epochs
    total = len(training.trainings) * num_epochs
    total += 0 if disjoint is None else len(disjoint.trainings) * disjoint.num_epochs
    with _show_training(console, total) as (show_epoch, show):
        if not training.test_chooses_epoch:
            train_final_models(training, store, on_epoch=show_epoch)
        if disjoint is not None:
            train_final_models(disjoint, store, on_epoch=show_epoch)
        if command is None:
            return ()
        left_out = score_test_session(training, store, command, show_epoch, show, disjoint)
    if disjoint is not None:
        write_model_card(disjoint.model_dir, store)
    return left_out


def _retrain_fusion_layers(
    console: Console,
    training: FinalTraining,
    store: ResultsStore,
    without: tuple[str, ...],
    replaced: tuple[str, Path] | None,
    command: str | None,
) -> tuple[Path, list[SideBySide]]:
    from harness.final.modalities import replace_branch, retrain_without

    def show(doing: str) -> None:
        console.print(f"{doing} ...", style="dim", highlight=False)

    if replaced is None:
        return retrain_without(training, store, sorted(set(without)), command, show)
    return replace_branch(training, store, *replaced, command, show)
