"""One training of one point with one seed, on whatever parts: who chooses the epoch, and what it scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from harness.corpus.utterances import Seconds
from harness.errors import Diverged, HarnessError
from harness.features.fitted import FittedFeatures, Inputs, fit_features
from harness.features.store import Features, FeatureStore
from harness.final.test_session import best_test_epoch, score_predictions
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import System
from harness.splits.parts import Parts
from harness.splits.protocol import Protocol
from harness.store.records import EpochRecord, ScoreKind, TestScores, TrialResult, TrialStatus
from harness.training.loop import History, Trainer, fit, seed_everything, train_for
from harness.training.trial import describe_predictions

#: Called with what is being done and the number of the epoch that has ended.
ShowEpoch = Callable[[str, int], None]


@dataclass(frozen=True)
class Watch:
    """Who is told while a training runs.

    Attributes:
        record_epoch: called with each epoch's record as soon as it is known
        show: called after each epoch of either stage
    """

    record_epoch: Callable[[EpochRecord], None]
    show: ShowEpoch = lambda stage, epoch: None


@dataclass(frozen=True)
class Training:
    """One training of one point with one seed, on whatever parts.

    Attributes:
        choices: the point, completed
        patience: epochs without a better one before validation stops waiting; None for never
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
    """

    system: System
    choices: Hyperparameters
    protocol: Protocol
    seed: int
    max_epochs: int
    patience: int | None
    word_vectors: Path | None
    watch: Watch


@dataclass(frozen=True)
class Outcome:
    """What one training found.

    Attributes:
        result: of validation
        scores: on the test set, the honest one first
    """

    result: TrialResult
    scores: tuple[TestScores, ...]


def train_once(training: Training, store: FeatureStore, parts: Parts) -> Outcome:
    """Train on train and let validation choose the epoch, as a trial of a search does; nothing tests."""
    began = time.monotonic()
    train_features, validation = store.load(parts.train), store.load(parts.validation)
    fitted, trainer = _build(training, train_features, extra=validation)
    history = _fit(training, trainer, fitted.prepare(train_features), fitted.prepare(validation), training.patience)
    return Outcome(_describe(history, validation, fitted, time.monotonic() - began), ())


def train_twice(training: Training, store: FeatureStore, parts: Parts, *, tells_maximum: bool) -> Outcome:
    """Let validation choose the number of epochs, then train on train + validation from the same seed.

    Ours is the test score at the number of epochs that validation chose.

    Args:
        tells_maximum: whether to train on to the last epoch and score the test set after each: the maximum over
            all of them is the published code's rule, optimistic
    """
    began = time.monotonic()
    result = train_once(training, store, parts).result
    trained_on, test = store.load(parts.trained_on), store.load(parts.test)
    fitted, trainer = _build(training, trained_on, extra=test)
    test_inputs = fitted.prepare(test)
    epochs: list[np.ndarray] = []

    def score(number: int) -> None:
        if tells_maximum or number == result.best_epoch:
            epochs.append(trainer.score(test_inputs))
        training.watch.show("on train + validation", number)

    train_for(
        trainer,
        fitted.prepare(trained_on),
        batch_size=training.choices.batch_size,
        num_epochs=training.max_epochs if tells_maximum else result.best_epoch,
        seed=training.seed,
        on_epoch=score,
    )
    seed, best_epoch = training.seed, result.best_epoch
    of_chosen = epochs[best_epoch - 1 if tells_maximum else 0]
    chosen = score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, of_chosen, best_epoch)
    result = replace(result, duration_seconds=time.monotonic() - began)
    return Outcome(result, (chosen, best_test_epoch(seed, test, epochs)) if tells_maximum else (chosen,))


def train_on_test_epochs(training: Training, store: FeatureStore, parts: Parts) -> Outcome:
    """Train with the test set as validation data and take the best epoch on it, as the published code does."""
    began = time.monotonic()
    train_features, test = store.load(parts.train), store.load(parts.test)
    fitted, trainer = _build(training, train_features, extra=test)
    history = _fit(training, trainer, fitted.prepare(train_features), fitted.prepare(test), patience=None)
    maximum = score_predictions(
        training.seed, ScoreKind.TEST_MAXIMUM, test, history.best_probabilities, history.best_epoch
    )
    return Outcome(_describe(history, test, fitted, time.monotonic() - began), (maximum,))


def _build(training: Training, train: Features, extra: Features) -> tuple[FittedFeatures, Trainer]:
    system, choices, protocol = training.system, training.choices, training.protocol
    dimension = getattr(choices, "embedding_dimension", None)
    keras.backend.clear_session()
    seed_everything(training.seed)
    fitted = fit_features(
        train,
        system.modalities,
        protocol,
        # A system whose vectors begin at random reads no file.
        None if dimension is None else training.word_vectors,
        dimension,
        training.seed,
        vocabulary_extra=extra,
    )
    model = build_model(system, choices, input_shapes(fitted, protocol))
    return fitted, Trainer(model, build_optimizer(choices))


def _fit(
    training: Training, trainer: Trainer, train: Inputs, validation: Inputs, patience: int | None
) -> History:
    def record(epoch: EpochRecord) -> None:
        training.watch.record_epoch(epoch)
        training.watch.show("validated", epoch.epoch)

    return fit(
        trainer,
        train,
        validation,
        batch_size=training.choices.batch_size,
        max_epochs=training.max_epochs,
        patience=patience,
        seed=training.seed,
        on_epoch=record,
    )


def _describe(
    history: History, validation: Features, fitted: FittedFeatures, duration_seconds: Seconds
) -> TrialResult:
    return TrialResult(
        score=history.epochs[history.best_epoch - 1].validation_accuracy,
        best_epoch=history.best_epoch,
        num_epochs=len(history.epochs),
        predictions=describe_predictions(validation, history.best_probabilities),
        # Of this process all trainings together would be told.
        peak_memory_bytes=None,
        duration_seconds=duration_seconds,
        embedding_source=fitted.embedding_source if "text" in fitted.modalities else None,
    )


def cause_of(error: Exception) -> tuple[TrialStatus, str]:
    """Return how a trial ended that raised ``error``, and one sentence that says why."""
    message = str(error).strip().splitlines()
    sentence = message[0] if message else "no message"
    if isinstance(error, Diverged):
        return TrialStatus.DIVERGED, sentence
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return TrialStatus.OUT_OF_MEMORY, f"{type(error).__name__}: {sentence}"
    if isinstance(error, HarnessError):
        return TrialStatus.CRASHED, sentence
    return TrialStatus.CRASHED, f"{type(error).__name__}: {sentence}"
