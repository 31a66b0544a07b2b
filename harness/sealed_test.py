"""Opening the test session: recorded before its files are touched, then each model is scored once."""

from __future__ import annotations

import platform
from collections.abc import Callable

import numpy as np

from harness.features.store import Features, FeatureStore
from harness.metrics import macro_f1, unweighted_accuracy, weighted_accuracy
from harness.provenance import user_name
from harness.retrain import FinalTraining, keep_record, train_final_models
from harness.saved_model import ModelRecord, load_seed
from harness.splits import Protocol, select_recordings
from harness.store.records import ScoreKind, TestOpening, TestScores
from harness.store.results import ResultsStore
from harness.training import Scorer
from harness.trial import describe_predictions


def open_test_session(store: FeatureStore, protocol: Protocol) -> Features:
    """Load the test utterances. Whoever calls this has recorded a ``TestOpening`` before."""
    utterances = store.utterances((protocol.test_session,))
    names = [utterance.utterance_id for utterance in utterances]
    return store.load(tuple(select_recordings(names, protocol.recordings)))


def record_opening(
    training: FinalTraining, results: ResultsStore, store: FeatureStore, command: str
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
    """
    return results.record_opening(
        TestOpening(
            eid=training.experiment.eid,
            command=command,
            protocol=training.spec.protocol.name,
            corpus_hash=store.corpus_hash,
            seeds=training.seeds,
            host=platform.node(),
            user=user_name(),
        )
    )


def score_test_session(
    training: FinalTraining,
    results: ResultsStore,
    command: str,
    on_epoch: Callable[[int, int], None] = lambda seed, epoch: None,
) -> list[TestScores]:
    """Train what is not trained yet, open the test session, and score each seed once.

    Under ``EpochChoice.TEST_MAXIMUM`` the models are trained with the test session open, scored
    after every epoch, and the best test epoch is reported too, labelled optimistic.

    Args:
        command: what the user typed, for the record
        on_epoch: called with the seed and the number of each epoch that has ended

    Returns:
        a score for each seed with its predictions; the optimistic ones after the honest ones
    """
    protocol = training.spec.protocol
    store = FeatureStore.open(training.spec.prepared_dir)
    test_chooses = training.test_chooses_epoch
    if not test_chooses:
        train_final_models(training, results, on_epoch=on_epoch)
    opening_id = record_opening(training, results, store, command)
    test = open_test_session(store, protocol)
    test_epochs = train_final_models(training, results, test, on_epoch) if test_chooses else {}
    scores = []
    for seed in training.seeds:
        model, fitted = load_seed(training.model_dir, seed)
        probabilities = Scorer(model).score(fitted.prepare(test))
        scores.append(
            score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, probabilities, training.num_epochs)
        )
    optimistic = [best_test_epoch(seed, test, epochs) for seed, epochs in test_epochs.items()]
    for score in scores + optimistic:
        results.record_test_scores(opening_id, score)
    keep_record(training.model_dir, ModelRecord.read(training.model_dir), results)
    return scores + optimistic


def best_test_epoch(seed: int, test: Features, epochs: list[np.ndarray]) -> TestScores:
    """Score the epoch that scores best on the test set, as the published code does: optimistic."""
    accuracies = [weighted_accuracy(test.emotions, epoch.argmax(axis=1)) for epoch in epochs]
    best = int(np.argmax(accuracies))
    return score_predictions(seed, ScoreKind.TEST_MAXIMUM, test, epochs[best], best + 1)


def score_predictions(
    seed: int, kind: ScoreKind, test: Features, probabilities: np.ndarray, epoch: int
) -> TestScores:
    """Score probabilities, float32 (num_test, 4), of the model as it was after ``epoch``."""
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
