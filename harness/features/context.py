"""The named choices of context: the turns that an answer depends on, and those that a dialogue consists of."""

from __future__ import annotations

from enum import StrEnum


class Context(StrEnum):
    """The turns of its dialogue that the answer to an utterance depends on, besides the utterance itself."""

    NONE = "none"
    PAST = "past"  # those before it: causal
    DIALOGUE = "dialogue"  # those on both sides


class ContextTurns(StrEnum):
    """The turns that a dialogue consists of for a model."""

    ALL = "all"
    LABELLED_ONLY = "labelled-only"  # the published form: labels, the test set's too, choose what a model reads

    @property
    def note(self) -> str | None:
        """The sentence that stands beside every score under this choice; None for the default."""
        if self is ContextTurns.ALL:
            return None
        return (
            "Only turns of the scored classes are in a dialogue, as published, so labels of the test set choose "
            "what the model reads there."
        )
