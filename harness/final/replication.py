"""Best-of-N optimism: the best trial's hyperparameters with new seeds on the same split. The test set stays sealed."""

from __future__ import annotations

from harness.features.store import FeatureStore
from harness.final.best_point import REPLICATION_SEEDS, BestPoint, describe_follow_up
from harness.store.records import ExperimentKind
from harness.training.recipe import Outcome, Watch, open_parts, train_once
from harness.training.runner import PlannedExperiment


def plan_replication(best: BestPoint, store: FeatureStore, num_seeds: int) -> PlannedExperiment:
    """Plan trainings that differ from the best trial in their seeds alone.

    Validation chooses each training's epoch, as it chose the trial's. Only the split's sessions are opened.

    Args:
        store: the features that the trial was trained on
        num_seeds: trainings; the seeds of fewer are the first of those of more
    """
    parts = open_parts(best.spec.protocol, store)
    seeds = best.new_seeds(num_seeds, REPLICATION_SEEDS)

    def train_seed(trial_index: int, watch: Watch) -> Outcome:
        return train_once(best.recipe(seeds[trial_index]), store, parts, watch)

    return PlannedExperiment(
        title=f"new seeds of {best.title}",
        record=describe_follow_up(
            best, ExperimentKind.REPLICATION, "replication", num_seeds, {}, best.experiment.seed
        ),
        hyperparameters=best.trial.hyperparameters,
        seeds=dict(enumerate(seeds)),
        train=train_seed,
    )
