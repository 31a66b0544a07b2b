"""The trainings of the tables, one after the other in this process; what is finished is never trained again."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.features.store import FeatureStore
from harness.provenance import user_name
from harness.store.records import TestOpening
from harness.store.results import ResultsStore
from harness.tables.experiments import (
    CorpusFacts,
    TableExperiment,
    TablesSettings,
    describe_experiment,
    hyperparameters_of,
)
from harness.tables.interrupts import Interrupts
from harness.tables.splits import make_parts
from harness.tables.training import Outcome, Watch, train
from harness.trainings import Bench, Repeated, TrainingsView
from harness.trainings import carry_out as carry_out_on


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


def record_opening(
    results: ResultsStore, settings: TablesSettings, corpus: CorpusFacts, command: str
) -> int:
    """Record that the test session is about to be opened, and return the opening's id.

    Args:
        command: what the user typed
    """
    return results.record_opening(
        TestOpening(
            eid=None,
            command=command,
            protocol=settings.protocol,
            corpus_hash=corpus.corpus_hash,
            seeds=settings.seeds,
            host=platform.node(),
            user=user_name(),
        )
    )


def carry_out(work: Work, experiments: Sequence[TableExperiment]) -> int:
    """Train what is not finished yet, as ``harness.trainings`` does; a trial's index is its seed.

    Returns:
        the number of trainings that failed
    """
    bench = Bench(work.results, work.view, work.threads, work.opening_id, work.interrupts)
    return carry_out_on(bench, [_repeat(work, experiment) for experiment in experiments])


def _repeat(work: Work, experiment: TableExperiment) -> Repeated:
    def train_seed(seed: int, watch: Watch) -> Outcome:
        parts = make_parts(experiment.split, experiment.protocol, work.store)
        return train(experiment, work.settings, seed, watch, work.store, parts)

    return Repeated(
        title=experiment.title,
        record=describe_experiment(experiment, work.settings, work.corpus),
        point=hyperparameters_of(experiment),
        seeds={seed: seed for seed in work.settings.seeds},
        train=train_seed,
    )
