"""The final models of every fold of an experiment, and the test evaluations that they have already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import WorkFailedError
from harness.final.ensemble import Ensemble, plan_ensemble
from harness.final.retrain import FinalTraining, plan_final_training
from harness.final.saved_model import AddedKind
from harness.final.test_session import find_opening
from harness.store.records import ExperimentStatus, FoldedExperimentRow, TestOpeningRow
from harness.store.store import ResultsStore


@dataclass(frozen=True)
class FoldTraining:
    """The final training of one fold.

    Attributes:
        training: of an ensemble, that of its best trial
        ensemble: which is trained and scored in its place; None for the models of the best trial by themselves
        opening: the latest test evaluation that has scored these very models with all of these seeds; None where
            there is none
    """

    fold: str
    training: FinalTraining
    opening: TestOpeningRow | None
    ensemble: Ensemble | None = None


def find_folded(results: ResultsStore) -> FoldedExperimentRow | None:
    """Return the experiment of several folds that the latest search is one of; None where it is a whole one."""
    latest = results.latest_experiment()
    return None if latest is None else results.folded(latest)


def plan_folds(
    results: ResultsStore,
    results_dir: Path,
    folded: FoldedExperimentRow,
    num_seeds: int,
    *,
    opens_test: bool,
    with_scenes: bool = False,
) -> list[FoldTraining]:
    """Plan the final training of every fold, each of its own search's best trial; nothing is trained or written.

    Args:
        num_seeds, opens_test: as ``plan_final_training``
        with_scenes: whether a test evaluation counts only if it has scored them without the scored scenes too

    Raises:
        WorkFailedError: the search of a fold has not finished
        ModelError, FeatureError, StoreError: as ``plan_final_training``
    """
    trainings = {
        fold: plan_final_training(results, results_dir, eid, num_seeds, opens_test=opens_test)
        for fold, eid in _require_finished(results, folded).items()
    }
    openings = results.openings()
    return [
        FoldTraining(fold, training, find_opening(openings, training, with_scenes=with_scenes))
        for fold, training in trainings.items()
    ]


def plan_fold_ensembles(
    results: ResultsStore,
    results_dir: Path,
    folded: FoldedExperimentRow,
    num_trials: int,
    num_seeds: int,
    *,
    added: Sequence[AddedKind] = (),
) -> list[FoldTraining]:
    """Plan the ensemble of every fold, each of its own search's best trials; nothing is trained or written.

    Args:
        num_trials, num_seeds, added: as ``plan_ensemble``

    Raises:
        WorkFailedError: the search of a fold has not finished, or has too few trials that have
        ModelError, FeatureError, StoreError: as ``plan_ensemble``
    """
    ensembles = {
        fold: plan_ensemble(results, results_dir, (eid,), num_trials, num_seeds, added=added)
        for fold, eid in _require_finished(results, folded).items()
    }
    openings = results.openings()
    return [
        FoldTraining(fold, best, find_opening(openings, best, ensemble=ensemble), ensemble)
        for fold, ensemble in ensembles.items()
        for best in ensemble.members[:1]
    ]


def _require_finished(results: ResultsStore, folded: FoldedExperimentRow) -> dict[str, int]:
    """Return the eid of each fold's search, in the order of the folds.

    Raises:
        WorkFailedError: one has not finished
    """
    searches = results.searches_of(folded.folded_id)
    finished = {fold: search.eid for fold, search in searches.items() if search.status is ExperimentStatus.FINISHED}
    missing = [fold for fold in folded.folds if fold not in finished]
    if missing:
        raise WorkFailedError(
            f"experiment {folded.name!r}: the search of {', '.join(missing)} has not finished; run "
            "`aup experiment.json` to the end, or name a fold that has finished with --experiment"
        )
    return {fold: finished[fold] for fold in folded.folds}
