"""A results folder in which nothing contradicts anything, to be damaged one way at a time."""

import sqlite3
from contextlib import closing
from pathlib import Path

from harness.corpus.utterances import CLASSES
from harness.store.evaluations import record_evaluation
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    ExperimentStatus,
    Prediction,
    ScoreKind,
    TestScores,
    TrialResult,
    TrialStatus,
    utc_now,
)
from harness.store.store import ResultsStore
from tests.store.experiments import an_evaluation, an_experiment, an_opening

#: Of the three finished trials, by trial_id; the fourth crashed, and ran again as the fifth attempt.
SCORES = {1: 0.25, 2: 0.75, 3: 0.5, 5: 1.0}


def predictions(score: float) -> tuple[Prediction, ...]:
    """Four predictions of which the share ``score`` is right."""
    return tuple(
        Prediction(f"Ses04F_impro04_M{n:03d}", CLASSES[0], CLASSES[0 if n < 4 * score else 1], (0.4, 0.3, 0.2, 0.1))
        for n in range(4)
    )


def write_whole_results(path: Path) -> None:
    """Write a search that was killed once and then finished, and its opening of the test set.

    Every trial records three epochs, of which the second is its best.
    """
    with ResultsStore.open(path) as store:
        eid = store.create_experiment(an_experiment(num_samples=4))
        for index, score in enumerate([*SCORES.values()][:3]):
            train(store, store.start_trial(eid, index, index, {"dropout": index / 10}, index + 1), score)
        crashed = store.start_trial(eid, 3, 3, {"dropout": 0.3}, 4)
        store.record_epoch(crashed, EpochRecord(1, 1.0, 0.5, 0.5, 1.0, 0.5, 0.5, 1.0))
        store.finish_trial(crashed, TrialStatus.KILLED, message="its controller disappeared while the job ran")
        train(store, store.start_trial(eid, 3, 3, {"dropout": 0.3}, 5), 1.0)
        store.update_experiment(eid, ExperimentStatus.FINISHED, utc_now())
        opening_id = store.record_opening(an_opening(eid))
        for seed in (1, 2):
            scores = TestScores(seed, ScoreKind.VALIDATION_CHOSEN, 0.75, 0.6, 0.6, predictions(0.75), epoch=2)
            store.record_test_scores(opening_id, scores)


def write_table(path: Path) -> None:
    """Write an experiment of `harness tables`: one training, finished and scored."""
    with ResultsStore.open(path) as store:
        eid = store.create_experiment(an_experiment(name="tables: speech", kind=ExperimentKind.TABLES, num_samples=1))
        opening_id = store.record_opening(an_opening(None, seeds=(7,)))
        trial_id = store.start_trial(eid, 7, 7, {})
        train_only(store, trial_id, 0.5)
        scores = TestScores(7, ScoreKind.VALIDATION_CHOSEN, 0.25, 0.2, 0.2, predictions(0.25), epoch=2)
        store.record_trial_test_scores(trial_id, opening_id, scores)
        store.finish_trial(trial_id, TrialStatus.FINISHED, 0.5)
        store.update_experiment(eid, ExperimentStatus.FINISHED, utc_now())


def write_evaluation(path: Path) -> None:
    """Write an evaluation of a model from elsewhere, with a baseline."""
    scores = [
        TestScores(1, ScoreKind.VALIDATION_CHOSEN, 0.75, 0.6, 0.6, predictions(0.75), epoch=2),
        TestScores(1, ScoreKind.BASELINE_MAJORITY, 0.25, 0.2, 0.2, predictions(0.25)),
    ]
    with ResultsStore.open(path) as store:
        record_evaluation(store, an_evaluation(None, seeds=(1,)), scores, {})


def train(store: ResultsStore, trial_id: int, score: float) -> None:
    """Record what a whole trial records, and finish it."""
    train_only(store, trial_id, score)
    store.finish_trial(trial_id, TrialStatus.FINISHED, score, exit_code=0)


def train_only(store: ResultsStore, trial_id: int, score: float) -> None:
    """Record what a trial's own process records."""
    for epoch in (1, 2, 3):
        accuracy = score if epoch == 2 else 0.0
        store.record_epoch(trial_id, EpochRecord(epoch, 1.0, 0.5, 0.5, 1.0, accuracy, 0.5, 1.0))
    store.record_result(trial_id, TrialResult(score, 2, 3, predictions(score), 2**28, 31.5))


def damage(path: Path, *statements: str) -> None:
    """Change a database behind the store's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


def break_index(path: Path) -> None:
    """Write rows past an index: SQLite does not see it while the index is out of the schema."""
    kept = "CREATE TABLE kept AS SELECT * FROM sqlite_master WHERE name = 'experiments_by_identity'"
    damage(
        path,
        kept,
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_master WHERE name = 'experiments_by_identity'",
    )
    damage(
        path,
        "UPDATE experiments SET identity = 'changed'",
        "PRAGMA writable_schema = ON",
        "INSERT INTO sqlite_master SELECT * FROM kept",
    )
    damage(path, "DROP TABLE kept")
