"""The irregularities of a corpus by kind, and the policy for each kind.

A reader returns what it could read together with its irregularities; it raises only where the
file is not of the kind that belongs in its place. No policy takes an utterance of the four
classes out of the index: what it lacks is marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from harness.corpus.layout import path_in_corpus
from harness.corpus.utterances import DIALOGUE_PATTERN, UTTERANCE_PATTERN
from harness.errors import CorpusError

Contents = TypeVar("Contents")


class IrregularityKind(StrEnum):
    """Everything that a corpus may have and that must neither stop a run nor change it silently.

    Attributes:
        policy: the treatment of such a thing, in one sentence
    """

    policy: str

    def __new__(cls, value: str, policy: str) -> IrregularityKind:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.policy = policy
        return kind

    MACOS_FILE = "macOS file", "Not read: it holds a file's attributes, not the file."
    CRLF_LINE_ENDS = "CRLF line ends", "Read as if the lines ended in LF."
    NOT_UTF8 = "not UTF-8", "The whole file is read as Latin-1, in which every byte is a character."
    NUL_BYTES = "NUL bytes", "Left out of the lines in which they stand."
    UNREADABLE_FILE = "unreadable file", "Treated as missing; the utterances that need it are marked as lacking it."
    UNREADABLE_LINE = "unreadable line", "Left out: it names no utterance that could be kept."
    NOT_AN_UTTERANCE = "not an utterance", "Left out, as the corpus intends: the line has no labelled turn."

    MISSING_LABEL_FILE = "missing label file", "The dialogue is left out: none of its turns has a label."
    UNREAD_LABEL_FILE = "unread label file", "Left out: it is not where the label file of a dialogue is expected."
    DUPLICATE_TURN = "duplicate turn", "The first line is used, the later ones are left out."
    TURN_OF_ANOTHER_DIALOGUE = (
        "turn of another dialogue",
        "Left out here: the dialogue that the id names has its own file.",
    )
    UNKNOWN_EMOTION = "unknown emotion", "Left out of the index: it has none of the corpus's labels."
    UNREADABLE_TIMES = (
        "unreadable times",
        "Kept with unknown times: without mocap, and without speech that is cut by time.",
    )
    REVERSED_TIMES = (
        "reversed times",
        "Kept without mocap, and without speech that is cut by time: the turn has no duration.",
    )
    UNREADABLE_RATINGS = "unreadable ratings", "Kept, with NaN for valence, activation and dominance."
    RATINGS_OFF_SCALE = "ratings off the scale", "Kept, with NaN for each rating that is off the scale."
    UNKNOWN_VOTE = "unknown vote", "The word is left out of the rater's vote; the turn's label is kept."
    ENDS_BEYOND_RECORDING = "ends beyond recording", "Kept as labelled: the sound and the rows that exist are used."

    MISSING_TRANSCRIPT_FILE = (
        "missing transcript file",
        "The dialogue's utterances are kept and marked as without transcript.",
    )
    MISSING_TRANSCRIPT = "missing transcript", "Kept, and marked as without transcript."
    EMPTY_TRANSCRIPT = "empty transcript", "Kept, with an empty transcript."
    DUPLICATE_TRANSCRIPT = "duplicate transcript", "The first line is used, the later ones are left out."
    TRANSCRIPT_WITHOUT_TURN = "transcript without turn", "Left out: no labelled turn has this id."

    MISSING_RECORDING = "missing recording", "Kept, and marked as without recording."
    MISSING_DIALOGUE_RECORDING = (
        "missing dialogue recording",
        "Turn ends are not checked; speech that is cut from it is missing.",
    )
    RECORDING_WITHOUT_TURN = "recording without turn", "Not read: no labelled turn has this id."
    EMPTY_RECORDING = "empty recording", "Kept, and marked as without recording."
    UNREADABLE_RECORDING = "unreadable recording", "Kept, and marked as without recording."
    TRUNCATED_RECORDING = "truncated recording", "The samples that exist are used."
    SHORTER_THAN_TURN = "shorter than turn", "The samples that exist are used."
    SHORTER_THAN_WINDOW = "shorter than window", "Kept, with no speech frame."
    STEREO_RECORDING = "stereo recording", "Its channels are averaged into one."
    MONO_DIALOGUE_RECORDING = "mono dialogue recording", "Its only channel is used as the left one."
    OTHER_SAMPLING_RATE = "other sampling rate", "Resampled to 16 kHz."
    OTHER_SAMPLE_FORMAT = "other sample format", "Read in its own format and scaled to the same range."
    BEYOND_FULL_SCALE = "beyond full scale", "Scaled down by its peak; speech features are relative to the peak anyway."
    CLIPPED_RECORDING = "clipped recording", "Used as it is."
    SILENT_RECORDING = "silent recording", "Used as it is."

    MISSING_MOCAP = "missing mocap", "Its columns are marked as lost for the dialogue; no other take's file is read."
    EMPTY_MOCAP = "empty mocap", "Its columns are marked as lost for the dialogue."
    TRUNCATED_MOCAP = "truncated mocap", "The rows before the broken last line are used."
    UNREADABLE_MOCAP_HEADER = "unreadable mocap header", "The rows are used, and the columns named by their number."
    LOST_MOCAP = "lost mocap", "Kept; its columns are marked as lost, although it has rows."
    MOCAP_GAP = "mocap gap", "The rows on both sides are used: windows divide the existing rows, not the time."
    UNEVEN_SPACING = "uneven spacing", "Several spaces are read as one."
    UNORDERED_ROWS = "unordered rows", "The rows are sorted by time."
    ROWS_WITHOUT_TIME = "rows without time", "Those rows are left out: they are in no utterance."
    IMPOSSIBLE_VALUES = "impossible values", "Those values are marked as lost."
    FEW_MOCAP_ROWS = "few mocap rows", "Kept; the windows that have no row are marked as empty."
    NO_MOCAP_ROWS = "no mocap rows", "Kept, and marked as without mocap."


#: What is wrong with one file, in the order of the findings: kind and detail.
Problems = list[tuple[IrregularityKind, str]]


@dataclass(frozen=True)
class Irregularity:
    """One thing that is not as it should be.

    Attributes:
        dialogue_id: the dialogue it concerns; the file's name without suffix outside of a corpus
        utterance_id: the utterance it concerns; None where it concerns the whole file
        path: from the corpus's root, with ``/``
        detail: the finding, in a few words
    """

    kind: IrregularityKind
    dialogue_id: str
    utterance_id: str | None
    path: str
    detail: str


def irregularity_of(
    kind: IrregularityKind, path: Path, detail: str, utterance_id: str | None = None
) -> Irregularity:
    """Describe an irregularity of the file at ``path``, taking the ids from its name.

    Args:
        path: inside a corpus, or any file
        utterance_id: the utterance concerned, where the file holds several

    Example:
        >>> found = irregularity_of(
        ...     IrregularityKind.EMPTY_RECORDING, Path("Ses01F_impro01_M003.wav"), "0 bytes"
        ... )
        >>> found.dialogue_id, found.utterance_id
        ('Ses01F_impro01', 'Ses01F_impro01_M003')
    """
    stem = path.name.removeprefix("._").removesuffix(path.suffix)
    dialogue = DIALOGUE_PATTERN.match(stem)
    if utterance_id is None and UTTERANCE_PATTERN.fullmatch(stem):
        utterance_id = stem
    return Irregularity(
        kind=kind,
        dialogue_id=dialogue["dialogue"] if dialogue else stem,
        utterance_id=utterance_id,
        path=path_in_corpus(path),
        detail=detail,
    )


def read_or_note(
    path: Path,
    read: Callable[[Path], tuple[Contents, list[Irregularity]]],
    found: list[Irregularity],
    missing: IrregularityKind | None = None,
) -> Contents | None:
    """Read a file that may be missing or damaged, and note its irregularities in ``found``.

    Args:
        missing: the kind to note where there is no such file; None to note nothing then

    Returns:
        None where there is no such file, or it cannot be read
    """
    if not path.exists():
        if missing is not None:
            found.append(irregularity_of(missing, path, "no such file"))
        return None
    try:
        contents, irregularities = read(path)
    except CorpusError as error:
        found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
        return None
    found += irregularities
    return contents


def count_by_kind(irregularities: Iterable[Irregularity]) -> dict[IrregularityKind, int]:
    """Count the irregularities of each kind that occurs, in the order of the kinds."""
    counts = Counter(irregularity.kind for irregularity in irregularities)
    return {kind: counts[kind] for kind in IrregularityKind if counts[kind]}


def merge_irregularities(*parts: Iterable[Irregularity]) -> tuple[Irregularity, ...]:
    """Join the findings of several readers; a finding that two readers share stands once.

    Two readers share a finding where its kind, path and utterance are the same; the earlier
    one's words are kept. Findings of one reader are never joined.

    Returns:
        all irregularities, in the order of the kinds, then by path and utterance
    """
    merged: list[Irregularity] = []
    known: set[tuple[IrregularityKind, str, str | None]] = set()
    for part in parts:
        new = [found for found in part if (found.kind, found.path, found.utterance_id) not in known]
        merged += new
        known.update((found.kind, found.path, found.utterance_id) for found in new)
    order = {kind: position for position, kind in enumerate(IrregularityKind)}
    return tuple(
        sorted(merged, key=lambda found: (order[found.kind], found.path, found.utterance_id or ""))
    )
