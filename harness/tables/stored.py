"""The trials of the tables' experiments, as results.db holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.files import hash_json
from harness.store.records import (
    ExperimentRow,
    Prediction,
    ScoreKind,
    TestScores,
    TrialRow,
    TrialStatus,
    last_attempts,
)
from harness.store.store import ResultsStore
from harness.tables.experiments import TableExperiment, identity_of
from harness.tables.settings import TablesSettings

#: Scores of each fold, by seed and kind.
ByFold = Sequence[Mapping[int, Mapping[ScoreKind, TestScores]]]
#: Predictions by seed and then by fold; of seeds that finished all folds.
Pooled = Sequence[Sequence[Sequence[Prediction]]]


@dataclass(frozen=True)
class StoredTrials:
    """Reads the trials of experiments.

    Attributes:
        find: returns an experiment's row; None where none of its trials has begun
        seeds: those that count; None for all
    """

    results: ResultsStore
    find: Callable[[TableExperiment], ExperimentRow | None]
    seeds: tuple[int, ...] | None = None

    def scores(self, folds: Sequence[TableExperiment]) -> ByFold:
        """Return the scores of each fold's finished trials by their seed.

        Args:
            folds: at least one experiment, each with a test set of its own
        """
        return [
            {
                trial.seed: self.results.trial_test_scores(trial.trial_id)
                for trial in self._trials(experiment)
                if trial.status is TrialStatus.FINISHED
            }
            for experiment in folds
        ]

    def failures(self, folds: Sequence[TableExperiment]) -> tuple[str, ...]:
        """Return one sentence for each training that failed."""
        return tuple(
            f"{experiment.title}, seed {trial.seed}: {trial.status}: {trial.message}"
            for experiment in folds
            for trial in self._trials(experiment)
            if trial.status.is_failure
        )

    def _trials(self, experiment: TableExperiment) -> list[TrialRow]:
        """The latest attempt of each seed that was tried."""
        found = self.find(experiment)
        attempts = [] if found is None else self.results.trials(found.eid)
        trials = {trial.seed: trial for trial in last_attempts(attempts)}
        seeds = sorted(trials) if self.seeds is None else self.seeds
        return [trials[seed] for seed in seeds if seed in trials]


def find_trials(results: ResultsStore, settings: TablesSettings, corpus_hash: str) -> StoredTrials:
    """Return the trials of these settings on one corpus, found by the identity of their experiments."""

    def find(experiment: TableExperiment) -> ExperimentRow | None:
        return results.find_experiment(hash_json(identity_of(experiment, settings, corpus_hash)))

    return StoredTrials(results, find, settings.seeds)


def pool(by_fold: ByFold, kind: ScoreKind) -> Pooled:
    """Return what was predicted on the test set of each fold, of the seeds that finished all of them."""
    seeds = [seed for seed in by_fold[0] if all(kind in fold.get(seed, {}) for fold in by_fold)]
    return [[fold[seed][kind].predictions for fold in by_fold] for seed in seeds]


def pool_folds(pooled: Pooled) -> list[list[Prediction]]:
    """Put the predictions of each seed's folds together."""
    return [[prediction for fold in folds for prediction in fold] for folds in pooled]
