"""Best-of-N optimism: the best trial's point with new seeds on the same split. The test set stays sealed."""

from __future__ import annotations

from harness.features.store import FeatureStore
from harness.final.best_point import BestPoint
from harness.final.follow_up import describe_follow_up, plan_training
from harness.final.retrain import final_seeds
from harness.splits.parts import Parts
from harness.store.records import ExperimentKind
from harness.training.recipe import Outcome, Watch, train_once
from harness.training.runner import PlannedExperiment
from harness.training.trial import open_split

#: Where the seeds of replications begin in a trial's stream of seeds, far from those of final trainings.
REPLICATION_SEED_STREAM = 2_000_000


def plan_replication(best: BestPoint, store: FeatureStore, num_seeds: int) -> PlannedExperiment:
    """Say how the best point is trained again as the search trained it, but for the seed.

    Validation chooses each training's epoch, as it chose the trial's. Only the split's sessions are opened.

    Args:
        store: the features that the trial was trained on
        num_seeds: trainings; those of fewer seeds are the first of those of more
    """
    split = open_split(best.spec, store)
    parts = Parts(split.train, split.validation, ())
    seeds = final_seeds(best.experiment.seed, best.trial.trial_index, num_seeds, REPLICATION_SEED_STREAM)

    def train_seed(trial_index: int, watch: Watch) -> Outcome:
        return train_once(plan_training(best, seeds[trial_index], watch), store, parts)

    return PlannedExperiment(
        title=f"new seeds of {best.title}",
        record=describe_follow_up(
            best, ExperimentKind.REPLICATION, "replication", num_seeds, {}, best.experiment.seed
        ),
        point=best.trial.hyperparameters,
        seeds=dict(enumerate(seeds)),
        train=train_seed,
    )
