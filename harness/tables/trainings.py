"""The trainings of the tables: each row is an experiment of its own, trained and scored once with each seed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from harness.features.store import Features, FeatureStore
from harness.final.test_session import record_opening, score_probe
from harness.models.baselines import BASELINES
from harness.models.probes import PROBES, answer_shared, answer_twice
from harness.models.systems import find_system, read_hyperparameters
from harness.scoring.metrics import weighted_accuracy
from harness.splits.parts import Parts
from harness.store.records import ScoreKind, TrialResult
from harness.store.store import ResultsStore
from harness.tables.plan import (
    CorpusFacts,
    TableExperiment,
    TablesSettings,
    describe_experiment,
    hyperparameters_of,
    make_parts,
)
from harness.training.recipe import (
    Outcome,
    Recipe,
    Watch,
    describe_predictions,
    score_predictions,
    train_on_test_epochs,
    train_twice,
)
from harness.training.runner import PlannedExperiment


def train(
    experiment: TableExperiment,
    settings: TablesSettings,
    seed: int,
    watch: Watch,
    store: FeatureStore,
    parts: Parts,
) -> Outcome:
    """Train and score one row with one seed.

    Raises:
        Diverged: a loss became NaN or infinite
        FeatureError: the features that the system reads cannot be used
    """
    if experiment.is_probe:
        return _train_probe(experiment.name, seed, store, parts)
    if experiment.is_baseline:
        return _train_baseline(experiment.name, seed, store, parts)
    system = find_system(experiment.name)
    recipe = Recipe(
        system=system,
        hyperparameters=read_hyperparameters(system, {}, experiment.protocol),
        protocol=experiment.protocol,
        seed=seed,
        max_epochs=settings.max_epochs,
        patience=settings.patience,
        word_vectors=settings.word_vectors,
    )
    if not parts.validation:
        return train_on_test_epochs(recipe, store, parts, watch)
    return train_twice(recipe, store, parts, watch, finds_maximum=True)


def _train_baseline(name: str, seed: int, store: FeatureStore, parts: Parts) -> Outcome:
    """Fit a baseline on train and score validation, then on train + validation and score the test set."""
    began = time.monotonic()
    baseline = BASELINES[name]
    validation = store.load(parts.validation or parts.test)
    probabilities = baseline.fit(store.load(parts.train), seed).probabilities(validation)
    fitted = baseline.fit(store.load(parts.trained_on), seed)
    test = store.load(parts.test)
    score = score_predictions(seed, ScoreKind.VALIDATION_CHOSEN, test, fitted.probabilities(test), epoch=None)
    return Outcome(_describe_result(validation, probabilities, began), (score,))


def _train_probe(name: str, seed: int, store: FeatureStore, parts: Parts) -> Outcome:
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


def record_tables_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record a test evaluation before the test session is opened, and return its id.

    Args:
        command: as the user typed it
    """
    return record_opening(results, command, settings.base.name, corpus.corpus_hash, settings.seeds)


def plan_experiments(
    settings: TablesSettings, corpus: CorpusFacts, store: FeatureStore, experiments: Sequence[TableExperiment]
) -> list[PlannedExperiment]:
    """Plan how each experiment is trained; a trial's index is its seed."""
    return [_plan_one(settings, corpus, store, experiment) for experiment in experiments]


def _plan_one(
    settings: TablesSettings, corpus: CorpusFacts, store: FeatureStore, experiment: TableExperiment
) -> PlannedExperiment:
    def train_seed(seed: int, watch: Watch) -> Outcome:
        parts = make_parts(experiment.split, experiment.protocol, store)
        return train(experiment, settings, seed, watch, store, parts)

    return PlannedExperiment(
        title=experiment.title,
        record=describe_experiment(experiment, settings, corpus),
        hyperparameters=hyperparameters_of(experiment),
        seeds={seed: seed for seed in (settings.seeds[:1] if experiment.is_probe else settings.seeds)},
        train=train_seed,
    )
