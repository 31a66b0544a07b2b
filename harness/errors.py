"""Every error that the package raises on purpose.

A message stands alone: which thing, what was found, what was expected, what to do.
Each error takes one string, so that it survives a trip between processes.
"""

from __future__ import annotations

from collections.abc import Iterable


class HarnessError(Exception):
    """Something is wrong with what the user gave: a file, an argument, the environment."""

    exit_code = 2


class CorpusError(HarnessError, ValueError):
    """A file of the corpus cannot be read as what its place says it is."""


class ShapeError(HarnessError, ValueError):
    """An array has another number of dimensions, rows or columns than expected."""


class FeatureError(HarnessError, ValueError):
    """Prepared features are missing, damaged, or not those that were asked for."""


class UnknownNameError(HarnessError, ValueError):
    """A name is not in the closed list it must come from."""


class ExperimentFileError(HarnessError, ValueError):
    """An experiment file or a search space says something that cannot be run."""


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


#: With which a trial's process tells its controller that it diverged.
DIVERGED_EXIT_CODE = 3


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name outside its closed list.

    Args:
        kind: what the name names, e.g. ``"system"``
        name: what was found
        known: every name that is allowed

    Example:
        >>> print(unknown_name("protocol", "papr", ["paper", "strict"]))
        unknown protocol 'papr'; expected one of ['paper', 'strict']
    """
    return UnknownNameError(f"unknown {kind} {name!r}; expected one of {sorted(known)}")


def one_line(error: Exception) -> str:
    """Return what an error from elsewhere says, on one line: it may quote a file with line ends.

    Example:
        >>> one_line(ValueError("found 'x\\n'; expected y"))
        "found 'x '; expected y"
    """
    return " ".join(str(error).split())
