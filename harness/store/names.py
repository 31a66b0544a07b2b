"""The experiments of a results folder by number and name, at once and whatever else is going on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.store.records import ExperimentKind

#: Somebody waits at a prompt: an answer that takes longer is none.
_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True)
class NamedExperiment:
    """What an experiment can be called by."""

    eid: int
    name: str
    system: str
    kind: str = ExperimentKind.SEARCH

    @property
    def is_search(self) -> bool:
        """Whether it has a best trial, and a report of its own."""
        return self.kind == ExperimentKind.SEARCH


def name_experiments(path: Path) -> list[NamedExperiment]:
    """Name every experiment, oldest first; none where results.db cannot be read just now.

    Unlike any other reading this never brings an older database up to date.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, timeout=_PATIENCE_SECONDS, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM experiments ORDER BY eid").fetchall()
            return [
                # Before schema 2 all were searches.
                NamedExperiment(
                    int(row["eid"]), row["name"], row["system"], row["kind"] if "kind" in row.keys() else "search"
                )
                for row in rows
            ]
    except (sqlite3.Error, ValueError):
        return []
