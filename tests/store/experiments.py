"""Records with plausible values, so that a test names only what it is about."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.corpus.utterances import CLASSES
from harness.store.records import (
    EpochRecord,
    Evaluation,
    ExperimentRecord,
    Prediction,
    TestOpening,
    TrialEnvironment,
    TrialResult,
)


def an_experiment(**changes: Any) -> ExperimentRecord:
    return replace(
        ExperimentRecord(
            name="fusion search",
            identity="f00d",
            system="fusion",
            protocol_name="paper",
            protocol_hash="abc",
            protocol='{"name": "paper"}',
            corpus_hash="c0ffee",
            corpus_path="a corpus",
            is_synthetic=True,
            seed=7,
            num_samples=30,
            max_epochs=30,
            patience=None,
            target="max",
            script="jobs/trial.py",
            search_space="[]",
            settings="{}",
            shortened=None,
            package_version="0.1.0",
        ),
        **changes,
    )


def an_epoch(epoch: int = 1, validation_accuracy: float = 0.5) -> EpochRecord:
    return EpochRecord(epoch, 1.2, 0.4, 0.39, 1.3, validation_accuracy, 0.45, 2.5)


def a_prediction(
    utterance_id: str = "Ses04F_impro04_M018", emotion: int = 0, predicted: int = 1
) -> Prediction:
    probabilities = tuple(0.7 if index == predicted else 0.1 for index in range(4))
    return Prediction(utterance_id, CLASSES[emotion], CLASSES[predicted], probabilities)


def a_result(score: float = 0.5) -> TrialResult:
    return TrialResult(score, 1, 1, (a_prediction(),), 2**28, 31.5)


def an_environment(pid: int = 4711) -> TrialEnvironment:
    return TrialEnvironment(
        1, {"python": "3.11.7", "tensorflow": "2.18"}, "1a2b3c+", "c0ffee", "abc", "host", pid,
        scene_groups=(("impro01", "script01_1"), ("impro02",)), validated_scenes=("impro02",),
    )  # fmt: skip


def an_opening(eid: int | None, **changes: Any) -> TestOpening:
    opening = TestOpening(eid, "harness retrain-best --test", "paper", "c0ffee", (1, 2), "host", "user")
    return replace(opening, **changes)


def an_evaluation(eid: int | None, **changes: Any) -> Evaluation:
    evaluation = Evaluation(
        eid=eid,
        model="models/experiment-1-trial-9-0a1b2c3d",
        model_hash="abcd",
        system="fusion",
        protocol_name="paper",
        trained_on_hash="c0ffee",
        is_trained_on_synthetic=True,
        corpus_hash="0ther0ther",
        corpus_path="../data/the other",
        is_synthetic=False,
        sessions=(1, 5),
        seeds=(1, 2),
        command="harness evaluate",
        host="host",
        user="user",
        evaluated_at="2026-03-04T05:06:07.891+00:00",
    )
    return replace(evaluation, **changes)


def forget_notes(results_path: Path) -> None:
    """Make a closed results.db one of before the notes on trials."""
    with closing(sqlite3.connect(results_path, isolation_level=None)) as earlier:
        earlier.execute("DROP TABLE trial_notes")
        earlier.execute("DELETE FROM _sqlite_migrations WHERE name = '2: notes on trials'")
