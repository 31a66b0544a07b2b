"""A parser to be fuzzed: the file that it reads, its first inputs, and the checks of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Reads the file at a path; raises the package's own errors, and ``BrokenPromise``.
Check = Callable[[Path], None]


class BrokenPromise(Exception):
    """A parser returned what its docstring says it never returns."""


@dataclass(frozen=True)
class Parser:
    """One parser.

    Attributes:
        file_name: of what it reads, from the folder that it may use
        seeds: makes the folder ready, and returns what the fuzzing begins with
        load: imports the parser and returns what reads the file; called after ``seeds``, in a process of its own
        is_json: whether values inside the JSON are changed too, and not only bytes
    """

    file_name: str
    seeds: Callable[[Path], list[bytes]]
    load: Callable[[], Check]
    is_json: bool = False


def promise(is_kept: bool, what: str) -> None:
    """Raise ``BrokenPromise`` unless it is kept."""
    if not is_kept:
        raise BrokenPromise(what)


def make_seeds(parser: Parser, folder: Path) -> Sequence[bytes]:
    """Make a parser's folder ready, and return its seeds."""
    path = folder / parser.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    return parser.seeds(folder)
