"""The scores of a training: answers beside the raters' labels, a trial's result, and the scores of a test set."""

from __future__ import annotations

import numpy as np

from harness.corpus.utterances import CLASSES, Seconds
from harness.features.store import Features
from harness.scoring.calibration import fit_temperature
from harness.scoring.metrics import macro_f1, unweighted_accuracy, weighted_accuracy
from harness.store.records import Prediction, ScoreKind, TestScores, TrialResult
from harness.training.loop import History


def describe_result(
    history: History,
    validation: Features,
    embedding_source: str | None,
    duration_seconds: Seconds,
    *,
    is_scaled: bool = False,
) -> TrialResult:
    """Describe a training whose epoch validation chose.

    Args:
        embedding_source: as ``TrialResult`` has it
        is_scaled: whether a temperature is fitted to the validation predictions
    """
    best = history.best_probabilities
    return TrialResult(
        score=history.epochs[history.best_epoch - 1].validation_accuracy,
        best_epoch=history.best_epoch,
        num_epochs=len(history.epochs),
        predictions=describe_predictions(validation, best),
        # A process that trains several models knows only the peak of all of them together.
        peak_memory_bytes=None,
        duration_seconds=duration_seconds,
        embedding_source=embedding_source,
        temperature=fit_temperature(best, validation.emotions) if is_scaled else None,
    )


def describe_predictions(features: Features, probabilities: np.ndarray) -> tuple[Prediction, ...]:
    """Set a model's probabilities, float32 (num_utterances, 4), beside the classes that the raters' labels have."""
    return tuple(
        Prediction(
            utterance.utterance_id,
            CLASSES[emotion],
            CLASSES[int(row.argmax())],
            tuple(float(probability) for probability in row),
        )
        for utterance, emotion, row in zip(features.utterances, features.emotions, probabilities, strict=True)
    )


def score_predictions(
    seed: int, kind: ScoreKind, test: Features, probabilities: np.ndarray, epoch: int | None
) -> TestScores:
    """Score probabilities, floating (num_test, 4), of the model as it was after ``epoch``; a baseline has none."""
    predicted = probabilities.argmax(axis=1)
    return TestScores(
        seed=seed,
        kind=kind,
        weighted_accuracy=weighted_accuracy(test.emotions, predicted),
        unweighted_accuracy=unweighted_accuracy(test.emotions, predicted),
        macro_f1=macro_f1(test.emotions, predicted),
        predictions=describe_predictions(test, probabilities),
        epoch=epoch,
    )


def best_test_epoch(seed: int, test: Features, epochs: dict[int, np.ndarray]) -> TestScores:
    """Score the epoch that scores best on the test set, as the published code does: optimistic.

    Args:
        epochs: test probabilities, float32 (num_test, 4), by epoch; of equally good epochs the first counts
    """
    best = max(sorted(epochs), key=lambda epoch: weighted_accuracy(test.emotions, epochs[epoch].argmax(axis=1)))
    return score_predictions(seed, ScoreKind.TEST_MAXIMUM, test, epochs[best], best)
