"""Recordings as a user gives them: of one utterance, of many, or of a dialogue's turns in a CSV file or a folder."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import Seconds
from harness.errors import CorpusError, one_line
from harness.files import read_regular, why_no_file

#: The columns of a dialogue's CSV file; others are not read.
COLUMNS = ("id", "speaker", "text", "wav", "mocap", "start", "end")
_HEADINGS = "a line of headings such as '{columns}', and below it a line for each {unit}"
_UNITS = {
    True: {"columns": "speaker,text,wav", "unit": "turn"},
    False: {"columns": "id,text,wav", "unit": "recording"},
}

_TURN_NAME = re.compile(r"(?P<number>[0-9]{1,9})_(?P<speaker>.+)")
_TURN_SUFFIXES = (".wav", ".txt")


@dataclass(frozen=True)
class Recorded:
    """One utterance as a user gives it; None for a missing input.

    Attributes:
        mocap_path: the face file of the corpus's layout; hand and head lie in the folders beside it
        start, end: seconds, the utterance's part of the motion files
    """

    wav_path: Path | None = None
    transcript: str | None = None
    mocap_path: Path | None = None
    start: Seconds = -math.inf
    end: Seconds = math.inf


@dataclass(frozen=True)
class RecordedTurn:
    """A turn of a dialogue; by default the only one.

    Attributes:
        speaker: as the user names who speaks; empty where nobody is named, as of a single recording
        turn_id: as the user names the turn
        place: where the user gives it, for errors; empty for a single recording
    """

    recorded: Recorded
    speaker: str = ""
    turn_id: str = "1"
    place: str = ""


@dataclass(frozen=True)
class RecordedDialogue:
    """The turns of a dialogue of two speakers, in their order.

    Attributes:
        unread: the columns, or the files, that are not read, by name
    """

    turns: tuple[RecordedTurn, ...]
    unread: tuple[str, ...]


def read_dialogue(path: Path) -> RecordedDialogue:
    """Read the turns of a dialogue, without opening a recording or a motion file.

    A CSV file has the column ``speaker`` and those of ``COLUMNS`` that are needed; paths in it are relative to it.
    A folder has two files for each turn, its recording ``01_F.wav`` and its words ``01_F.txt``, or one of them: the
    number orders the turns, and the rest names the speaker.

    Raises:
        CorpusError: there is no dialogue at ``path``; or a line of it, or a file, is not as it should be
    """
    dialogue = _read_folder(path) if path.is_dir() else _read_csv(path)
    speakers: list[str] = []
    for turn in dialogue.turns:
        if turn.speaker not in speakers:
            speakers.append(turn.speaker)
        if len(speakers) > 2:
            raise CorpusError(
                f"{turn.place}: speaker {turn.speaker!r} is the third, after {speakers[0]!r} and {speakers[1]!r}; "
                "expected two speakers, as in the dialogues that the models are trained on"
            )
    return dialogue


def read_recordings(path: Path) -> RecordedDialogue:
    """Read utterances that have nothing to do with each other, without opening a recording or a motion file.

    A CSV file has columns of ``COLUMNS``, ``speaker`` only for people. A folder has any recordings ``name.wav``, the
    words of each in ``name.txt``, or words alone.

    Returns:
        a turn for each utterance, in the order of the file, or by name

    Raises:
        CorpusError: there are none at ``path``; or a line of it is not as it should be
    """
    return _read_any_folder(path) if path.is_dir() else _read_csv(path, is_dialogue=False)


def _read_any_folder(folder: Path) -> RecordedDialogue:
    named = f"folder {str(folder)!r}"
    files, unread = _pair_files(folder, named, lambda path: not path.is_dir())
    if not files:
        raise CorpusError(f"{named}: has no recording; expected files such as hello.wav, with the words in hello.txt")
    turns = [
        RecordedTurn(_read_pair(found), turn_id=stem, place=f"{named}, {stem!r}") for stem, found in files.items()
    ]
    return RecordedDialogue(tuple(turns), unread)


def _pair_files(
    folder: Path, named: str, is_read: Callable[[Path], bool]
) -> tuple[dict[str, dict[str, Path]], tuple[str, ...]]:
    """Return the recording and the words of each name by their suffix, and the names of the other files."""
    files: dict[str, dict[str, Path]] = {}
    unread = []
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        suffix = path.suffix.lower()
        if suffix not in _TURN_SUFFIXES or not is_read(path):
            unread.append(path.name)
        elif suffix in files.setdefault(path.stem, {}):
            raise CorpusError(f"{named}: has two files {path.stem!r} that end in {suffix}; expected one")
        else:
            files[path.stem][suffix] = path
    return files, tuple(unread)


def _read_pair(found: Mapping[str, Path]) -> Recorded:
    words = found.get(".txt")
    transcript = None if words is None else _read_text(words, f"words {str(words)!r}").strip()
    return Recorded(found.get(".wav"), transcript)


def require_file(path: Path, named: str, expected: str) -> None:
    """Refuse what the user gives in place of a file.

    Args:
        named: begins the error
        expected: ends it

    Raises:
        CorpusError: nothing is there, or something else than a file
    """
    if fault := why_no_file(path):
        raise CorpusError(f"{named}: {fault}; expected {expected}")


def _read_csv(path: Path, is_dialogue: bool = True) -> RecordedDialogue:
    named = f"{'dialogue' if is_dialogue else 'recordings'} {str(path)!r}"
    require_file(path, named, f"a CSV file, or a folder of {'turns' if is_dialogue else 'recordings'}")
    lines = list(_split_lines(_read_text(path, named), named))
    if not lines:
        raise CorpusError(f"{named}: is empty; expected {_HEADINGS.format(**_UNITS[is_dialogue])}")
    (first, cells), *rest = lines
    names = [cell.strip().lower() for cell in cells]
    if is_dialogue and "speaker" not in names:
        raise CorpusError(
            f"{named}, line {first}: has the columns {names}; expected 'speaker' among them, and commas between them"
        )
    if not {"wav", "text", "mocap"} & set(names) and not is_dialogue:
        raise CorpusError(
            f"{named}, line {first}: has the columns {names}; expected 'wav', 'text' or 'mocap' among them, and commas "
            "between them"
        )
    for name in COLUMNS:
        if names.count(name) > 1:
            raise CorpusError(f"{named}, line {first}: has the column {name!r} twice; expected each column once")
    turns: list[RecordedTurn] = []
    for number, (line, cells) in enumerate(rest, start=1):
        place = f"{named}, line {line}"
        if len(cells) != len(names):
            raise CorpusError(
                f"{place}: has {len(cells)} cells; expected {len(names)}, as in the line of headings; "
                "put a cell that has a comma between double quotes"
            )
        values = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
        if is_dialogue and not values["speaker"]:
            raise CorpusError(f"{place}: the cell 'speaker' is empty; expected a name for who speaks, such as F or M")
        turns.append(_read_turn(values, number, place, path.parent))
    if not turns:
        raise CorpusError(
            f"{named}: has no {'turn' if is_dialogue else 'line'} below its headings; expected a line for each "
            f"{'turn' if is_dialogue else 'recording'}"
        )
    _check_ids(turns)
    if is_dialogue:
        _check_order(turns)
    return RecordedDialogue(tuple(turns), tuple(name for name in names if name not in COLUMNS))


def _split_lines(text: str, named: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that is not empty, and its cells; a cell between quotes may hold line ends."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for cells in lines:
            if any(cell.strip() for cell in cells):
                yield number, cells
            number = lines.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{named}, line {number}: cannot be read as CSV ({one_line(error)}); expected cells between commas, and "
            "double quotes around a cell or nowhere"
        ) from None


def _read_turn(values: Mapping[str, str], number: int, place: str, folder: Path) -> RecordedTurn:
    start, end = _read_seconds(values, "start", -math.inf, place), _read_seconds(values, "end", math.inf, place)
    if start >= end:
        raise CorpusError(f"{place}: is from {start:g} s to {end:g} s; expected its end after its start")
    recorded = Recorded(
        wav_path=folder / values["wav"] if values.get("wav") else None,
        transcript=values.get("text"),
        mocap_path=folder / values["mocap"] if values.get("mocap") else None,
        start=start,
        end=end,
    )
    return RecordedTurn(recorded, values.get("speaker", ""), values.get("id") or str(number), place)


def _read_seconds(values: Mapping[str, str], name: str, default: Seconds, place: str) -> Seconds:
    cell = values.get(name)
    if not cell:
        return default
    try:
        # Python's float() would take `1_000` for a thousand.
        seconds = math.nan if "_" in cell else float(cell)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise CorpusError(f"{place}: the cell {name!r} is {cell!r:.80}; expected seconds, such as 12.5")
    return seconds


def _check_ids(turns: Sequence[RecordedTurn]) -> None:
    ids: set[str] = set()
    for turn in turns:
        if turn.turn_id in ids:
            raise CorpusError(f"{turn.place}: a turn above it is named {turn.turn_id!r} too; expected each 'id' once")
        ids.add(turn.turn_id)


def _check_order(turns: Sequence[RecordedTurn]) -> None:
    """Refuse turns that go back in time, and two turns with one recording."""
    latest: Seconds = -math.inf
    recordings: dict[Path, RecordedTurn] = {}
    for turn in turns:
        start, wav_path = turn.recorded.start, turn.recorded.wav_path
        if -math.inf < start < latest:
            raise CorpusError(
                f"{turn.place}: starts at {start:g} s, and a turn above it at {latest:g} s; expected the turns in the "
                "order of the conversation"
            )
        latest = max(latest, start)
        if wav_path is not None and (other := recordings.setdefault(wav_path, turn)) is not turn:
            raise CorpusError(
                f"{turn.place}: its recording {str(wav_path)!r} is that of turn {other.turn_id!r} too; expected a "
                "recording of each turn, with this turn alone"
            )


def _read_folder(folder: Path) -> RecordedDialogue:
    named = f"dialogue {str(folder)!r}"

    def is_named(path: Path) -> bool:
        if _TURN_NAME.fullmatch(path.stem) is not None:
            return True
        if path.suffix.lower() == ".wav":
            raise CorpusError(
                f"{named}: recording {path.name!r} has no number and speaker in its name; expected a name such as "
                "01_F.wav"
            )
        return False

    files, unread = _pair_files(folder, named, is_named)
    if not files:
        found = f"none of its {len(unread)} files is one" if unread else "it is empty"
        raise CorpusError(
            f"{named}: has no turn, for {found}; expected files such as 01_F.wav and 01_F.txt, a number and a speaker"
        )
    by_number: dict[int, RecordedTurn] = {}
    for stem, of_turn in files.items():
        name = _TURN_NAME.fullmatch(stem)
        assert name is not None
        number, place = int(name["number"]), f"{named}, turn {stem!r}"
        if number in by_number:
            raise CorpusError(
                f"{place}: turn {by_number[number].turn_id!r} has the same number; expected each number once, in the "
                "order of the conversation"
            )
        by_number[number] = RecordedTurn(_read_pair(of_turn), name["speaker"], stem, place)
    return RecordedDialogue(tuple(by_number[number] for number in sorted(by_number)), unread)


def _read_text(path: Path, named: str) -> str:
    data = read_regular(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(f"{named}, line 1: begins with the mark of UTF-16; expected text in UTF-8")
    if (place := data.find(b"\0")) >= 0:
        raise CorpusError(f"{named}, line {_line_of(data, place)}: holds a NUL byte; expected text in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        raise CorpusError(
            f"{named}, line {line}: holds the byte 0x{data[error.start]:02x}, which is not UTF-8; expected text in "
            "UTF-8"
        ) from None
    if (place := text.find("\ufeff")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise CorpusError(
            f"{named}, line {line}: holds a byte order mark; expected at most one, at the beginning of the file"
        )
    return text


def _line_of(data: bytes, place: int) -> int:
    return data.count(b"\n", 0, place) + 1
