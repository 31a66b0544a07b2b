"""Evaluations of saved models on other corpora, written to results.db and read from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from harness.store.records import Evaluation, EvaluationRow, TestScores
from harness.store.rows import (
    Row,
    insert,
    insert_predictions,
    measured,
    of_table,
    read_is_seen,
    read_json,
    read_prediction,
    read_record,
    read_scores,
)
from harness.store.store import ResultsStore


def record_evaluation(
    results: ResultsStore, evaluation: Evaluation, scores: Iterable[TestScores], is_seen: Mapping[str, bool | None]
) -> int:
    """Record an evaluation with its scores and predictions, whole or not at all, and return its id.

    Args:
        is_seen: as ``EvaluationRow`` has it

    Raises:
        StoreError: it cannot be recorded
    """
    lists = {"sessions": json.dumps(list(evaluation.sessions)), "seeds": json.dumps(list(evaluation.seeds))}
    with results.writing() as database:
        evaluation_id = insert(database, "evaluations", {**asdict(evaluation), **lists})
        for score in scores:
            key = {"evaluation_id": evaluation_id, "seed": score.seed, "kind": score.kind.value}
            insert(database, "evaluation_scores", {**key, **measured(score)})
            insert_predictions(database, "evaluation_predictions", key, score.predictions)
        database.conn.executemany(
            "INSERT INTO evaluation_utterances (evaluation_id, utterance_id, is_transcript_seen) VALUES (?, ?, ?)",
            [(evaluation_id, name, seen) for name, seen in sorted(is_seen.items())],
        )
    return evaluation_id


def read_evaluations(results: ResultsStore, eid: int | None = None) -> list[EvaluationRow]:
    """Return the evaluations of an experiment's models, or of all models, oldest first.

    Args:
        eid: None for all

    Raises:
        StoreError: the results cannot be read
    """
    rows = results.query(
        "SELECT * FROM evaluations WHERE ? IS NULL OR eid = ? ORDER BY evaluation_id", [eid, eid]
    )
    return [_read_evaluation(row, results) for row in rows]


@of_table("table 'evaluations'", "evaluation_id")
def _read_evaluation(row: Row, results: ResultsStore) -> EvaluationRow:
    of_this = [row["evaluation_id"]]
    predictions: dict[tuple[int, str], list[Row]] = {}
    sql = "SELECT * FROM evaluation_predictions WHERE evaluation_id = ? ORDER BY seed, kind, utterance_id"
    for found in results.query(sql, of_this):
        predictions.setdefault((found["seed"], found["kind"]), []).append(found)
    # The kind of a model's scores stands behind "baseline" in the alphabet.
    scores = results.query(
        "SELECT * FROM evaluation_scores WHERE evaluation_id = ? ORDER BY kind DESC, seed", of_this
    )
    utterances = results.query("SELECT * FROM evaluation_utterances WHERE evaluation_id = ?", of_this)
    flags = {name: bool(row[name]) for name in ("is_synthetic", "is_trained_on_synthetic")}
    lists = {name: tuple(read_json(row, name, list)) for name in ("sessions", "seeds")}
    return read_record(
        EvaluationRow,
        row,
        # The scores were checked one by one.
        leave_out=("scores", "is_seen"),
        scores=tuple(
            read_scores(score, tuple(map(read_prediction, predictions.get((score["seed"], score["kind"]), ()))))
            for score in scores
        ),
        is_seen=read_is_seen(utterances),
        **flags,
        **lists,
    )
