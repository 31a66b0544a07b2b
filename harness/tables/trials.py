"""The trainings of the tables, each row an experiment of its own."""

from __future__ import annotations

from collections.abc import Sequence

from harness.features.store import FeatureStore
from harness.sealed_test import record_opening
from harness.store.results import ResultsStore
from harness.tables.experiments import (
    CorpusFacts,
    TableExperiment,
    TablesSettings,
    describe_experiment,
    hyperparameters_of,
)
from harness.tables.splits import make_parts
from harness.tables.training import train
from harness.trainings.execution import PlannedExperiment
from harness.trainings.training import Outcome, Watch


def record_tables_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
    """
    return record_opening(results, command, settings.protocol, corpus.corpus_hash, settings.seeds)


def plan_experiments(
    settings: TablesSettings, corpus: CorpusFacts, store: FeatureStore, experiments: Sequence[TableExperiment]
) -> list[PlannedExperiment]:
    """Say how each experiment is trained; a trial's index is its seed."""
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
        point=hyperparameters_of(experiment),
        seeds={seed: seed for seed in settings.seeds},
        train=train_seed,
    )
