"""results.db as flat rows with one type per column, for programs that read tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from typing import Any

from harness.errors import StoreError
from harness.models.systems import name_searched, name_system
from harness.store.connection import translate_error
from harness.store.records import PROBABILITY_COLUMNS, ExperimentRow
from harness.store.rows import read_point
from harness.store.schema import has_notes
from harness.store.store import ResultsStore

Value = int | float | str | bool | None

#: Before every hyperparameter's own name, which may be that of another column.
HYPERPARAMETER_PREFIX = "hyperparameter_"


class ExportedRows(StrEnum):
    """The things that a row of an export can be."""

    EXPERIMENTS = "experiments"
    TRIALS = "trials"
    EPOCHS = "epochs"
    PREDICTIONS = "predictions"
    TEST_SCORES = "test-scores"
    EVALUATIONS = "evaluations"


class ColumnType(Enum):
    """The type of every value of a column, where there is one."""

    WHOLE_NUMBER = "int64"
    NUMBER = "float64"
    TEXT = "string"
    TRUTH = "bool"


@dataclass(frozen=True)
class Column:
    """One column of an export; a number with a unit says so in its name."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class Rows:
    """An export: its columns, and its rows, which can be gone through once."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[Value, ...]]


_WHOLE, _NUMBER, _TEXT, _TRUTH = ColumnType

#: SQL -> type, in the order of the columns; whose trial or score a row is stands first in each export.
_EXPERIMENT = {
    "experiments.eid": _WHOLE,
    "experiments.name AS experiment": _TEXT,
    "experiments.kind AS experiment_kind": _TEXT,
    "{named} AS system": _TEXT,
    "experiments.protocol_name AS protocol": _TEXT,
    "experiments.protocol_hash": _TEXT,
    "json_extract(experiments.protocol, '$.happiness') AS happiness": _TEXT,
    "json_extract(experiments.protocol, '$.scenes') AS scenes": _TEXT,
    "experiments.corpus_hash": _TEXT,
    "experiments.is_synthetic": _TRUTH,
}
_END_OF_EXPERIMENT = {
    "experiments.fold": _TEXT,
    "experiments.status": _TEXT,
    "experiments.target": _TEXT,
    "experiments.num_samples": _WHOLE,
    "(SELECT count(*) FROM trials WHERE trials.eid = experiments.eid AND trials.status = 'finished') AS num_finished":
        _WHOLE,
    "experiments.max_epochs": _WHOLE,
    "experiments.patience": _WHOLE,
    "experiments.seed": _WHOLE,
    "experiments.created_at": _TEXT,
    "experiments.ended_at": _TEXT,
}  # fmt: skip
_TRIAL = {
    "trials.trial_id": _WHOLE,
    "trials.trial_index": _WHOLE,
    "trials.attempt": _WHOLE,
    "trials.seed": _WHOLE,
}
#: A JSON list of a trial's notes in the order in which they were written; every attempt at the trial has them.
_NOTES = """
    (SELECT nullif(json_group_array(json_object('written_at', written_at, 'text', text)), '[]') FROM
        (SELECT written_at, text FROM trial_notes WHERE trial_notes.eid = trials.eid AND
            trial_notes.trial_index = trials.trial_index AND withdrawn_at IS NULL ORDER BY note_id)) AS notes
"""
# What a job printed, where it ran and who ran it are private: they stay in results.db.
_END_OF_TRIAL = {
    "trials.status": _TEXT,
    "experiments.target": _TEXT,
    "trials.score": _NUMBER,
    "trial_results.best_epoch": _WHOLE,
    "(SELECT count(*) FROM epochs WHERE epochs.trial_id = trials.trial_id) AS num_epochs": _WHOLE,
    "trial_results.duration_seconds": _NUMBER,
    "trial_results.peak_memory_bytes": _WHOLE,
    "trial_environments.threads": _WHOLE,
    "trial_results.embedding_source": _TEXT,
    "trial_results.temperature": _NUMBER,
    "trial_results.seed_scores": _TEXT,
    "trials.exit_code": _WHOLE,
    "trials.signal": _WHOLE,
    "trials.message": _TEXT,
    "trials.started_at": _TEXT,
    "trials.ended_at": _TEXT,
    _NOTES.strip(): _TEXT,
}
_EPOCH = {
    "epochs.epoch": _WHOLE,
    "epochs.train_loss AS train_loss_nats": _NUMBER,
    "epochs.train_accuracy": _NUMBER,
    "epochs.train_unweighted_accuracy": _NUMBER,
    "epochs.validation_loss AS validation_loss_nats": _NUMBER,
    "epochs.validation_accuracy": _NUMBER,
    "epochs.validation_unweighted_accuracy": _NUMBER,
    "epochs.seconds": _NUMBER,
    "epochs.recorded_at": _TEXT,
}
#: The scene of an utterance id such as ``Ses03M_impro05a_F012``, as ``scene_of`` finds it.
_SCENE = """
    rtrim(substr(validation_predictions.utterance_id, 8, length(validation_predictions.utterance_id) - 12),
        'abcdefghijklmnopqrstuvwxyz') AS scene
"""
_PREDICTION = {
    "validation_predictions.utterance_id": _TEXT,
    _SCENE.strip(): _TEXT,
    "validation_predictions.emotion": _TEXT,
    "validation_predictions.predicted": _TEXT,
    **{f"validation_predictions.{column}": _NUMBER for column in PROBABILITY_COLUMNS},
}
_TEST_SCORE = {
    "scored.opening_id": _WHOLE,
    "test_openings.opened_at": _TEXT,
    "test_openings.completed_at": _TEXT,
    "scored.trial_id": _WHOLE,
    "scored.seed": _WHOLE,
    "scored.kind AS score_kind": _TEXT,
    "scored.epoch": _WHOLE,
    "scored.weighted_accuracy": _NUMBER,
    "scored.unweighted_accuracy": _NUMBER,
    "scored.macro_f1": _NUMBER,
    "scored.recorded_at": _TEXT,
    "scored.model": _TEXT,
}
#: Of the scored corpus, which is not the experiment's.
_EVALUATION = {
    "evaluations.evaluation_id": _WHOLE,
    "evaluations.evaluated_at": _TEXT,
    "evaluations.eid": _WHOLE,
    "evaluations.model": _TEXT,
    "evaluations.system": _TEXT,
    "evaluations.protocol_name AS protocol": _TEXT,
    "evaluations.trained_on_hash": _TEXT,
    "evaluations.is_trained_on_synthetic": _TRUTH,
    "evaluations.corpus_hash": _TEXT,
    "evaluations.is_synthetic": _TRUTH,
    "evaluations.sessions": _TEXT,
    "evaluation_scores.seed": _WHOLE,
    "evaluation_scores.kind AS score_kind": _TEXT,
    "evaluation_scores.epoch": _WHOLE,
    "(SELECT count(*) FROM evaluation_predictions AS made WHERE (made.evaluation_id, made.seed, made.kind) = "
    "(evaluation_scores.evaluation_id, evaluation_scores.seed, evaluation_scores.kind)) AS num_utterances": _WHOLE,
    "evaluation_scores.weighted_accuracy": _NUMBER,
    "evaluation_scores.unweighted_accuracy": _NUMBER,
    "evaluation_scores.macro_f1": _NUMBER,
}

_COLUMNS: Mapping[ExportedRows, Mapping[str, ColumnType]] = {
    ExportedRows.EXPERIMENTS: {**_EXPERIMENT, **_END_OF_EXPERIMENT},
    ExportedRows.TRIALS: {**_EXPERIMENT, **_TRIAL, **_END_OF_TRIAL},
    ExportedRows.EPOCHS: {**_EXPERIMENT, **_TRIAL, **_EPOCH},
    ExportedRows.PREDICTIONS: {**_EXPERIMENT, **_TRIAL, **_PREDICTION},
    ExportedRows.TEST_SCORES: {**_EXPERIMENT, **_TEST_SCORE},
    ExportedRows.EVALUATIONS: _EVALUATION,
}

#: The hyperparameters of the trial whose system a row names: its context stands in the name.
_POINT: Mapping[ExportedRows, str] = dict.fromkeys(ExportedRows, "trials.hyperparameters") | {
    ExportedRows.EXPERIMENTS: "NULL",
    ExportedRows.TEST_SCORES: """
        (SELECT hyperparameters FROM trials WHERE trials.trial_id = scored.trial_id OR trials.eid = scored.eid AND
            scored.model LIKE '%/experiment-' || trials.eid || '-trial-' || trials.trial_index || '-%' LIMIT 1)
    """.strip()
}

_TABLES: Mapping[ExportedRows, str] = {
    ExportedRows.EXPERIMENTS: "experiments WHERE experiments.eid IN ({eids}) ORDER BY experiments.eid",
    ExportedRows.TRIALS: """
        trials JOIN experiments USING (eid)
            LEFT JOIN trial_results USING (trial_id)
            LEFT JOIN trial_environments USING (trial_id)
        WHERE experiments.eid IN ({eids}) ORDER BY experiments.eid, trial_index, attempt
    """,
    ExportedRows.EPOCHS: """
        epochs JOIN trials USING (trial_id) JOIN experiments USING (eid)
        WHERE experiments.eid IN ({eids}) ORDER BY experiments.eid, trial_index, attempt, epoch
    """,
    ExportedRows.PREDICTIONS: """
        validation_predictions JOIN trials USING (trial_id) JOIN experiments USING (eid)
        WHERE experiments.eid IN ({eids}) ORDER BY experiments.eid, trial_index, attempt, utterance_id
    """,
    # Of final models, by the experiment of their test evaluation, and of trials that were scored in one go.
    ExportedRows.TEST_SCORES: """
        (
            SELECT eid, NULL AS trial_id, opening_id, test_scores.seed, kind, epoch, weighted_accuracy,
                unweighted_accuracy, macro_f1, recorded_at, model
            FROM test_scores JOIN test_openings USING (opening_id)
            UNION ALL
            SELECT eid, trial_id, opening_id, seed, kind, epoch, weighted_accuracy, unweighted_accuracy,
                macro_f1, recorded_at, NULL AS model
            FROM trial_test_scores JOIN trials USING (trial_id)
        ) AS scored
            JOIN test_openings ON test_openings.opening_id = scored.opening_id
            JOIN experiments ON experiments.eid = scored.eid
        WHERE experiments.eid IN ({eids}) ORDER BY scored.opening_id, scored.trial_id, scored.seed, scored.kind DESC
    """,
    # A model of another results folder has no experiment here.
    ExportedRows.EVALUATIONS: """
        evaluations JOIN evaluation_scores USING (evaluation_id)
        WHERE evaluations.eid IN ({eids}) OR evaluations.eid IS NULL
        ORDER BY evaluations.evaluation_id, evaluation_scores.kind DESC, evaluation_scores.seed
    """,
}


def choose_experiments(store: ResultsStore, eids: Sequence[int] = (), is_whole: bool = False) -> list[ExperimentRow]:
    """Return the experiments of an export: those that are named, all, or else the latest search with its other folds.

    Raises:
        StoreError: an experiment is not there; or none is named, and there is no search yet
    """
    if is_whole:
        return store.experiments()
    if eids:
        return [store.experiment(eid) for eid in sorted(set(eids))]
    latest = store.latest_experiment()
    if latest is None:
        raise StoreError(
            f"results database '{store.path}': holds no search yet; run aup first, or take all that there is"
        )
    return [latest] if latest.folded_id is None else list(store.searches_of(latest.folded_id).values())


def read_rows(store: ResultsStore, what: ExportedRows, eids: Sequence[int]) -> Rows:
    """Return the rows of some experiments, in order; they are fetched as they are gone through.

    Inside ``store.snapshot`` all of them are of one moment.

    Args:
        eids: of experiments that there are

    Returns:
        trials carry a column for every hyperparameter that one of them has; NaN is None
    """
    columns = _COLUMNS[what]
    if not has_notes(store.database):
        columns = {sql.replace(_NOTES.strip(), "NULL AS notes"): kind for sql, kind in columns.items()}
    typed = tuple(Column(_name_of(sql), column_type) for sql, column_type in columns.items())
    searched = _find_hyperparameters(store, eids) if what is ExportedRows.TRIALS else {}
    selected = [*columns, *(["trials.hyperparameters"] if searched else [])]
    named = f"name_system(experiments.system, {_POINT[what]}, experiments.search_space)"
    sql = f"SELECT {', '.join(selected).replace('{named}', named)} FROM {_TABLES[what].format(eids=_places(eids))}"
    points = (Column(f"{HYPERPARAMETER_PREFIX}{name}", column_type) for name, column_type in searched.items())
    return Rows((*typed, *points), _fetch(store, sql, eids, typed, searched))


def _fetch(
    store: ResultsStore,
    sql: str,
    eids: Sequence[int],
    columns: Sequence[Column],
    searched: Mapping[str, ColumnType],
) -> Iterator[tuple[Value, ...]]:
    truths = [number for number, column in enumerate(columns) if column.type is ColumnType.TRUTH]
    with translate_error(store.path):
        store.database.register_function(cache(_name_system), name="name_system", deterministic=True, replace=True)
        for row in store.database.execute(sql, list(eids)):
            values: list[Value] = list(row[: len(columns)])
            for number in truths:
                values[number] = bool(values[number])
            if searched:
                point = json.loads(row[-1])
                values += [_read_value(point.get(name), kind) for name, kind in searched.items()]
            yield tuple(values)


def _find_hyperparameters(store: ResultsStore, eids: Sequence[int]) -> dict[str, ColumnType]:
    """Return every hyperparameter of some experiments, in order of appearance, with the type that holds all of it."""
    found: dict[str, set[ColumnType]] = {}
    sql = "SELECT trial_id, hyperparameters FROM trials "
    sql += f"WHERE eid IN ({_places(eids)}) ORDER BY eid, trial_index, attempt"
    for row in store.query(sql, eids):
        for name, value in read_point(row).items():
            types = found.setdefault(name, set())
            if value is not None:
                types.add(_type_of(value))
    return {name: _widest(types) for name, types in found.items()}


def _name_system(system: str, point: str | None, search_space: str) -> str:
    """Name the system of a trial, or of an experiment where no trial is known; both are JSON texts."""
    if point is None:
        return name_searched(system, json.loads(search_space))
    return name_system(system, json.loads(point))


def _name_of(sql: str) -> str:
    return sql.rpartition(" AS ")[2].rpartition(".")[2]


def _places(eids: Sequence[int]) -> str:
    return ", ".join("?" for _ in eids)


def _type_of(value: Any) -> ColumnType:
    if isinstance(value, bool):
        return ColumnType.TRUTH
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return ColumnType.WHOLE_NUMBER
    return ColumnType.NUMBER if isinstance(value, float) else ColumnType.TEXT


def _widest(types: Iterable[ColumnType]) -> ColumnType:
    """Return the type that holds values of all these types.

    Example:
        >>> _widest([ColumnType.WHOLE_NUMBER, ColumnType.NUMBER]), _widest([ColumnType.TRUTH, ColumnType.NUMBER])
        (<ColumnType.NUMBER: 'float64'>, <ColumnType.TEXT: 'string'>)
    """
    found = set(types)
    if found == {ColumnType.WHOLE_NUMBER, ColumnType.NUMBER}:
        return ColumnType.NUMBER
    return found.pop() if len(found) == 1 else ColumnType.TEXT


def _read_value(value: Any, column_type: ColumnType) -> Value:
    if value is None:
        return None
    if column_type is ColumnType.TEXT:
        return value if isinstance(value, str) else json.dumps(value)
    plain: int | float | bool = value
    return float(plain) if column_type is ColumnType.NUMBER else plain
