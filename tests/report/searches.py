"""Searches with known outcomes, written to a real database as the controller and its trials would."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.corpus.utterances import CLASSES
from harness.report.findings import Findings, read_findings
from harness.splits.protocol import Protocol, read_protocol
from harness.store.records import (
    EpochRecord,
    ExperimentStatus,
    Prediction,
    ScoreKind,
    TestScores,
    TrialResult,
    TrialStatus,
)
from harness.store.store import ResultsStore
from tests.store.experiments import an_environment, an_experiment, an_opening

SEARCH_SPACE = [
    {"name": "adamlr", "range": [0.0001, 0.001], "type": "float", "log": True},
    {"name": "textlstm", "range": [150, 300], "type": "int"},
    {"name": "attention", "range": ["decoder", "pooling"], "type": "choice"},
]


def point(trial_index: int, num_trials: int) -> dict[str, Any]:
    """Points on a diagonal through the search space, so that the score follows the first two."""
    share = min(1.0, trial_index / max(1, num_trials - 1))
    return {
        "adamlr": float(f"{0.0001 * 10 ** (0.1 + 0.8 * share):.6g}"),
        "textlstm": 150 + round(150 * share),
        "attention": ["decoder", "pooling"][trial_index % 2],
    }


def validation_predictions(num_right: int, num_utterances: int = 20) -> tuple[Prediction, ...]:
    """Half of the utterances are neutral, so that the baseline is 50 %; the first ``num_right`` are right."""
    emotions = [(2, 0, 2, 1, 2, 3)[number % 6] for number in range(num_utterances)]
    predictions = []
    for number, emotion in enumerate(emotions):
        predicted = emotion if number < num_right else (emotion + 1) % 4
        probabilities = tuple(0.7 if index == predicted else 0.1 for index in range(4))
        name = f"Ses04F_impro{number % 12:02d}_M{number:03d}"
        predictions.append(Prediction(name, CLASSES[emotion], CLASSES[predicted], probabilities))
    return tuple(predictions)


def begin_search(
    store: ResultsStore, protocol: str | dict[str, Any] | Protocol = "paper", **changes: Any
) -> int:
    chosen = protocol if isinstance(protocol, Protocol) else read_protocol(protocol)
    known = {
        "protocol_name": chosen.name,
        "protocol_hash": chosen.protocol_hash,
        "protocol": json.dumps(chosen.to_json()),
        "search_space": json.dumps(SEARCH_SPACE),
    }
    return store.create_experiment(an_experiment(**{**known, **changes}))


def run_trial(
    store: ResultsStore, eid: int, trial_index: int, num_trials: int, score: float, num_epochs: int = 4
) -> int:
    trial_id = begin_trial(store, eid, trial_index, num_trials, score, num_epochs)
    num_right = round(20 * score)
    predictions = validation_predictions(num_right)
    store.record_result(trial_id, TrialResult(score, num_epochs, num_epochs, predictions, 2**30, 95.0))
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=score, exit_code=0)
    return trial_id


def begin_trial(
    store: ResultsStore, eid: int, trial_index: int, num_trials: int, score: float = 0.5, num_epochs: int = 0
) -> int:
    trial_id = store.start_trial(eid, trial_index, trial_index, point(trial_index, num_trials), trial_index)
    store.record_environment(trial_id, an_environment())
    for epoch in range(1, num_epochs + 1):
        accuracy = score * epoch / num_epochs
        loss = math.nan if epoch == 1 else 1.0
        store.record_epoch(trial_id, EpochRecord(epoch, loss, 0.9, 0.9, loss, accuracy, accuracy, 1.5))
    return trial_id


def fail_trial(
    store: ResultsStore,
    eid: int,
    trial_index: int,
    status: TrialStatus = TrialStatus.CRASHED,
    message: str = "no",
) -> int:
    trial_id = store.start_trial(eid, trial_index, 0, point(trial_index, 10), trial_index)
    store.finish_trial(trial_id, status, message=message, exit_code=1)
    return trial_id


def run_search(store: ResultsStore, num_trials: int = 10, **changes: Any) -> int:
    """Finished trials of rising score, the last one best with 75 %, and one crash after them."""
    eid = begin_search(store, num_samples=num_trials + 1, **changes)
    for trial_index in range(num_trials):
        share = trial_index / max(1, num_trials - 1) if num_trials > 1 else 1.0
        run_trial(store, eid, trial_index, num_trials, 0.5 + 0.25 * share)
    fail_trial(
        store, eid, num_trials, message="the job exited with code 1; its last line was: </script> & 'more'"
    )
    store.update_experiment(eid, ExperimentStatus.FINISHED, "2026-01-02T03:04:05.000+00:00")
    return eid


def score_test(
    store: ResultsStore,
    eid: int,
    seeds: tuple[int, ...] = (1, 2),
    scored: int = 2,
    kinds: tuple[ScoreKind, ...] = (ScoreKind.VALIDATION_CHOSEN,),
    model: str | None = None,
) -> int:
    opening = an_opening(eid, seeds=seeds, opened_at="2026-02-03T04:05:06.789+00:00")
    opening_id = store.record_opening(opening)
    for number, seed in enumerate(seeds[:scored]):
        for kind in kinds:
            predictions = validation_predictions(12 + 2 * number)
            accuracy = (12 + 2 * number) / 20
            store.record_test_scores(
                opening_id, TestScores(seed, kind, accuracy, accuracy, accuracy, predictions, epoch=4, model=model)
            )
    return opening_id


def with_trials(
    findings: Findings,
    search_space: list[dict[str, Any]],
    points: list[dict[str, Any]],
    scores: list[float],
    **changes: Any,
) -> Findings:
    """The same search with other finished trials, which were never written."""
    first = findings.finished[0]
    trials = tuple(
        replace(first, trial_id=number, trial_index=number, hyperparameters=chosen, score=score)
        for number, (chosen, score) in enumerate(zip(points, scores, strict=True))
    )
    experiment = replace(findings.experiment, search_space=json.dumps(search_space), **changes)
    return replace(findings, experiment=experiment, trials=trials, failures=(), epochs={})


def findings_of(path: Path, eid: int | None = None, counts_pruned: bool = False) -> Findings:
    with ResultsStore.open_readonly(path) as store:
        return read_findings(store, eid, counts_pruned)
