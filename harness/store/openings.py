"""Final models and the openings of the test set: what was scored, when, and by what command."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from typing import Any

from harness.errors import StoreError
from harness.store.queries import Parameters, read_prediction
from harness.store.records import (
    FinalModel,
    Prediction,
    ScoreKind,
    TestOpening,
    TestOpeningRow,
    TestScores,
    utc_now,
)
from harness.store.writing import ResultsWriter, insert, insert_predictions


class OpeningsStore(ResultsWriter):
    """The part of the store that the final trainings write and every report reads."""

    def record_opening(self, opening: TestOpening) -> int:
        """Record that the test session is about to be opened; call this before its files are touched.

        Returns:
            the opening's id, for ``record_test_scores``
        """
        with self.writing() as database:
            row = {**asdict(opening), "seeds": json.dumps(list(opening.seeds))}
            return insert(database, "test_openings", row)

    def record_test_scores(self, opening_id: int, scores: TestScores) -> None:
        """Record one seed's scores and predictions; with the last seed the opening is complete.

        Raises:
            StoreError: no such opening, a seed that it did not name, or scores recorded before
        """
        with self.writing() as database:
            opening = self._opening(opening_id)
            if scores.seed not in opening.seeds:
                raise StoreError(
                    f"test opening {opening_id}: scored seed {scores.seed}; expected one of "
                    f"{list(opening.seeds)}"
                )
            if any((known.seed, known.kind) == (scores.seed, scores.kind) for known in opening.scores):
                raise StoreError(
                    f"test opening {opening_id}: seed {scores.seed} ({scores.kind}) has its score already; a "
                    "score on the test set is never replaced"
                )
            key = {"opening_id": opening_id, "seed": scores.seed, "kind": scores.kind.value}
            insert(
                database,
                "test_scores",
                {
                    **key,
                    "epoch": scores.epoch,
                    "weighted_accuracy": scores.weighted_accuracy,
                    "unweighted_accuracy": scores.unweighted_accuracy,
                    "macro_f1": scores.macro_f1,
                    "recorded_at": utc_now(),
                },
            )
            insert_predictions(database, "test_predictions", key, scores.predictions)
            scored = {known.seed for known in opening.scores} | {scores.seed}
            if scored >= set(opening.seeds):
                database.execute(
                    "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?",
                    [utc_now(), opening_id],
                )

    def openings(self) -> list[TestOpeningRow]:
        """Return every opening of the test set that was ever made, oldest first."""
        return self._openings("", [])

    def test_predictions(self, opening_id: int, seed: int, kind: ScoreKind) -> list[Prediction]:
        """Return one seed's predictions on the test session, by utterance id."""
        rows = self._query(
            "SELECT * FROM test_predictions WHERE opening_id = ? AND seed = ? AND kind = ? "
            "ORDER BY utterance_id",
            [opening_id, seed, kind.value],
        )
        return [read_prediction(row) for row in rows]

    def record_final_training(self, model: FinalModel) -> int:
        """Record a model trained on train + validation, and return its id."""
        with self.writing() as database:
            return insert(database, "final_models", asdict(model))

    def final_models(self, eid: int) -> list[FinalModel]:
        """Return the models that were trained from an experiment, oldest first."""
        rows = self._query("SELECT * FROM final_models WHERE eid = ? ORDER BY model_id", [eid])
        for row in rows:
            del row["model_id"]
        return [FinalModel(**row) for row in rows]

    def _opening(self, opening_id: int) -> TestOpeningRow:
        openings = self._openings("WHERE opening_id = ?", [opening_id])
        if not openings:
            raise StoreError(
                f"test opening {opening_id}: not in '{self.path}'; expected one that record_opening returned"
            )
        return openings[0]

    def _openings(self, clause: str, parameters: Parameters) -> list[TestOpeningRow]:
        scores: dict[int, list[TestScores]] = defaultdict(list)
        for row in self._query(f"SELECT * FROM test_scores {clause} ORDER BY seed, kind DESC", parameters):
            scores[row["opening_id"]].append(
                TestScores(
                    seed=row["seed"],
                    kind=ScoreKind(row["kind"]),
                    weighted_accuracy=row["weighted_accuracy"],
                    unweighted_accuracy=row["unweighted_accuracy"],
                    macro_f1=row["macro_f1"],
                    epoch=row["epoch"],
                )
            )
        rows = self._query(
            "SELECT test_openings.*, is_synthetic FROM test_openings LEFT JOIN experiments USING (eid) "
            f"{clause} ORDER BY opening_id",
            parameters,
        )
        return [_read_opening(row, tuple(scores[row["opening_id"]])) for row in rows]


def _read_opening(row: dict[str, Any], scores: tuple[TestScores, ...]) -> TestOpeningRow:
    is_synthetic = row["is_synthetic"]
    return TestOpeningRow(
        **{
            **row,
            "seeds": tuple(json.loads(row["seeds"])),
            "is_synthetic": None if is_synthetic is None else bool(is_synthetic),
            "scores": scores,
        }
    )
