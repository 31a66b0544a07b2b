"""The trainings of the tables, one after the other in this process; what is finished is never trained again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
from harness.trainings.execution import Execution, PlannedExperiment
from harness.trainings.execution import carry_out as carry_out_on
from harness.trainings.interrupts import Interrupts
from harness.trainings.training import Outcome, Watch
from harness.trainings.view import TrainingsView


@dataclass(frozen=True)
class Work:
    """What every training of one invocation shares.

    Attributes:
        opening_id: the record that the test session was opened
        threads: of a training, for the record
    """

    settings: TablesSettings
    corpus: CorpusFacts
    store: FeatureStore
    results: ResultsStore
    view: TrainingsView
    opening_id: int
    threads: int
    interrupts: Interrupts = field(default_factory=Interrupts)


def record_tables_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
    """
    return record_opening(results, command, settings.protocol, corpus.corpus_hash, settings.seeds)


def carry_out(work: Work, experiments: Sequence[TableExperiment]) -> int:
    """Train what is not finished yet, as ``harness.trainings.execution`` does; a trial's index is its seed.

    Returns:
        the number of trainings that failed
    """
    execution = Execution(work.results, work.view, work.threads, work.opening_id, work.interrupts)
    return carry_out_on(execution, [_repeat(work, experiment) for experiment in experiments])


def _repeat(work: Work, experiment: TableExperiment) -> PlannedExperiment:
    def train_seed(seed: int, watch: Watch) -> Outcome:
        parts = make_parts(experiment.split, experiment.protocol, work.store)
        return train(experiment, work.settings, seed, watch, work.store, parts)

    return PlannedExperiment(
        title=experiment.title,
        record=describe_experiment(experiment, work.settings, work.corpus),
        point=hyperparameters_of(experiment),
        seeds={seed: seed for seed in work.settings.seeds},
        train=train_seed,
    )
