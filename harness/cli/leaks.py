"""`harness leaks`: how many points each leak between the parts of a split adds."""

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
    help=(
        "Score turns of the test session; the splits with leaks train on the rest of it. Each test evaluation is "
        "recorded, and shown in every later report.  [default: the search's sessions alone]"
    ),
)
@seeds_option(
    default=4,
    help="Draws of the scored utterances, each trained once under each of the four splits; more can be added later.",
)
@threads_option
def leaks(results: Path, eid: int | None, opens_test: bool, num_seeds: int, threads: int) -> None:
    """Train the best trial's hyperparameters under splits with more or fewer leaks, and show how much each leak adds.

    Four splits, each stricter than the one before: random; speaker-disjoint; session-disjoint (training has none of
    the partner's turns either); scene-disjoint (nor the same scenes, played by others). All four score the same
    utterances, a part of one speaker's turns, and train on equally many, so the difference is the leak. Each seed
    draws another speaker, and without --test from another session of the search.

    Finished trainings are kept in RESULTS as four experiments of their own. After Ctrl-C the same command resumes, and
    with a larger --seeds it adds trainings.

    \b
    Example:
      harness leaks --seeds 4

    Exit codes: 0 done, 1 a training failed or no trial has finished, 2 wrong arguments or results, 130 interrupted.
    """
    from harness.cli.options import name_test_scores, open_follow_up, require_all_finished, typed_command

    with name_test_scores(results) as stores, open_follow_up(results, eid, threads, "leaks") as begun:
        stores.append(begun.store)
        # Imported here: they import TensorFlow, which has to be started before, or take seconds themselves.
        from rich.console import Console

        from harness.final.leaks import LeaksPlan, plan_experiments, record_leaks_opening
        from harness.report.final_scores import describe_intent
        from harness.report.findings import read_leaks
        from harness.report.terminal import print_leaks

        best, store = begun.best, begun.store
        plan = LeaksPlan(best, best.open_features(), num_seeds, opens_test)
        if opens_test:
            test_set = f"turns of {best.spec.protocol.test_set}"
            begun.view.announce(describe_intent(store, [best.experiment], test_set, 4 * num_seeds))
        opening_id = record_leaks_opening(plan, store, typed_command()) if opens_test else None
        num_failed = begun.train(plan_experiments(plan), opening_id)
        if opening_id is not None and not num_failed:
            store.complete_opening(opening_id)
        found = read_leaks(store, best.experiment, opens_test=opens_test)
    if found is not None:
        print_leaks(Console(highlight=False, markup=False, emoji=False), found)
    require_all_finished(num_failed)
