"""`harness predict`: the emotion of one recording."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("wav", type=click.Path(path_type=Path), required=False)
@click.option("--text", "transcript", help="What is said in the recording.")
@click.option(
    "--mocap",
    type=click.Path(path_type=Path),
    help="Face file in the corpus's layout (dialog/MOCAP_rotated/...); the hand and head files beside it are read too.",
)
@click.option("--start", type=float, default=-math.inf, help="Start of the utterance in the motion files, in seconds.")
@click.option("--end", type=float, default=math.inf, help="End of the utterance in the motion files, in seconds.")
@click.option(
    "--scene",
    metavar="SCENE",
    help=(
        "Scene of the corpus that the recording plays, e.g. impro03. A model that was trained with disjoint scenes "
        "then uses only its networks that have not read it.  [default: all of them]"
    ),
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object of probabilities, for scripts.")
def predict(
    model: Path,
    wav: Path | None,
    transcript: str | None,
    mocap: Path | None,
    start: float,
    end: float,
    scene: str | None,
    as_json: bool,
) -> None:
    """Classify one recording with a saved model.

    MODEL is a folder that `harness retrain-best` wrote, WAV the recording of one utterance. The probabilities are the
    mean over the model's seeds and, where scenes were disjoint in training, over its groups of scenes. Give every
    modality that the model was trained with. Irregularities of the files are printed on standard error, with what was
    done about each.

    \b
    Example:
      harness predict results/models/experiment-1-trial-17-0a1b2c3d hello.wav --text "Oh, come on!"
    """
    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads=1)

    from rich.console import Console
    from rich.table import Table

    from harness.final.predict import Recorded
    from harness.final.predict import predict as predict_emotion

    classification = predict_emotion(model, Recorded(wav, transcript, mocap, start, end), scene)
    for found in classification.irregularities:
        click.echo(f"{found.path}: {found.kind} ({found.detail}). {found.policy}", err=True)
    probabilities = classification.probabilities
    if as_json:
        click.echo(json.dumps(dict(probabilities)))
        return
    table = Table("emotion", "probability")
    for emotion, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        table.add_row(f"{emotion.name.lower()} ({emotion})", f"{probability:.3f}")
    Console().print(table)
