"""`harness replicate`: the best trial's hyperparameters with new seeds, to see how much of its score was luck."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_argument, search_option, seeds_option, threads_option


@click.command("replicate")
@results_argument
@search_option
@seeds_option(default=5, help="Trainings with new seeds; more can be added later.")
@threads_option
def replicate(results: Path, eid: int | None, num_seeds: int, threads: int) -> None:
    """Train the best trial's hyperparameters with new seeds on the same split, and show its own score beside theirs.

    The best of many trials is also the luckiest: what its hyperparameters lose with new seeds was the luck of its
    seed. Validation chooses each training's epoch, as in the search. The test session stays sealed.

    Finished trainings are kept in RESULTS as an experiment of their own. After Ctrl-C the same command resumes, and
    with a larger --seeds it adds trainings.

    \b
    Example:
      harness replicate --seeds 5

    Exit codes: 0 done, 1 a training failed or no trial has finished, 2 wrong arguments or results, 130 interrupted.
    """
    from harness.cli.options import open_follow_up, require_all_finished

    with open_follow_up(results, eid, threads, "replication") as begun:
        # Imported here: they import TensorFlow, which has to be started before, or take seconds themselves.
        from rich.console import Console

        from harness.final.best_point import plan_replication
        from harness.report.findings import read_replication
        from harness.report.terminal import print_replication

        best = begun.best
        num_failed = begun.train([plan_replication(best, best.open_features(), num_seeds)])
        found = read_replication(begun.store, best.experiment)
    if found is not None:
        print_replication(Console(highlight=False, markup=False, emoji=False), found)
    require_all_finished(num_failed)
