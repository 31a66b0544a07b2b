"""`harness tables`: the paper's Tables 1 to 5, published beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import DATABASE, SYSTEM_NAMES, seeds_option, threads_option


@click.command("tables")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder IEMOCAP_full_release, or its parent.  [default: what HARNESS_CORPUS names, or else a synthetic one]",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default="results",
    show_default=True,
    help="Folder of results.db and of the prepared features.",
)
@click.option(
    "--systems",
    "names",
    type=SYSTEM_NAMES,
    metavar="NAMES",
    help=(
        "Systems and baselines to train, separated by commas; `harness systems` lists the systems, and the baselines "
        "are majority, text_logistic, speech_forest, speech_svm, text_speech_average and speech_framewise.  "
        "[default: all of Tables 1 to 5]"
    ),
)
@click.option(
    "--compared",
    "trains_compared",
    is_flag=True,
    help=(
        "Train the systems that the paper compares with too, each under its own protocol, under strict, and with the "
        "scored scene left out. Without it, --systems trains only the compared systems that it names. --protocol, "
        "--recordings, --happiness, --split and --leave-one-session-out are of Tables 1 to 5."
    ),
)
@seeds_option(default=3, help="Trainings that each row averages over; more can be added later.")
@click.option(
    "--protocol",
    type=click.Choice(["paper", "published-code", "strict"]),
    default="paper",
    show_default=True,
    help="Named choices where the paper, its code and strict practice differ.",
)
@click.option(
    "--recordings",
    type=click.Choice(["all", "improvised", "scripted"]),
    default="all",
    show_default=True,
    help="Dialogues for training and test; one row of Table 2 always uses improvised ones.",
)
@click.option(
    "--happiness",
    type=click.Choice(["excited", "merged"]),
    default="excited",
    show_default=True,
    help="Class of excitement: excitement alone as in the paper, or with happiness merged in, as in many papers.",
)
@click.option(
    "--split",
    type=click.Choice(["sessions", "random", "by-position"]),
    help=(
        "Test set of single modalities: a session of unheard speakers, a random 20 % as in the paper's text, or the "
        "last 20 % by id as in its code.  [default: sessions; by-position under published-code]"
    ),
)
@click.option(
    "--leave-one-session-out",
    "leaves_each_session_out",
    is_flag=True,
    help="Five trainings in place of one, each with another session as its test set; the five are scored together.",
)
@click.option(
    "--max-epochs", type=click.IntRange(min=1), default=30, show_default=True, help="Epochs of a training."
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    help="Epochs without improvement on validation after which a training ends.  [default: never]",
)
@click.option(
    "--word-vectors",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="GloVe or word2vec file.  [default: vectors trained on the training text]",
)
@threads_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object in place of the tables.")
def tables(
    corpus: Path | None,
    results: Path,
    names: str | None,
    trains_compared: bool,
    num_seeds: int,
    protocol: str,
    recordings: str,
    happiness: str,
    split: str | None,
    leaves_each_session_out: bool,
    max_epochs: int,
    patience: int | None,
    word_vectors: Path | None,
    threads: int,
    as_json: bool,
) -> None:
    """Train the systems of the paper's Tables 1 to 5, and print its figures beside ours.

    Rows of Tables 1 to 5 are trained with the paper's own hyperparameters, once for each seed. Validation chooses the
    number of epochs; then the model is trained on train + validation with the same seed, and scored on the test
    session. The last column is the best of all test epochs, as in the published code; it is labelled optimistic.

    The systems that the paper compares with get a further table: the published figure with its measure, its classes
    and its split, and ours under that protocol, under strict, and with the scored scene left out of training. Each has
    the defaults of its system: its published sizes, where it gives any. Where the partner of the tested speaker chooses
    the epoch, the model of that epoch is scored, trained on the training set alone. These are many trainings; how many
    is said beforehand.

    Finished trainings are kept: after Ctrl-C the same command resumes, and with a larger --seeds it adds trainings.
    Each call is recorded as a test evaluation.

    \b
    Example:
      harness tables --systems speech4,majority --seeds 3
      harness tables --systems ctc,bc_lstm --seeds 1

    Exit codes: 0 done, 1 a training failed, 2 wrong arguments or corpus, 130 interrupted.
    """
    from rich.console import Console

    from harness.cli.options import name_test_scores, open_view, require_all_finished, typed_command
    from harness.corpus.utterances import Happiness
    from harness.report.paper_tables import print_tables
    from harness.search.lock import held
    from harness.splits.protocol import Recordings
    from harness.store.store import ResultsStore
    from harness.tables.experiments import (
        check_settings,
        compared_names,
        known_names,
        lacking_modalities,
        require_features,
    )
    from harness.tables.notes import describe_test_evaluation, to_json
    from harness.tables.parts import TableSplit
    from harness.tables.plan import plan_tables
    from harness.tables.results import TablesReader
    from harness.tables.settings import TablesSettings, prepare_tables
    from harness.training.tensorflow import start_tensorflow

    named = () if names is None else tuple(name.strip() for name in names.split(","))
    of_compared = compared_names() if trains_compared else tuple(name for name in compared_names() if name in named)
    settings = TablesSettings(
        names=tuple(dict.fromkeys([*(known_names() if names is None else named), *of_compared])),
        seeds=tuple(range(1, num_seeds + 1)),
        protocol=protocol,
        recordings=Recordings(recordings),
        split=None if split is None else TableSplit(split),
        leaves_each_session_out=leaves_each_session_out,
        max_epochs=max_epochs,
        patience=patience,
        word_vectors=word_vectors,
        happiness=Happiness(happiness),
        compared=of_compared,
    )
    check_settings(settings)
    lock_path, database = results / "tables.lock", results / DATABASE
    # One that is damaged is refused before hours of preparing features.
    ResultsStore.exists(database)
    plan = plan_tables(settings)
    speech = [experiment.speech_settings for experiment in plan.experiments]
    with name_test_scores(results) as stores, open_view() as view:
        # With fewer epochs where no corpus is named.
        settings, facts = prepare_tables(settings, corpus, results, view.preparing, speech)
        require_features(plan.experiments, named, facts)
        if plan.compared:
            view.name_corpus(is_synthetic=facts.is_synthetic)
            view.announce(plan.describe_compared(num_seeds))
        start_tensorflow(threads)
        # Imported here: these import TensorFlow.
        from harness.tables.trainings import plan_experiments, record_tables_opening
        from harness.training.runner import Execution, carry_out

        with held(lock_path, f"tables in {str(results)!r}"), ResultsStore.open(database) as store:
            stores.append(store)
            view.announce(describe_test_evaluation(len(store.openings())))
            opening_id = record_tables_opening(store, settings, facts, typed_command())
            possible = [one for one in plan.experiments if not lacking_modalities(one.open_features(facts), one)]
            trainings = plan_experiments(settings, facts, possible)
            num_failed = carry_out(Execution(store, view, threads, opening_id), trainings)
            if not num_failed:
                store.complete_opening(opening_id)
            reader = TablesReader(settings, facts, store)
            rows = [reader.read(row) for row in plan.rows]
            compared = [reader.read_compared(planned) for planned in plan.compared]
            scenes = reader.read_scenes()
    if as_json:
        click.echo(json.dumps(to_json(settings, facts, rows, scenes, compared), indent=2))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        print_tables(console, settings, facts, rows, scenes, compared)
    require_all_finished(num_failed, "below the table")
