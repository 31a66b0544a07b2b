"""The plan of Tables 1 to 5: their rows, and the experiments behind each row. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.corpus.layout import SESSIONS
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES
from harness.models.systems import PAPER_SYSTEMS
from harness.splits.protocol import SEALED_SESSION, EpochChoice, Recordings, read_protocol
from harness.tables.experiments import Choices, TableExperiment, modalities_of
from harness.tables.parts import TableSplit
from harness.tables.published import PUBLISHED, TITLES, PublishedRow
from harness.tables.reproductions import Reproduction, describe_plan, plan_reproductions
from harness.tables.settings import TablesSettings

#: Baselines below the paper's rows of each table; those of Table 2 are of improvised recordings only.
BASELINES_OF_TABLES: Mapping[int, tuple[str, ...]] = {
    1: ("majority", "speech_forest", "speech_svm", "speech_framewise"),
    2: ("majority", "speech_forest", "speech_svm"),
    3: ("majority", "text_logistic"),
    4: ("majority",),
    5: ("majority", "text_speech_average"),
}
#: The table of the combined systems, whose published split is by session.
COMBINED_TABLE = 5
#: Words of an utterance in the published code of the text systems; that of the combined one has 50.
NOTEBOOK_MAX_WORDS = 500


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: what is trained; None for the work of others that is only printed
        published: what the paper prints; None for a baseline
        experiments: one, or one for each session left out; none for the work of others that is only printed
    """

    table: int
    title: str
    name: str | None
    published: PublishedRow | None
    experiments: tuple[TableExperiment, ...]


@dataclass(frozen=True)
class TablesPlan:
    """Everything that one call of `harness tables` trains and prints.

    Attributes:
        probes: the experiments of each probe by its name
        compared: the systems that the paper compares with, of those that were chosen
    """

    rows: tuple[Row, ...]
    probes: Mapping[str, tuple[TableExperiment, ...]]
    compared: tuple[Reproduction, ...]

    @property
    def experiments(self) -> tuple[TableExperiment, ...]:
        """Each once: those of Tables 1 to 5 first, the probes last."""
        of_compared = [each for planned in self.compared for each in planned.experiments]
        of_probes = [each for experiments in self.probes.values() for each in experiments]
        return tuple(dict.fromkeys([*distinct_experiments(self.rows), *of_compared, *of_probes]))

    def describe_compared(self, num_seeds: int) -> str:
        """Say how many trainings the compared systems take."""
        return describe_plan(self.compared, num_seeds)


def plan_tables(settings: TablesSettings) -> TablesPlan:
    """Plan the tables of some settings; no corpus is read."""
    return TablesPlan(plan_rows(settings), probe_experiments(settings), plan_reproductions(settings.compared))


def plan_rows(settings: TablesSettings) -> tuple[Row, ...]:
    """Return the rows in the paper's order, without tables none of whose systems is chosen."""
    rows: list[Row] = []
    for table in TITLES:
        of_table = [_published_row(settings, row) for row in PUBLISHED if row.table == table]
        of_table += [_baseline_row(settings, table, name) for name in BASELINES_OF_TABLES[table]]
        chosen = [row for row in of_table if row.name is None or row.name in settings.names]
        if any(row.experiments for row in chosen):
            rows += chosen
    return tuple(rows)


def distinct_experiments(rows: Iterable[Row]) -> tuple[TableExperiment, ...]:
    """Return the experiments of some rows, each once, in the rows' order."""
    return tuple(dict.fromkeys(experiment for row in rows for experiment in row.experiments))


def probe_experiments(settings: TablesSettings) -> dict[str, tuple[TableExperiment, ...]]:
    """Return the experiments of each probe by its name: one by session, or one for each session left out."""
    return {name: _experiments(settings, COMBINED_TABLE, name, settings.recordings) for name in PROBES}


def _published_row(settings: TablesSettings, published: PublishedRow) -> Row:
    is_others = published.system not in PAPER_SYSTEMS
    if published.system is None or (is_others and published.system not in settings.names):
        return Row(published.table, published.name, None, published, ())
    recordings = settings.recordings if published.recordings is Recordings.ALL else published.recordings
    chosen = tuple(sorted(published.choices.items()))
    experiments = _experiments(settings, published.table, published.system, recordings, chosen)
    return Row(published.table, published.name, published.system, published, experiments)


def _baseline_row(settings: TablesSettings, table: int, name: str) -> Row:
    only_improvised = table == 2
    recordings = Recordings.IMPROVISED if only_improvised else settings.recordings
    title = BASELINES[name].title + (" (improv only)" if only_improvised else "")
    return Row(table, title, name, None, _experiments(settings, table, name, recordings))


def _experiments(
    settings: TablesSettings, table: int, name: str, recordings: Recordings, chosen: Choices = ()
) -> tuple[TableExperiment, ...]:
    sessions = SESSIONS if settings.leaves_each_session_out else (SEALED_SESSION,)
    split = split_of(settings, table)
    choices: dict[str, Any] = {
        "base": settings.protocol,
        "recordings": recordings.value,
        "happiness": settings.happiness.value,
    }
    if split is TableSplit.BY_POSITION and modalities_of(name) == ("text",) and name not in BASELINES:
        choices["max_words"] = NOTEBOOK_MAX_WORDS
    return tuple(
        TableExperiment(name, read_protocol({**choices, "test_session": session}), split, chosen)
        for session in sessions
    )


def split_of(settings: TablesSettings, table: int) -> TableSplit:
    """Return the split of a table's rows: the chosen one, but always by session for the combined systems."""
    if table == COMBINED_TABLE or settings.leaves_each_session_out:
        return TableSplit.SESSIONS
    if settings.split is not None:
        return settings.split
    test_chooses = settings.base.epoch_choice is EpochChoice.TEST_MAXIMUM
    return TableSplit.BY_POSITION if test_chooses else TableSplit.SESSIONS
