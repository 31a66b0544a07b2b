"""The best trial of a search, and experiments of their own that train its hyperparameters again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__
from harness.errors import ModelError, WorkFailedError
from harness.features.lexica import hash_lexica, lexicon_of
from harness.features.store import FeatureStore, require_modalities
from harness.files import hash_json
from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import System, find_system, read_hyperparameters
from harness.models.turn_model import TurnModel
from harness.provenance import hash_word_vectors
from harness.search.experiment import experiment_folder, read_identity
from harness.store.records import (
    ExperimentKind,
    ExperimentRecord,
    ExperimentRow,
    ExperimentStatus,
    TrialRow,
    TrialStatus,
    rank_trials,
    utc_now,
)
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.recipe import Outcome, Recipe, Watch, open_parts, recipe_of, train_once
from harness.training.runner import PlannedExperiment

#: Beginnings of the seeds of final trainings and of replications in a trial's stream of seeds: far from the seeds of
#: the trial's attempts, and from each other.
FINAL_SEEDS, REPLICATION_SEEDS = 1_000_000, 2_000_000


@dataclass(frozen=True)
class BestPoint:
    """The best trial, and everything that its training depended on.

    Attributes:
        hyperparameters: the trial's, completed with the system's defaults
        num_epochs: the epoch that validation chose in the trial; of a final training, its number of epochs
    """

    experiment: ExperimentRow
    trial: TrialRow
    spec: TrialSpec
    system: System
    hyperparameters: Hyperparameters
    num_epochs: int

    @property
    def title(self) -> str:
        """Its name in messages."""
        return _name_trial(self.trial, self.experiment)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that its models read."""
        return self._recipe.modalities

    def recipe(self, seed: int) -> Recipe:
        """Return the recipe of the trial, with another seed."""
        return self._recipe.with_seed(seed)

    @property
    def turn_model(self) -> TurnModel | None:
        """The system below one that reads the dialogue, with the search's seed; None where there is none."""
        return self._recipe.turn_model

    @property
    def _recipe(self) -> Recipe:
        return recipe_of(self.spec, self.system, self.hyperparameters)

    def new_seeds(self, num_seeds: int, beginning: int = FINAL_SEEDS) -> tuple[int, ...]:
        """Return seeds that no trial has: always the same for this trial, and fewer are the first of more.

        Args:
            beginning: of the seeds in the trial's stream of seeds
        """
        stream = [self.experiment.seed, self.trial.trial_index]
        generators = [np.random.default_rng([*stream, beginning + number]) for number in range(num_seeds)]
        return tuple(int(generator.integers(2**31)) for generator in generators)

    def open_features(self) -> FeatureStore:
        """Open the prepared features that the trial was trained on; only their manifest is read.

        Raises:
            ModelError: they are now of another corpus
            FeatureError: they are damaged, or lack a modality that the system reads; or an auxiliary corpus has
                changed since the search
        """
        store = FeatureStore.open_for(self.spec.protocol, self.spec.prepared_dir)
        if store.corpus_hash != self.experiment.corpus_hash:
            raise ModelError(
                f"experiment {self.experiment.eid}: was searched on corpus {self.experiment.corpus_hash[:12]}, but the "
                f"features at {str(self.spec.prepared_dir)!r} are of corpus {store.corpus_hash[:12]}; "
                "search again with `aup experiment.json`"
            )
        require_modalities(store, self.system.name, self.modalities, self._recipe.reader.streams)
        if self.spec.auxiliary is not None:
            self.spec.auxiliary.check_content()
        return store


def find_best_point(results: ResultsStore, results_dir: Path, eid: int | None) -> BestPoint:
    """Find the best trial of a search; else as ``find_best_points``."""
    return find_best_points(results, results_dir, eid, 1)[0]


def find_best_points(
    results: ResultsStore, results_dir: Path, eid: int | None, num_trials: int
) -> tuple[BestPoint, ...]:
    """Find the best trials of a search, best first.

    Args:
        eid: the experiment; None for the latest, unless that is one fold of several

    Raises:
        WorkFailedError: no trial has finished, or fewer than ``num_trials``
        ModelError: there is no search, the experiment is none, it is one fold of several and was not named, or its
            trials were not of this package, or not of the file of one's own that was searched
        StoreError: there is no such experiment
    """
    experiment = results.latest_experiment() if eid is None else results.experiment(eid)
    if experiment is None:
        raise ModelError(
            f"results {str(results_dir)!r}: hold no experiment; run `aup experiment.json` first"
        )
    folded = results.folded(experiment)
    if folded is not None and eid is None:
        numbers = [f"{each.eid} ({fold})" for fold, each in results.searches_of(folded.folded_id).items()]
        raise ModelError(
            f"experiment {folded.name!r}: has {len(folded.folds)} folds, each a search with a best trial of its own; "
            f"name one with --experiment: {', '.join(numbers)}"
        )
    name = f"experiment {experiment.eid} ({experiment.name!r})"
    if experiment.kind is not ExperimentKind.SEARCH:
        raise ModelError(
            f"{name}: holds trainings of `{experiment.kind.command}`; expected a search, whose best trial can be "
            "trained again; name one with --experiment, or omit it for the latest search"
        )
    finished = [trial for trial in results.trials(experiment.eid) if trial.status is TrialStatus.FINISHED]
    best = rank_trials(finished, experiment.target)[:num_trials]
    if not best:
        raise WorkFailedError(
            f"{name}: no trial has finished, so there is no best trial; run `aup experiment.json` until one finishes"
        )
    if len(best) < num_trials:
        found = "1 finished trial" if len(best) == 1 else f"{len(best)} finished trials"
        raise WorkFailedError(
            f"{name}: has {found}; expected at least {num_trials} for an ensemble of so many; run "
            "`aup experiment.json` until they finish, or name fewer with --top"
        )
    return tuple(_read_point(experiment, trial, results_dir) for trial in best)


def _read_point(experiment: ExperimentRow, trial: TrialRow, results_dir: Path) -> BestPoint:
    if trial.job_path is None:
        raise ModelError(
            f"{_name_trial(trial, experiment)}: its job file is not recorded, so its training data is not known; "
            "expected a trial that `aup` started"
        )
    if trial.best_epoch is None:
        raise ModelError(
            f"{_name_trial(trial, experiment)}: recorded no epoch, so it cannot be trained again; expected a trial of "
            "jobs/trial.py"
        )
    spec = TrialSpec.read(trial_spec_path(Path(trial.job_path)))
    system = find_system(spec.system, spec.own_system)
    if system.own is not None:
        searched = read_identity(experiment_folder(results_dir, experiment.eid)).get("system_source")
        if system.own.sha256 != searched:
            found = "no SHA-256 of it" if searched is None else f"the SHA-256 {searched!s:.12}..."
            raise ModelError(
                f"{_name_trial(trial, experiment)}: its {system.own.file_name} has the SHA-256 "
                f"{system.own.sha256:.12}..., and the search has {found} on record; expected the file that was "
                "searched; restore a copy of the results folder, or search again with `aup experiment.json`"
            )
    hyperparameters = read_hyperparameters(system, trial.hyperparameters, spec.protocol)
    return BestPoint(experiment, trial, spec, system, hyperparameters, trial.best_epoch)


def _name_trial(trial: TrialRow, experiment: ExperimentRow) -> str:
    return f"trial {trial.trial_index} of experiment {experiment.eid}"


def describe_follow_up(
    best: BestPoint,
    kind: ExperimentKind,
    title: str,
    num_samples: int,
    decides: Mapping[str, Any],
    seed: int = 0,
) -> ExperimentRecord:
    """Return the row of an experiment that trains the best hyperparameters of a search again.

    Args:
        title: stands before the trial's name, e.g. ``"replication"``
        decides: everything that changes the outcome besides the hyperparameters; together they are the
            experiment's identity, and stand in its settings
        seed: from which the trainings' seeds follow; 0 where they follow from none
    """
    experiment, spec = best.experiment, best.spec
    points = [best.hyperparameters, *([] if best.turn_model is None else [best.turn_model.hyperparameters])]
    lexica = hash_lexica(map(lexicon_of, points))
    parts = {
        "kind": kind.value,
        "version": __version__,
        "searched_eid": experiment.eid,
        "searched_trial": best.trial.trial_index,
        "system": spec.system,
        "hyperparameters": asdict(best.hyperparameters),
        "corpus": experiment.corpus_hash,
        **{f"protocol {key}": choice for key, choice in spec.protocol.choices.items()},
        "max_epochs": spec.max_epochs,
        "patience": spec.patience,
        "word_vectors": hash_word_vectors(spec.word_vectors),
        **({} if best.system.own is None else {"system_source": best.system.own.sha256}),
        **({} if best.turn_model is None else {"turn_model": best.turn_model.to_json()}),
        **({} if spec.auxiliary is None else {"auxiliary_corpora": spec.auxiliary.identity()}),
        **({} if not lexica else {"lexica": lexica}),
        **decides,
    }
    return replace(
        ExperimentRecord(**{each.name: getattr(experiment, each.name) for each in fields(ExperimentRecord)}),
        name=f"{title} of {best.title}",
        identity=hash_json(parts),
        seed=seed,
        num_samples=num_samples,
        target="max",
        script=kind.command,
        search_space="[]",
        settings=json.dumps(parts, sort_keys=True),
        package_version=__version__,
        created_at=utc_now(),
        status=ExperimentStatus.RUNNING,
        kind=kind,
        folded_id=None,
        fold=None,
    )


def plan_replication(best: BestPoint, store: FeatureStore, num_seeds: int) -> PlannedExperiment:
    """Measure best-of-N optimism: plan trainings that differ from the best trial in their seeds alone.

    Validation chooses each training's epoch, as it chose the trial's. Only the split's sessions are opened: the
    test session stays sealed.

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
