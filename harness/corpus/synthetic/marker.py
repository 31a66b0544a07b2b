"""The file in a synthetic corpus's root that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.corpus.synthetic.settings import SyntheticSettings
from harness.errors import CorpusError, one_line
from harness.files import read_json

#: Written last: a corpus without it is not complete.
MARKER_NAME = "SYNTHETIC.json"

#: There while a corpus is being written, and after a write that broke off.
UNFINISHED_NAME = "SYNTHETIC.unfinished.json"

#: Raised whenever the same settings come to give other bytes.
GENERATOR_VERSION = 1

NOTE = SYNTHETIC_SENTENCE


def is_synthetic(corpus_root: Path) -> bool:
    """Return whether the corpus in ``corpus_root`` was made by this package, finished or not."""
    return any((corpus_root / name).is_file() for name in (MARKER_NAME, UNFINISHED_NAME))


def read_settings(corpus_root: Path) -> SyntheticSettings:
    """Return the settings that a finished synthetic corpus was written with.

    Raises:
        CorpusError: it is not finished, not synthetic, or its marker file is damaged
    """
    path = corpus_root / MARKER_NAME
    if not path.is_file():
        found = "a write that broke off" if is_synthetic(corpus_root) else f"no {MARKER_NAME}"
        raise CorpusError(f"corpus {str(corpus_root)!r}: found {found}; expected a finished synthetic corpus")
    try:
        return SyntheticSettings.from_json(read_json(path)["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CorpusError(
            f"corpus {str(corpus_root)!r}: its {MARKER_NAME} cannot be read ({one_line(error)}); expected the "
            "settings that 'harness synth' wrote; write the corpus again into an empty folder"
        ) from error


def describe(settings: SyntheticSettings) -> dict[str, Any]:
    """Return what the marker file of a corpus with ``settings`` says."""
    return {"generator_version": GENERATOR_VERSION, "note": NOTE, "settings": settings.to_json()}


def says_the_same(path: Path, settings: SyntheticSettings) -> bool:
    """Return whether the marker file at ``path`` exists and is that of ``settings``."""
    try:
        return bool(read_json(path) == describe(settings))
    except (OSError, ValueError):
        return False
