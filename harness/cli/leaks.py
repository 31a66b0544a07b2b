"""`harness leaks`: how many points each leak between the parts of a split buys."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli.names import SEARCH_NUMBER


@click.command("leaks")
@click.argument("results", type=click.Path(path_type=Path), default="results")
@click.option("--experiment", "eid", type=SEARCH_NUMBER, help="Number of the search.  [default: the latest]")
@click.option(
    "--test",
    "opens_test",
    is_flag=True,
    help="Score turns of the test session, on the rest of which the leaking splits train. Each opening of it is "
    "recorded, and reported for ever.  [default: the search's sessions alone]",
)
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Draws of what is scored, each trained once under each of the four splits; more can be added later.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processor threads.  [default: all]"
)
def leaks(results: Path, eid: int | None, opens_test: bool, num_seeds: int, threads: int) -> None:
    """Train the best trial's point under splits that leak more or less, and show how many points each leak buys.

    Four splits, each stricter than the one before: random; speaker-disjoint; session-disjoint (the dialogue's
    partner is not heard either); script-disjoint (nor is the script or scenario, by whomever). All score the same
    utterances, a part of one speaker's turns, and train on equally many, so that the difference is the leak. Each
    seed draws another speaker: without --test from another of the search's sessions.

    Finished trainings are kept in RESULTS, four experiments of their own: after Ctrl-C, or with more seeds, the
    same command goes on.

    \b
    Example:
      harness leaks --seeds 4

    Exit codes: 0 done, 1 a training failed or no trial has finished, 2 wrong arguments or results, 130 interrupted.
    """
    from rich.console import Console

    from harness.cli.trainings_view import open_view, require_all_finished
    from harness.cli.typed_command import typed_command
    from harness.report.follow_ups import read_leaks
    from harness.report.leaks import describe_leaks, tabulate_leaks
    from harness.report.terminal import print_statements, print_table
    from harness.search.lock import held
    from harness.store.queries import ResultsReader
    from harness.store.results import ResultsStore
    from harness.tensorflow_start import start_tensorflow

    database = results / "results.db"
    ResultsReader.open_readonly(database).close()
    start_tensorflow(threads)
    # Imported here: these import TensorFlow.
    from harness.best_point import find_best_point
    from harness.leaks.trials import LeaksPlan, plan_experiments, record_leaks_opening
    from harness.trainings.execution import Execution, carry_out

    lock_path, what = results / "leaks.lock", f"leaks in {str(results)!r}"
    with open_view() as view, held(lock_path, what), ResultsStore.open(database) as store:
        best = find_best_point(store, results, eid)
        view.name_corpus(is_synthetic=best.experiment.is_synthetic)
        plan = LeaksPlan(best, best.open_features(), num_seeds, opens_test)
        opening_id = record_leaks_opening(plan, store, typed_command()) if opens_test else None
        num_failed = carry_out(Execution(store, view, threads, opening_id), plan_experiments(plan))
        if opening_id is not None and not num_failed:
            store.complete_opening(opening_id)
        found = read_leaks(store, best.experiment, opens_test=opens_test)
    if found is not None:
        console = Console(highlight=False)
        print_table(console, tabulate_leaks(found))
        console.print()
        print_statements(console, [describe_leaks(found)])
    require_all_finished(num_failed)
