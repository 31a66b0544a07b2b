"""Records as rows of results.db, and rows as records again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from harness.codec import check_types
from harness.corpus.utterances import Emotion
from harness.errors import StoreError, one_line
from harness.files import parse_json
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
Rest = ParamSpec("Rest")
Read = TypeVar("Read")
Kind = TypeVar("Kind", dict[str, Any], list[Any])
Member = TypeVar("Member", bound=StrEnum)


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


def measured(scores: TestScores) -> dict[str, Any]:
    """Return the columns that every table of scores has: the scored epoch, and what was scored."""
    return {name: getattr(scores, name) for name in ("epoch", "weighted_accuracy", "unweighted_accuracy", "macro_f1")}


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


def of_table(
    table: str, key: str
) -> Callable[[Callable[Concatenate[Row, Rest], Read]], Callable[Concatenate[Row, Rest], Read]]:
    """Have a reader of a table's rows name the row whose value somebody has changed by hand into what it cannot be.

    Args:
        table: as a message names it
        key: the column that identifies a row
    """

    def check(read: Callable[Concatenate[Row, Rest], Read]) -> Callable[Concatenate[Row, Rest], Read]:
        @wraps(read)
        def checked(row: Row, /, *rest: Rest.args, **named: Rest.kwargs) -> Read:
            try:
                return read(row, *rest, **named)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                where = f"results.db, {table}, row with {key} {row.get(key)}"
                raise StoreError(
                    f"{where}: {one_line(error)}; expected what harness wrote; put the value back, or restore a copy "
                    "of the file"
                ) from error

        return checked

    return check


def read_json(row: Row, name: str, kind: type[Kind]) -> Kind:
    """Read the JSON text of a column, which holds an object or a list.

    Raises:
        ValueError: it holds something else
    """
    text = row[name]
    try:
        value = parse_json(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is {text!r:.80} ({one_line(error)})") from error
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {text!r:.80}; expected {'an object' if kind is dict else 'a list'} as JSON")
    return value


def read_member(row: Row, name: str, members: type[Member]) -> Member:
    """Read a column that holds the value of a member of a closed list.

    Raises:
        ValueError: it holds something else
    """
    try:
        return members(row[name])
    except ValueError:
        raise ValueError(f"{name} is {row[name]!r:.80}; expected one of {[each.value for each in members]}") from None


def read_record(record_type: type[Read], row: Row, leave_out: Collection[str] = (), **converted: Any) -> Read:
    """Read a row as a record, and check its types; a column that somebody has added is nobody's business.

    Args:
        leave_out: fields whose types are not checked
        converted: fields that the row has not, or has as something else

    Raises:
        TypeError: a field has another type than its record says
    """
    names = [each.name for each in fields(cast(Any, record_type))]
    record = record_type(**{**{name: row[name] for name in names if name in row}, **converted})
    check_types(record, leave_out)
    return record


@of_table("table 'experiments'", "eid")
def read_experiment(row: Row) -> ExperimentRow:
    """Read a row of ``experiments``."""
    for name in ("protocol", "settings"):
        read_json(row, name, dict)
    read_json(row, "search_space", list)
    experiment = read_record(
        ExperimentRow,
        row,
        is_synthetic=bool(row["is_synthetic"]),
        status=read_member(row, "status", ExperimentStatus),
        kind=read_member(row, "kind", ExperimentKind),
    )
    _check_times(row, "created_at", "ended_at")
    return experiment


@of_table("table 'folded_experiments'", "folded_id")
def read_folded(row: Row) -> FoldedExperimentRow:
    """Read a row of ``folded_experiments``."""
    read_json(row, "identity", dict)
    return read_record(FoldedExperimentRow, row, folds=tuple(read_json(row, "folds", list)))


@of_table("table 'trials'", "trial_id")
def read_point(row: Row) -> dict[str, Hyperparameter]:
    """Read the hyperparameters of a row of ``trials``."""
    return read_json(row, "hyperparameters", dict)


@of_table("table 'trials'", "trial_id")
def read_trial(row: Row, results_dir: Path) -> TrialRow:
    """Read a row of ``trials`` with its result.

    Args:
        results_dir: the paths of jobs are relative to it, unless they are absolute
    """
    job_path = row["job_path"]
    trial = read_record(
        TrialRow,
        row,
        # A foreign script's may be of any type.
        leave_out=("hyperparameters",),
        status=read_member(row, "status", TrialStatus),
        hyperparameters=read_json(row, "hyperparameters", dict),
        seed_scores=tuple(read_json({**row, "seed_scores": row["seed_scores"] or "[]"}, "seed_scores", list)),
        job_path=None if job_path is None else str(results_dir / job_path),
    )
    _check_times(row, "started_at", "ended_at")
    return trial


def _check_times(row: Row, *names: str) -> None:
    for name in names:
        if row[name] is not None and not _is_time(row[name]):
            raise ValueError(f"{name} is {row[name]!r:.80}; expected a time such as '2026-03-04T05:06:07.891+00:00'")


def _is_time(text: str) -> bool:
    """Return True for a time as ``utc_now`` writes it, with which times can be compared."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


@of_table("table 'trial_environments'", "trial_id")
def read_environment(row: Row) -> TrialEnvironment:
    """Read a row of ``trial_environments``."""
    return read_record(
        TrialEnvironment,
        row,
        versions=read_json(row, "versions", dict),
        scene_groups=tuple(map(tuple, read_json(row, "scene_groups", list))),
        validated_scenes=tuple(read_json(row, "validated_scenes", list)),
    )


@of_table("table 'epochs'", "trial_id")
def read_epoch(row: Row) -> EpochRecord:
    """Read a row of ``epochs``; SQLite keeps NaN as NULL."""
    values: dict[str, Any] = {
        field.name: math.nan if row[field.name] is None else row[field.name] for field in fields(EpochRecord)
    }
    # There may be very many of them: not by check_types.
    for name, value in values.items():
        if not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r:.80}; expected a number")
    return EpochRecord(**values)


@of_table("a table of predictions", "utterance_id")
def read_prediction(row: Row) -> Prediction:
    """Read a row of any table of predictions."""
    # There may be very many of them: not by check_types.
    if not isinstance(row["utterance_id"], str):
        raise TypeError(f"utterance_id is {row['utterance_id']!r:.80}; expected a text")
    for column in PROBABILITY_COLUMNS:
        if not isinstance(row[column], float) or not math.isfinite(row[column]):
            raise TypeError(f"{column} is {row[column]!r:.80}; expected a number")
    return Prediction(
        utterance_id=row["utterance_id"],
        emotion=read_member(row, "emotion", Emotion),
        predicted=read_member(row, "predicted", Emotion),
        probabilities=tuple(row[column] for column in PROBABILITY_COLUMNS),
    )


def read_is_seen(rows: Iterable[Row]) -> dict[str, bool | None]:
    """Read of each utterance of a table of utterances whether training had read its transcript."""
    found = {row["utterance_id"]: row["is_transcript_seen"] for row in rows}
    return {name: None if seen is None else bool(seen) for name, seen in found.items()}


@of_table("a table of scores", "seed")
def read_scores(row: Row, predictions: tuple[Prediction, ...] = ()) -> TestScores:
    """Read a row of ``test_scores``, or one of ``trial_test_scores`` with its trial's seed."""
    kind = read_member(row, "kind", ScoreKind)
    # The predictions were checked one by one.
    return read_record(TestScores, row, leave_out=("predictions",), kind=kind, predictions=predictions)


@of_table("table 'test_openings'", "opening_id")
def read_opening(row: Row, scores: tuple[TestScores, ...]) -> TestOpeningRow:
    """Read a row of ``test_openings`` that also says ``is_synthetic``."""
    is_synthetic = row["is_synthetic"]
    return read_record(
        TestOpeningRow,
        row,
        seeds=tuple(read_json(row, "seeds", list)),
        is_synthetic=None if is_synthetic is None else bool(is_synthetic),
        scores=scores,
    )
