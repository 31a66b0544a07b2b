"""A search from its experiment file to its best trial: begun, gone on with, or begun anew."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from harness.errors import HarnessError
from harness.search.auptimizer import DatabaseError, explain, open_environment
from harness.search.corpus_choice import PreparedCorpus, prepare_chosen
from harness.search.experiment_file import ExperimentSettings
from harness.search.experiment_loop import SearchExperiment, count_trials
from harness.search.experiment_record import (
    create_experiment,
    experiment_folder,
    find_experiment,
    resume_experiment,
)
from harness.search.identity import identity_of
from harness.search.interrupts import Interrupts
from harness.search.local import register_resources
from harness.search.lock import held, lock_path
from harness.search.proposer import register_proposers
from harness.search.recovery import (
    account_for_running,
    close_books,
    last_attempts,
    past_trials,
    remove_half_written,
)
from harness.search.resource_manager import SearchContext
from harness.search.view import Ending, SearchPlan, SearchReport, SearchView
from harness.store.records import ExperimentRow, ExperimentStatus, TrialStatus, utc_now
from harness.store.results import ResultsStore

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
        from harness.search.dask.backend import register_dask

        register_dask()
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
