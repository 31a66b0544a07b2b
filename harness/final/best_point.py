"""The best trial of a search as a point that can be trained again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ModelError, WorkFailedError
from harness.features.store import FeatureStore, require_modalities
from harness.models.hyperparameters import Hyperparameters
from harness.models.systems import System, find_system, read_hyperparameters
from harness.store.records import ExperimentKind, ExperimentRow, TrialRow
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path

#: What trains the experiments that are no search.
COMMANDS = {
    ExperimentKind.TABLES: "tables",
    ExperimentKind.LEAKS: "leaks",
    ExperimentKind.REPLICATION: "replicate",
}


@dataclass(frozen=True)
class BestPoint:
    """The best trial, and what its training depended on.

    Attributes:
        choices: the trial's point, completed with the system's defaults
        num_epochs: the epoch that validation chose in the trial
    """

    experiment: ExperimentRow
    trial: TrialRow
    spec: TrialSpec
    system: System
    choices: Hyperparameters
    num_epochs: int

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"trial {self.trial.trial_index} of experiment {self.experiment.eid}"

    def open_features(self) -> FeatureStore:
        """Open the prepared features that the trial was trained on; only their manifest is read.

        Raises:
            ModelError: they are now of another corpus
            FeatureError: they are damaged, or lack what the system needs
        """
        store = FeatureStore.open(self.spec.prepared_dir)
        if store.corpus_hash != self.experiment.corpus_hash:
            raise ModelError(
                f"experiment {self.experiment.eid}: was searched on corpus {self.experiment.corpus_hash[:12]}, but the "
                f"features at {str(self.spec.prepared_dir)!r} are of corpus {store.corpus_hash[:12]}; "
                "search again with `aup experiment.json`"
            )
        require_modalities(store, self.system.name, self.system.modalities, self.system.streams)
        return store


def find_best_point(results: ResultsStore, results_dir: Path, eid: int | None) -> BestPoint:
    """Find the best trial of a search.

    Args:
        eid: the experiment; None for the latest

    Raises:
        WorkFailedError: no trial has finished
        ModelError: there is no search, the experiment is none, or its trials were not of this package
        StoreError: there is no such experiment
    """
    experiment = results.latest_experiment() if eid is None else results.experiment(eid)
    if experiment is None:
        raise ModelError(
            f"results {str(results_dir)!r}: hold no experiment; run `aup experiment.json` first"
        )
    name = f"experiment {experiment.eid} ({experiment.name!r})"
    if experiment.kind is not ExperimentKind.SEARCH:
        raise ModelError(
            f"{name}: holds trainings of `harness {COMMANDS[experiment.kind]}`; expected a search, whose best trial "
            "can be trained again; name one with --experiment, or leave that out for the latest"
        )
    trial = results.best_trial(experiment.eid)
    if trial is None:
        raise WorkFailedError(
            f"{name}: no trial has finished, so there is no best one; "
            "run `aup experiment.json` until one has"
        )
    its_name = f"trial {trial.trial_index} of experiment {experiment.eid}"
    if trial.job_path is None:
        raise ModelError(
            f"{its_name}: no file of its job is on record, so what it was trained on is not known; expected a trial "
            "that `aup` started"
        )
    if trial.best_epoch is None:
        raise ModelError(
            f"{its_name}: recorded no epoch, so it cannot be trained again; expected a trial of jobs/trial.py"
        )
    spec = TrialSpec.read(trial_spec_path(Path(trial.job_path)))
    system = find_system(spec.system)
    choices = read_hyperparameters(system, trial.hyperparameters, spec.protocol)
    return BestPoint(experiment, trial, spec, system, choices, trial.best_epoch)
