"""How rows go into results.db: in one short transaction, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from enum import Enum
from typing import Any

from harness.errors import StoreError
from harness.store.connection import one_sentence
from harness.store.database import Database, quote_identifier
from harness.store.queries import ResultsReader
from harness.store.records import (
    PROBABILITY_COLUMNS,
    EpochRecord,
    Hyperparameter,
    Prediction,
    TrialEnvironment,
    TrialResult,
    TrialStatus,
    utc_now,
)


class Durability(Enum):
    """What a transaction survives, as the value of SQLite's ``synchronous`` in WAL mode."""

    POWER_LOSS = "FULL"
    #: The end of every process; a power loss too, once a later transaction of ``POWER_LOSS`` is committed.
    PROCESS_END = "NORMAL"


class ResultsWriter(ResultsReader):
    """A connection to results.db that takes the write lock for one short transaction at a time."""

    @contextmanager
    def writing(self, durability: Durability = Durability.POWER_LOSS) -> Iterator[Database]:
        """One short transaction that holds the write lock from its beginning; whole or not at all."""
        with one_sentence(self.path):
            # Between transactions: SQLite ignores it inside one.
            self._database.execute(f"PRAGMA synchronous = {durability.value}")
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.commit()
            except BaseException:
                self._database.rollback()
                raise

    @contextmanager
    def writing_for(
        self, trial_id: int, durability: Durability = Durability.POWER_LOSS
    ) -> Iterator[Database]:
        """A transaction for a trial that is running, and stays so until the transaction's end.

        Raises:
            StoreError: no such trial, or it has ended
        """
        with self.writing(durability) as database:
            rows = self._query("SELECT status FROM trials WHERE trial_id = ?", [trial_id])
            if not rows:
                raise self._no_trial(trial_id)
            status = rows[0]["status"]
            if status != TrialStatus.RUNNING:
                raise StoreError(
                    f"trial {trial_id}: has ended ({status}) in '{self.path}'; nothing more can be recorded "
                    "for it"
                )
            yield database


def insert(database: Database, table: str, row: dict[str, Any]) -> int:
    """Insert one row of plain or NumPy scalars, and return its rowid."""
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
    columns = ", ".join(plain)
    places = ", ".join("?" for _ in plain)
    cursor = database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(plain.values()))
    return int(cursor.lastrowid or 0)


def insert_predictions(
    database: Database, table: str, key: dict[str, Any], predictions: tuple[Prediction, ...]
) -> None:
    """Insert predictions under ``key``, the columns that they share."""
    columns = (*key, "utterance_id", "emotion", "predicted", *PROBABILITY_COLUMNS)
    places = ", ".join("?" for _ in columns)
    database.conn.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
        [
            (
                *key.values(),
                prediction.utterance_id,
                prediction.emotion.value,
                prediction.predicted.value,
                *(float(probability) for probability in prediction.probabilities),
            )
            for prediction in predictions
        ],
    )


def insert_environment(database: Database, trial_id: int, environment: TrialEnvironment) -> None:
    """Insert what a trial runs in."""
    row = asdict(environment)
    row["versions"] = json.dumps(dict(environment.versions), sort_keys=True)
    row |= {"trial_id": trial_id, "recorded_at": utc_now()}
    insert(database, "trial_environments", row)


def insert_epoch(database: Database, trial_id: int, epoch: EpochRecord) -> None:
    """Insert one epoch of a trial."""
    insert(database, "epochs", {"trial_id": trial_id, **asdict(epoch), "recorded_at": utc_now()})


def insert_result(database: Database, trial_id: int, result: TrialResult) -> None:
    """Insert what a trial found, with its predictions.

    Raises:
        StoreError: the score is not finite
    """
    check_finite(trial_id, result.score)
    row = {field.name: getattr(result, field.name) for field in fields(result)}
    del row["predictions"]
    insert(database, "trial_results", {"trial_id": trial_id, **row, "recorded_at": utc_now()})
    insert_predictions(database, "validation_predictions", {"trial_id": trial_id}, result.predictions)


def check_finite(trial_id: int, score: float) -> None:
    """Refuse a score by which nothing can be ranked.

    Raises:
        StoreError: it is NaN or infinite
    """
    if not math.isfinite(score):
        raise StoreError(f"trial {trial_id}: score {score}; expected a finite number")


def insert_hyperparameters(
    database: Database, trial_id: int, hyperparameters: Mapping[str, Hyperparameter]
) -> None:
    """Insert a trial's point, a typed column a hyperparameter; a column that is not there yet is added.

    Raises:
        StoreError: two names that SQLite takes for one column, or a name that no column can have
    """
    table = database.table("hyperparameters")
    # SQLite's column names know no upper and lower case.
    existing = {column.name.lower(): column.name for column in table.columns}
    row: dict[str, Any] = {"trial_id": trial_id}
    for name, value in hyperparameters.items():
        column = existing.get(name.lower(), name)
        if not name or "\0" in name or not _is_storable(name) or column in row:
            raise StoreError(
                f"hyperparameter {name!r}: cannot be a column beside {sorted(row)}; expected another name "
                "(upper and lower case are not told apart)"
            )
        if column not in existing.values():
            table.add_column(column, _column_type(value))
            existing[name.lower()] = column
        # Exact in the trial's own row; here it is for browsing.
        row[column] = value if _is_storable(value) else json.dumps(value)
    columns = ", ".join(quote_identifier(column) for column in row)
    places = ", ".join("?" for _ in row)
    database.execute(f"INSERT INTO hyperparameters ({columns}) VALUES ({places})", list(row.values()))


def _is_storable(value: Hyperparameter) -> bool:
    """Whether SQLite takes a value as it is: numbers of at most 64 bits, and text that is valid Unicode."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, float)


def _column_type(value: Hyperparameter) -> type:
    for column_type in (int, float):
        if isinstance(value, column_type):
            return column_type
    return str
