"""The index of a corpus: every utterance, what it lacks, and every irregularity; and the published counts.

The index reads labels, transcripts and the headers of recordings; it opens no mocap file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from joblib import Parallel, delayed

from harness.corpus.audio import RecordingHeader, read_header
from harness.corpus.irregularities import (
    Irregularity,
    IrregularityKind,
    irregularity_of,
    merge_irregularities,
    read_or_note,
)
from harness.corpus.labels import Turn, read_annotations, read_transcripts
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.utterances import CLASSES, Emotion, Seconds, Utterance
from harness.errors import CorpusError
from harness.wording import plural

#: The shortest recording that gives a speech frame. Source: paper, section 4.1 (0.2 s windows).
SHORTEST_WINDOW: Seconds = 0.2

#: A recording may be this much shorter than its labelled time: one hop of the speech features, which
#: costs no frame.
DURATION_TOLERANCE: Seconds = 0.1

#: Times have four decimals.
TIME_TOLERANCE: Seconds = 0.0001

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

#: Utterances labelled happy in each session; with them the classes hold 1085, 1023, 1151, 1031 and 1241, 5531 in all.
#: Source: the release's labels.
PUBLISHED_HAPPINESS: Mapping[int, int] = MappingProxyType({1: 135, 2: 117, 3: 135, 4: 65, 5: 143})

#: Utterances of any label in each session. Source: the release's labels.
PUBLISHED_TOTALS: Mapping[int, int] = MappingProxyType({1: 1819, 2: 1811, 3: 2136, 4: 2103, 5: 2170})


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
    irregularities = merge_irregularities(
        *(dialogue.irregularities for dialogue in dialogues), find_unindexed(layout)
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


def find_unindexed(layout: CorpusLayout) -> list[Irregularity]:
    """List the dialogues that have files but no labels, and the label files of no dialogue: neither is in an index."""
    names = [name for session in layout.sessions() for name in layout.unlabelled_dialogue_ids(session)]
    paths = map(layout.annotation_path, names)
    unlabelled = [irregularity_of(IrregularityKind.MISSING_LABEL_FILE, path, "no such file") for path in paths]
    detail = "expected SessionN/dialog/EmoEvaluation/<dialogue of session N>.txt, N from 1 to 5"
    kind = IrregularityKind.UNREAD_LABEL_FILE
    return unlabelled + [
        # From the root: the folder is part of what is wrong.
        replace(irregularity_of(kind, path, detail), path=layout.relative(path))
        for path in layout.unread_label_files()
    ]


def read_dialogue(layout: CorpusLayout, dialogue_id: str) -> DialogueIndex:
    """Index one dialogue; no file of it, however damaged, makes this fail.

    ``num_mocap_rows`` is 0 for every utterance: the index opens no mocap file.
    """
    found = [
        irregularity_of(IrregularityKind.MACOS_FILE, path, "beside the file it is named after")
        for path in layout.macos_files(dialogue_id)
    ]
    label_path, transcript_path = layout.annotation_path(dialogue_id), layout.transcript_path(dialogue_id)
    turns = read_or_note(label_path, read_annotations, found, IrregularityKind.MISSING_LABEL_FILE) or []
    transcripts = (
        read_or_note(transcript_path, read_transcripts, found, IrregularityKind.MISSING_TRANSCRIPT_FILE) or {}
    )
    dialogue = read_or_note(
        layout.dialogue_wav_path(dialogue_id),
        partial(read_header, num_channels=2),
        found,
        IrregularityKind.MISSING_DIALOGUE_RECORDING,
    )
    for stream in MocapStream:
        path = layout.mocap_path(dialogue_id, stream)
        if not path.exists():
            found.append(irregularity_of(IrregularityKind.MISSING_MOCAP, path, "no such file"))
    found += _find_strays(layout, dialogue_id, {turn.utterance_id for turn in turns}, transcripts)
    utterances = []
    for turn in sorted(turns, key=lambda turn: turn.utterance_id):
        wav_path = layout.utterance_wav_path(turn.utterance_id)
        header = read_or_note(wav_path, read_header, found, IrregularityKind.MISSING_RECORDING)
        found += _check_times(label_path, wav_path, turn, header, dialogue)
        if turn.utterance_id not in transcripts:
            kind = IrregularityKind.MISSING_TRANSCRIPT
            found.append(irregularity_of(kind, transcript_path, "no line", turn.utterance_id))
        valence, activation, dominance = turn.vad
        utterances.append(
            Utterance(
                utterance_id=turn.utterance_id,
                emotion=turn.emotion,
                valence=valence,
                activation=activation,
                dominance=dominance,
                start=turn.start,
                end=turn.end,
                transcript=transcripts.get(turn.utterance_id),
                wav_path=layout.relative(wav_path) if header else None,
                num_mocap_rows=0,
                votes=turn.votes,
            )
        )
    return DialogueIndex(dialogue_id, tuple(utterances), merge_irregularities(found))


def _find_strays(
    layout: CorpusLayout, dialogue_id: str, turn_ids: set[str], transcripts: Iterable[str]
) -> list[Irregularity]:
    """List the transcripts and the recordings that no turn of the label file has."""
    detail = "not in the label file"
    path, kind = layout.transcript_path(dialogue_id), IrregularityKind.TRANSCRIPT_WITHOUT_TURN
    strays = [irregularity_of(kind, path, detail, name) for name in transcripts if name not in turn_ids]
    kind = IrregularityKind.RECORDING_WITHOUT_TURN
    paths = layout.utterance_wav_paths(dialogue_id)
    return strays + [irregularity_of(kind, path, detail) for path in paths if path.stem not in turn_ids]


def _check_times(
    label_path: Path,
    wav_path: Path,
    turn: Turn,
    header: RecordingHeader | None,
    dialogue: RecordingHeader | None,
) -> Iterator[Irregularity]:
    if dialogue is not None and turn.end > dialogue.duration + TIME_TOLERANCE:
        detail = f"ends at {turn.end:.4f} s, but its dialogue is {dialogue.duration:.4f} s long"
        kind = IrregularityKind.ENDS_BEYOND_RECORDING
        yield irregularity_of(kind, label_path, detail, turn.utterance_id)
    if header is not None and header.duration < turn.end - turn.start - DURATION_TOLERANCE:
        detail = f"{header.duration:.4f} s of {turn.end - turn.start:.4f} s"
        yield irregularity_of(IrregularityKind.SHORTER_THAN_TURN, wav_path, detail)
    if header is not None and header.duration < SHORTEST_WINDOW:
        yield irregularity_of(IrregularityKind.SHORTER_THAN_WINDOW, wav_path, f"{header.duration:.4f} s")


#: Share of the release's utterances from which on a corpus is taken for a part of it.
_LEAST_PART = 0.25


def count_by_session(utterances: Iterable[Utterance]) -> dict[int, Counter[Emotion]]:
    """Count the utterances of every label in each session that has any, in the order of the sessions."""
    counts: dict[int, Counter[Emotion]] = {}
    for utterance in utterances:
        counts.setdefault(utterance.name.session, Counter())[utterance.emotion] += 1
    return dict(sorted(counts.items()))


def note_corpus(
    counts: Mapping[int, Mapping[str, int] | Mapping[Emotion, int]], totals: Mapping[int, int]
) -> str | None:
    """Say what a corpus is where it is not the complete release; every place that speaks of a corpus says this.

    A corpus with more of anything than the release, or with a small part of it and no whole session, is another one;
    one with as many utterances in each session has other labels.

    Args:
        counts: by session, utterances of each of the four classes and of happiness
        totals: by session, utterances of any label

    Returns:
        a sentence; None for the complete release
    """
    published = {
        session: {**row, Emotion.HAPPINESS: PUBLISHED_HAPPINESS[session]} for session, row in PUBLISHED_COUNTS.items()
    }
    is_whole = {
        session: totals.get(session, 0) == PUBLISHED_TOTALS[session]
        and all(counts.get(session, {}).get(emotion, 0) == num for emotion, num in row.items())
        for session, row in published.items()
    }
    if all(is_whole.values()) and set(totals) <= set(published):
        return None
    found, complete = sum(totals.values()), sum(PUBLISHED_TOTALS.values())
    differing = [
        f"Session {session} has {num_found} labelled {emotion}, the release {num}"
        for session, row in published.items()
        for emotion, num in row.items()
        if totals.get(session, 0) == PUBLISHED_TOTALS[session]
        and (num_found := counts.get(session, {}).get(emotion, 0)) != num
    ]
    if totals == PUBLISHED_TOTALS:
        return (
            f"This corpus is IEMOCAP with other labels: {'; '.join(differing)}. No score on it is a score on IEMOCAP; "
            "restore the release's label files."
        )
    is_part = set(totals) <= set(published) and all(
        totals.get(session, 0) <= PUBLISHED_TOTALS[session]
        and all(counts.get(session, {}).get(emotion, 0) <= num for emotion, num in row.items())
        for session, row in published.items()
    )
    if is_part and (any(is_whole.values()) or found >= _LEAST_PART * complete):
        lacking = [
            f"Session {session} has {totals.get(session, 0)} of {PUBLISHED_TOTALS[session]}"
            for session in published
            if totals.get(session, 0) != PUBLISHED_TOTALS[session]
        ]
        return (
            f"This corpus is an incomplete IEMOCAP: {found} of {complete} utterances ({', '.join(lacking)})"
            f"{'; other labels: ' if differing else ''}{'; '.join(differing)}. Its scores are not comparable with "
            "those on the complete one; copy what is missing."
        )
    has = f"has {plural(found, 'utterance')}, where the release has {complete}"
    if found == complete:
        has = f"has as many utterances as the release, {found}, and not as many in each session"
    return f"This corpus is not IEMOCAP: it {has}. No score on it is a score on IEMOCAP."


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
        labels = counts.get(session, Counter())
        rows = [(f"labelled {emotion}", labels[emotion], published[emotion]) for emotion in CLASSES]
        rows.append((f"labelled {Emotion.HAPPINESS}", labels[Emotion.HAPPINESS], PUBLISHED_HAPPINESS[session]))
        rows.append(("of any label", labels.total(), PUBLISHED_TOTALS[session]))
        sentences += [
            f"Session {session} has {plural(num_found, 'utterance')} {what}, but the complete corpus has "
            f"{num_published}."
            for what, num_found, num_published in rows
            if num_found != num_published
        ]
    return sentences
