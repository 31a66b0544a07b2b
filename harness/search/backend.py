"""The base of every way to run trials: their records, job files and outcomes.

A subclass launches jobs and reports their ends: on this machine, or elsewhere.
"""

from __future__ import annotations

import abc
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import HarnessError
from harness.files import write_json
from harness.search.auptimizer import AbstractResourceManager
from harness.search.corpus import PreparedCorpus
from harness.search.experiment import ExperimentFolder
from harness.search.experiment_file import ExperimentSettings
from harness.search.outcome import JobOutput, TrialJob, TrialOutcome, judge
from harness.search.process import JobEnd, usable_cores
from harness.search.proposer import TRIAL_INDEX, point_of, trial_seed
from harness.search.view import SearchView
from harness.store.pruning import find_pruning
from harness.store.records import TrialRecords, TrialStatus
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path

#: Auptimizer's ``Experiment.update``: takes a score and a job's id.
Callback = Callable[[float | str, int], None]

#: The score by which Auptimizer knows that a job has none.
NO_SCORE = "ERROR"

#: Bytes that the disk must take after a job has crashed. A choice: a search that finds less room is at its end.
_LEAST_ROOM = 2**20


@dataclass(frozen=True)
class SearchContext:
    """All that a resource manager works with.

    Attributes:
        prepared: None for a script that knows nothing of this package
        wake: ends the controller's wait, from any thread
    """

    settings: ExperimentSettings
    prepared: PreparedCorpus | None
    store: ResultsStore
    folder: ExperimentFolder
    eid: int
    view: SearchView
    wake: Callable[[], None]

    @property
    def threads(self) -> int | None:
        """Processor threads of one trial; None where each worker has its own number."""
        cluster = self.settings.cluster
        if cluster is None:
            return max(1, usable_cores() // self.settings.num_parallel)
        return None if cluster.num_local is None else max(1, usable_cores() // cluster.num_local)


class TrialResourceManager(AbstractResourceManager, abc.ABC):  # type: ignore[misc]
    """Auptimizer's interface to whatever runs trials.

    Jobs are launched when Auptimizer asks for them, and their ends are reported from ``collect`` only:
    always in the controller's own thread, and never while a job is being launched.
    """

    def __init__(self, connector: Any, n_parallel: int, *args: Any, **kwargs: Any) -> None:
        # Auptimizer would silence every warning of the process from here on.
        with warnings.catch_warnings():
            super().__init__(connector, n_parallel, *args, **kwargs)
        self.outcomes: dict[int, TrialOutcome] = {}
        self._callbacks: dict[int, Callback] = {}

    def bind(self, context: SearchContext) -> None:
        """Attach the search context. Call before the first job."""
        self.context = context
        context.folder.job_dir.mkdir(parents=True, exist_ok=True)

    def warm_up(self) -> None:
        """Begin what makes each trial's start shorter; comes once, before the first trial."""

    @property
    def is_warming_up(self) -> bool:
        """Trials that are launched in a moment begin sooner than those that are launched now."""
        return False

    @abc.abstractmethod
    def launch(self, trial: TrialJob) -> None:
        """Start a job; one that cannot be started ends at the next ``collect``."""

    @abc.abstractmethod
    def collect(self) -> None:
        """Report every job that has ended, and end those that are over their limits."""

    @abc.abstractmethod
    def end_all(self) -> None:
        """End every job; each is reported at the next ``collect``."""

    @abc.abstractmethod
    def abandon(self) -> None:
        """End every job without a record: nothing can be recorded any more."""

    @abc.abstractmethod
    def seconds_to_look(self) -> Seconds | None:
        """Return for how long nothing needs a look unless a job ends; None for ever."""

    def get_available(self, username: str, rtype: str, rid_blacklist: set[int] | None = None) -> int | None:
        """Return a free row of Auptimizer's table of resources: all are of one kind, whatever runs the jobs."""
        rid: int | None = super().get_available(username, "cpu")
        return rid

    def run(self, job: Any, rid: int, exp_config: Any, call_back_func: Callback, **kwargs: Any) -> None:
        """Record that a trial begins, write its files, and launch its job."""
        context = self.context
        index = job.config[TRIAL_INDEX]
        point = point_of(job.config)
        seed = trial_seed(context.settings.seed, index)
        job_path = context.folder.job_dir / f"{job.jid}.json"
        output_path = context.folder.job_dir / f"{job.jid}.{job.curr_retries}.out"
        trial_id = context.store.start_trial(context.eid, index, seed, point, job.jid)
        trial = TrialJob(trial_id, index, job.jid, point, job_path, output_path)
        spec = self._describe_trial(trial, seed)
        if spec is None:
            write_json(job_path, point)
        else:
            write_json(job_path, {**point, "job_id": job.jid})
            spec.write(trial_spec_path(job_path))
        self._callbacks[job.jid] = call_back_func
        self.launch(trial)

    def report(
        self,
        trial: TrialJob,
        end: JobEnd,
        output: JobOutput,
        records: TrialRecords | None = None,
        records_of: Callable[[float], TrialRecords | None] = lambda score: None,
    ) -> None:
        """Record how an attempt at a trial ended, and give Auptimizer its score.

        Args:
            records: of a trial that ran elsewhere; None where its own process wrote to results.db
            records_of: takes the score of a foreign script; returns what it printed beside the score

        Raises:
            HarnessError: a job crashed, and its disk is full; its trial has not ended, and runs again
        """
        context = self.context
        is_harness_trial = context.settings.training is not None
        recorded = None
        if records is not None:
            recorded = None if records.result is None else records.result.score
        elif is_harness_trial:
            recorded = context.store.trial(trial.trial_id).result_score
        pruning = find_pruning(context.store, trial.trial_id)
        outcome = judge(end, output, recorded, is_harness_trial, pruning)
        if records is None and outcome.score is not None:
            records = records_of(outcome.score)
        if outcome.status is TrialStatus.CRASHED:
            _check_room(context.folder.job_dir, trial)
        context.store.finish_trial(
            trial.trial_id,
            outcome.status,
            outcome.score,
            outcome.message,
            outcome.exit_code,
            outcome.signal,
            outcome.last_output,
            records,
        )
        self.outcomes[trial.jid] = outcome
        score = outcome.score if outcome.status is TrialStatus.FINISHED else None
        self._callbacks.pop(trial.jid)(NO_SCORE if score is None else score, trial.jid)

    def _describe_trial(self, trial: TrialJob, seed: int) -> TrialSpec | None:
        context, training, prepared = self.context, self.context.settings.training, self.context.prepared
        if training is None or prepared is None:
            return None
        return TrialSpec(
            trial_id=trial.trial_id,
            eid=context.eid,
            trial_index=trial.trial_index,
            seed=seed,
            system=training.system.name,
            protocol=training.protocol,
            prepared_dir=prepared.prepared_dir,
            results_db=context.store.path,
            max_epochs=prepared.max_epochs,
            patience=prepared.patience,
            threads=context.threads or 1,
            word_vectors=training.word_vectors,
            turn_model=None if training.turn_model is None else training.turn_model.to_json(),
            auxiliary=prepared.auxiliary,
            early_stopping=training.early_stopping,
            seeds_per_trial=training.seeds_per_trial,
            own_system=None if training.system.own is None else training.system.own.to_plain(),
        )


def _check_room(folder: Path, trial: TrialJob) -> None:
    """Check that the disk has room: a job that finds none may crash, and cannot record the cause."""
    probe = folder / f"room.{os.getpid()}.partial"
    try:
        with probe.open("wb") as stream:
            stream.write(bytes(_LEAST_ROOM))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise HarnessError(
            f"trial {trial.trial_index}: its job crashed, and the disk of '{folder}' cannot be written "
            f"({error.strerror}); recorded trials are safe, and this trial will run again; free some space and run the "
            "same command again"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
