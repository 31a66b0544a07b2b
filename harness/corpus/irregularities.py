"""The irregularities of a corpus by kind, and the policy for each kind.

A reader returns what it could read together with its irregularities; it raises only where the
file is not of the kind that belongs in its place. No policy takes an utterance of the four
classes out of the index: what it lacks is marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from harness.corpus.layout import path_in_corpus
from harness.corpus.utterances import DIALOGUE_PATTERN, UTTERANCE_PATTERN
from harness.errors import CorpusError

Contents = TypeVar("Contents")


class IrregularityKind(StrEnum):
    """Everything that a corpus may have and that must neither stop a run nor change it silently."""

    MACOS_FILE = "macOS file"
    CRLF_LINE_ENDS = "CRLF line ends"
    NOT_UTF8 = "not UTF-8"
    NUL_BYTES = "NUL bytes"
    UNREADABLE_FILE = "unreadable file"
    UNREADABLE_LINE = "unreadable line"
    NOT_AN_UTTERANCE = "not an utterance"

    MISSING_LABEL_FILE = "missing label file"
    UNREAD_LABEL_FILE = "unread label file"
    DUPLICATE_TURN = "duplicate turn"
    TURN_OF_ANOTHER_DIALOGUE = "turn of another dialogue"
    UNKNOWN_EMOTION = "unknown emotion"
    UNREADABLE_TIMES = "unreadable times"
    REVERSED_TIMES = "reversed times"
    UNREADABLE_RATINGS = "unreadable ratings"
    RATINGS_OFF_SCALE = "ratings off the scale"
    UNKNOWN_VOTE = "unknown vote"
    ENDS_BEYOND_RECORDING = "ends beyond recording"

    MISSING_TRANSCRIPT_FILE = "missing transcript file"
    MISSING_TRANSCRIPT = "missing transcript"
    EMPTY_TRANSCRIPT = "empty transcript"
    DUPLICATE_TRANSCRIPT = "duplicate transcript"
    TRANSCRIPT_WITHOUT_TURN = "transcript without turn"

    MISSING_RECORDING = "missing recording"
    MISSING_DIALOGUE_RECORDING = "missing dialogue recording"
    RECORDING_WITHOUT_TURN = "recording without turn"
    EMPTY_RECORDING = "empty recording"
    UNREADABLE_RECORDING = "unreadable recording"
    TRUNCATED_RECORDING = "truncated recording"
    SHORTER_THAN_TURN = "shorter than turn"
    SHORTER_THAN_WINDOW = "shorter than window"
    STEREO_RECORDING = "stereo recording"
    MONO_DIALOGUE_RECORDING = "mono dialogue recording"
    OTHER_SAMPLING_RATE = "other sampling rate"
    OTHER_SAMPLE_FORMAT = "other sample format"
    BEYOND_FULL_SCALE = "beyond full scale"
    CLIPPED_RECORDING = "clipped recording"
    SILENT_RECORDING = "silent recording"

    MISSING_MOCAP = "missing mocap"
    EMPTY_MOCAP = "empty mocap"
    TRUNCATED_MOCAP = "truncated mocap"
    UNREADABLE_MOCAP_HEADER = "unreadable mocap header"
    LOST_MOCAP = "lost mocap"
    MOCAP_GAP = "mocap gap"
    UNEVEN_SPACING = "uneven spacing"
    UNORDERED_ROWS = "unordered rows"
    ROWS_WITHOUT_TIME = "rows without time"
    IMPOSSIBLE_VALUES = "impossible values"
    FEW_MOCAP_ROWS = "few mocap rows"
    NO_MOCAP_ROWS = "no mocap rows"


_KIND = IrregularityKind
POLICIES: Mapping[IrregularityKind, str] = MappingProxyType(
    {
        _KIND.MACOS_FILE: "Not read: it holds a file's attributes, not the file.",
        _KIND.CRLF_LINE_ENDS: "Read as if the lines ended in LF.",
        _KIND.NOT_UTF8: "The whole file is read as Latin-1, in which every byte is a character.",
        _KIND.NUL_BYTES: "Left out of the lines in which they stand.",
        _KIND.UNREADABLE_FILE: "Treated as missing; the utterances that need it are marked as lacking it.",
        _KIND.UNREADABLE_LINE: "Left out: it names no utterance that could be kept.",
        _KIND.NOT_AN_UTTERANCE: "Left out, as the corpus intends: the line has no labelled turn.",
        _KIND.MISSING_LABEL_FILE: "The dialogue is left out: none of its turns has a label.",
        _KIND.UNREAD_LABEL_FILE: "Left out: it is not where the label file of a dialogue is expected.",
        _KIND.DUPLICATE_TURN: "The first line is used, the later ones are left out.",
        _KIND.TURN_OF_ANOTHER_DIALOGUE: "Left out here: the dialogue that the id names has its own file.",
        _KIND.UNKNOWN_EMOTION: "Left out of the index: it has none of the corpus's labels.",
        _KIND.UNREADABLE_TIMES: "Kept with unknown times: without mocap, and without speech that is cut by time.",
        _KIND.REVERSED_TIMES: "Kept without mocap, and without speech that is cut by time: the turn has no duration.",
        _KIND.UNREADABLE_RATINGS: "Kept, with NaN for valence, activation and dominance.",
        _KIND.RATINGS_OFF_SCALE: "Kept, with NaN for each rating that is off the scale.",
        _KIND.UNKNOWN_VOTE: "The word is left out of the rater's vote; the turn's label is kept.",
        _KIND.ENDS_BEYOND_RECORDING: "Kept as labelled: the sound and the rows that exist are used.",
        _KIND.MISSING_TRANSCRIPT_FILE: "The dialogue's utterances are kept and marked as without transcript.",
        _KIND.MISSING_TRANSCRIPT: "Kept, and marked as without transcript.",
        _KIND.EMPTY_TRANSCRIPT: "Kept, with an empty transcript.",
        _KIND.DUPLICATE_TRANSCRIPT: "The first line is used, the later ones are left out.",
        _KIND.TRANSCRIPT_WITHOUT_TURN: "Left out: no labelled turn has this id.",
        _KIND.MISSING_RECORDING: "Kept, and marked as without recording.",
        _KIND.MISSING_DIALOGUE_RECORDING: "Turn ends are not checked; speech that is cut from it is missing.",
        _KIND.RECORDING_WITHOUT_TURN: "Not read: no labelled turn has this id.",
        _KIND.EMPTY_RECORDING: "Kept, and marked as without recording.",
        _KIND.UNREADABLE_RECORDING: "Kept, and marked as without recording.",
        _KIND.TRUNCATED_RECORDING: "The samples that exist are used.",
        _KIND.SHORTER_THAN_TURN: "The samples that exist are used.",
        _KIND.SHORTER_THAN_WINDOW: "Kept, with no speech frame.",
        _KIND.STEREO_RECORDING: "Its channels are averaged into one.",
        _KIND.MONO_DIALOGUE_RECORDING: "Its only channel is used as the left one.",
        _KIND.OTHER_SAMPLING_RATE: "Resampled to 16 kHz.",
        _KIND.OTHER_SAMPLE_FORMAT: "Read in its own format and scaled to the same range.",
        _KIND.BEYOND_FULL_SCALE: "Scaled down by its peak; speech features are relative to the peak anyway.",
        _KIND.CLIPPED_RECORDING: "Used as it is.",
        _KIND.SILENT_RECORDING: "Used as it is.",
        _KIND.MISSING_MOCAP: "Its columns are marked as lost for the dialogue; no other take's file is read.",
        _KIND.EMPTY_MOCAP: "Its columns are marked as lost for the dialogue.",
        _KIND.TRUNCATED_MOCAP: "The rows before the broken last line are used.",
        _KIND.UNREADABLE_MOCAP_HEADER: "The rows are used, and the columns named by their number.",
        _KIND.LOST_MOCAP: "Kept; its columns are marked as lost, although it has rows.",
        _KIND.MOCAP_GAP: "The rows on both sides are used: windows divide the existing rows, not the time.",
        _KIND.UNEVEN_SPACING: "Several spaces are read as one.",
        _KIND.UNORDERED_ROWS: "The rows are sorted by time.",
        _KIND.ROWS_WITHOUT_TIME: "Those rows are left out: they are in no utterance.",
        _KIND.IMPOSSIBLE_VALUES: "Those values are marked as lost.",
        _KIND.FEW_MOCAP_ROWS: "Kept; the windows that have no row are marked as empty.",
        _KIND.NO_MOCAP_ROWS: "Kept, and marked as without mocap.",
    }
)


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

    @property
    def policy(self) -> str:
        """The treatment of such a thing, in one sentence."""
        return POLICIES[self.kind]


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
