"""Every error that the package raises on purpose.

A message stands alone: which thing, what was found, what was expected, what to do.
Each error takes one string, so that it survives a trip between processes.
"""

from __future__ import annotations

import re
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
    return UnknownNameError(f"unknown {kind} {name!r}; expected one of {sorted(known)}")


#: Sequences that colour text, move a cursor or name a window on a terminal. Source: ECMA-48, sections 5.4 and 5.6.
_TERMINAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\)|[@-Z\\^_])")


def one_line(said: str | Exception) -> str:
    """Show foreign text, or a foreign error, on one line.

    Terminal sequences are left out; invisible characters, ends of lines too, are spelt out.

    Example:
        >>> one_line("red: \\x1b[31mno\\x1b[0m\\nnext\\x00")
        'red: no\\\\nnext\\\\x00'
        >>> one_line(ValueError("found 'x\\n'; expected y"))
        "found 'x\\\\n'; expected y"
    """
    visible = _TERMINAL_SEQUENCE.sub("", str(said)).replace("\t", " ")
    if visible.isprintable():
        return visible
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in visible
    )
