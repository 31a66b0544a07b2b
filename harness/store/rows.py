"""Records as rows of results.db, and rows as records again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Emotion
from harness.errors import StoreError
from harness.store.records import (
    PROBABILITY_COLUMNS,
    EpochRecord,
    ExperimentKind,
    ExperimentRecord,
    ExperimentRow,
    ExperimentStatus,
    FoldedExperimentRow,
    Hyperparameter,
    Prediction,
    ScoreKind,
    TestOpeningRow,
    TestScores,
    TrialEnvironment,
    TrialRow,
    TrialStatus,
)
from harness.store.schema import Database, quote_identifier

Row = Mapping[str, Any]


def insert(database: Database, table: str, row: Row) -> int:
    """Insert one row of plain or NumPy scalars, and return its rowid."""
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
    columns = ", ".join(quote_identifier(column) for column in plain)
    places = ", ".join("?" for _ in plain)
    cursor = database.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(plain.values()))
    return int(cursor.lastrowid or 0)


def insert_predictions(database: Database, table: str, key: Row, predictions: Iterable[Prediction]) -> None:
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


#: Columns of the table of hyperparameters, with room for those that a view adds. Source: SQLITE_MAX_COLUMN, 2000.
_MOST_COLUMNS = 1900


def require_columns(database: Database, experiment: ExperimentRecord) -> None:
    """Check that each hyperparameter of a search can have a column beside those of all earlier searches.

    Raises:
        StoreError: there would be too many columns
    """
    searched = json.loads(experiment.search_space)
    names = {str(entry.get("name", "")).lower() for entry in searched if isinstance(entry, dict)}
    columns = {column.name.lower() for column in database.table("hyperparameters").columns}
    if len(columns | names) > _MOST_COLUMNS:
        raise StoreError(
            f"experiment {experiment.name!r}: its {len(names)} hyperparameters and those of earlier searches would be "
            f"{len(columns | names)} columns of results.db; expected at most {_MOST_COLUMNS}; move the results folder "
            "away and start anew"
        )


def insert_hyperparameters(
    database: Database, trial_id: int, hyperparameters: Mapping[str, Hyperparameter]
) -> None:
    """Insert a trial's hyperparameters, a typed column for each; a column that is not there yet is added.

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
    insert(database, "hyperparameters", row)


def _is_storable(value: Hyperparameter) -> bool:
    """Return True where SQLite takes a value as it is: numbers of at most 64 bits, and valid Unicode."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, float)


def _column_type(value: Hyperparameter) -> type:
    return next((column_type for column_type in (int, float) if isinstance(value, column_type)), str)


def read_experiment(row: Row) -> ExperimentRow:
    """Read a row of ``experiments``."""
    return ExperimentRow(
        **{
            **row,
            "is_synthetic": bool(row["is_synthetic"]),
            "status": ExperimentStatus(row["status"]),
            "kind": ExperimentKind(row["kind"]),
        }
    )


def read_folded(row: Row) -> FoldedExperimentRow:
    """Read a row of ``folded_experiments``."""
    return FoldedExperimentRow(**{**row, "folds": tuple(json.loads(row["folds"]))})


def read_trial(row: Row, results_dir: Path) -> TrialRow:
    """Read a row of ``trials`` with its result.

    Args:
        results_dir: the paths of jobs are relative to it, unless they are absolute
    """
    job_path = row["job_path"]
    return TrialRow(
        **{
            **row,
            "status": TrialStatus(row["status"]),
            "hyperparameters": json.loads(row["hyperparameters"]),
            "seed_scores": tuple(json.loads(row["seed_scores"] or "[]")),
            "job_path": None if job_path is None else str(results_dir / job_path),
        }
    )


def read_environment(row: Row) -> TrialEnvironment:
    """Read a row of ``trial_environments``."""
    known = {field.name: row[field.name] for field in fields(TrialEnvironment)}
    known["versions"] = json.loads(row["versions"])
    known["scene_groups"] = tuple(map(tuple, json.loads(row["scene_groups"])))
    known["validated_scenes"] = tuple(json.loads(row["validated_scenes"]))
    return TrialEnvironment(**known)


def read_epoch(row: Row) -> EpochRecord:
    """Read a row of ``epochs``; SQLite keeps NaN as NULL."""
    values: dict[str, Any] = {
        field.name: math.nan if row[field.name] is None else row[field.name] for field in fields(EpochRecord)
    }
    return EpochRecord(**values)


def read_prediction(row: Row) -> Prediction:
    """Read a row of any table of predictions."""
    return Prediction(
        utterance_id=row["utterance_id"],
        emotion=Emotion(row["emotion"]),
        predicted=Emotion(row["predicted"]),
        probabilities=tuple(row[column] for column in PROBABILITY_COLUMNS),
    )


def read_scores(row: Row, predictions: tuple[Prediction, ...] = ()) -> TestScores:
    """Read a row of ``test_scores``, or one of ``trial_test_scores`` with its trial's seed."""
    return TestScores(
        seed=row["seed"],
        kind=ScoreKind(row["kind"]),
        weighted_accuracy=row["weighted_accuracy"],
        unweighted_accuracy=row["unweighted_accuracy"],
        macro_f1=row["macro_f1"],
        predictions=predictions,
        epoch=row["epoch"],
        model=row.get("model"),
    )


def read_opening(row: Row, scores: tuple[TestScores, ...]) -> TestOpeningRow:
    """Read a row of ``test_openings`` that also says ``is_synthetic``."""
    is_synthetic = row["is_synthetic"]
    return TestOpeningRow(
        **{
            **row,
            "seeds": tuple(json.loads(row["seeds"])),
            "is_synthetic": None if is_synthetic is None else bool(is_synthetic),
            "scores": scores,
        }
    )
