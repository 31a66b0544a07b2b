"""How many utterances of which emotion each session of the real corpus has, and of a smaller one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.corpus.checks import PUBLISHED_COUNTS, PUBLISHED_TOTALS
from harness.corpus.utterances import CLASSES, Emotion

SESSIONS = (1, 2, 3, 4, 5)

#: Utterances of the labels outside the four classes. Source: the real release's labels, counted.
OTHER_COUNTS: Mapping[Emotion, int] = {
    Emotion.UNDECIDED: 2507,
    Emotion.FRUSTRATION: 1849,
    Emotion.HAPPINESS: 595,
    Emotion.SURPRISE: 107,
    Emotion.FEAR: 40,
    Emotion.OTHER: 3,
    Emotion.DISGUST: 2,
}

#: Four-class utterances from scripted dialogues. Source: 2277 in all and 473 in Session 5, counted;
#: the other 1804 are spread evenly over Sessions 1 to 4.
SCRIPTED_COUNTS: Mapping[int, int] = {1: 446, 2: 426, 3: 478, 4: 454, 5: 473}

#: Four-class utterances whose speaker wears the markers. Source: as above.
NUM_MARKED = 2458

NUM_FOUR_CLASS = sum(sum(counts.values()) for counts in PUBLISHED_COUNTS.values())


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Part ``total`` into whole numbers in proportion to ``weights``, by largest remainder.

    Args:
        total: at least 0
        weights: not negative, not all zero

    Example:
        >>> apportion(10, [1, 1, 2])
        [3, 2, 5]
    """
    whole = sum(weights)
    shares = [total * weight / whole for weight in weights]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda place: (counts[place] - shares[place], place))
    for place in by_remainder[: total - sum(counts)]:
        counts[place] += 1
    return counts


def count_classes(scale: float) -> dict[int, dict[Emotion, int]]:
    """Return utterances by session and class at ``scale``; at 1 exactly the published table.

    Example:
        >>> count_classes(1.0)[5][Emotion.SADNESS]
        245
        >>> sum(sum(counts.values()) for counts in count_classes(0.1).values())
        494
    """
    cells = [PUBLISHED_COUNTS[session][emotion] for session in SESSIONS for emotion in CLASSES]
    scaled = iter(apportion(round(NUM_FOUR_CLASS * scale), cells))
    return {session: {emotion: next(scaled) for emotion in CLASSES} for session in SESSIONS}


def count_others(scale: float) -> dict[int, dict[Emotion, int]]:
    """Return utterances by session and label outside the four classes at ``scale``.

    At 1 both the totals by session and the totals by label are the real corpus's; how a label
    spreads over the sessions is not published, so it is in proportion to their sizes.

    Example:
        >>> others = count_others(1.0)
        >>> sum(others[3].values()), sum(others[session][Emotion.FRUSTRATION] for session in others)
        (1120, 1849)
    """
    by_session = [PUBLISHED_TOTALS[session] - sum(PUBLISHED_COUNTS[session].values()) for session in SESSIONS]
    total = round(sum(by_session) * scale)
    left = apportion(total, by_session)
    by_label = apportion(total, list(OTHER_COUNTS.values()))
    counts: dict[int, dict[Emotion, int]] = {session: {} for session in SESSIONS}
    for emotion, count in zip(OTHER_COUNTS, by_label, strict=True):
        # Proportional to what is left, so that no session overflows and the last label fits exactly.
        given = apportion(count, left) if count else [0] * len(left)
        for place, session in enumerate(SESSIONS):
            counts[session][emotion] = given[place]
            left[place] -= given[place]
    return counts


def dialogue_ids(session: int, scale: float) -> list[str]:
    """Return the dialogues of a session at ``scale``, sorted; at 1 all of the real ones.

    Both actors and both kinds are there at every scale, and the first script is in every session.
    ``Ses05M_script01_1b`` is there at every scale.

    Example:
        >>> dialogue_ids(1, scale=0.1)
        ['Ses01F_impro01', 'Ses01F_script01_1', 'Ses01M_impro01', 'Ses01M_script01_1']
        >>> [len(dialogue_ids(session, scale=1.0)) for session in SESSIONS]
        [28, 30, 32, 30, 31]
    """
    scripts = [f"script0{script}" for script in ("1_1", "1_2", "1_3", "2_1", "2_2", "3_1", "3_2")]
    groups = []
    for actor in "FM":
        takes = [f"impro0{take}" for take in range(1, 8 if session == 1 else 9)]
        if (session, actor) == (3, "M"):
            takes = ["impro01", "impro02", "impro03", "impro04", "impro05a", "impro05b"]
            takes += ["impro06", "impro07", "impro08a", "impro08b"]
        groups += [[f"Ses0{session}{actor}_{take}" for take in group] for group in (takes, scripts)]
    places = range(max(map(len, groups)))
    interleaved = [group[place] for place in places for group in groups if place < len(group)]
    extra = ["Ses05M_script01_1b"] if session == 5 else []
    num_dialogues = max(4, round((len(interleaved) + len(extra)) * scale) - len(extra))
    return sorted(interleaved[:num_dialogues] + extra)
