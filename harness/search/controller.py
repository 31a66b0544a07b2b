"""A search from its experiment file to its best trial: begun or resumed, run to its end, and summed up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError, WorkFailedError
from harness.search.auptimizer import (
    USERNAME,
    BasicConfig,
    Experiment,
    JobTable,
    ProposerStatus,
    get_proposer,
)
from harness.search.backend import NO_SCORE, SearchContext, TrialResourceManager
from harness.search.corpus import PreparedCorpus, prepare_chosen, shorten_search
from harness.search.experiment import (
    create_experiment,
    experiment_folder,
    find_experiment,
    hash_searched_lexica,
    identity_of,
    resume_experiment,
)
from harness.search.experiment_file import ExperimentSettings
from harness.search.interrupts import Interrupts, Request
from harness.search.local import note_missing_card, register_resources
from harness.search.lock import held, lock_path
from harness.search.proposer import ResumableProposer, register_proposers
from harness.search.repair import account_for_earlier, record_broken_off
from harness.search.view import Ending, SearchPlan, SearchReport, SearchView
from harness.store.records import (
    ExperimentRow,
    ExperimentStatus,
    TrialRow,
    TrialStatus,
    last_attempts,
    utc_now,
)
from harness.store.store import DATABASE, ResultsStore

#: Seconds between two looks at what makes starts shorter. A choice: short beside its seconds of imports.
_WARMING_INTERVAL = 0.02
#: Seconds of waiting for that without a note. A choice: the imports take half of it.
_LONGEST_SILENCE = 10.0

_STATUSES = {
    Ending.DONE: ExperimentStatus.FINISHED,
    Ending.TOO_MANY_FAILURES: ExperimentStatus.FAILED,
    Ending.INTERRUPTED: ExperimentStatus.INTERRUPTED,
}


@dataclass(frozen=True)
class OpenedSearch:
    """Everything that a search needs, held by this process: its corpus is prepared, and results.db is open.

    Attributes:
        settings: as the experiment file has them, cut short where no corpus is named
        prepared: None for a script that knows nothing of this package
    """

    settings: ExperimentSettings
    prepared: PreparedCorpus | None
    store: ResultsStore
    view: SearchView
    interrupts: Interrupts


def run_search(settings: ExperimentSettings, view: SearchView, fresh: bool = False) -> SearchReport:
    """Run an experiment of one search, or resume it where an earlier controller left it; main thread only.

    Args:
        fresh: begin a new experiment even where there is one of the same name

    Raises:
        ExperimentFileError: the experiment of that name was started with other settings
        WorkFailedError: no trial can be started
        HarnessError: as ``open_search``
    """
    with open_search(settings, view) as opened:
        return carry_out(opened, fresh)


@contextmanager
def open_search(settings: ExperimentSettings, view: SearchView) -> Iterator[OpenedSearch]:
    """Take an experiment for this process, prepare its corpus, and open results.db.

    Raises:
        AlreadyRunningError: another controller has the experiment
        StoreError: results.db cannot be used
        FeatureError: a lexicon that the search can choose is not installed
        HarnessError: the results' folder cannot be written
    """
    register_proposers()
    register_resources()
    if settings.cluster is not None:
        # Imports Dask, which only a cluster needs.
        from harness.search.dask.backend import register_dask

        register_dask()
    results_dir = settings.results_dir
    # Before anything is made in the folder.
    ResultsStore.exists(results_dir / DATABASE)
    try:
        with held(lock_path(results_dir, settings.name), f"experiment {settings.name!r}"):
            if ResultsStore.exists(results_dir / DATABASE):
                # One that is damaged or may not be written is refused before hours of preparing features.
                ResultsStore.open(results_dir / DATABASE).close()
            prepared = None
            if settings.training is not None:
                # One whose package is not installed is refused before hours of preparing features.
                hash_searched_lexica(settings)
                prepared = prepare_chosen(
                    settings.training, results_dir, view.progress, modalities=settings.modalities
                )
                settings, prepared = shorten_search(settings, prepared)
                for sentence in prepared.notes:
                    view.note(sentence)
            # From the first row to the last: a signal in between would leave an experiment that runs for ever.
            with Interrupts() as interrupts, ResultsStore.open(results_dir / DATABASE) as store:
                yield OpenedSearch(settings, prepared, store, view, interrupts)
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise HarnessError(
            f"results '{results_dir}': {error.strerror}{where}; recorded trials are safe; expected a writable folder "
            "on a disk with free space"
        ) from error


def carry_out(opened: OpenedSearch, fresh: bool = False) -> SearchReport:
    """Begin or resume the search, run its trials, and record and show how it ended."""
    settings, store, view = opened.settings, opened.store, opened.view
    experiment = _begin_or_resume(opened, fresh)
    folder = experiment_folder(settings.results_dir, experiment.eid)
    context = SearchContext(settings, opened.prepared, store, folder, experiment.eid, view, opened.interrupts.wake)
    try:
        search = _run_trials(context, experiment, opened.interrupts)
    except BaseException:
        record_broken_off(context.store, context.eid, context.folder.mark)
        raise
    report = _sum_up(context, search)
    view.end(report)
    return report


def _begin_or_resume(opened: OpenedSearch, fresh: bool) -> ExperimentRow:
    """Find or make the experiment's row, after recording how the trials of dead controllers ended."""
    settings, prepared, store, view = opened.settings, opened.prepared, opened.store, opened.view
    if (note := note_missing_card(settings.resource)) is not None:
        view.note(note)
    num_trials = int(get_proposer(settings.proposer)(_auptimizer_config(settings)).nSamples)
    if settings.num_samples is not None and num_trials < settings.num_samples:
        view.note(
            f"Combinations in the search space: {num_trials}. Each is tried once, so the search ends before n_samples, "
            f"{settings.num_samples}."
        )
    parts = identity_of(settings, prepared)
    earlier = None if fresh else find_experiment(store, settings, parts)
    account_for_earlier(store, settings.results_dir, settings.name)
    if earlier is None:
        return create_experiment(store, settings, prepared, num_trials, parts)
    return resume_experiment(store, settings, earlier.eid, num_trials, parts)


def _run_trials(context: SearchContext, experiment: ExperimentRow, interrupts: Interrupts) -> SearchExperiment:
    """Run trials until nothing runs and nothing is left to start; no job outlives this, however it ends."""
    trials = context.store.trials(context.eid)
    history = last_attempts(trials)
    last_jid = max((trial.jid or 0 for trial in trials), default=0)
    with closing(JobTable(context.settings.num_parallel, last_jid)) as job_table:
        search = SearchExperiment(context, job_table, history)
        try:
            num_interrupted = sum(trial.status.runs_again for trial in history)
            plan = SearchPlan(
                experiment,
                num_trials=search.proposer.num_samples,
                num_done=len(history) - num_interrupted,
                num_interrupted=num_interrupted,
                num_parallel=context.settings.num_parallel,
                threads=context.threads,
            )
            context.view.begin(plan, context.store)
            search.run(interrupts)
            search.resource_manager.finish()
        except BaseException:
            search.resource_manager.abandon()
            raise
    return search


class SearchExperiment(Experiment):  # type: ignore[misc]
    """Auptimizer's experiment, without its faults.

    Proposals, submissions and retries are Auptimizer's. Its threads are not: ends of jobs are reported by
    ``collect`` in the caller's thread, so nothing can deadlock or pile up.

    Args:
        history: the last attempt of each trial that was started before, none of them running
    """

    resource_manager: TrialResourceManager

    def __init__(self, context: SearchContext, job_table: JobTable, history: Sequence[TrialRow]) -> None:
        settings = context.settings
        super().__init__(_auptimizer_config(settings), username=USERNAME, connector=job_table, auppath="")
        self.proposer: ResumableProposer = ResumableProposer(self.proposer, history)
        # A failed trial never ends the search by itself: max_failures does.
        self.fail_safe = True
        self.job_retries = settings.limits.retries
        half = self.proposer.num_samples // 2
        self.max_failures = half if settings.max_failures is None else settings.max_failures
        self.num_failures = sum(past.status.is_failure and not past.status.runs_again for past in history)
        self.is_stopping = False
        # Last: it starts what only ``abandon`` and ``finish`` end.
        self.resource_manager.bind(context)

    @property
    def has_failed(self) -> bool:
        """More trials have failed than may."""
        return self.num_failures > self.max_failures

    def run(self, interrupts: Interrupts) -> None:
        """Run trials until nothing runs and nothing is left to start."""
        view = self.resource_manager.context.view
        interrupts.wait(0.0)
        if self.proposer.get_remaining_jobs() > 0 and not self.has_failed and not interrupts.request:
            self.resource_manager.warm_up()
            self._wait_for_imports(interrupts)
        self.is_stopping = self.has_failed or bool(interrupts.request)
        self.start()
        while self.pending_jobs:
            looks = (view.look(), self.resource_manager.seconds_to_look())
            interrupts.wait(min((seconds for seconds in looks if seconds is not None), default=None))
            # Before any job is ended: Auptimizer would submit it again.
            if interrupts.request >= Request.STOP_PROPOSING and not self.is_stopping:
                self.is_stopping = True
                view.note(f"Stopping: what runs may finish (trials: {len(self.pending_jobs)}); Ctrl-C again ends it.")
            if interrupts.request >= Request.END_TRIALS:
                self.resource_manager.end_all()
            self.resource_manager.collect()

    def _wait_for_imports(self, interrupts: Interrupts) -> None:
        began, is_noted = time.monotonic(), False
        while self.resource_manager.is_warming_up and not interrupts.request:
            interrupts.wait(_WARMING_INTERVAL)
            if not is_noted and time.monotonic() - began > _LONGEST_SILENCE:
                is_noted = True
                self.resource_manager.context.view.note(
                    "No trial has started yet: TensorFlow is still being imported, once for all trials."
                )

    def start(self) -> None:
        """Submit jobs until as many run as may."""
        while len(self.pending_jobs) < self.exp_config.n_parallel:
            if self.is_stopping or self.proposer.get_status() is not ProposerStatus.RUNNING:
                return
            if not self.submit_job():
                raise WorkFailedError(
                    f"experiment {self.exp_config.name!r}: no job could be submitted; expected a free resource and a "
                    "combination that has not been tried"
                )

    def update(self, score: float | str, jid: int) -> None:
        """Take a job's score, or ``NO_SCORE``: Auptimizer starts the job again, or the next one."""
        outcome = self.resource_manager.outcomes.pop(jid)
        if score == NO_SCORE:
            job = self.pending_jobs[jid]
            if self.is_stopping or not outcome.may_be_retried:
                job.retries = job.curr_retries
            if job.curr_retries >= job.retries and outcome.status.is_failure:
                self.num_failures += 1
            if self.has_failed:
                self.is_stopping = True
                job.retries = job.curr_retries
        super().update(score, jid)


def _auptimizer_config(settings: ExperimentSettings) -> Any:
    """Return the experiment as Auptimizer reads it: without the jobs' environment."""
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
        "points": list(settings.points),
        "n_samples": settings.num_samples,
        "random_seed": settings.seed,
        "n_parallel": settings.num_parallel,
        "workingdir": str(settings.script.working_dir),
        "cwd": str(settings.script.working_dir),
    }
    if "engine" in settings.file:
        config["engine"] = settings.file["engine"]
    return BasicConfig(**config)


def _sum_up(context: SearchContext, search: SearchExperiment) -> SearchReport:
    """Record how the experiment ended, and return what its trials came to."""
    store = context.store
    trials = last_attempts(store.trials(context.eid))
    num_by_status = Counter(trial.status for trial in trials)
    # A trial that an earlier controller's death killed is one of the proposer's again, until it has run.
    has_left_some = search.proposer.get_remaining_jobs() > 0 or bool(num_by_status[TrialStatus.STOPPED])
    if search.has_failed:
        ending = Ending.TOO_MANY_FAILURES
    else:
        ending = Ending.INTERRUPTED if search.is_stopping and has_left_some else Ending.DONE
    store.update_experiment(context.eid, _STATUSES[ending], utc_now())
    return SearchReport(
        experiment=store.experiment(context.eid),
        ending=ending,
        num_by_status=num_by_status,
        num_failed=search.num_failures,
        best=store.best_trial(context.eid),
        max_failures=search.max_failures,
    )
