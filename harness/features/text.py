"""Transcripts to words, and words to the ids that a model looks up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.errors import FeatureError

#: Ids that no word has.
PADDING_ID, UNKNOWN_ID = 0, 1
NUM_RESERVED_IDS = 2

_TOKEN_PATTERN = re.compile(r"\[[^\[\]]+\]|[^\W_]+(?:'[^\W_]+)*")


def split_words(transcript: str) -> list[str]:
    """Split a transcript into lowercase words; a tag such as ``[LAUGHTER]`` is one word, punctuation none.

    Example:
        >>> split_words("I don't... [LAUGHTER] well-known, Augie: 10%!")
        ['i', "don't", '[laughter]', 'well', 'known', 'augie', '10']
    """
    text = transcript.lower().replace("\u2019", "'")
    return ["_".join(token.split()) for token in _TOKEN_PATTERN.findall(text)]


@dataclass(frozen=True)
class Tokenizer:
    """The words that a model knows, most frequent first; its ids begin after padding (0) and unknown (1).

    Example:
        >>> tokenizer = Tokenizer.fit(["so what", "so be it", None])
        >>> tokenizer.vocabulary
        ('so', 'be', 'it', 'what')
        >>> tokenizer.encode("So, what now?")
        [2, 5, 1]
    """

    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            twice = next(word for word, count in Counter(self.vocabulary).items() if count > 1)
            raise FeatureError(f"vocabulary: word {twice!r} stands in it twice; expected every word once")

    @classmethod
    def fit(cls, transcripts: Iterable[str | None]) -> Tokenizer:
        """Collect every word of ``transcripts``; words of one frequency are in alphabetical order."""
        counts = Counter(word for transcript in transcripts if transcript for word in split_words(transcript))
        return cls(tuple(sorted(counts, key=lambda word: (-counts[word], word))))

    @property
    def num_ids(self) -> int:
        """Rows of an embedding for these words: one a word, one for padding, one for unknown words."""
        return len(self.vocabulary) + NUM_RESERVED_IDS

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.vocabulary, start=NUM_RESERVED_IDS)}

    def encode(self, transcript: str | None) -> list[int]:
        """Return the id of each word, 1 for words outside the vocabulary; none for a missing transcript."""
        return self.encode_words(split_words(transcript or ""))

    def encode_words(self, words: Sequence[str]) -> list[int]:
        """Return the id of each of ``words``, 1 for words outside the vocabulary."""
        return [self._ids.get(word, UNKNOWN_ID) for word in words]
