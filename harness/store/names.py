"""The experiments of a results folder by number and name, at once and whatever else is going on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.corpus.utterances import Seconds

#: Somebody waits at a prompt: an answer that takes longer is none.
_PATIENCE: Seconds = 0.2


@dataclass(frozen=True)
class NamedExperiment:
    """What an experiment can be called by."""

    eid: int
    name: str
    system: str


def name_experiments(path: Path) -> list[NamedExperiment]:
    """Name every experiment, oldest first; none where results.db cannot be read just now.

    Unlike any other reading this never brings an older database up to date.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, timeout=_PATIENCE, uri=True)) as connection:
            rows = connection.execute("SELECT eid, name, system FROM experiments ORDER BY eid").fetchall()
    except (sqlite3.Error, ValueError):
        return []
    return [NamedExperiment(int(eid), str(name), str(system)) for eid, name, system in rows]
