"""The trainings of the tables: each row is an experiment of its own, trained and scored once with each seed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from harness.corpus.utterances import CLASSES
from harness.features.store import FeatureStore
from harness.final.retrain import join_folds
from harness.final.test_session import record_opening
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.parts import Parts
from harness.splits.protocol import PROTOCOLS, leave_scenes_out
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from harness.tables.baselines import train_baseline, train_probe
from harness.tables.experiments import TableExperiment, describe_experiment, hyperparameters_of
from harness.tables.parts import TableSplit, make_parts
from harness.tables.settings import CorpusFacts, TablesSettings
from harness.training.recipe import (
    Outcome,
    Recipe,
    Watch,
    final_epochs,
    score_predictions,
    train_and_score,
    train_for_epochs,
    train_on_test_epochs,
    train_once,
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
        return train_probe(experiment.name, seed, store, parts)
    if experiment.is_baseline:
        return train_baseline(experiment.name, seed, store, parts, experiment.protocol.class_weights)
    system = find_system(experiment.name)
    recipe = Recipe(
        system=system,
        hyperparameters=read_hyperparameters(system, dict(experiment.choices), experiment.protocol),
        protocol=experiment.protocol,
        seed=seed,
        max_epochs=settings.max_epochs,
        patience=settings.patience,
        word_vectors=settings.word_vectors,
    )
    if experiment.split is TableSplit.PARTNER_VALIDATES:
        return train_and_score(recipe, store, parts, watch)
    if experiment.leaves_scenes_out:
        return _train_without_scenes(recipe, store, parts, watch)
    if not parts.validation:
        return train_on_test_epochs(recipe, store, parts, watch)
    return train_twice(recipe, store, parts, watch, finds_maximum=True)


def _train_without_scenes(recipe: Recipe, store: FeatureStore, parts: Parts, watch: Watch) -> Outcome:
    """Let validation choose the number of epochs, then train one model for each group of scenes without that group.

    Each test utterance is scored by the model that has not read its scene. All models have the same seed.
    """
    began = time.monotonic()
    result = train_once(recipe, store, parts, watch).result
    test, folds = store.load(parts.test), parts.final_folds(parts.test)
    num_epochs = final_epochs(recipe, result.best_epoch, parts.train, [fold.train for fold in folds])
    answers = []
    for number, fold in enumerate(folds, start=1):
        if not fold.scored:
            # A test set that plays no scene of some group has nothing to ask its model.
            answers.append(np.zeros((0, len(CLASSES))))
            continue
        stage = f"without scenes {number} of {len(folds)}"
        _, epochs = train_for_epochs(
            recipe,
            store.load(fold.train),
            num_epochs,
            test=test.select(fold.scored),
            scored_epochs=(num_epochs,),
            on_epoch=lambda epoch, trained, stage=stage: watch.show(stage, epoch),  # type: ignore[misc]
        )
        answers.append(epochs[num_epochs])
    answer = join_folds(folds, test, answers)
    scores = score_predictions(recipe.seed, ScoreKind.VALIDATION_CHOSEN, test, answer, num_epochs)
    return Outcome(replace(result, duration_seconds=time.monotonic() - began), (scores,))


def record_tables_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record a test evaluation before the test session is opened, and return its id.

    Its protocol is that of Tables 1 to 5, followed by those of the compared systems where there are any.

    Args:
        command: as the user typed it
    """
    name = settings.base.name
    if settings.compared:
        strict = PROTOCOLS["strict"]
        name += f", and the compared systems' own, {strict.name}, {leave_scenes_out(strict).name}"
    return record_opening(results, command, name, corpus.corpus_hash, settings.seeds)


def plan_experiments(
    settings: TablesSettings, corpus: CorpusFacts, experiments: Sequence[TableExperiment]
) -> list[PlannedExperiment]:
    """Plan how each experiment is trained; a trial's index is its seed."""
    return [
        PlannedExperiment(
            title=experiment.title,
            record=describe_experiment(experiment, settings, corpus),
            hyperparameters=hyperparameters_of(experiment),
            seeds={seed: seed for seed in (settings.seeds[:1] if experiment.is_probe else settings.seeds)},
            train=partial(_open_and_train, experiment, settings, corpus),
            is_apart=not experiment.is_baseline,
        )
        for experiment in experiments
    ]


def _open_and_train(
    experiment: TableExperiment, settings: TablesSettings, corpus: CorpusFacts, seed: int, watch: Watch
) -> Outcome:
    store = experiment.open_features(corpus)
    parts = make_parts(experiment.split, experiment.protocol, store)
    return train(experiment, settings, seed, watch, store, parts)
