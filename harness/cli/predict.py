"""`harness predict`: the emotion of one recording, or of each turn of a dialogue."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from harness.final.predict import Classification
    from harness.final.recorded import RecordedTurn


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
    "--dialogue",
    "dialogue_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="In place of WAV and its options, the turns of a conversation of two speakers, in their order: a CSV file "
    "with the column speaker and, as the model needs them, text, wav, mocap, start, end and id; or a folder of "
    "01_F.wav with the words in 01_F.txt, and so on.",
)
@click.option(
    "--scene",
    metavar="SCENE",
    help=(
        "Scene of the corpus that the recording plays, e.g. impro03. A model that was trained with disjoint scenes "
        "then uses only its networks that have not read it.  [default: all of them]"
    ),
)
@click.option(
    "--speaker-wavs",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Recordings of the speaker, best of many turns: a model that scales speech by speaker takes their mean and "
    "deviation, or counts them as turns before this one.  [default: the training utterances]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object of probabilities, or a list of one a turn, for scripts."
)
def predict(
    model: Path,
    wav: Path | None,
    transcript: str | None,
    mocap: Path | None,
    start: float,
    end: float,
    dialogue_path: Path | None,
    scene: str | None,
    speaker_wavs: Path | None,
    as_json: bool,
) -> None:
    """Classify one recording, or each turn of a dialogue, with a saved model.

    MODEL is a folder that `harness retrain-best` wrote, WAV the recording of one utterance. The probabilities are the
    mean over the model's seeds and, where scenes were disjoint in training, over its groups of scenes. Give every
    modality that the model was trained with. Of a dialogue, a system in context answers each turn from the others too,
    and any other system from the turn alone. Irregularities of the files are printed on standard error, with what was
    done about each.

    \b
    Example:
      harness predict results/models/experiment-1-trial-17-0a1b2c3d hello.wav --text "Oh, come on!"
      harness predict results/models/experiment-2-trial-4-9e8d7c6b --dialogue talk.csv
    """
    is_one = bool(wav or mocap or transcript is not None or start > -math.inf or end < math.inf)
    if dialogue_path is not None and is_one:
        raise click.UsageError(
            "--dialogue has turns of its own; give it without WAV, --text, --mocap, --start and --end."
        )
    if dialogue_path is not None and speaker_wavs is not None:
        raise click.UsageError("--speaker-wavs is of one speaker, and --dialogue of two; give one of them.")
    # Before TensorFlow starts, so that a mistake in the file is told at once.
    from harness.final.recorded import Recorded, RecordedTurn, read_dialogue

    turns: Sequence[RecordedTurn] = [RecordedTurn(Recorded(wav, transcript, mocap, start, end))]
    if dialogue_path is not None:
        dialogue = read_dialogue(dialogue_path)
        turns = dialogue.turns
        if dialogue.unread:
            click.echo(f"{dialogue_path}: not read: {', '.join(map(repr, dialogue.unread))}", err=True)

    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads=1)

    from rich.console import Console
    from rich.table import Table

    from harness.final.predict import note_context, note_speaker_scaling, note_unread, predict_dialogue

    answers = predict_dialogue(model, turns, scene, speaker_wavs)
    irregularities = [found for answer in answers for found in answer.irregularities]
    for found in dict.fromkeys(irregularities):
        click.echo(f"{found.path}: {found.kind} ({found.detail}). {found.policy}", err=True)
    notes = (
        note_unread(model, turns),
        note_context(model, is_alone=dialogue_path is None),
        note_speaker_scaling(model, speaker_wavs),
    )
    for note in filter(None, notes):
        click.echo(note, err=True)
    if dialogue_path is not None:
        if as_json:
            click.echo(json.dumps([_describe_turn(*pair) for pair in zip(turns, answers, strict=True)], indent=2))
        else:
            console = Console()
            console.print(_table_of_turns(turns, answers, console.width))
        return
    probabilities = answers[0].probabilities
    if as_json:
        click.echo(json.dumps(dict(probabilities)))
        return
    table = Table("emotion", "probability")
    for emotion, probability in sorted(probabilities.items(), key=lambda item: -item[1]):
        table.add_row(f"{emotion.name.lower()} ({emotion})", f"{probability:.3f}")
    Console().print(table)


def _describe_turn(turn: RecordedTurn, answer: Classification) -> dict[str, object]:
    return {
        "turn": turn.turn_id,
        "speaker": turn.speaker,
        "emotion": max(answer.probabilities, key=answer.probabilities.__getitem__),
        "probabilities": dict(answer.probabilities),
    }


def _table_of_turns(turns: Sequence[RecordedTurn], answers: Sequence[Classification], width: int) -> Table:
    """Return a row a turn, whose words are cut so that it fits ``width``."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from harness.errors import one_line

    named = [("turn", "speaker", "emotion", *map(str, answers[0].probabilities))]
    rows = [
        (
            one_line(turn.turn_id),
            one_line(turn.speaker),
            max(answer.probabilities, key=answer.probabilities.__getitem__).name.lower(),
            *(f"{probability:.3f}" for probability in answer.probabilities.values()),
        )
        for turn, answer in zip(turns, answers, strict=True)
    ]
    # Each column has two spaces and a line beside it.
    others = sum(max(map(cell_len, column)) + 3 for column in zip(*named, *rows, strict=True))
    room = max(1, width - others - 4)
    table = Table()
    for name in (*named[0][:2], "words", *named[0][2:]):
        is_number = name in named[0][3:]
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, min_width=5 * is_number)
    for turn, row in zip(turns, rows, strict=True):
        words = Text(one_line(" ".join((turn.recorded.transcript or "").split())))
        words.truncate(room, overflow="ellipsis")
        # Text, for names in brackets would be read as styles.
        table.add_row(*map(Text, row[:2]), words, *row[2:])
    return table
