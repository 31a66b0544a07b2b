from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.index import (
    PUBLISHED_COUNTS,
    PUBLISHED_HAPPINESS,
    PUBLISHED_TOTALS,
    build_index,
    count_by_session,
    note_corpus,
    read_dialogue,
)
from harness.corpus.irregularities import Irregularity, IrregularityKind, count_by_kind
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.utterances import Emotion, Utterance
from harness.errors import CorpusError
from tests.corpus.written import COMPLETE, WITHOUT_MOCAP, tone, wav_bytes, write_file

F000, M000 = f"{COMPLETE}_F000", f"{COMPLETE}_M000"


def found_in(layout: CorpusLayout, dialogue_id: str) -> list[tuple[IrregularityKind, str | None, str]]:
    found = read_dialogue(layout, dialogue_id).irregularities
    return [(irregularity.kind, irregularity.utterance_id, irregularity.detail) for irregularity in found]


def utterance_of(layout: CorpusLayout, utterance_id: str) -> Utterance:
    index = build_index(layout)
    return next(utterance for utterance in index.utterances if utterance.utterance_id == utterance_id)


WHOLE = {session: {**row, Emotion.HAPPINESS: PUBLISHED_HAPPINESS[session]} for session, row in PUBLISHED_COUNTS.items()}


def test_the_complete_release_needs_no_note() -> None:
    assert note_corpus(WHOLE, PUBLISHED_TOTALS) is None


@pytest.mark.parametrize(
    ("counts", "totals", "beginning"),
    [
        (
            {session: WHOLE[session] for session in (1, 2, 3)},
            {session: PUBLISHED_TOTALS[session] for session in (1, 2, 3)},
            "This corpus is an incomplete IEMOCAP: 5766 of 10039 utterances (Session 4 has 0 of 2103, Session 5 has 0 "
            "of 2170). Its scores are not comparable with those on the complete one; copy what is missing.",
        ),
        (
            {1: WHOLE[1]},
            {1: PUBLISHED_TOTALS[1]},
            "This corpus is an incomplete IEMOCAP: 1819 of 10039 utterances (Session 2 has 0 of 1811, ",
        ),
        (
            WHOLE,
            {**PUBLISHED_TOTALS, 5: 2169},
            "This corpus is an incomplete IEMOCAP: 10038 of 10039 utterances (Session 5 has 2169 of 2170). ",
        ),
        (
            {1: {"ang": 60, "exc": 13}},
            {1: 73},
            "This corpus is not IEMOCAP: it has 73 utterances, where the release has 10039. No score on it is a score "
            "on IEMOCAP.",
        ),
        (
            {**WHOLE, 5: {**WHOLE[5], Emotion.ANGER: 5000}},
            {**PUBLISHED_TOTALS, 5: 6000},
            "This corpus is not IEMOCAP: it has 13869 utterances, ",
        ),
        ({}, {}, "This corpus is not IEMOCAP: it has 0 utterances, "),
        (
            {**WHOLE, 4: {**WHOLE[4], Emotion.ANGER: 326}},
            PUBLISHED_TOTALS,
            "This corpus is IEMOCAP with other labels: Session 4 has 326 labelled ang, the release 327. No score on it "
            "is a score on IEMOCAP; restore the release's label files.",
        ),
        (
            {**WHOLE, 5: {**WHOLE[5], Emotion.ANGER: 171, Emotion.SADNESS: 244}},
            PUBLISHED_TOTALS,
            "This corpus is IEMOCAP with other labels: Session 5 has 171 labelled ang, the release 170; Session 5 has "
            "244 labelled sad, the release 245. ",
        ),
        (
            {**WHOLE, 4: {**WHOLE[4], Emotion.ANGER: 326}},
            {**PUBLISHED_TOTALS, 5: 2169},
            "This corpus is an incomplete IEMOCAP: 10038 of 10039 utterances (Session 5 has 2169 of 2170); other "
            "labels: Session 4 has 326 labelled ang, the release 327. Its scores ",
        ),
        (
            WHOLE,
            {**PUBLISHED_TOTALS, 4: 2104, 5: 2169},
            "This corpus is not IEMOCAP: it has as many utterances as the release, 10039, and not as many in each "
            "session. ",
        ),
    ],
    ids=[
        *("three sessions", "one session", "one utterance less", "another, small", "another, large", "empty"),
        *("a label that is no class", "another class", "one less and a label", "another, as large"),
    ],
)
def test_a_corpus_is_what_its_counts_say(
    counts: dict[int, dict[str, int]], totals: dict[int, int], beginning: str
) -> None:
    found = note_corpus(counts, totals)
    assert found is not None and found.startswith(beginning)


def test_real_speech_in_the_layout_is_another_corpus(emodb: CorpusLayout) -> None:
    counts = count_by_session(build_index(emodb).utterances)
    note = note_corpus(counts, {session: labels.total() for session, labels in counts.items()})
    assert note is not None and note.startswith("This corpus is not IEMOCAP: ")


def test_an_utterance_is_all_that_its_files_say(tiny_corpus: CorpusLayout) -> None:
    dialogue = read_dialogue(tiny_corpus, COMPLETE)
    assert dialogue.irregularities == ()
    turns = [utterance.utterance_id.removeprefix(COMPLETE) for utterance in dialogue.utterances]
    assert turns == ["_F000", "_F001", "_M000", "_M001"]
    assert dialogue.utterances[2] == Utterance(
        utterance_id=M000,
        emotion=Emotion.ANGER,
        valence=2.5,
        activation=3.0,
        dominance=3.5,
        start=1.75,
        end=2.25,
        transcript="I said: [LAUGHTER] no.",
        wav_path=f"Session1/sentences/wav/{COMPLETE}/{M000}.wav",
        num_mocap_rows=0,
        votes=((Emotion.ANGER,),),
    )


def test_a_corpus_is_its_dialogues_sorted_by_id(tiny_corpus: CorpusLayout) -> None:
    index = build_index(tiny_corpus)
    ids = [utterance.utterance_id for utterance in index.utterances]
    assert ids == sorted(ids) and len(ids) == 6
    assert count_by_kind(index.irregularities) == {IrregularityKind.MISSING_MOCAP: 3}
    assert build_index(tiny_corpus, jobs=2) == index


def test_each_missing_mocap_file_is_told_even_where_another_take_has_one(tiny_corpus: CorpusLayout) -> None:
    write_file(tiny_corpus.mocap_path("Ses05M_script01_1", MocapStream.FACE), b"")
    found = read_dialogue(tiny_corpus, WITHOUT_MOCAP).irregularities
    assert {irregularity.kind for irregularity in found} == {IrregularityKind.MISSING_MOCAP}
    assert [irregularity.path for irregularity in found] == [
        f"Session5/dialog/MOCAP_{folder}/{WITHOUT_MOCAP}.txt" for folder in ("hand", "head", "rotated")
    ]


def test_a_dialogue_without_labels_is_told_and_in_no_index(tiny_corpus: CorpusLayout) -> None:
    write_file(tiny_corpus.mocap_path("Ses05M_script01_1", MocapStream.FACE), b"")
    index = build_index(tiny_corpus)
    assert len(index.utterances) == 6
    assert Irregularity(
        kind=IrregularityKind.MISSING_LABEL_FILE,
        dialogue_id="Ses05M_script01_1",
        utterance_id=None,
        path="Session5/dialog/EmoEvaluation/Ses05M_script01_1.txt",
        detail="no such file",
    ) in index.irregularities


@pytest.mark.parametrize(
    "place",
    [
        "Session6/dialog/EmoEvaluation/Ses06F_impro01.txt",
        "session1/dialog/EmoEvaluation/Ses01F_impro02.txt",
        "Session1/dialog/EmoEvaluation/Ses01F_impro02.TXT",
        "Session1/dialog/EmoEvaluation/Ses01F_impro02.Txt",
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.TXT",
        "session1/dialog/EmoEvaluation/Ses01F_impro01.txt",
        "Session1/dialog/EmoEvaluation/ses01f_impro02.txt",
        "Session1/dialog/EmoEvaluation/Ses01F_impro02 copy.txt",
        "Session1/dialog/EmoEvaluation/Ses02F_impro02.txt",
    ],
)
def test_a_label_file_that_is_in_no_index_is_told(tiny_corpus: CorpusLayout, place: str) -> None:
    write_file(tiny_corpus.root / place, tiny_corpus.annotation_path(COMPLETE).read_bytes())
    write_file((tiny_corpus.root / place).with_name("._" + Path(place).name), b"")
    index = build_index(tiny_corpus)
    assert len(index.utterances) == 6
    unread = [found for found in index.irregularities if found.kind is IrregularityKind.UNREAD_LABEL_FILE]
    expected = "expected SessionN/dialog/EmoEvaluation/<dialogue of session N>.txt, N from 1 to 5"
    assert [(found.path, found.detail) for found in unread] == [(place, expected)]


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        pytest.param(None, IrregularityKind.MISSING_RECORDING, "no such file", id="missing"),
        pytest.param(b"", IrregularityKind.EMPTY_RECORDING, "0 bytes", id="empty"),
        pytest.param(
            b"RIFF\0\0\0\0WAVE",
            IrregularityKind.UNREADABLE_RECORDING,
            "ends before its samples begin",
            id="header cut off",
        ),
    ],
)
def test_an_utterance_without_a_readable_recording_is_kept_and_marked(
    tiny_corpus: CorpusLayout, data: bytes | None, kind: IrregularityKind, detail: str
) -> None:
    path = tiny_corpus.utterance_wav_path(M000)
    path.unlink() if data is None else path.write_bytes(data)
    assert found_in(tiny_corpus, COMPLETE) == [(kind, M000, detail)]
    utterance = utterance_of(tiny_corpus, M000)
    assert (utterance.wav_path, utterance.emotion) == (None, Emotion.ANGER)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(
            wav_bytes(np.stack([tone(0.5), tone(0.5)], axis=1)),
            [(IrregularityKind.STEREO_RECORDING, "2 channels")],
            id="stereo",
        ),
        pytest.param(
            wav_bytes(tone(0.5, 22050), 22050),
            [(IrregularityKind.OTHER_SAMPLING_RATE, "22050 Hz")],
            id="rate",
        ),
        pytest.param(
            wav_bytes(tone(0.5))[:-4000],
            [
                (IrregularityKind.TRUNCATED_RECORDING, "12000 of 16000 bytes of sound"),
                (IrregularityKind.SHORTER_THAN_TURN, "0.3750 s of 0.5000 s"),
            ],
            id="truncated",
        ),
        pytest.param(
            wav_bytes(tone(0.19)),
            [
                (IrregularityKind.SHORTER_THAN_TURN, "0.1900 s of 0.5000 s"),
                (IrregularityKind.SHORTER_THAN_WINDOW, "0.1900 s"),
            ],
            id="shorter than a window",
        ),
        pytest.param(wav_bytes(tone(0.45)), [], id="half a hop short"),
        pytest.param(wav_bytes(tone(2.0)), [], id="longer"),
    ],
)
def test_a_recording_that_can_be_used_is_kept_and_its_oddities_told(
    tiny_corpus: CorpusLayout, data: bytes, found: list[tuple[IrregularityKind, str]]
) -> None:
    tiny_corpus.utterance_wav_path(M000).write_bytes(data)
    assert found_in(tiny_corpus, COMPLETE) == [(kind, M000, detail) for kind, detail in found]
    assert utterance_of(tiny_corpus, M000).wav_path is not None


def test_an_utterance_without_a_transcript_line_is_kept_and_marked(tiny_corpus: CorpusLayout) -> None:
    path = tiny_corpus.transcript_path(COMPLETE)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert found_in(tiny_corpus, COMPLETE) == [(IrregularityKind.MISSING_TRANSCRIPT, F000, "no line")]
    assert utterance_of(tiny_corpus, F000).transcript is None


def test_a_dialogue_without_transcripts_keeps_its_utterances(tiny_corpus: CorpusLayout) -> None:
    tiny_corpus.transcript_path(COMPLETE).unlink()
    kinds = [kind for kind, *_ in found_in(tiny_corpus, COMPLETE)]
    assert kinds == [IrregularityKind.MISSING_TRANSCRIPT_FILE] + 4 * [IrregularityKind.MISSING_TRANSCRIPT]
    assert len(build_index(tiny_corpus).utterances) == 6


def test_an_end_beyond_the_dialogue_s_recording_is_told(tiny_corpus: CorpusLayout) -> None:
    path = tiny_corpus.annotation_path(COMPLETE)
    path.write_bytes(path.read_bytes().replace(b"2.2500", b"4.0001").replace(b"1.5000", b"4.0002"))
    for utterance_id, seconds in ((F000, 3.5), (M000, 2.5)):
        tiny_corpus.utterance_wav_path(utterance_id).write_bytes(wav_bytes(tone(seconds)))
    detail = "ends at 4.0002 s, but its dialogue is 4.0000 s long"
    assert found_in(tiny_corpus, COMPLETE) == [(IrregularityKind.ENDS_BEYOND_RECORDING, F000, detail)]
    assert utterance_of(tiny_corpus, F000).end == 4.0002


def test_ends_are_not_checked_against_a_recording_that_is_missing(tiny_corpus: CorpusLayout) -> None:
    tiny_corpus.dialogue_wav_path(COMPLETE).unlink()
    path = tiny_corpus.annotation_path(COMPLETE)
    path.write_bytes(path.read_bytes().replace(b"1.5000", b"1.5500"))
    assert found_in(tiny_corpus, COMPLETE) == [
        (IrregularityKind.MISSING_DIALOGUE_RECORDING, None, "no such file")
    ]


def test_a_turn_without_times_keeps_its_recording(tiny_corpus: CorpusLayout) -> None:
    path = tiny_corpus.annotation_path(COMPLETE)
    path.write_bytes(path.read_bytes().replace(b"[0.5000 - 1.5000]", b"[]"))
    expected = (IrregularityKind.UNREADABLE_TIMES, F000, "line 3: found '[]'")
    assert found_in(tiny_corpus, COMPLETE) == [expected]
    utterance = utterance_of(tiny_corpus, F000)
    assert math.isnan(utterance.start) and utterance.wav_path is not None


def test_what_belongs_to_no_turn_is_told(tiny_corpus: CorpusLayout) -> None:
    shutil.copy(tiny_corpus.utterance_wav_path(F000), tiny_corpus.utterance_wav_path(f"{COMPLETE}_F009"))
    with tiny_corpus.transcript_path(COMPLETE).open("ab") as stream:
        stream.write(f"{COMPLETE}_M008 [003.0000-003.5000]: Hm.\nM: Yeah.\n".encode())
    assert found_in(tiny_corpus, COMPLETE) == [
        (IrregularityKind.NOT_AN_UTTERANCE, None, "line 6: begins with 'M:'"),
        (IrregularityKind.TRANSCRIPT_WITHOUT_TURN, f"{COMPLETE}_M008", "not in the label file"),
        (IrregularityKind.RECORDING_WITHOUT_TURN, f"{COMPLETE}_F009", "not in the label file"),
    ]


def test_macos_files_are_told_and_change_nothing(tiny_corpus: CorpusLayout) -> None:
    expected = build_index(tiny_corpus).utterances
    for dialogue_id in (COMPLETE, WITHOUT_MOCAP):
        for path in tiny_corpus.dialogue_files(dialogue_id):
            write_file(path.with_name(f"._{path.name}"), b"\0\5\26\7")
    index = build_index(tiny_corpus)
    assert index.utterances == expected
    assert count_by_kind(index.irregularities)[IrregularityKind.MACOS_FILE] == 10 + 5


def test_an_unreadable_label_file_leaves_out_its_dialogue_alone(tiny_corpus: CorpusLayout) -> None:
    tiny_corpus.annotation_path(COMPLETE).write_bytes(b"")
    index = build_index(tiny_corpus)
    assert {utterance.name.dialogue_id for utterance in index.utterances} == {WITHOUT_MOCAP}
    unreadable = IrregularityKind.UNREADABLE_FILE
    details = [found.detail for found in index.irregularities if found.kind is unreadable]
    assert len(details) == 1 and f"found no turn of dialogue '{COMPLETE}'" in details[0]


def test_a_folder_in_place_of_a_file_is_told(tiny_corpus: CorpusLayout) -> None:
    for path in (tiny_corpus.transcript_path(COMPLETE), tiny_corpus.utterance_wav_path(F000)):
        path.unlink()
        path.mkdir()
    found = read_dialogue(tiny_corpus, COMPLETE).irregularities
    assert count_by_kind(found)[IrregularityKind.UNREADABLE_FILE] == 2
    utterance = utterance_of(tiny_corpus, F000)
    assert (utterance.wav_path, utterance.transcript) == (None, None)


def test_a_corpus_without_labels_is_no_corpus(tmp_path: Path) -> None:
    (tmp_path / "Session1").mkdir()
    with pytest.raises(CorpusError) as caught:
        build_index(CorpusLayout(tmp_path))
    assert str(caught.value) == (
        f"corpus {str(tmp_path)!r}: found no label file; "
        "expected some like 'Session1/dialog/EmoEvaluation/Ses01F_impro01.txt'"
    )


def test_real_recordings_are_indexed_whole(emodb: CorpusLayout) -> None:
    index = build_index(emodb)
    assert len(index.utterances) == 339
    assert all(utterance.wav_path and utterance.transcript for utterance in index.utterances)
    assert count_by_kind(index.irregularities) == {
        IrregularityKind.MISSING_DIALOGUE_RECORDING: 10,
        IrregularityKind.MISSING_MOCAP: 30,
    }
