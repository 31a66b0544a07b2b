"""A search from its experiment file to its best trial: begun, gone on with, or begun anew.

Auptimizer's experiment loop, in one thread and with an end.

What a controller that is gone has left: ended, accounted for, and gone on with.
"""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, WorkFailedError
from harness.search.auptimizer import (
    USERNAME,
    BasicConfig,
    DatabaseError,
    Experiment,
    ProposerStatus,
    SearchConnector,
    explain,
    get_proposer,
    open_environment,
)
from harness.search.backend import NO_SCORE, SearchContext, TrialResourceManager
from harness.search.corpus import PreparedCorpus, prepare_chosen
from harness.search.experiment import (
    create_experiment,
    experiment_folder,
    find_experiment,
    identity_of,
    resume_experiment,
)
from harness.search.experiment_file import ExperimentSettings
from harness.search.interrupts import Interrupts, Request
from harness.search.jobs import end_left_behind
from harness.search.local import register_resources
from harness.search.lock import held, lock_path
from harness.search.outcome import read_output
from harness.search.proposer import PastTrial, ResumableProposer, register_proposers
from harness.search.view import Ending, SearchPlan, SearchReport, SearchView
from harness.store.records import (
    ExperimentRow,
    ExperimentStatus,
    TrialRow,
    TrialStatus,
    last_attempts,
    utc_now,
)
from harness.store.store import ResultsStore


class SearchExperiment(Experiment):  # type: ignore[misc]
    """Auptimizer's experiment, without its faults.

    Proposals, submissions, retries and the bookkeeping of scores are Auptimizer's. Its threads are not:
    ends of jobs are reported by ``collect`` in the caller's thread, so nothing can deadlock or pile up.
    """

    resource_manager: TrialResourceManager

    def __init__(
        self,
        context: SearchContext,
        connector: SearchConnector,
        eid: int | None,
        history: Sequence[PastTrial],
    ) -> None:
        settings = context.settings
        super().__init__(
            _auptimizer_config(settings), username=USERNAME, connector=connector, auppath="", eid=eid
        )
        self.resource_manager.equip(context)
        self.proposer: ResumableProposer = ResumableProposer(self.proposer, history)
        # A failed trial never ends the search by itself: max_failures does.
        self.fail_safe = True
        self.job_retries = settings.limits.retries
        half = self.proposer.num_samples // 2
        self.max_failures = half if settings.max_failures is None else settings.max_failures
        self.num_failures = sum(past.has_ended and past.score is None for past in history)
        self.is_stopping = False
        self._lock = threading.RLock()

    @property
    def has_failed(self) -> bool:
        """Whether more trials have failed than may."""
        return self.num_failures > self.max_failures

    @property
    def is_proposing(self) -> bool:
        """Whether trials are left to start."""
        return not self.is_stopping and self.proposer.get_status() is ProposerStatus.RUNNING

    def start(self) -> None:
        """Submit jobs until as many run as may."""
        with self._lock:
            while self.is_proposing and len(self.pending_jobs) < self.exp_config.n_parallel:
                if not self.submit_job():
                    raise WorkFailedError(
                        f"experiment {self.exp_config.name!r}: no job could be submitted; expected a free "
                        "resource and a point that is left"
                    )

    def update(self, score: float | str, jid: int) -> None:
        """Take a job's score, or that it has none, and go on."""
        with self._lock:
            outcome = self.resource_manager.outcomes.pop(jid)
            if score == NO_SCORE:
                job = self.pending_jobs[jid]
                if self.is_stopping or not outcome.may_be_retried:
                    job.retries = job.curr_retries
                if job.curr_retries >= job.retries and outcome.status is not TrialStatus.STOPPED:
                    self.num_failures += 1
                if self.has_failed:
                    self.stop_proposing()
                    job.retries = job.curr_retries
            super().update(score, jid)

    def stop_proposing(self) -> None:
        """Start nothing more, retries included; comes before ending jobs, which would be submitted again."""
        self.is_stopping = True

    def run(self, interrupts: Interrupts, look: Callable[[], float | None]) -> None:
        """Run the search until nothing runs and nothing is left to start.

        Args:
            look: called between waits; returns the seconds after which it wants to be called again
        """
        interrupts.wait(0.0)
        if self.has_failed or interrupts.request:
            self.stop_proposing()
        self.start()
        while self.pending_jobs:
            looks = (look(), self.resource_manager.seconds_to_look())
            interrupts.wait(min((seconds for seconds in looks if seconds is not None), default=None))
            if interrupts.request >= Request.STOP_PROPOSING and not self.is_stopping:
                self.stop_proposing()
                self.resource_manager.context.view.note(
                    f"Stopping: {len(self.pending_jobs)} running trials may finish; Ctrl-C again ends them."
                )
            if interrupts.request >= Request.END_TRIALS:
                self.resource_manager.end_all()
            self.resource_manager.collect()

    def finish(self) -> None:
        """Close Auptimizer's books; no job is left."""
        status = "FAILED" if self.has_failed else "STOPPED" if self.is_stopping else "FINISHED"
        self.resource_manager.finish(status=status)
        self.connector.close()


def count_trials(settings: ExperimentSettings) -> int:
    """Count the trials of an experiment: a grid's points, and no more than the space has."""
    config = _auptimizer_config(settings)
    return int(get_proposer(settings.proposer)(config).nSamples)


def _auptimizer_config(settings: ExperimentSettings) -> Any:
    """Return the experiment as Auptimizer reads and keeps it: without the jobs' environment."""
    entries = settings.searched
    if settings.proposer == "hyperopt":
        # Auptimizer's never proposes an integer's upper bound.
        for entry in entries:
            if entry["type"] == "int":
                entry["range"] = [entry["range"][0], entry["range"][1] + 1]
    config = {
        "name": settings.name,
        "script": settings.script.text,
        "resource": settings.resource.value,
        "target": settings.target,
        "proposer": settings.proposer,
        "parameter_config": entries,
        "n_samples": settings.num_samples,
        "random_seed": settings.seed,
        "n_parallel": settings.num_parallel,
        "workingdir": str(settings.script.working_dir),
        "cwd": str(settings.script.working_dir),
    }
    if "engine" in settings.file:
        config["engine"] = settings.file["engine"]
    return BasicConfig(**config)


def account_for_running(
    store: ResultsStore, eid: int, mark: str, cause: str = "its controller was gone while the job ran"
) -> None:
    """End the jobs of a controller that is gone, and say in results.db how each trial ended.

    A trial that had recorded its result has done all its work, and counts as finished.

    Args:
        mark: ``NAME=value`` that every job of the experiment has in its environment
        cause: why a trial that had recorded no result was killed
    """
    end_left_behind(mark, store.running_trials(eid))
    for trial in store.running_trials(eid):
        last_output = _last_output(trial)
        if trial.result_score is not None and math.isfinite(trial.result_score):
            store.finish_trial(
                trial.trial_id,
                TrialStatus.FINISHED,
                trial.result_score,
                "its controller did not see the job end; the result was recorded",
                last_output=last_output,
            )
        else:
            store.finish_trial(
                trial.trial_id,
                TrialStatus.KILLED,
                message=cause,
                last_output=last_output,
            )


def _last_output(trial: TrialRow) -> str | None:
    """Return the end of what a trial's last attempt printed; None where it had no time to begin."""
    if trial.job_path is None:
        return None
    job_path = Path(trial.job_path)
    outputs = job_path.parent.glob(f"{job_path.stem}.*.out")
    attempts = {int(found[1]): path for path in outputs if (found := re.fullmatch(r".*\.(\d+)\.out", path.name))}
    return read_output(attempts[max(attempts)]).tail if attempts else None


def close_books(connector: SearchConnector, trials: Iterable[TrialRow]) -> None:
    """Tell Auptimizer's own database how the jobs ended that it has open, and that nothing is in use.

    A controller can be killed between its writes to results.db and to this one; results.db is right.

    Args:
        trials: every attempt of the experiment, none of them running
    """
    last = {trial.jid: trial for trial in sorted(trials, key=lambda trial: trial.trial_id)}
    connector.skip_jobs(max((jid for jid in last if jid is not None), default=0))
    for jid in connector.open_jobs():
        score = last[jid].score if jid in last else None
        connector.end_job_attempt(jid)
        connector.end_job(jid, score, "FAILED" if score is None else "FINISHED")
    connector.free_all_resources()


def remove_half_written(folder: Path) -> None:
    """Remove the files of an experiment's folder whose writers were killed before they were whole."""
    for path in folder.rglob("*.partial*"):
        path.unlink(missing_ok=True)


def past_trials(trials: Iterable[TrialRow]) -> list[PastTrial]:
    """Return what a proposer must know of the trials that there have been."""
    return [
        PastTrial(
            trial.trial_index,
            trial.hyperparameters,
            trial.score,
            has_ended=not trial.status.runs_again,
        )
        for trial in last_attempts(trials)
    ]


_STATUSES = {
    Ending.DONE: ExperimentStatus.FINISHED,
    Ending.TOO_MANY_FAILURES: ExperimentStatus.FAILED,
    Ending.INTERRUPTED: ExperimentStatus.INTERRUPTED,
}


def run_search(settings: ExperimentSettings, view: SearchView, fresh: bool = False) -> SearchReport:
    """Run an experiment, or go on with it where an earlier controller left it; main thread only.

    Args:
        fresh: begin a new experiment even where there is one of the same name

    Raises:
        AlreadyRunningError: another controller has the experiment
        ExperimentFileError: the experiment of that name was begun with something else
        StoreError: results.db cannot be used
        WorkFailedError: Auptimizer's own database cannot be used
        HarnessError: the results' folder cannot be written
    """
    register_proposers()
    register_resources()
    if settings.cluster is not None:
        # Imports Dask, which only a cluster needs.
        from harness.search.cluster.dask_manager import register_cluster

        register_cluster()
    results_dir = settings.results_dir
    try:
        with held(lock_path(results_dir, settings.name), f"experiment {settings.name!r}"):
            prepared = None
            if settings.training is not None:
                prepared = prepare_chosen(settings.training, results_dir, view.progress)
            # From the first row to the last: a signal in between would leave an experiment that runs for ever.
            with Interrupts() as interrupts, ResultsStore.open(results_dir / "results.db") as store:
                experiment = _open(settings, prepared, store, view, fresh)
                folder = experiment_folder(results_dir, experiment.eid)
                context = SearchContext(settings, prepared, store, folder, experiment.eid, view, interrupts.wake)
                return _search(context, experiment, interrupts)
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise HarnessError(
            f"results '{results_dir}': {error.strerror}{where}; what was recorded before is safe; expected a "
            "folder that can be written, on a disk with room"
        ) from error


def _open(
    settings: ExperimentSettings,
    prepared: PreparedCorpus | None,
    store: ResultsStore,
    view: SearchView,
    fresh: bool,
) -> ExperimentRow:
    """Find or make the experiment's row; account for what dead controllers of that name left running."""
    num_trials = count_trials(settings)
    if settings.num_samples is not None and num_trials < settings.num_samples:
        view.note(
            f"The search space has {num_trials} points, and none is tried twice: the search ends after "
            f"{num_trials} trials, not n_samples {settings.num_samples}."
        )
    parts = identity_of(settings, prepared)
    earlier = None if fresh else find_experiment(store, settings, parts)
    for experiment in store.experiments():
        if experiment.name == settings.name:
            folder = experiment_folder(settings.results_dir, experiment.eid)
            account_for_running(store, experiment.eid, folder.mark)
            remove_half_written(folder.path)
            if experiment.status is ExperimentStatus.RUNNING:
                store.update_experiment(experiment.eid, ExperimentStatus.INTERRUPTED, utc_now())
    if earlier is None:
        return create_experiment(store, settings, prepared, num_trials, parts)
    return resume_experiment(store, settings, earlier.eid, num_trials, parts)


def _search(context: SearchContext, experiment: ExperimentRow, interrupts: Interrupts) -> SearchReport:
    try:
        search = _run(context, experiment, interrupts)
    except BaseException as error:
        # What can still be said of the trials that have just been ended, and of the experiment, is said.
        with suppress(HarnessError, OSError):
            cause = "its controller ended with an error while the job ran"
            account_for_running(context.store, context.eid, context.folder.mark, cause)
            context.store.update_experiment(context.eid, ExperimentStatus.INTERRUPTED, utc_now())
        if isinstance(error, DatabaseError):
            raise explain(context.folder.auptimizer_dir, error) from error
        raise
    report = _close(context, search)
    context.view.end(report)
    return report


def _run(context: SearchContext, experiment: ExperimentRow, interrupts: Interrupts) -> SearchExperiment:
    """Run the search until nothing runs and nothing is left to start; Auptimizer's database is closed each time."""
    trials = context.store.trials(context.eid)
    history = past_trials(trials)
    connector, auptimizer_eid = open_environment(context.folder.auptimizer_dir)
    try:
        close_books(connector, trials)
        search = SearchExperiment(context, connector, auptimizer_eid, history)
        try:
            num_done = sum(past.has_ended for past in history)
            plan = SearchPlan(
                experiment,
                num_trials=search.proposer.num_samples,
                num_done=num_done,
                num_interrupted=len(history) - num_done,
                num_parallel=context.settings.num_parallel,
                threads=context.threads,
            )
            context.view.begin(plan, context.store)
            search.run(interrupts, context.view.look)
            search.finish()
        except BaseException:
            search.resource_manager.abandon()
            raise
    except BaseException:
        with suppress(DatabaseError):
            connector.close()
        raise
    return search


def _close(context: SearchContext, search: SearchExperiment) -> SearchReport:
    """Record how the experiment ended, and sum it up."""
    store = context.store
    trials = last_attempts(store.trials(context.eid))
    num_by_status = Counter(trial.status for trial in trials)
    has_left_some = len(trials) < search.proposer.num_samples or bool(num_by_status[TrialStatus.STOPPED])
    if search.has_failed:
        ending = Ending.TOO_MANY_FAILURES
    else:
        ending = Ending.INTERRUPTED if search.is_stopping and has_left_some else Ending.DONE
    store.update_experiment(context.eid, _STATUSES[ending], utc_now())
    return SearchReport(
        experiment=store.experiment(context.eid),
        ending=ending,
        num_trials=max(search.proposer.num_samples, len(trials)),
        num_by_status=num_by_status,
        best=store.best_trial(context.eid),
        max_failures=search.max_failures,
    )
