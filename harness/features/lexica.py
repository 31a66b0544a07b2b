"""Emotion lexica of optional packages: a word that a lexicon knows stands for its group too, as a term of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from importlib import metadata, resources

from harness.errors import FeatureError
from harness.files import hash_json

#: From this mean rating on, of -4 to 4, a word is a very good or a very bad one. Ours.
VERY = 2.0


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

    Source:
        Hutto and Gilbert, "VADER", ICWSM 2014. Its rules for neighbours, such as negations, are not applied.
    """
    if lexicon is Lexicon.NONE:
        return {}
    package, name = _FILES[lexicon]
    try:
        text = resources.files(package).joinpath(name).read_text("utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise FeatureError(
            f"lexicon {lexicon.value!r}: the package {package} is not installed; install the extra: "
            "pip install 'harness-iemocap[lexica]'"
        ) from error
    try:
        rated = {word: float(rating) for word, rating, *_ in (line.split("\t") for line in text.splitlines() if line)}
    except ValueError as error:
        raise FeatureError(
            f"lexicon {lexicon.value!r}: {name} of the package {package} {metadata.version(package)} has a line that "
            "is not a word and its rating; expected tabs between them; install the extra again: "
            "pip install 'harness-iemocap[lexica]'"
        ) from error
    return {word: _group_of(rating) for word, rating in rated.items()}


def hash_lexicon(lexicon: Lexicon) -> str:
    """Return a hash of the groups of a lexicon's words; empty without a lexicon.

    Raises:
        FeatureError: as ``read_lexicon``
    """
    return "" if lexicon is Lexicon.NONE else hash_json(dict(read_lexicon(lexicon)))


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
