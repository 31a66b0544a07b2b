"""Whether a corpus is complete: its counts against those that were published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.corpus.utterances import CLASSES, Emotion, Utterance

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
