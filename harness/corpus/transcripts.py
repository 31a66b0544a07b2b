"""Transcript files: what was said in each turn."""

from __future__ import annotations

import re
from pathlib import Path

from harness.corpus.irregularities import Irregularity, IrregularityKind, irregularity_of
from harness.corpus.lines import read_lines
from harness.corpus.utterances import UTTERANCE_PATTERN

_ID = re.compile(UTTERANCE_PATTERN.pattern + r"\b")

# Only the first colon ends the id and its times: what was said may hold more of them.
_REST = re.compile(r"\s*(?:\[[^\]]*\]\s*)?:(?P<text>.*)")


def read_transcripts(path: Path) -> tuple[dict[str, str], list[Irregularity]]:
    """Read what was said in one dialogue.

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
            problem = IrregularityKind.DUPLICATE_TRANSCRIPT, "its id stands on an earlier line"
        else:
            transcripts[name[0]] = rest["text"].strip()
            if not transcripts[name[0]]:
                problem = IrregularityKind.EMPTY_TRANSCRIPT, "nothing after the colon"
        if problem is not None:
            kind, detail = problem
            utterance_id = name[0] if name else None
            irregularities.append(irregularity_of(kind, path, f"line {number}: {detail}", utterance_id))
    return transcripts, irregularities
