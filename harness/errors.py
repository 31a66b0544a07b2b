"""Every error that the package raises on purpose.

A message stands alone: which thing, what was found, what was expected, what to do.
Each error takes one string, so that it survives a trip between processes.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterable


class HarnessError(Exception):
    """Something is wrong with the user's input: a file, an argument, the environment."""

    exit_code = 2


class CorpusError(HarnessError, ValueError):
    """A file of the corpus cannot be read as the kind of file that belongs in its place."""


class ShapeError(HarnessError, ValueError):
    """An array has another number of dimensions, rows or columns than expected."""


class FeatureError(HarnessError, ValueError):
    """Prepared features are missing, damaged, or not the requested ones."""


class UnknownNameError(HarnessError, ValueError):
    """A name is not in the closed list it must come from."""


class ExperimentFileError(HarnessError, ValueError):
    """An experiment file or a search space has something that cannot be run."""


class StoreError(HarnessError):
    """The results database cannot be used as it is."""


class ModelError(HarnessError, ValueError):
    """A saved model is missing, damaged, or was trained with something that is not there now."""


class WorkFailedError(HarnessError):
    """The input was right and the work itself failed."""

    exit_code = 1


class TrialFailed(WorkFailedError):
    """One trial failed; its cause is stored, and the search goes on."""


class Diverged(TrialFailed):
    """The loss is no longer a number."""


#: The exit codes of a trial's process that diverged, and of one that was pruned.
DIVERGED_EXIT_CODE = 3
PRUNED_EXIT_CODE = 4


class Pruned(HarnessError):
    """A trial ends early because other trials were better at that epoch; it has not failed."""

    exit_code = PRUNED_EXIT_CODE


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name outside its closed list.

    Args:
        kind: the kind of thing that has the name, e.g. ``"system"``
        name: the unknown name
        known: every name that is allowed

    Example:
        >>> print(unknown_name("protocol", "papr", ["paper", "strict"]))
        unknown protocol 'papr'; expected one of ['paper', 'strict']
    """
    return UnknownNameError(f"unknown {kind} {show_value(name)}; expected one of {sorted(known)}")


#: Sequences that colour text, move a cursor or name a window on a terminal. Source: ECMA-48, sections 5.4 and 5.6.
_TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[@-Z\\^_])")


#: The joiner and the non-joiner, which Persian words and many symbols are written with.
_JOINERS = "\u200c\u200d"


def is_visible(character: str) -> bool:
    """Return True for a character that can be printed, any kind of space and the joiners of letters too.

    Example:
        >>> [is_visible(character) for character in "a\\u00a0\\u3000\\u200d\\u202e\\n"]
        [True, True, True, True, False, False]
    """
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def one_line(said: str | Exception) -> str:
    """Show foreign text, or a foreign error, on one line; Python's words for a missing key or a type are replaced.

    Terminal sequences are left out; invisible characters, ends of lines too, are spelt out.

    Example:
        >>> one_line("red: \\x1b[31mno\\x1b[0m\\nnext\\x00")
        'red: no\\\\nnext\\\\x00'
        >>> one_line(ValueError("found 'x\\n'; expected y"))
        "found 'x\\\\n'; expected y"
        >>> one_line(KeyError("seed")), one_line(FileNotFoundError(2, "No such file or directory", "model.json"))
        ("has no 'seed'", 'model.json: No such file or directory')
    """
    if isinstance(said, OSError) and said.strerror:
        # Its text has the error's number and the whole path besides.
        has_name = isinstance(said.filename, str)
        said = f"{os.path.basename(said.filename)}: {said.strerror}" if has_name else said.strerror
    elif isinstance(said, KeyError) and said.args:
        # Its text is the key alone.
        said = f"has no {said.args[0]!r}"
    elif isinstance(said, TypeError | AttributeError) and "; expected" not in str(said):
        # Python's own words for a record whose values were changed by hand.
        said = "holds a value of another type than belongs there"
    visible = _TERMINAL_SEQUENCE.sub("", str(said)).replace("\t", " ")
    if visible.isprintable():
        return visible
    return "".join(
        character if is_visible(character) else character.encode("unicode_escape").decode("ascii")
        for character in visible
    )


def visible_lines(text: str) -> str:
    """Show foreign text as ``one_line`` does, line by line.

    Example:
        >>> print(visible_lines("a name\\u202e\\nof two lines"))
        a name\\u202e
        of two lines
    """
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def show_value(value: object) -> str:
    """Show a value of a JSON file in a message, in JSON's words, cut where it is long.

    Example:
        >>> show_value(None), show_value(True), show_value("max"), show_value({"a": [None]})
        ('null', 'true', "'max'", '{"a": [null]}')
    """
    if value is None or isinstance(value, bool | list | tuple | dict):
        try:
            return f"{one_line(json.dumps(value, ensure_ascii=False)):.80}"
        except (TypeError, ValueError, RecursionError):
            pass  # it holds a value that no JSON file can
    return f"{value!r:.80}"
