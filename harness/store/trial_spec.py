"""The settings of a trial besides its hyperparameters: one JSON file beside Auptimizer's own job file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.codec import from_plain, may_be_missing, to_plain
from harness.errors import ExperimentFileError, one_line
from harness.features.auxiliary import AuxiliaryCorpora
from harness.files import read_json, write_json
from harness.splits.protocol import Protocol
from harness.store.pruning import EarlyStopping


def trial_spec_path(job_path: Path) -> Path:
    """Return where the spec of Auptimizer's job file ``job_path`` lies.

    Example:
        >>> trial_spec_path(Path("jobs/7.json")).name
        '7.trial.json'
    """
    return job_path.with_name(f"{job_path.stem}.trial.json")


@dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial depends on, but for its hyperparameters.

    Attributes:
        seed: decides every random choice of the trial
        threads: processor threads that the trial may use
        word_vectors: a GloVe or word2vec file; None for vectors trained on the training text
        turn_model: the system below one that reads the dialogue, as plain values; None where there is none
        auxiliary: None where there are no auxiliary corpora
        early_stopping: None where no trial is pruned
        seeds_per_trial: trainings whose mean score is the trial's
        own_system: the user's function that builds the model, as plain values with its source; None for a system of
            this package
    """

    trial_id: int
    eid: int
    trial_index: int
    seed: int
    system: str
    protocol: Protocol
    prepared_dir: Path
    results_db: Path
    max_epochs: int
    patience: int | None
    threads: int
    word_vectors: Path | None = None
    turn_model: Mapping[str, Any] | None = None
    auxiliary: AuxiliaryCorpora | None = None
    early_stopping: EarlyStopping | None = may_be_missing(None)
    seeds_per_trial: int = may_be_missing(1)
    own_system: Mapping[str, Any] | None = may_be_missing(None)

    def write(self, path: Path) -> None:
        """Write the spec as JSON, whole or not at all.

        Paths inside the results folder are written from the spec's own place, so that the folder can be moved.
        """
        results_dir = self.results_db.absolute().parent

        def portable(target: Path) -> Path:
            absolute = target.absolute()
            if not absolute.is_relative_to(results_dir) or not path.absolute().is_relative_to(results_dir):
                return absolute
            return Path(os.path.relpath(absolute, path.absolute().parent))

        write_json(path, to_plain(self._move(portable)))

    @classmethod
    def read(cls, path: Path) -> TrialSpec:
        """Read a spec.

        Raises:
            ExperimentFileError: the file is missing, or is not a trial's spec
        """
        try:
            value = read_json(path)
        except FileNotFoundError:
            raise ExperimentFileError(
                f"trial {path.name!r}: not found in {str(path.parent)!r}; expected the file that `aup` writes "
                "beside each job; start trials with `aup experiment.json`"
            ) from None
        except (OSError, ValueError) as error:
            raise ExperimentFileError(
                f"trial file {str(path)!r}: cannot be read ({one_line(error)}); start trials with `aup experiment.json`"
            ) from None
        try:
            spec = from_plain(cls, value)
        except ValueError as error:
            raise ExperimentFileError(
                f"trial file {str(path)!r}: not a trial's spec ({one_line(error)}); start trials with "
                "`aup experiment.json`"
            ) from None

        def resolve(target: Path) -> Path:
            return Path(os.path.normpath(path.absolute().parent / target))

        return spec._move(resolve)

    def _move(self, move: Callable[[Path], Path]) -> TrialSpec:
        """Return the spec with another path in the place of each."""
        vectors, auxiliary = self.word_vectors, self.auxiliary
        if auxiliary is not None:
            auxiliary = replace(auxiliary, prepared_dirs=tuple(map(move, auxiliary.prepared_dirs)))
        return replace(
            self,
            prepared_dir=move(self.prepared_dir),
            results_db=move(self.results_db),
            word_vectors=None if vectors is None else move(vectors),
            auxiliary=auxiliary,
        )
