"""`harness leaks`: how many points each leak between the parts of a split buys."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import results_argument, search_option, seeds_option, threads_option


@click.command("leaks")
@results_argument
@search_option
@click.option(
    "--test",
    "opens_test",
    is_flag=True,
    help="Score turns of the test session, on the rest of which the leaking splits train. Each test evaluation is "
    "recorded, and reported for ever.  [default: the search's sessions alone]",
)
@seeds_option(
    default=4,
    help="Draws of what is scored, each trained once under each of the four splits; more can be added later.",
)
@threads_option
def leaks(results: Path, eid: int | None, opens_test: bool, num_seeds: int, threads: int) -> None:
    """Train the best trial's hyperparameters under splits that leak more or less, and show the points that each buys.

    Four splits, each stricter than the one before: random; speaker-disjoint; session-disjoint (the dialogue's
    partner is not heard either); scene-disjoint (nor is the scene, by whomever). All score the same
    utterances, a part of one speaker's turns, and train on equally many, so that the difference is the leak. Each
    seed draws another speaker: without --test from another of the search's sessions.

    Finished trainings are kept in RESULTS, four experiments of their own: after Ctrl-C, or with more seeds, the
    same command resumes.

    \b
    Example:
      harness leaks --seeds 4

    Exit codes: 0 done, 1 a training failed or no trial has finished, 2 wrong arguments or results, 130 interrupted.
    """
    from rich.console import Console

    from harness.cli.options import open_follow_up, require_all_finished, typed_command
    from harness.report.findings import read_leaks
    from harness.report.terminal import print_leaks

    with open_follow_up(results, eid, threads, "leaks") as begun:
        # Imported here: these import TensorFlow, which has to be started before.
        from harness.final.leaks import LeaksPlan, plan_experiments, record_leaks_opening

        best, store = begun.best, begun.store
        plan = LeaksPlan(best, best.open_features(), num_seeds, opens_test)
        opening_id = record_leaks_opening(plan, store, typed_command()) if opens_test else None
        num_failed = begun.train(plan_experiments(plan), opening_id)
        if opening_id is not None and not num_failed:
            store.complete_opening(opening_id)
        found = read_leaks(store, best.experiment, opens_test=opens_test)
    if found is not None:
        print_leaks(Console(highlight=False), found)
    require_all_finished(num_failed)
