"""A trial of a search: the process `jobs/trial.py JOB.json`, from Auptimizer's job file to a recorded score.

The test set stays sealed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DIVERGED_EXIT_CODE, Diverged, ExperimentFileError, HarnessError, Pruned, StoreError
from harness.files import read_object
from harness.store.recorder import Recorder, open_recorder
from harness.store.records import EpochRecord
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.early_stopping import Pruner
from harness.training.tensorflow import import_tensorflow, start_tensorflow


def read_job(path: Path) -> dict[str, Any]:
    """Read the hyperparameters from Auptimizer's job file, without the keys that Auptimizer adds."""
    try:
        job = read_object(path)
    except OSError as error:
        raise ExperimentFileError(f"job file {str(path)!r}: {error.strerror}; expected Auptimizer's job file") from None
    except ValueError as error:
        raise ExperimentFileError(f"job file {str(path)!r}: {error}; start trials with `aup experiment.json`") from None
    return {name: value for name, value in job.items() if name not in {"job_id", "n_iterations"}}


def main(arguments: Sequence[str]) -> int:
    """Run the trial of the job file that is the only argument, and return the exit code."""
    if len(arguments) != 2:
        print("error: expected one argument, the job file that Auptimizer wrote", file=sys.stderr)
        return 2
    job_path = Path(arguments[1])
    try:
        spec = TrialSpec.read(trial_spec_path(job_path))
        values = read_job(job_path)
        start_tensorflow(spec.threads)
        score = record_trial(spec, values)
    except Pruned as error:
        print(f"pruned: {error}", flush=True)
        return error.exit_code
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED_EXIT_CODE if isinstance(error, Diverged) else error.exit_code
    print(f"#Auptimizer:{score!r}", flush=True)
    return 0


def import_training() -> None:
    """Import what most trials compute with, and run no TensorFlow operation: this process may be forked afterwards."""
    import_tensorflow()
    import harness.training.environment
    import harness.training.recipe  # noqa: F401


def record_trial(spec: TrialSpec, values: Mapping[str, Any]) -> float:
    """Run the trial of the hyperparameters ``values``, and record it while it runs.

    Its epochs are those of the first seed, the only ones that early stopping compares: the further seeds of a trial
    that was not pruned train to their own ends.

    Returns:
        the score: the validation accuracy of the kept epoch, from 0 to 1; with several seeds the mean of theirs

    Raises:
        FeatureError: the prepared features lack a modality that the system reads
        Diverged: a loss became NaN or infinite
        Pruned: the search's early stopping ends the trial here
    """
    # Imported here: these import TensorFlow, which has to be started before.
    from harness.features.fitted import NO_TEXT
    from harness.features.store import FeatureStore, require_modalities
    from harness.models.systems import find_system, read_hyperparameters
    from harness.provenance import peak_memory_bytes
    from harness.training.environment import describe_environment
    from harness.training.recipe import Watch, open_parts, recipe_of, train_once

    began = time.monotonic()
    system = find_system(spec.system, spec.own_system)
    recipe = recipe_of(spec, system, read_hyperparameters(system, values, spec.protocol))
    with open_recorder(spec.results_db) as results:
        store = FeatureStore.open_for(spec.protocol, spec.prepared_dir)
        parts = open_parts(spec.protocol, store)
        environment = describe_environment(spec.threads, store.corpus_hash, spec.protocol.protocol_hash, parts)
        results.record_environment(spec.trial_id, environment)
        require_modalities(store, system.name, recipe.modalities, recipe.reader.streams)
        result = train_once(recipe, store, parts, Watch(watch_epochs(spec, results))).result
        if spec.seeds_per_trial > 1:
            others = [
                train_once(recipe.with_seed(seed), store, parts, Watch()).result.score for seed in further_seeds(spec)
            ]
            scores = (result.score, *others)
            result = replace(result, score=statistics.fmean(scores), seed_scores=scores)
        results.record_result(
            spec.trial_id,
            replace(
                result,
                peak_memory_bytes=peak_memory_bytes(),
                duration_seconds=time.monotonic() - began,
                # The report of a search has a row on the word vectors of every system.
                embedding_source=result.embedding_source or NO_TEXT,
            ),
        )
    return result.score


def further_seeds(spec: TrialSpec) -> list[int]:
    """Return the seeds of a trial's trainings after the first, each below 2**31: functions of the first."""
    return [int(np.random.default_rng([spec.seed, n]).integers(2**31)) for n in range(1, spec.seeds_per_trial)]


def watch_epochs(spec: TrialSpec, results: Recorder) -> Callable[[EpochRecord], None]:
    """Return what takes each epoch of a trial as it ends: it is recorded, and then compared with other trials.

    Raises, when it is called:
        Pruned: the search's early stopping ends the trial here
    """
    if spec.early_stopping is None:
        return lambda epoch: results.record_epoch(spec.trial_id, epoch)
    if not isinstance(results, ResultsStore):
        raise StoreError(
            f"trial {spec.trial_index}: early stopping needs results.db, and this trial writes to a pipe; expected one "
            "on the machine of the search"
        )
    pruner = Pruner(results, spec, spec.early_stopping)

    def take(epoch: EpochRecord) -> None:
        results.record_epoch(spec.trial_id, epoch)
        pruner.compare(epoch)

    return take
