"""One trial, from a point to a recorded score. The test set stays sealed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from harness.corpus.utterances import CLASSES
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.store import Features, FeatureStore, require_modalities
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import System, find_system, read_hyperparameters
from harness.provenance import git_revision, package_versions, peak_memory_bytes
from harness.splits import Split, make_split, search_sessions
from harness.store.recorder import open_recorder
from harness.store.records import EpochRecord, Prediction, TrialEnvironment, TrialResult
from harness.training import History, Trainer, fit, seed_everything
from harness.trial_spec import TrialSpec


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model, what was fitted before it, and how it went."""

    model: keras.Model
    fitted: FittedFeatures
    history: History


def open_split(spec: TrialSpec, store: FeatureStore) -> Split:
    """Part the utterances that a search may open; the test session's files are not touched."""
    utterances = store.utterances(search_sessions(spec.protocol))
    return make_split(spec.protocol, [utterance.utterance_id for utterance in utterances])


def run_trial(
    spec: TrialSpec,
    system: System,
    choices: Hyperparameters,
    on_epoch: Callable[[EpochRecord], None] = lambda epoch: None,
) -> tuple[TrainedModel, Features]:
    """Train one model on ``split.train``, validated after every epoch.

    Returns:
        the model with the weights of its best validation epoch, and the validation utterances

    Raises:
        FeatureError: the prepared features lack what the system needs
        Diverged: a loss became NaN or infinite
    """
    store = FeatureStore.open(spec.prepared_dir)
    require_modalities(store, system.name, system.modalities, system.streams)
    split = open_split(spec, store)
    train, validation = store.load(split.train), store.load(split.validation)

    seed_everything(spec.seed)
    fitted = fit_features(
        train,
        system.modalities,
        spec.protocol,
        spec.word_vectors,
        getattr(choices, "embedding_dimension", None),
        spec.seed,
        vocabulary_extra=validation,
    )
    model = build_model(system, choices, input_shapes(fitted, spec.protocol))
    history = fit(
        Trainer(model, build_optimizer(choices)),
        fitted.prepare(train),
        fitted.prepare(validation),
        batch_size=choices.batch_size,
        max_epochs=spec.max_epochs,
        patience=spec.patience,
        seed=spec.seed,
        on_epoch=on_epoch,
    )
    return TrainedModel(model, fitted, history), validation


def describe_predictions(features: Features, probabilities: np.ndarray) -> tuple[Prediction, ...]:
    """Set a model's probabilities, float32 (num_utterances, 4), beside what the raters said."""
    return tuple(
        Prediction(
            utterance.utterance_id,
            utterance.emotion,
            CLASSES[int(row.argmax())],
            tuple(float(probability) for probability in row),
        )
        for utterance, row in zip(features.utterances, probabilities, strict=True)
    )


def record_trial(spec: TrialSpec, values: Mapping[str, Any]) -> float:
    """Run the trial of one point, recording as it goes.

    Returns:
        the score: the best validation epoch's accuracy, from 0 to 1
    """
    began = time.monotonic()
    system = find_system(spec.system)
    choices = read_hyperparameters(system, values, spec.protocol)
    with open_recorder(spec.results_db) as results:
        results.record_environment(spec.trial_id, _describe_environment(spec))
        trained, validation = run_trial(
            spec, system, choices, on_epoch=lambda epoch: results.record_epoch(spec.trial_id, epoch)
        )
        history = trained.history
        score = history.epochs[history.best_epoch - 1].validation_accuracy
        results.record_result(
            spec.trial_id,
            TrialResult(
                score=score,
                best_epoch=history.best_epoch,
                num_epochs=len(history.epochs),
                predictions=describe_predictions(validation, history.best_probabilities),
                peak_memory_bytes=peak_memory_bytes(),
                duration_seconds=time.monotonic() - began,
                embedding_source=trained.fitted.embedding_source,
            ),
        )
    return score


def _describe_environment(spec: TrialSpec) -> TrialEnvironment:
    return TrialEnvironment(
        threads=spec.threads,
        versions=package_versions(),
        git_revision=git_revision(),
        corpus_hash=FeatureStore.open(spec.prepared_dir).corpus_hash,
        protocol_hash=spec.protocol.protocol_hash,
        host=platform.node(),
        pid=os.getpid(),
    )
