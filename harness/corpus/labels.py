"""The text files of a dialogue: its labels, with times, ratings and the raters' votes, and its transcripts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from harness.corpus.irregularities import Irregularity, IrregularityKind, Problems, irregularity_of
from harness.corpus.layout import path_in_corpus
from harness.corpus.utterances import RATING_SCALE, UTTERANCE_PATTERN, Emotion, Seconds
from harness.errors import CorpusError
from harness.files import read_regular

_TURN = re.compile(rf"(?P<id>{UTTERANCE_PATTERN.pattern})\s+(?P<emotion>\w+)(?P<rest>.*)")
# No more digits than these: a longer number could become infinite.
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{0,15})?"
_TIMES = re.compile(rf"\[\s*({_NUMBER})\s*-\s*({_NUMBER})\s*\]\s*")
_RATINGS = re.compile(rf"\s*\[\s*(-?{_NUMBER})\s*,\s*(-?{_NUMBER})\s*,\s*(-?{_NUMBER})\s*\]\s*")
_UNLABELLED_TURN = re.compile(r"\[.*\]\s+(?P<id>Ses\w+XX\d)\b")

_EXAMPLE = "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]"

#: The beginnings of lines that are no turns: the header, each rater's words (C-), and attributes (A-).
_OTHER_LINES = ("%", "C-", "A-")
#: A rater's words on the turn above: names of emotions, then a remark. Those of C-F1 and C-M1 are the actor's own.
_VOTE = re.compile(r"C-E\w*:(?P<words>[^(]*)")

_ID = re.compile(UTTERANCE_PATTERN.pattern + r"\b")

# Only the first colon ends the id and its times: the transcript may hold more of them.
_REST = re.compile(r"\s*(?:\[[^\]]*\]\s*)?:(?P<text>.*)")


@dataclass(frozen=True)
class Turn:
    """One labelled turn of a label file.

    Attributes:
        start, end: seconds from the beginning of the dialogue; NaN where unreadable
        vad: valence, activation and dominance from 1 to 5; NaN where unreadable, or not of ``RATING_SCALE``
        votes: the labels that each rater named, in the order of the file; without the actor's own
    """

    utterance_id: str
    start: Seconds
    end: Seconds
    emotion: Emotion
    vad: tuple[float, float, float]
    votes: tuple[tuple[Emotion, ...], ...] = ()


def read_annotations(path: Path) -> tuple[list[Turn], list[Irregularity]]:
    """Read the turns of one dialogue's label file.

    A line with an utterance id and a label is a turn, even where its times or ratings cannot
    be read: these are NaN then, and an irregularity.

    Args:
        path: the file, named by its dialogue

    Returns:
        the turns in the file's order, each id once; and what is wrong with the file

    Raises:
        CorpusError: there is no such file, it may not be read, or it has no turn
    """
    lines, irregularities = read_lines(path, contents="labels")
    turns: dict[str, Turn] = {}
    votes: dict[str, list[tuple[Emotion, ...]]] = {}
    voted: str | None = None
    for number, line in enumerate(lines, start=1):
        turn, problems = _parse_line(line, dialogue_id=path.stem)
        name = UTTERANCE_PATTERN.search(line)
        utterance_id = name[0] if name else None
        if not line.startswith(_OTHER_LINES):
            voted = None
        if turn is not None and turn.utterance_id in turns:
            first = turns[turn.utterance_id].emotion
            problems = [(IrregularityKind.DUPLICATE_TURN, f"labelled {turn.emotion}, and {first} earlier")]
        elif turn is not None:
            turns[turn.utterance_id] = turn
            voted = turn.utterance_id
        elif voted is not None and (vote := _VOTE.match(line)):
            utterance_id = voted
            labels, problems = _parse_vote(vote["words"])
            if labels:
                votes.setdefault(voted, []).append(labels)
        irregularities += [
            irregularity_of(kind, path, f"line {number}: {detail}", utterance_id)
            for kind, detail in problems
        ]
    if not turns:
        raise CorpusError(
            f"label file {path_in_corpus(path)!r}: found no turn of dialogue {path.stem!r} "
            f"in {len(lines)} lines; expected lines like {_EXAMPLE!r}"
        )
    return [replace(turn, votes=tuple(votes.get(name, ()))) for name, turn in turns.items()], irregularities


def _parse_vote(words: str) -> tuple[tuple[Emotion, ...], Problems]:
    """Read the labels that a rater named; a label's first three letters are its code."""
    labels: list[Emotion] = []
    problems: Problems = []
    for word in filter(None, (word.strip() for word in words.split(";"))):
        try:
            labels.append(Emotion(word[:3].lower()))
        except ValueError:
            problems.append((IrregularityKind.UNKNOWN_VOTE, f"found {word!r:.80}"))
    return tuple(labels), problems


def _parse_line(line: str, dialogue_id: str) -> tuple[Turn | None, Problems]:
    match = None if line.startswith(_OTHER_LINES) else _TURN.search(line)
    if match is None:
        return None, _describe_other_line(line)
    if match["dialogue"] != dialogue_id:
        return None, [(IrregularityKind.TURN_OF_ANOTHER_DIALOGUE, f"found {match['id']}")]
    try:
        emotion = Emotion(match["emotion"])
    except ValueError:
        return None, [(IrregularityKind.UNKNOWN_EMOTION, f"found {match['emotion']!r}")]
    problems: Problems = []
    times = _TIMES.fullmatch(line, 0, match.start())
    start, end = (float(times[1]), float(times[2])) if times else (math.nan, math.nan)
    if times is None:
        problems.append((IrregularityKind.UNREADABLE_TIMES, f"found {line[: match.start()].strip()!r}"))
    elif start >= end:
        problems.append((IrregularityKind.REVERSED_TIMES, f"from {start} s to {end} s"))
    ratings = _RATINGS.fullmatch(match["rest"])
    vad = (math.nan, math.nan, math.nan)
    if ratings is None:
        problems.append((IrregularityKind.UNREADABLE_RATINGS, f"found {match['rest'].strip()!r}"))
    else:
        valence, activation, dominance = map(float, ratings.groups())
        vad = (_rating_of(valence), _rating_of(activation), _rating_of(dominance))
        if any(map(math.isnan, vad)):
            low, high = RATING_SCALE
            detail = f"found {match['rest'].strip()!r}; expected {low} to {high}"
            problems.append((IrregularityKind.RATINGS_OFF_SCALE, detail))
    second = UTTERANCE_PATTERN.search(match["rest"])
    if second:
        problems.append((IrregularityKind.UNREADABLE_LINE, f"{second[0]} is on the line of {match['id']}"))
    return Turn(match["id"], start, end, emotion, vad), problems


def _rating_of(value: float) -> float:
    low, high = RATING_SCALE
    return value if low <= value <= high else math.nan


def _describe_other_line(line: str) -> Problems:
    if not line.strip() or line.startswith(_OTHER_LINES):
        return []
    unlabelled = _UNLABELLED_TURN.match(line)
    if unlabelled:
        return [(IrregularityKind.NOT_AN_UTTERANCE, f"found {unlabelled['id']}")]
    return [(IrregularityKind.UNREADABLE_LINE, f"found {line.strip()[:40]!r}")]


def read_transcripts(path: Path) -> tuple[dict[str, str], list[Irregularity]]:
    """Read the transcripts of one dialogue.

    Tags such as ``[LAUGHTER]`` stay where they are.

    Args:
        path: the file, named by its dialogue

    Returns:
        the transcript of each utterance id, without space around it; and what is wrong with the file

    Raises:
        CorpusError: there is no such file, or it may not be read
    """
    lines, irregularities = read_lines(path, contents="transcripts")
    transcripts: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name = _ID.match(line)
        rest = _REST.fullmatch(line, name.end()) if name else None
        problem: tuple[IrregularityKind, str] | None = None
        if name is None:
            problem = IrregularityKind.NOT_AN_UTTERANCE, f"begins with {line.split()[0][:30]!r}"
        elif rest is None:
            problem = IrregularityKind.UNREADABLE_LINE, "no colon after the id and its times"
        elif name["dialogue"] != path.stem:
            problem = IrregularityKind.TURN_OF_ANOTHER_DIALOGUE, f"found {name[0]}"
        elif name[0] in transcripts:
            problem = IrregularityKind.DUPLICATE_TRANSCRIPT, "its id is already on an earlier line"
        else:
            transcripts[name[0]] = rest["text"].strip()
            if not transcripts[name[0]]:
                problem = IrregularityKind.EMPTY_TRANSCRIPT, "nothing after the colon"
        if problem is not None:
            kind, detail = problem
            utterance_id = name[0] if name else None
            irregularities.append(irregularity_of(kind, path, f"line {number}: {detail}", utterance_id))
    return transcripts, irregularities


def read_lines(path: Path, contents: str) -> tuple[list[str], list[Irregularity]]:
    """Read a label file or a transcript file.

    Args:
        path: the file
        contents: its expected contents, for the error, e.g. ``"labels"``

    Returns:
        its lines without their ends; and what is wrong with its bytes

    Raises:
        CorpusError: there is no such file, it may not be read, or it is in UTF-16
    """
    try:
        data = read_regular(path)
    except OSError as error:
        raise CorpusError(
            f"file {path_in_corpus(path)!r}: cannot be read ({error.strerror}); expected {contents}"
        ) from error
    irregularities: list[Irregularity] = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CorpusError(
            f"file {path_in_corpus(path)!r}, line 1: begins with a UTF-16 byte order mark; expected {contents} in UTF-8"
        )
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        detail = f"{data.count(bytes(1))} of them, the first on line {line}"
        irregularities.append(irregularity_of(IrregularityKind.NUL_BYTES, path, detail))
        data = data.replace(b"\0", b"")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        detail = f"line {line} holds the byte 0x{data[error.start]:02x}"
        irregularities.append(irregularity_of(IrregularityKind.NOT_UTF8, path, detail))
        text = data.decode("latin-1")
    if "\r\n" in text:
        num_lines = text.count("\r\n")
        irregularities.append(irregularity_of(IrregularityKind.CRLF_LINE_ENDS, path, f"{num_lines} lines"))
        text = text.replace("\r\n", "\n")
    if "\r" in text and "\n" not in text:
        detail = f"{text.count(chr(13))} lines that end in CR alone"
        irregularities.append(irregularity_of(IrregularityKind.CRLF_LINE_ENDS, path, detail))
        text = text.replace("\r", "\n")
    # Not splitlines: Latin-1's 0x85 would end a line there.
    return text.split("\n"), irregularities
