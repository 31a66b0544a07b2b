"""Emotion lexica: the group of a word that a lexicon knows, and the polarity of an utterance, as terms of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from harness.errors import FeatureError
from harness.files import hash_json

# It takes a tenth of a second to import: only the function that uses it imports it.
if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

#: From this mean rating on, of -4 to 4, a word is a very good or a very bad one. Ours.
VERY = 2.0
#: The bounds of an utterance's polarity, from -1 to 1, each a term of the utterances above it. Ours.
POLARITIES = (-0.75, -0.5, -0.25, -0.05, 0.05, 0.25, 0.5, 0.75)
#: The last words of an utterance, whose polarity is measured: the time that takes grows with their square.
_MOST_RATED = 500


class Lexicon(StrEnum):
    """A lexicon by name."""

    NONE = "none"
    VADER = "vader"  # some 7500 words, each rated from very bad to very good; the package vaderSentiment, MIT licence


#: The package of each lexicon, and its file there. Nothing is fetched when it is read.
_FILES = {Lexicon.VADER: ("vaderSentiment", "vader_lexicon.txt")}


@lru_cache
def read_lexicon(lexicon: Lexicon) -> Mapping[str, str]:
    """Return the group of each word of a lexicon: ``<bad>``, ``<very-bad>``, ``<good>`` or ``<very-good>``.

    Raises:
        FeatureError: its package is not installed, or has another file

    Source: Hutto and Gilbert, "VADER", ICWSM 2014.
    """
    if lexicon is Lexicon.NONE:
        return {}
    package, name = _FILES[lexicon]
    try:
        text = resources.files(package).joinpath(name).read_text("utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise FeatureError(
            f"lexicon {lexicon.value!r}: the package {package} is not installed; install it: pip install {package}"
        ) from error
    try:
        rated = {word: float(rating) for word, rating, *_ in (line.split("\t") for line in text.splitlines() if line)}
    except ValueError as error:
        raise FeatureError(
            f"lexicon {lexicon.value!r}: {name} of the package {package} has a line that "
            "is not a word and its rating; expected tabs between them; install it again: "
            f"pip install --force-reinstall {package}"
        ) from error
    return {word: _group_of(rating) for word, rating in rated.items()}


def lexicon_terms(words: Sequence[str], lexicon: Lexicon) -> list[str]:
    """Return the groups of the words that a lexicon knows, and a term for each of ``POLARITIES`` that they exceed.

    The polarity is VADER's ``compound``, whose rules turn the rating of a negated word round; tags such as
    ``[laughter]`` have none. An utterance of no known word has the polarity 0; one without words has no terms.

    Args:
        words: of one utterance with its sentence marks, lowercase

    Raises:
        FeatureError: as ``read_lexicon``

    Example:
        >>> lexicon_terms(["not", "bad", "!"], Lexicon.VADER)
        ['<very-bad>', '<above-0.75>', '<above-0.5>', '<above-0.25>', '<above-0.05>', '<above0.05>', '<above0.25>']
        >>> lexicon_terms(["not", "bad", "!"], Lexicon.NONE)
        []
    """
    if lexicon is Lexicon.NONE or not words:
        return []
    groups = read_lexicon(lexicon)
    rated = [word for word in words[-_MOST_RATED:] if not word.startswith("[")]
    polarity = _analyser().polarity_scores(" ".join(rated))["compound"]
    return [groups[word] for word in words if word in groups] + [
        f"<above{bound:g}>" for bound in POLARITIES if polarity > bound
    ]


@lru_cache
def _analyser() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def hash_lexicon(lexicon: Lexicon) -> str:
    """Return a hash of a lexicon's words and rules, the files of its package; empty without a lexicon.

    Raises:
        FeatureError: as ``read_lexicon``
    """
    if lexicon is Lexicon.NONE:
        return ""
    read_lexicon(lexicon)
    files = [each for each in resources.files(_FILES[lexicon][0]).iterdir() if each.name.endswith((".py", ".txt"))]
    return hash_json({each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files})


def hash_lexica(lexica: Iterable[Lexicon]) -> dict[str, str]:
    """Return the hash of each lexicon by its name, sorted; ``Lexicon.NONE`` is left out.

    Raises:
        FeatureError: as ``read_lexicon``
    """
    return {lexicon.value: hash_lexicon(lexicon) for lexicon in sorted(set(lexica) - {Lexicon.NONE})}


def lexicon_of(hyperparameters: object) -> Lexicon:
    """Return the lexicon that hyperparameters choose; ``Lexicon.NONE`` where their system reads none."""
    return Lexicon(getattr(hyperparameters, "lexicon", Lexicon.NONE))


def _group_of(rating: float) -> str:
    side = "good" if rating > 0 else "bad"
    return f"<very-{side}>" if abs(rating) >= VERY else f"<{side}>"
