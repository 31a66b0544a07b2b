"""The rows of the tables, and the experiments behind them. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.models.baselines import BASELINES
from harness.published import PUBLISHED, TITLES, PublishedRow
from harness.splits import EpochChoice, Recordings, read_protocol
from harness.tables.experiments import TableExperiment, TablesSettings, modalities_of
from harness.tables.splits import TableSplit

#: Baselines below the paper's rows of each table; those of Table 2 are of improvised recordings only.
BASELINES_OF_TABLES: Mapping[int, tuple[str, ...]] = {
    1: ("majority", "speech_forest"),
    2: ("majority", "speech_forest"),
    3: ("majority", "text_logistic"),
    4: ("majority",),
    5: ("majority", "text_speech_average"),
}
#: The table of the combined systems, whose published split is by session.
COMBINED_TABLE = 5
#: Words of an utterance in the published code of the text systems; that of the combined one has 50.
NOTEBOOK_MAX_WORDS = 500
_SESSIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        published: what the paper prints; None for a baseline
        experiments: one, or one for each session left out; none for the work of others
    """

    table: int
    title: str
    name: str | None
    published: PublishedRow | None
    experiments: tuple[TableExperiment, ...]


def plan_rows(settings: TablesSettings) -> tuple[Row, ...]:
    """Return the rows in the paper's order; tables without a row that was asked for are left out."""
    rows: list[Row] = []
    for table in TITLES:
        of_table = [_published_row(settings, row) for row in PUBLISHED if row.table == table]
        of_table += [_baseline_row(settings, table, name) for name in BASELINES_OF_TABLES[table]]
        asked = [row for row in of_table if row.name is None or row.name in settings.names]
        if any(row.experiments for row in asked):
            rows += asked
    return tuple(rows)


def distinct_experiments(rows: Iterable[Row]) -> tuple[TableExperiment, ...]:
    """Return the experiments of some rows, each once, in the rows' order."""
    return tuple(dict.fromkeys(experiment for row in rows for experiment in row.experiments))


def _published_row(settings: TablesSettings, published: PublishedRow) -> Row:
    if published.system is None:
        return Row(published.table, published.name, None, published, ())
    recordings = settings.recordings if published.recordings is Recordings.ALL else published.recordings
    experiments = _experiments(settings, published.table, published.system, recordings)
    return Row(published.table, published.name, published.system, published, experiments)


def _baseline_row(settings: TablesSettings, table: int, name: str) -> Row:
    only_improvised = table == 2
    recordings = Recordings.IMPROVISED if only_improvised else settings.recordings
    title = BASELINES[name].title + (" (improv only)" if only_improvised else "")
    return Row(table, title, name, None, _experiments(settings, table, name, recordings))


def _experiments(
    settings: TablesSettings, table: int, name: str, recordings: Recordings
) -> tuple[TableExperiment, ...]:
    sessions = _SESSIONS if settings.leaves_each_session_out else _SESSIONS[-1:]
    split = split_of(settings, table)
    choices: dict[str, Any] = {"base": settings.protocol, "recordings": recordings.value}
    if split is TableSplit.BY_POSITION and modalities_of(name) == ("text",) and name not in BASELINES:
        choices["max_words"] = NOTEBOOK_MAX_WORDS
    return tuple(
        TableExperiment(name, read_protocol({**choices, "test_session": session}), split)
        for session in sessions
    )


def split_of(settings: TablesSettings, table: int) -> TableSplit:
    """Return the split of a table's rows: what was asked for, but always by session for the combined systems."""
    if table == COMBINED_TABLE or settings.leaves_each_session_out:
        return TableSplit.SESSIONS
    if settings.split is not None:
        return settings.split
    test_chooses = read_protocol(settings.protocol).epoch_choice is EpochChoice.TEST_MAXIMUM
    return TableSplit.BY_POSITION if test_chooses else TableSplit.SESSIONS
