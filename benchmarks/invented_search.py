"""A search of the combined model that never ran, as results.db would hold it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__
from harness.corpus.utterances import CLASSES
from harness.splits.protocol import PROTOCOLS
from harness.store.records import PROBABILITY_COLUMNS, ExperimentRecord, ExperimentStatus, TrialStatus
from harness.store.rows import insert_hyperparameters
from harness.store.store import ResultsStore

SEARCH_SPACE = Path(__file__).parents[1] / "search_spaces" / "fusion.json"
NUM_EPOCHS = 30
#: Source: the paper, its validation utterances.
NUM_VALIDATION = 838
#: One trial in so many fails.
FAILURE_PERIOD = 20
BEGAN, ENDED = "2026-01-01T00:00:00.000+00:00", "2026-01-01T00:10:00.000+00:00"


@dataclass(frozen=True)
class InventedTrial:
    """One trial of a search of the combined model.

    Attributes:
        accuracies: on validation by epoch, from 0 to 1
    """

    trial_index: int
    point: dict[str, float]
    accuracies: list[float]
    has_finished: bool

    @property
    def score(self) -> float:
        return max(self.accuracies)


def search_space() -> list[dict[str, Any]]:
    """The combined model's search space, as Auptimizer writes one."""
    entries: list[dict[str, Any]] = json.loads(SEARCH_SPACE.read_text("utf-8"))["parameter_config"]
    return entries


def invent_trials(num_trials: int) -> Iterator[InventedTrial]:
    """Invent trials within the search space, every time the same."""
    generator = np.random.default_rng(0)
    for trial_index in range(num_trials):
        point = {}
        for entry in search_space():
            low, high = entry["range"]
            drawn = generator.uniform(low, high)
            point[entry["name"]] = round(drawn) if entry["type"] == "int" else drawn
        rise = 0.45 + 0.2 * generator.random() - 0.2 * np.exp(-np.arange(NUM_EPOCHS) / 6)
        num_right = np.round((rise + generator.normal(0, 0.01, NUM_EPOCHS)) * NUM_VALIDATION)
        has_finished = (trial_index + 1) % FAILURE_PERIOD != 0
        yield InventedTrial(trial_index, point, (num_right / NUM_VALIDATION).tolist(), has_finished)


def insert_rows(database: sqlite3.Connection, table: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Insert many rows of the same columns at once."""
    rows = iter(rows)
    first = next(rows)
    statement = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({', '.join('?' for _ in first)})"
    database.execute(statement, list(first.values()))
    database.executemany(statement, (list(row.values()) for row in rows))


def invented_experiment(num_trials: int, system: str = "fusion") -> ExperimentRecord:
    """Describe a search under the paper's protocol, as it begins."""
    protocol = PROTOCOLS["paper"]
    return ExperimentRecord(
        name=f"{system} search",
        identity="",
        system=system,
        protocol_name=protocol.name,
        protocol_hash=protocol.protocol_hash,
        protocol=json.dumps(protocol.to_json()),
        corpus_hash="0" * 64,
        corpus_path="a corpus",
        is_synthetic=True,
        seed=0,
        num_samples=num_trials,
        max_epochs=NUM_EPOCHS,
        patience=None,
        target="max",
        script="jobs/trial.py",
        search_space=json.dumps(search_space()),
        settings="{}",
        shortened=None,
        package_version=__version__,
    )


def fill_results(path: Path, num_trials: int) -> None:
    """Write the trials to a new results.db in one transaction, as they would stand there after their search."""
    trials = list(invent_trials(num_trials))
    finished = [trial for trial in trials if trial.has_finished]
    with ResultsStore.open(path) as store:
        eid = store.create_experiment(invented_experiment(num_trials))
        with store.writing() as database:
            insert_rows(database.conn, "trials", (_trial_row(eid, trial) for trial in trials))
            for trial in trials:
                insert_hyperparameters(database, trial.trial_index + 1, trial.point)
            insert_rows(database.conn, "trial_environments", map(_environment_row, trials))
            insert_rows(database.conn, "epochs", (row for trial in trials for row in _epoch_rows(trial)))
            insert_rows(database.conn, "trial_results", map(_result_row, finished))
            insert_rows(
                database.conn,
                "validation_predictions",
                (row for trial in finished for row in _prediction_rows(trial)),
            )
        store.update_experiment(eid, ExperimentStatus.FINISHED, ENDED)


def _trial_row(eid: int, trial: InventedTrial) -> dict[str, object]:
    ended = {"status": TrialStatus.FINISHED.value, "score": trial.score, "message": None, "exit_code": 0}
    if not trial.has_finished:
        message = "the job exited with code 1 before writing a result; its last line was: MemoryError"
        ended = {"status": TrialStatus.CRASHED.value, "score": None, "message": message, "exit_code": 1}
    return {
        "eid": eid,
        "trial_index": trial.trial_index,
        "attempt": 1,
        "seed": trial.trial_index,
        "jid": trial.trial_index,
        "hyperparameters": json.dumps(trial.point),
        "started_at": BEGAN,
        "ended_at": ENDED,
        **ended,
    }


def _environment_row(trial: InventedTrial) -> dict[str, object]:
    return {
        "trial_id": trial.trial_index + 1,
        "threads": 2,
        "versions": json.dumps({"python": "3.11"}),
        "corpus_hash": "0" * 64,
        "protocol_hash": "",
        "host": "host",
        "pid": 1,
        "scene_groups": "[]",
        "validated_scenes": "[]",
        "recorded_at": BEGAN,
    }


def _epoch_rows(trial: InventedTrial) -> Iterator[dict[str, object]]:
    for number, accuracy in enumerate(trial.accuracies, start=1):
        yield {
            "trial_id": trial.trial_index + 1,
            "epoch": number,
            "train_loss": 1.4 - accuracy,
            "train_accuracy": accuracy + 0.1,
            "train_unweighted_accuracy": accuracy + 0.09,
            "validation_loss": 1.5 - accuracy,
            "validation_accuracy": accuracy,
            "validation_unweighted_accuracy": accuracy - 0.01,
            "seconds": 20.0,
            "recorded_at": ENDED,
        }


def _result_row(trial: InventedTrial) -> dict[str, object]:
    return {
        "trial_id": trial.trial_index + 1,
        "score": trial.score,
        "best_epoch": trial.accuracies.index(trial.score) + 1,
        "num_epochs": NUM_EPOCHS,
        "peak_memory_bytes": 2**30,
        "duration_seconds": 600.0,
        "recorded_at": ENDED,
    }


def _prediction_rows(trial: InventedTrial) -> Iterator[dict[str, object]]:
    num_right = round(trial.score * NUM_VALIDATION)
    for number in range(NUM_VALIDATION):
        emotion = number % len(CLASSES)
        predicted = emotion if number < num_right else (emotion + 1) % len(CLASSES)
        yield {
            "trial_id": trial.trial_index + 1,
            "utterance_id": f"Ses04F_impro{number // 40:02d}_M{number % 40:03d}",
            "emotion": CLASSES[emotion].value,
            "predicted": CLASSES[predicted].value,
            **{
                column: 0.7 if place == predicted else 0.1 for place, column in enumerate(PROBABILITY_COLUMNS)
            },
        }
