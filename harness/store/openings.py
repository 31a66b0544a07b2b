"""Final models and the openings of the test set: what was scored, when, and by what command."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
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
        """Record one seed's scores and predictions; with the model's last seed the opening is complete.

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
                {**key, **_measured(scores), "model": scores.model},
            )
            insert_predictions(database, "test_predictions", key, scores.predictions)
            of_model = [known for known in (*opening.scores, scores) if not known.kind.is_baseline]
            if {known.seed for known in of_model} >= set(opening.seeds):
                database.execute(
                    "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?",
                    [utc_now(), opening_id],
                )

    def record_test_utterances(self, opening_id: int, is_seen: Mapping[str, bool | None]) -> None:
        """Record of each utterance scored whether training had read its transcript, word for word.

        Args:
            is_seen: by utterance id; None where no word was said

        Raises:
            StoreError: no such opening, or its utterances are recorded already
        """
        with self.writing() as database:
            self._opening(opening_id)
            if self._query("SELECT 1 FROM test_utterances WHERE opening_id = ? LIMIT 1", [opening_id]):
                raise StoreError(f"test opening {opening_id}: its utterances are recorded already; expected none")
            database.conn.executemany(
                "INSERT INTO test_utterances (opening_id, utterance_id, is_transcript_seen) VALUES (?, ?, ?)",
                [(opening_id, name, seen) for name, seen in sorted(is_seen.items())],
            )

    def test_utterances(self, opening_id: int) -> dict[str, bool | None]:
        """Return of each utterance scored whether its transcript was seen; empty for older openings."""
        rows = self._query(
            "SELECT utterance_id, is_transcript_seen FROM test_utterances WHERE opening_id = ? ORDER BY utterance_id",
            [opening_id],
        )
        found = {row["utterance_id"]: row["is_transcript_seen"] for row in rows}
        return {name: None if seen is None else bool(seen) for name, seen in found.items()}

    def complete_opening(self, opening_id: int) -> None:
        """Record that everything an opening of `tables` or `leaks` was made for is scored.

        Raises:
            StoreError: no such opening
        """
        with self.writing() as database:
            self._opening(opening_id)
            database.execute(
                "UPDATE test_openings SET completed_at = ? WHERE opening_id = ?", [utc_now(), opening_id]
            )

    def record_trial_test_scores(self, trial_id: int, opening_id: int, scores: TestScores) -> None:
        """Record what a trial of `tables` or `leaks` scored on the test set, with its predictions.

        Raises:
            StoreError: the trial has ended, there is no such opening, or scores of that kind are recorded
        """
        with self.writing_for(trial_id) as database:
            self._opening(opening_id)
            key = {"trial_id": trial_id, "kind": scores.kind.value}
            insert(database, "trial_test_scores", {**key, "opening_id": opening_id, **_measured(scores)})
            insert_predictions(database, "trial_test_predictions", key, scores.predictions)

    def trial_test_scores(self, trial_id: int) -> dict[ScoreKind, TestScores]:
        """Return what a trial scored on the test set, with its predictions by utterance id."""
        rows = self._query(
            "SELECT trial_test_scores.*, seed FROM trial_test_scores JOIN trials USING (trial_id) "
            "WHERE trial_id = ? ORDER BY kind DESC",
            [trial_id],
        )
        predictions = "SELECT * FROM trial_test_predictions WHERE trial_id = ? AND kind = ? ORDER BY utterance_id"
        return {
            ScoreKind(row["kind"]): _read_scores(
                row, tuple(read_prediction(found) for found in self._query(predictions, [trial_id, row["kind"]]))
            )
            for row in rows
        }

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
            scores[row["opening_id"]].append(_read_scores(row))
        # An opening of `tables` has many experiments; whether it is synthetic is a property of the corpus.
        rows = self._query(
            "SELECT *, (SELECT max(is_synthetic) FROM experiments WHERE experiments.eid = test_openings.eid "
            "OR (test_openings.eid IS NULL AND experiments.corpus_hash = test_openings.corpus_hash)) "
            f"AS is_synthetic FROM test_openings {clause} ORDER BY opening_id",
            parameters,
        )
        return [_read_opening(row, tuple(scores[row["opening_id"]])) for row in rows]


def _measured(scores: TestScores) -> dict[str, Any]:
    return {
        "epoch": scores.epoch,
        "weighted_accuracy": scores.weighted_accuracy,
        "unweighted_accuracy": scores.unweighted_accuracy,
        "macro_f1": scores.macro_f1,
        "recorded_at": utc_now(),
    }


def _read_scores(row: dict[str, Any], predictions: tuple[Prediction, ...] = ()) -> TestScores:
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
