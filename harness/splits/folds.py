"""The folds of an experiment: each session, or each speaker, is the test set of one of its searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from harness.errors import FeatureError
from harness.splits.protocol import SEALED_SESSION, Protocol, TestedSpeakers

#: Choices of a protocol in which the folds of an experiment differ, and in nothing else.
FOLD_CHOICES = ("test_session", "test_speaker")


class Folds(StrEnum):
    """What is the test set once."""

    SESSIONS = "sessions"  # five folds: no speaker of the test set is heard, nor any of their partners
    SPEAKERS = "speakers"  # ten folds, as in older papers: the partner's turns of the same dialogues train


def fold_protocols(folds: Folds, protocol: Protocol, sessions: Sequence[int]) -> Mapping[str, Protocol]:
    """Return the protocol of each fold by the name of its test set, in order.

    Args:
        protocol: the choices that all folds share
        sessions: those that the corpus has

    Raises:
        FeatureError: there are fewer than two, so that nothing would be left to train on

    Example:
        >>> list(fold_protocols(Folds.SESSIONS, Protocol("paper"), [1, 2, 3]))
        ['Session 1', 'Session 2', 'Session 3']
        >>> list(fold_protocols(Folds.SPEAKERS, Protocol("paper"), [1, 2]))
        ['Speaker Ses01F', 'Speaker Ses01M', 'Speaker Ses02F', 'Speaker Ses02M']
    """
    if len(sessions) < 2:
        raise FeatureError(
            f"folds {folds.value!r}: the corpus has four-class utterances in {len(sessions)} session(s); expected at "
            "least two, one to test and one to train on"
        )
    speakers = [TestedSpeakers.BOTH]
    if folds is Folds.SPEAKERS:
        speakers = [TestedSpeakers.FEMALE, TestedSpeakers.MALE]
    found = [_of_fold(protocol, session, speaker) for session in sorted(sessions) for speaker in speakers]
    return {of_fold.test_set: of_fold for of_fold in found}


def _of_fold(protocol: Protocol, session: int, speaker: TestedSpeakers) -> Protocol:
    name = protocol.name
    if session != SEALED_SESSION or speaker is not TestedSpeakers.BOTH:
        name += f"+test_session={session}"
    if speaker is not TestedSpeakers.BOTH:
        name += f"+test_speaker={speaker}"
    return replace(protocol, name=name, test_session=session, test_speaker=speaker)
