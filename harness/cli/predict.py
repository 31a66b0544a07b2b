"""`harness predict`: the emotion of one recording, of each of many, or of each turn of a dialogue."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.errors import HarnessError, WorkFailedError, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from harness.final.predict import Classification
    from harness.final.recorded import RecordedTurn
    from harness.store.export import Value


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("wav", metavar="[WAV|FOLDER|CSV]", type=click.Path(path_type=Path), required=False)
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
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Of FOLDER, CSV or --dialogue: CSV file to write, a line for each recording; an existing file is replaced. - "
    "is standard output.",
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
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Classify one recording, many recordings, or each turn of a dialogue, with a saved model.

    MODEL is a folder that `harness retrain-best` wrote, WAV the recording of one utterance. FOLDER has many, hello.wav
    with the words in hello.txt; CSV is a file with a line for each and the columns that the model needs of id, text,
    wav, mocap, start and end. Each of them is classified on its own; one that cannot be read is named, the others are
    classified, and the exit code is 1.

    The probabilities are the mean over the model's seeds and, where scenes were disjoint in training, over its groups
    of scenes. Give every modality that the model was trained with. Of a dialogue, a system in context answers each turn
    from the others too, and any other system from the turn alone; where the model scales by speaker, the dialogue's
    turns of each speaker do. Irregularities of the files are printed on standard error, with what was done about each.

    \b
    Example:
      harness predict results/models/experiment-1-trial-17-0a1b2c3d hello.wav --text "Oh, come on!"
      harness predict results/models/experiment-1-trial-17-0a1b2c3d recordings/ --csv emotions.csv
      harness predict results/models/experiment-2-trial-4-9e8d7c6b --dialogue talk.csv
    """
    if csv_path is not None and as_json:
        raise click.UsageError("--csv and --json exclude each other; give one of them.")
    is_many = wav is not None and (wav.is_dir() or wav.suffix.lower() == ".csv")
    if is_many and (mocap or transcript is not None or start > -math.inf or end < math.inf):
        raise click.UsageError(f"'{wav}' has many recordings; give it without --text, --mocap, --start and --end.")
    if csv_path is not None and not is_many and dialogue_path is None:
        raise click.UsageError("--csv is of many recordings; give it with a folder, a CSV file or --dialogue.")
    is_one = bool(wav or mocap or transcript is not None or start > -math.inf or end < math.inf)
    if dialogue_path is not None and is_one:
        raise click.UsageError(
            "--dialogue has turns of its own; give it without WAV, --text, --mocap, --start and --end."
        )
    if dialogue_path is not None and speaker_wavs is not None:
        raise click.UsageError("--speaker-wavs is of one speaker, and --dialogue of two; give one of them.")
    # Before TensorFlow starts, so that a mistake in the file is told at once.
    from harness.final.recorded import Recorded, RecordedTurn, read_dialogue, read_recordings

    turns: Sequence[RecordedTurn] = [RecordedTurn(Recorded(wav, transcript, mocap, start, end))]
    given = dialogue_path if wav is None or dialogue_path is not None else wav
    if given is not None and (is_many or dialogue_path is not None):
        found = read_recordings(given) if is_many else read_dialogue(given)
        turns = found.turns
        if found.unread:
            click.echo(one_line(f"{given}: not read: {', '.join(map(repr, found.unread))}"), err=True)

    from harness.training.tensorflow import start_tensorflow

    start_tensorflow(threads=1)

    from rich.console import Console

    from harness.final.predict import (
        note_context,
        note_speaker_scaling,
        note_unread,
        predict_dialogue,
        predict_each,
    )

    answers: Sequence[Classification | HarnessError]
    if is_many:
        answers = _watch(predict_each(model, turns, scene, speaker_wavs), len(turns))
    else:
        answers = predict_dialogue(model, turns, scene, speaker_wavs)
    pairs = zip(turns, answers, strict=True)
    answered = [(turn, answer) for turn, answer in pairs if not isinstance(answer, HarnessError)]
    failures = [answer for answer in answers if isinstance(answer, HarnessError)]
    if not answered:
        raise failures[0]
    irregularities = [irregularity for _, answer in answered for irregularity in answer.irregularities]
    for irregularity in dict.fromkeys(irregularities):
        what = f"{irregularity.path}: {irregularity.kind} ({irregularity.detail}). {irregularity.kind.policy}"
        click.echo(one_line(what), err=True)
    notes = (
        note_unread(model, [turn for turn, _ in answered]),
        note_context(model, is_alone=dialogue_path is None),
        note_speaker_scaling(model, speaker_wavs, is_dialogue=dialogue_path is not None),
    )
    for note in filter(None, notes):
        click.echo(note, err=True)
    if csv_path is not None:
        _write_csv(csv_path, turns, answers)
    elif as_json:
        described = [_describe_turn(*pair) for pair in answered]
        is_list = is_many or dialogue_path is not None
        click.echo(json.dumps(described, indent=2) if is_list else json.dumps(dict(answered[0][1].probabilities)))
    elif is_many or dialogue_path is not None:
        console = Console(markup=False, emoji=False)
        console.print(_table_of_turns(answered, console.width))
    else:
        Console(markup=False, emoji=False).print(_table_of_one(answered[0][1]))
    for failure in failures:
        click.echo(f"not classified: {one_line(str(failure))}", err=True)
    if failures:
        raise WorkFailedError(f"{len(failures)} of {len(answers)} recordings could not be classified; the others were")


def _watch(answers: Iterator[Classification | HarnessError], number: int) -> list[Classification | HarnessError]:
    """Collect answers, with a progress bar on standard error where that is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, markup=False, emoji=False)
    return list(
        track(answers, "Classifying", total=number, console=console, disable=not console.is_terminal, transient=True)
    )


def _write_csv(
    path: Path, turns: Sequence[RecordedTurn], answers: Sequence[Classification | HarnessError]
) -> None:
    from harness.corpus.utterances import CLASSES
    from harness.report.flat_files import STANDARD_OUTPUT, write_csv, write_rows
    from harness.store.export import Column, ColumnType, Rows
    from harness.wording import plural

    classes = next((list(answer.probabilities) for answer in answers if not isinstance(answer, HarnessError)), CLASSES)
    texts = [Column(name, ColumnType.TEXT) for name in ("id", "speaker", "emotion", "error")]
    numbers = [Column(f"probability_{emotion.name.lower()}", ColumnType.NUMBER) for emotion in classes]

    def rows() -> Iterator[tuple[Value, ...]]:
        for turn, answer in zip(turns, answers, strict=True):
            if isinstance(answer, HarnessError):
                yield (turn.turn_id, turn.speaker or None, None, *[None] * len(classes), str(answer))
            else:
                emotion = answer.emotion.name.lower()
                yield (turn.turn_id, turn.speaker or None, emotion, *answer.probabilities.values(), None)

    table = Rows((*texts[:3], *numbers, texts[3]), rows())
    num_rows = write_rows(path, table, write_csv)
    if path != STANDARD_OUTPUT:
        click.echo(f"Written: {path}, {plural(num_rows, 'recording')}", err=True)


def _table_of_one(answer: Classification) -> Table:
    from rich.table import Table

    table = Table("emotion", "probability")
    for emotion, probability in sorted(answer.probabilities.items(), key=lambda item: -item[1]):
        table.add_row(f"{emotion.name.lower()} ({emotion})", f"{probability:.3f}")
    return table


def _describe_turn(turn: RecordedTurn, answer: Classification) -> dict[str, object]:
    return {
        "turn": turn.turn_id,
        "speaker": turn.speaker,
        "emotion": answer.emotion,
        "probabilities": dict(answer.probabilities),
    }


def _table_of_turns(answered: Sequence[tuple[RecordedTurn, Classification]], width: int) -> Table:
    """Return a row a turn, whose words are cut so that it fits ``width``."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    named = [("turn", "speaker", "emotion", *map(str, answered[0][1].probabilities))]
    rows = [
        (
            one_line(turn.turn_id),
            one_line(turn.speaker),
            answer.emotion.name.lower(),
            *(f"{probability:.3f}" for probability in answer.probabilities.values()),
        )
        for turn, answer in answered
    ]
    # Each column has two spaces and a line beside it.
    others = sum(max(map(cell_len, column)) + 3 for column in zip(*named, *rows, strict=True))
    room = max(1, width - others - 4)
    table = Table()
    for name in (*named[0][:2], "words", *named[0][2:]):
        is_number = name in named[0][3:]
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, min_width=5 * is_number)
    for (turn, _), row in zip(answered, rows, strict=True):
        words = Text(one_line(" ".join((turn.recorded.transcript or "").split())))
        words.truncate(room, overflow="ellipsis")
        # Text, for names in brackets would be read as styles.
        table.add_row(*map(Text, row[:2]), words, *row[2:])
    return table
