"""The trainings of baselines and probes for the tables: fitted on train to score validation, and again for the test."""

from __future__ import annotations

import time

import numpy as np

from harness.features.store import Features, FeatureStore
from harness.final.baselines import score_probe
from harness.final.retrain import join_folds
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES, answer_shared, answer_twice
from harness.scoring.metrics import weighted_accuracy
from harness.splits.parts import Parts
from harness.splits.protocol import ClassWeights
from harness.store.records import ScoreKind, TrialResult
from harness.training.recipe import Outcome, describe_predictions, score_predictions


def train_baseline(
    name: str, seed: int, store: FeatureStore, parts: Parts, class_weights: ClassWeights = ClassWeights.NONE
) -> Outcome:
    """Fit a baseline on train and score validation, then on train + validation and score the test set.

    Where scenes are disjoint it is fitted once for each group of scenes, without that group, and scores that group.
    """
    began = time.monotonic()
    baseline = BASELINES[name]
    validation = store.load(parts.validation or parts.test)
    probabilities = baseline.fit(store.load(parts.train), seed, class_weights).probabilities(validation)
    test, folds = store.load(parts.test), parts.final_folds(parts.test)
    answers = [
        baseline.fit(store.load(fold.train), seed, class_weights).probabilities(test.select(fold.scored))
        for fold in folds
    ]
    answer = join_folds(folds, test, answers)
    score = score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, answer, epoch=None)
    return Outcome(_describe_result(validation, probabilities, began), (score,))


def train_probe(name: str, seed: int, store: FeatureStore, parts: Parts) -> Outcome:
    """Fit a probe on train and score validation, then twice on train + validation and score the test set."""
    began = time.monotonic()
    validation, test = store.load(parts.validation), store.load(parts.test)
    probabilities = answer_shared(PROBES[name], store.load(parts.train), validation)
    answers = answer_twice(PROBES[name], store.load(parts.trained_on), test)
    scores = score_probe(PROBES[name], answers, test, seed)
    return Outcome(_describe_result(validation, probabilities, began), scores)


def _describe_result(validation: Features, probabilities: np.ndarray, began: float) -> TrialResult:
    return TrialResult(
        score=weighted_accuracy(validation.emotions, probabilities.argmax(axis=1)),
        best_epoch=1,
        num_epochs=1,
        predictions=describe_predictions(validation, probabilities),
        peak_memory_bytes=None,
        duration_seconds=time.monotonic() - began,
    )
