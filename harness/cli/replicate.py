"""`harness replicate`: the best trial's point with new seeds, to see how much of its score was luck."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli.names import SEARCH_NUMBER


@click.command("replicate")
@click.argument("results", type=click.Path(path_type=Path), default="results")
@click.option("--experiment", "eid", type=SEARCH_NUMBER, help="Number of the search.  [default: the latest]")
@click.option(
    "--seeds",
    "num_seeds",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Trainings with new seeds; more can be added later.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processor threads.  [default: all]"
)
def replicate(results: Path, eid: int | None, num_seeds: int, threads: int) -> None:
    """Train the best trial's point again with new seeds on the same split, beside its own score.

    The best of many trials is the luckiest of them too: what new seeds of its point lose is the luck of its seed.
    Validation chooses each training's epoch, as in the search. The test session stays sealed.

    Finished trainings are kept in RESULTS, an experiment of their own: after Ctrl-C, or with more seeds, the same
    command goes on.

    \b
    Example:
      harness replicate --seeds 5

    Exit codes: 0 done, 1 a training failed or no trial has finished, 2 wrong arguments or results, 130 interrupted.
    """
    from rich.console import Console

    from harness.cli.trainings_view import open_view, require_all_finished
    from harness.report.follow_ups import read_replication
    from harness.report.replication import describe_replication, tabulate_replication
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
    from harness.replication import plan_replication
    from harness.trainings.execution import Execution, carry_out

    lock_path, what = results / "replication.lock", f"replication in {str(results)!r}"
    with open_view() as view, held(lock_path, what), ResultsStore.open(database) as store:
        best = find_best_point(store, results, eid)
        view.name_corpus(is_synthetic=best.experiment.is_synthetic)
        plan = plan_replication(best, best.open_features(), num_seeds)
        num_failed = carry_out(Execution(store, view, threads), [plan])
        found = read_replication(store, best.experiment)
    if found is not None:
        console = Console(highlight=False)
        print_table(console, tabulate_replication(found))
        console.print()
        print_statements(console, [describe_replication(found)])
    require_all_finished(num_failed)
