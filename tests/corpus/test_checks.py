from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.corpus.index import (
    PUBLISHED_COUNTS,
    PUBLISHED_HAPPINESS,
    PUBLISHED_TOTALS,
    build_index,
    compare_counts,
    count_by_session,
)
from harness.corpus.layout import CorpusLayout
from harness.corpus.utterances import CLASSES, Emotion, Happiness, Utterance, class_of


def complete_corpus() -> Iterator[Utterance]:
    for session, total in PUBLISHED_TOTALS.items():
        emotions = [emotion for emotion, count in PUBLISHED_COUNTS[session].items() for _ in range(count)]
        emotions += [Emotion.HAPPINESS] * PUBLISHED_HAPPINESS[session]
        emotions += [Emotion.UNDECIDED] * (total - len(emotions))
        for number, emotion in enumerate(emotions):
            take, turn = divmod(number, 1000)
            utterance_id = f"Ses0{session}F_impro0{take}_F{turn:03d}"
            yield Utterance(utterance_id, emotion, 2.5, 2.5, 2.5, 0.0, 1.0, None, None, 0)


def test_the_published_counts_add_up_to_the_published_sums() -> None:
    by_session = {session: sum(counts.values()) for session, counts in PUBLISHED_COUNTS.items()}
    assert by_session == {1: 950, 2: 906, 3: 1016, 4: 966, 5: 1098}
    by_emotion = [sum(counts[emotion] for counts in PUBLISHED_COUNTS.values()) for emotion in CLASSES]
    assert by_emotion == [1103, 1041, 1708, 1084]
    assert sum(PUBLISHED_TOTALS.values()) == 10039
    merged = {session: by_session[session] + happy for session, happy in PUBLISHED_HAPPINESS.items()}
    assert merged == {1: 1085, 2: 1023, 3: 1151, 4: 1031, 5: 1241} and sum(merged.values()) == 5531


def test_a_complete_corpus_differs_in_nothing() -> None:
    assert compare_counts(complete_corpus()) == []
    merged = [class_of(utterance.emotion, Happiness.MERGED) for utterance in complete_corpus()]
    assert len(merged) - merged.count(None) == 5531 and merged.count(Emotion.EXCITEMENT) == 1041 + 595


def test_each_count_that_differs_is_one_sentence() -> None:
    utterances = [*complete_corpus()]
    assert utterances[0].emotion is Emotion.ANGER
    utterances[0] = replace(utterances[0], emotion=Emotion.SADNESS)
    assert utterances.pop().emotion is Emotion.UNDECIDED
    place = next(place for place, utterance in enumerate(utterances) if utterance.emotion is Emotion.HAPPINESS)
    utterances[place] = replace(utterances[place], emotion=Emotion.UNDECIDED)
    assert compare_counts(utterances) == [
        "Session 1 has 228 utterances labelled ang, but the complete corpus has 229.",
        "Session 1 has 195 utterances labelled sad, but the complete corpus has 194.",
        "Session 1 has 134 utterances labelled hap, but the complete corpus has 135.",
        "Session 5 has 2169 utterances of any label, but the complete corpus has 2170.",
    ]


def test_a_session_that_is_not_there_differs_in_every_count() -> None:
    differences = compare_counts(utterance for utterance in complete_corpus() if utterance.name.session != 2)
    assert len(differences) == 6
    assert differences[-1] == "Session 2 has 0 utterances of any label, but the complete corpus has 1811."


def test_real_recordings_have_the_counts_of_their_readme(emodb: CorpusLayout) -> None:
    counts = count_by_session(build_index(emodb).utterances)
    assert {session: [found[emotion] for emotion in CLASSES] for session, found in counts.items()} == {
        1: [26, 18, 21, 16],
        2: [23, 8, 13, 7],
        3: [23, 18, 18, 12],
        4: [28, 10, 11, 14],
        5: [27, 17, 16, 13],
    }
    assert sum(found.total() for found in counts.values()) == 339
