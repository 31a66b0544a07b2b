"""`harness evaluate`: a saved model on another corpus."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import DATABASE, open_view, threads_option, typed_command


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=(
        "Results folder for the scores, with the features of the corpora.  [default: the one that contains MODEL, or "
        "else results]"
    ),
)
@click.option(
    "--session",
    "sessions",
    type=click.IntRange(1, 5),
    multiple=True,
    help="Session of CORPUS to score; may be given several times.  [default: all]",
)
@click.option("--details", is_flag=True, help="Print all scores: groups, confusion, baselines with tests, calibration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object of scores, for scripts.")
@threads_option
def evaluate(
    model: Path,
    corpus: Path,
    results: Path | None,
    sessions: tuple[int, ...],
    details: bool,
    as_json: bool,
    threads: int,
) -> None:
    """Score a saved model on a corpus that it was not trained on.

    MODEL is a folder that `harness retrain-best` wrote, CORPUS a folder in the layout of IEMOCAP. Every utterance of
    the four classes is scored by each of the model's seeds, and the scores are kept in results.db, in the report and
    in the model card. They are not scores of a test session, and do not count as a test evaluation. A model is scored
    on the same corpus only once: a second call prints the recorded scores.

    The corpus that the model was trained on is refused, and so is a session that is the test session of an experiment
    in the results folder. The baselines need the prepared features of the training corpus in that folder.

    \b
    Example:
      harness evaluate results/models/experiment-1-trial-17-0a1b2c3d ../data/meld
    """
    if details and as_json:
        raise click.UsageError("--details and --json exclude each other; --json has all scores.")

    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads)

    from rich.console import Console

    from harness.final.evaluate import evaluate as evaluate_model
    from harness.final.saved_model import ModelRecord
    from harness.report.evaluations import evaluation_to_json
    from harness.report.final_scores import print_evaluation
    from harness.report.model_card import write_model_card
    from harness.scoring.assessment import assess_evaluation
    from harness.store.store import ResultsStore

    # Before a results folder is made for it.
    ModelRecord.read(model)
    results = results or _results_of(model)
    with ResultsStore.open(results / DATABASE) as store:
        with open_view() as view:
            evaluated = evaluate_model(store, model, corpus, sessions, typed_command(), view.preparing)
        scored = assess_evaluation(evaluated.evaluation)
        if as_json:
            click.echo(json.dumps(evaluation_to_json(scored, evaluated.left_out), allow_nan=False))
        else:
            print_evaluation(Console(markup=False, emoji=False), scored, evaluated.left_out, details=details)
        if evaluated.evaluation.eid is not None:
            write_model_card(model, store)
    name = f"evaluation {evaluated.evaluation.evaluation_id} of '{results / DATABASE}'"
    said = f"Recorded as {name}." if evaluated.is_new else f"Read from {name}: nothing was scored again."
    click.echo(said, err=True)


def _results_of(model: Path) -> Path:
    """Return the results folder that a model lies in; the default one for a model from elsewhere."""
    folder = model.absolute().parent.parent
    return folder if (folder / DATABASE).is_file() else Path("results")
