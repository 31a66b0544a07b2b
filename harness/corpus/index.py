"""Every utterance of a corpus, with what is missing marked and what is wrong told.

The index reads labels, transcripts and the headers of recordings; it opens no mocap file.

Whether a corpus is complete: its counts against those that were published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from joblib import Parallel, delayed

from harness.corpus.audio import RecordingHeader, read_header
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    irregularity_of,
    merge_irregularities,
)
from harness.corpus.labels import Turn, read_annotations, read_transcripts
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.utterances import CLASSES, Emotion, Seconds, Utterance, parse_utterance_id
from harness.errors import CorpusError

#: The shortest recording that gives a speech frame. Source: paper, section 4.1 (0.2 s windows).
SHORTEST_WINDOW: Seconds = 0.2

#: How much shorter than its labelled time a recording may be: one hop of the speech features,
#: below which no frame is lost for sure.
DURATION_TOLERANCE: Seconds = 0.1

#: Times have four decimals.
TIME_TOLERANCE: Seconds = 0.0001


@dataclass(frozen=True)
class DialogueIndex:
    """The utterances of one dialogue, sorted by id, and what is wrong with its files."""

    dialogue_id: str
    utterances: tuple[Utterance, ...]
    irregularities: tuple[Irregularity, ...]


@dataclass(frozen=True)
class CorpusIndex:
    """The utterances of all labels, sorted by id, and what is wrong with the corpus."""

    utterances: tuple[Utterance, ...]
    irregularities: tuple[Irregularity, ...]


def build_index(layout: CorpusLayout, jobs: int = 1) -> CorpusIndex:
    """Index a whole corpus.

    Args:
        layout: where its files are
        jobs: dialogues to read at once; -1 for one a core

    Raises:
        CorpusError: no dialogue has a label file
    """
    dialogues = Parallel(n_jobs=jobs)(delayed(read_dialogue)(layout, name) for name in list_dialogues(layout))
    utterances = sorted(
        (utterance for dialogue in dialogues for utterance in dialogue.utterances),
        key=lambda utterance: utterance.utterance_id,
    )
    unlabelled = [find_unlabelled_dialogues(layout, session) for session in layout.sessions()]
    irregularities = merge_irregularities(
        *(dialogue.irregularities for dialogue in dialogues), *unlabelled
    )
    return CorpusIndex(tuple(utterances), irregularities)


def list_dialogues(layout: CorpusLayout) -> list[str]:
    """List the dialogues of all sessions that have a label file, sorted.

    Raises:
        CorpusError: there is none
    """
    dialogue_ids = [name for session in layout.sessions() for name in layout.dialogue_ids(session)]
    if not dialogue_ids:
        raise CorpusError(
            f"corpus {str(layout.root)!r}: found no label file; expected some like "
            f"{layout.relative(layout.annotation_path('Ses01F_impro01'))!r}"
        )
    return dialogue_ids


def find_unlabelled_dialogues(layout: CorpusLayout, session: int) -> list[Irregularity]:
    """Tell the dialogues of a session that have files but no labels, and so are in no index."""
    return [
        irregularity_of(
            IrregularityKind.MISSING_LABEL_FILE, layout.annotation_path(dialogue_id), "no such file"
        )
        for dialogue_id in layout.unlabelled_dialogue_ids(session)
    ]


def read_dialogue(layout: CorpusLayout, dialogue_id: str) -> DialogueIndex:
    """Index one dialogue; no file of it, however damaged, makes this fail.

    ``num_mocap_rows`` is 0 for every utterance until ``with_mocap_rows`` fills it.
    """
    irregularities = [
        irregularity_of(IrregularityKind.MACOS_FILE, path, "beside the file it is named after")
        for path in layout.macos_files(dialogue_id)
    ]
    turns = _read_turns(layout, dialogue_id, irregularities)
    transcripts = _read_transcripts(layout, dialogue_id, irregularities)
    dialogue = _read_dialogue_header(layout, dialogue_id, irregularities)
    irregularities += _find_missing_mocap(layout, dialogue_id)
    irregularities += _find_strays(layout, dialogue_id, turns, transcripts)
    utterances = []
    for turn in sorted(turns, key=lambda turn: turn.utterance_id):
        header = _read_utterance_header(layout, turn, irregularities)
        irregularities += _check_times(layout, turn, header, dialogue)
        if turn.utterance_id not in transcripts:
            path = layout.transcript_path(dialogue_id)
            irregularities.append(
                irregularity_of(IrregularityKind.MISSING_TRANSCRIPT, path, "no line", turn.utterance_id)
            )
        utterances.append(_make_utterance(layout, turn, header, transcripts.get(turn.utterance_id)))
    return DialogueIndex(dialogue_id, tuple(utterances), merge_irregularities(irregularities))


def with_mocap_rows(
    utterances: Iterable[Utterance], num_rows: Mapping[str, int]
) -> tuple[Utterance, ...]:
    """Fill in how many mocap rows each utterance has; an id that ``num_rows`` lacks has none."""
    return tuple(
        replace(utterance, num_mocap_rows=num_rows.get(utterance.utterance_id, 0)) for utterance in utterances
    )


def _make_utterance(
    layout: CorpusLayout, turn: Turn, header: RecordingHeader | None, transcript: str | None
) -> Utterance:
    valence, activation, dominance = turn.vad
    wav_path = layout.relative(layout.utterance_wav_path(turn.utterance_id)) if header else None
    return Utterance(
        utterance_id=turn.utterance_id,
        emotion=turn.emotion,
        valence=valence,
        activation=activation,
        dominance=dominance,
        start=turn.start,
        end=turn.end,
        transcript=transcript,
        wav_path=wav_path,
        num_mocap_rows=0,
    )


def _read_turns(layout: CorpusLayout, dialogue_id: str, found: list[Irregularity]) -> list[Turn]:
    path = layout.annotation_path(dialogue_id)
    try:
        turns, irregularities = read_annotations(path)
    except CorpusError as error:
        found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
        return []
    found += irregularities
    return turns


def _read_transcripts(layout: CorpusLayout, dialogue_id: str, found: list[Irregularity]) -> dict[str, str]:
    path = layout.transcript_path(dialogue_id)
    if not path.exists():
        found.append(irregularity_of(IrregularityKind.MISSING_TRANSCRIPT_FILE, path, "no such file"))
        return {}
    try:
        transcripts, irregularities = read_transcripts(path)
    except CorpusError as error:
        found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
        return {}
    found += irregularities
    return transcripts


def _read_dialogue_header(
    layout: CorpusLayout, dialogue_id: str, found: list[Irregularity]
) -> RecordingHeader | None:
    path = layout.dialogue_wav_path(dialogue_id)
    missing = IrregularityKind.MISSING_DIALOGUE_RECORDING
    return _read_header_if_any(path, num_channels=2, missing=missing, found=found)


def _read_utterance_header(
    layout: CorpusLayout, turn: Turn, found: list[Irregularity]
) -> RecordingHeader | None:
    path = layout.utterance_wav_path(turn.utterance_id)
    return _read_header_if_any(path, num_channels=1, missing=IrregularityKind.MISSING_RECORDING, found=found)


def _read_header_if_any(
    path: Path, num_channels: int, missing: IrregularityKind, found: list[Irregularity]
) -> RecordingHeader | None:
    if not path.exists():
        found.append(irregularity_of(missing, path, "no such file"))
        return None
    try:
        header, irregularities = read_header(path, num_channels)
    except CorpusError as error:
        found.append(irregularity_of(IrregularityKind.UNREADABLE_FILE, path, str(error)))
        return None
    found += irregularities
    return header


def _find_missing_mocap(layout: CorpusLayout, dialogue_id: str) -> list[Irregularity]:
    paths = (layout.mocap_path(dialogue_id, stream) for stream in MocapStream)
    return [
        irregularity_of(IrregularityKind.MISSING_MOCAP, path, "no such file")
        for path in paths
        if not path.exists()
    ]


def _find_strays(
    layout: CorpusLayout, dialogue_id: str, turns: list[Turn], transcripts: dict[str, str]
) -> list[Irregularity]:
    turn_ids = {turn.utterance_id for turn in turns}
    transcript_path = layout.transcript_path(dialogue_id)
    strays = [
        irregularity_of(
            IrregularityKind.TRANSCRIPT_WITHOUT_TURN, transcript_path, "not in the label file", utterance_id
        )
        for utterance_id in transcripts
        if utterance_id not in turn_ids
    ]
    strays += [
        irregularity_of(IrregularityKind.RECORDING_WITHOUT_TURN, path, "not in the label file")
        for path in layout.utterance_wav_paths(dialogue_id)
        if path.stem not in turn_ids
    ]
    return strays


def _check_times(
    layout: CorpusLayout, turn: Turn, header: RecordingHeader | None, dialogue: RecordingHeader | None
) -> list[Irregularity]:
    found = []
    if dialogue is not None and turn.end > dialogue.duration + TIME_TOLERANCE:
        path = layout.annotation_path(parse_utterance_id(turn.utterance_id).dialogue_id)
        detail = f"ends at {turn.end:.4f} s, but its dialogue is {dialogue.duration:.4f} s long"
        found.append(irregularity_of(IrregularityKind.ENDS_BEYOND_RECORDING, path, detail, turn.utterance_id))
    if header is None:
        return found
    path = layout.utterance_wav_path(turn.utterance_id)
    if header.duration < turn.end - turn.start - DURATION_TOLERANCE:
        detail = f"{header.duration:.4f} s of {turn.end - turn.start:.4f} s"
        found.append(irregularity_of(IrregularityKind.SHORTER_THAN_TURN, path, detail))
    if header.duration < SHORTEST_WINDOW:
        detail = f"{header.duration:.4f} s"
        found.append(irregularity_of(IrregularityKind.SHORTER_THAN_WINDOW, path, detail))
    return found


_ANGER, _EXCITEMENT, _NEUTRAL, _SADNESS = CLASSES

#: Utterances of the four classes in each session. Source: the release's labels; their sums are the
#: paper's 3838 and 1098, section 3.
PUBLISHED_COUNTS: Mapping[int, Mapping[Emotion, int]] = MappingProxyType(
    {
        1: MappingProxyType({_ANGER: 229, _EXCITEMENT: 143, _NEUTRAL: 384, _SADNESS: 194}),
        2: MappingProxyType({_ANGER: 137, _EXCITEMENT: 210, _NEUTRAL: 362, _SADNESS: 197}),
        3: MappingProxyType({_ANGER: 240, _EXCITEMENT: 151, _NEUTRAL: 320, _SADNESS: 305}),
        4: MappingProxyType({_ANGER: 327, _EXCITEMENT: 238, _NEUTRAL: 258, _SADNESS: 143}),
        5: MappingProxyType({_ANGER: 170, _EXCITEMENT: 299, _NEUTRAL: 384, _SADNESS: 245}),
    }
)

#: Utterances of any label in each session. Source: the release's labels.
PUBLISHED_TOTALS: Mapping[int, int] = MappingProxyType({1: 1819, 2: 1811, 3: 2136, 4: 2103, 5: 2170})


def four_class(utterances: Iterable[Utterance]) -> tuple[Utterance, ...]:
    """Keep the utterances that have one of the paper's four classes, in their order."""
    return tuple(utterance for utterance in utterances if utterance.emotion in CLASSES)


def count_by_session(utterances: Iterable[Utterance]) -> dict[int, Counter[Emotion]]:
    """Count the utterances of every label in each session that has any, in the order of the sessions."""
    counts: dict[int, Counter[Emotion]] = {}
    for utterance in utterances:
        counts.setdefault(utterance.name.session, Counter())[utterance.emotion] += 1
    return dict(sorted(counts.items()))


def compare_counts(utterances: Iterable[Utterance]) -> list[str]:
    """Compare a corpus with the complete release.

    Args:
        utterances: those of all labels

    Returns:
        one sentence for each count that differs, by session; none where the corpus is complete
    """
    counts = count_by_session(utterances)
    sentences = []
    for session, published in PUBLISHED_COUNTS.items():
        found = counts.get(session, Counter())
        for emotion in CLASSES:
            if found[emotion] != published[emotion]:
                what = f"labelled {emotion}"
                sentences.append(_describe(session, what, found[emotion], published[emotion]))
        if found.total() != PUBLISHED_TOTALS[session]:
            sentences.append(_describe(session, "of any label", found.total(), PUBLISHED_TOTALS[session]))
    return sentences


def _describe(session: int, what: str, num_found: int, num_published: int) -> str:
    return (
        f"Session {session} has {num_found} utterances {what}, where the complete corpus has {num_published}."
    )
