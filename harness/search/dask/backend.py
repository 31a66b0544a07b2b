"""Trials as tasks of a Dask cluster: one trial a worker, and only the controller records."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.codec import CodecError, from_plain, to_plain
from harness.corpus.utterances import Seconds
from harness.features.copies import ExpectedFeatures
from harness.search.auptimizer import register_resource
from harness.search.backend import SearchContext, TrialResourceManager
from harness.search.dask.client import DaskClient, Handlers, Task, TaskLost
from harness.search.dask.messages import (
    EVENTS,
    Expectations,
    JobEpoch,
    JobReturn,
    JobStarted,
    TaskMessage,
    describe_error,
)
from harness.search.dask.worker import installed_versions, run_trial_task
from harness.search.dask.workers import Workers
from harness.search.outcome import JobOutput, TrialJob
from harness.search.process import EndedBy, JobEnd
from harness.splits.protocol import search_sessions
from harness.store.records import TrialRecords
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.early_stopping import Comparison, EpochQueue

if TYPE_CHECKING:
    from harness.store.pruning import EarlyStopping

#: Workers that an attempt may take with it before it counts as killed. Source: Dask's ``allowed-failures``.
_ALLOWED_LOSSES = 3
#: Seconds in which a cancelled job reports how it ended. Our default: its worker looks ten times a second.
_REPORT_TIMEOUT: Seconds = 5.0
#: Seconds between two looks where time alone may decide: no worker may run a trial, or a trial that was killed may be
#: started again, which others wait for. Our default.
_INTERVAL: Seconds = 1.0
#: The Dask resource whose workers let a trial see their graphics cards. Source: Dask's manual.
_CARDS = "GPU"


@dataclass(eq=False)
class PendingTrial:
    """An attempt at a trial that has no outcome yet.

    Attributes:
        task: its Dask task; None while it waits for a worker
        executions: of that attempt, the latest last: Dask runs a task again whose worker it has lost
        num_losses: workers that were lost while they had it
        epochs: of the latest execution, where early stopping compares them; None where it does not, or none has begun
        returned: the end of its job, which waits for the comparison of its epochs; None where nothing waits
    """

    trial: TrialJob
    task: Task | None = None
    executions: list[str] = field(default_factory=list)
    num_losses: int = 0
    epochs: EpochQueue | None = None
    returned: JobReturn | None = None


class HarnessDaskManager(TrialResourceManager):
    """Auptimizer's resource manager for a Dask cluster.

    Dask's thread only fills the client's queue; everything else happens in ``collect``, in the controller's own.

    A trial ends with the result of its task, whichever worker that comes from. Where its worker is lost,

    - Dask runs the task again on another accepted worker, and ``_lose_worker`` counts the loss;
    - Dask ends a task that has taken too many workers with it by an error, and ``_end_task`` ends the trial for its
      machine, as for any other error of a task;
    - with the last accepted worker, ``_resubmit_all`` lets every trial wait for the next, and ends those that have
      taken too many workers with them;
    - a worker that was asked to leave stops its trial and returns it, and ``_take_return`` lets it wait again.

    Where the scheduler is lost, no worker is left either. A trial that waits again is still the same attempt.

    Early stopping compares trials here, not on their workers: a trial goes on while its epochs wait for those of
    trials of lower index, and one that has ended leaves its worker, and ends once its last epoch is decided.
    """

    def __init__(self, connector: Any, n_parallel: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(connector, n_parallel, *args, **kwargs)
        # By id, in the order of their launch, in which they also wait.
        self._pending: dict[int, PendingTrial] = {}
        self._num_discarded = 0
        self._rule: EarlyStopping | None = None
        self._max_epochs = 0
        self._ending_since: Seconds | None = None

    def bind(self, context: SearchContext) -> None:
        """Attach the search context, and begin to connect to the scheduler. Called before the first job."""
        super().bind(context)
        if context.settings.training is not None and context.prepared is not None:
            self._rule, self._max_epochs = context.settings.training.early_stopping, context.prepared.max_epochs
        handlers = Handlers(
            disconnected=lambda: self._workers.clear(),
            workers_seen=lambda addresses: self._workers.see(addresses),
            worker_left=self._lose_worker,
            event=self._take_event,
        )
        # A scheduler may serve several searches, and earlier controllers of this one.
        topic = f"harness-{uuid.uuid4().hex[:12]}"
        self._expectations = expect_of_workers(context)
        self._template = message_template(context, self._expectations, topic)
        self._client = DaskClient(context.settings, topic, handlers, context.wake)
        self._workers = Workers(
            self._client, self._expectations, context.settings, context.view.note, on_none_left=self._resubmit_all
        )
        self._client.open()

    def launch(self, trial: TrialJob) -> None:
        """Have a job run as soon as a worker is free for it."""
        self._pending[trial.trial_id] = PendingTrial(trial)
        self._submit_waiting()

    def collect(self) -> None:
        """Act on everything that Dask has reported, and report every job that has ended.

        Raises:
            WorkFailedError: for longer than the patience no worker may run a trial, or the scheduler is gone
        """
        self._client.handle()
        self._compare_epochs()
        self._complete_cancelled()
        self._submit_waiting()
        if self._pending:
            self._workers.check_patience()

    def end_all(self) -> None:
        """Cancel every job; each is reported once its worker has said how it ended."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            self._cancel_tasks()

    def abandon(self) -> None:
        """Leave the scheduler, which ends whatever still runs there for this controller; nothing is recorded."""
        self._pending.clear()
        self._client.close()

    def seconds_to_look(self) -> Seconds | None:
        """Return the seconds until the next look, or None where only a report of Dask's calls for one."""
        if self._ending_since is not None:
            return 0.1
        is_any_behind = any(each.epochs is not None and each.epochs.is_behind for each in self._pending.values())
        return _INTERVAL if is_any_behind or not self._workers.accepted else None

    def finish(self) -> None:
        """Leave the scheduler; every job has ended."""
        if self._num_discarded:
            self.context.view.note(
                f"{self._num_discarded} results came for trials that had ended already, and were discarded."
            )
        self._client.close()
        super().finish()

    def _lose_worker(self, address: str, lost_keys: Collection[str]) -> None:
        """Count a lost worker against the trials that it ran, and forget it.

        Args:
            lost_keys: the keys of its tasks, which Dask runs again; empty where it was asked to leave
        """
        for pending in self._pending.values():
            pending.num_losses += pending.task is not None and pending.task.key in lost_keys
        self._workers.remove(address)

    def _take_event(self, event: Mapping[str, Any]) -> None:
        """Record what a running job logs, if its execution is the latest of a pending trial."""
        try:
            said = from_plain(EVENTS[event["event"]], event["content"])
        except (KeyError, TypeError, CodecError):
            # Another program's: anybody may log to any topic.
            return
        pending = self._pending.get(said.trial_id)
        if pending is None:
            return
        if isinstance(said, JobStarted):
            self._record_start(pending, said)
        elif said.execution not in pending.executions[-1:]:
            self._num_discarded += isinstance(said, JobReturn) and said.end.ended_by is not EndedBy.STOP
        elif isinstance(said, JobEpoch):
            if pending.epochs is None:
                self.context.store.record_live_epoch(said.trial_id, said.execution, said.epoch)
            else:
                pending.epochs.add([said.epoch])
        elif self._ending_since is not None:
            self._complete(pending, said.end, said.output, said.records)

    def _record_start(self, pending: PendingTrial, started: JobStarted) -> None:
        """Record a new execution, which supersedes those before; none supersedes a trial that has returned."""
        if pending.returned is None and started.execution not in pending.executions:
            pending.executions.append(started.execution)
            pending.epochs = self._queue_epochs(pending.trial, started.execution)
            self.context.store.record_job(
                started.trial_id, started.pid, started.host, started.process_started_at, str(pending.trial.job_path)
            )

    def _queue_epochs(self, trial: TrialJob, execution: str) -> EpochQueue | None:
        """Return what takes the epochs of a new execution; None where nothing is compared."""
        if self._rule is None:
            return None
        context = self.context
        place = (trial.trial_id, context.eid, trial.trial_index)
        comparison = Comparison(context.store, self._rule, *place, self._max_epochs)
        return EpochQueue(partial(context.store.record_live_epoch, trial.trial_id, execution), comparison)

    def _compare_epochs(self) -> None:
        """Compare what has come; end the trials that are pruned, and those that have ended and are decided.

        By index, as no trial waits for one of higher index.
        """
        for pending in sorted(self._pending.values(), key=lambda each: each.trial.trial_index):
            if pending.epochs is None:
                continue
            pending.epochs.decide()
            returned = pending.returned
            if returned is not None and not pending.epochs.is_behind:
                self._complete(pending, returned.end, returned.output, returned.records)
            elif pending.epochs.is_pruned:
                if pending.task is not None:
                    self._client.cancel([pending.task])
                self._complete(pending, JobEnd(EndedBy.PRUNING, None, None))

    def _end_task(self, pending: PendingTrial, task: Task) -> None:
        """Take a task's result; the task may have been replaced by another."""
        if pending.task is not task:
            is_pruned = pending.epochs is not None and pending.epochs.is_pruned
            self._num_discarded += task.error is None and not is_pruned
        elif task.error is None:
            self._take_return(pending, task.value)
        elif not isinstance(task.error, TaskLost):
            self._complete(pending, JobEnd(EndedBy.MACHINE, None, None, describe_error(task.error)))
        elif self._ending_since is None:
            # Lost with its scheduler, most likely: it waits again.
            pending.task = None

    def _take_return(self, pending: PendingTrial, value: object) -> None:
        try:
            returned = from_plain(JobReturn, value)
        except CodecError as error:
            detail = f"its worker returned something else: {error}"
            self._complete(pending, JobEnd(EndedBy.MACHINE, None, None, detail))
            return
        if returned.started is not None:
            self._record_start(pending, returned.started)
        if returned.end.ended_by is EndedBy.STOP and self._ending_since is None:
            # Its worker was asked to leave, and stopped the trial for that: it waits again.
            pending.task = None
        elif pending.epochs is None or self._ending_since is not None:
            self._complete(pending, returned.end, returned.output, returned.records)
        else:
            # Its messages may have been lost with a connection: all epochs are in the records.
            pending.epochs.add(returned.records.epochs)
            pending.task, pending.returned = None, returned

    def _resubmit_all(self) -> None:
        """Cancel every task, and let its trial wait again: the last accepted worker is gone, or the scheduler.

        Dask would keep the tasks for a worker that connects with their resources, but not for one that is accepted
        after it has connected.
        """
        if self._ending_since is not None:
            return
        self._cancel_tasks()
        for pending in list(self._pending.values()):
            pending.task = None
            if pending.returned is None and pending.num_losses > _ALLOWED_LOSSES:
                detail = f"{pending.num_losses} workers were lost while they ran it"
                self._complete(pending, JobEnd(EndedBy.MACHINE, None, None, detail))

    def _cancel_tasks(self) -> None:
        self._client.cancel([pending.task for pending in self._pending.values() if pending.task is not None])

    def _complete_cancelled(self) -> None:
        """Complete cancelled trials that have not started, or whose workers have not reported their ends in time."""
        if self._ending_since is None:
            return
        is_late = time.monotonic() - self._ending_since > _REPORT_TIMEOUT
        for pending in list(self._pending.values()):
            if pending.returned is not None:
                self._complete(pending, pending.returned.end, pending.returned.output, pending.returned.records)
            elif is_late or pending.task is None or not pending.executions:
                self._complete(pending, JobEnd(EndedBy.STOP, None, None))

    def _complete(
        self,
        pending: PendingTrial,
        end: JobEnd,
        output: JobOutput = JobOutput("", None),
        records: TrialRecords = TrialRecords(None, (), None),
    ) -> None:
        del self._pending[pending.trial.trial_id]
        pending.task = None
        if pending.epochs is not None:
            end, records = _decided(pending.epochs, end, records)
        pending.trial.output_path.write_text(output.tail, "utf-8")
        self.report(pending.trial, end, output, records)

    def _submit_waiting(self) -> None:
        """Submit no more trials than there are accepted workers, so that none is bound to a worker too early."""
        if self._ending_since is not None:
            return
        waiting = [each for each in self._pending.values() if each.task is None and each.returned is None]
        num_free = len(self._workers.accepted) - sum(each.task is not None for each in self._pending.values())
        for pending in waiting[: max(0, num_free)]:
            pending.task = self._client.submit(
                run_trial_task,
                to_plain(self._message_for(pending.trial)),
                on_end=partial(self._end_task, pending),
                resources=self._expectations.taken,
            )

    def _message_for(self, trial: TrialJob) -> TaskMessage:
        job_file, spec = trial.job_path.read_text("utf-8"), None
        if self._expectations.features is not None:
            # Trials are compared here: a worker does not reach results.db.
            spec = replace(TrialSpec.read(trial_spec_path(trial.job_path)), early_stopping=None)
        return self._template(trial_id=trial.trial_id, jid=trial.jid, job_file=job_file, spec=spec)


def _decided(epochs: EpochQueue, end: JobEnd, records: TrialRecords) -> tuple[JobEnd, TrialRecords]:
    """Return an end and its records without what the comparison has not decided: the trial may have been pruned."""
    epochs.add(records.epochs)
    epochs.decide()
    if not epochs.is_behind and not epochs.is_pruned:
        return end, records
    if epochs.is_behind and end.ended_by is EndedBy.ITSELF:
        end = replace(end, ended_by=EndedBy.STOP)
    return end, replace(records, epochs=tuple(epochs.recorded), result=None)


def expect_of_workers(context: SearchContext) -> Expectations:
    """Return what a worker must have to run the trials of a search."""
    settings, training, prepared = context.settings, context.settings.training, context.prepared
    assert settings.cluster is not None
    features = None
    if training is not None and prepared is not None:
        sessions = search_sessions(training.protocol)
        features = ExpectedFeatures.describe(prepared.prepared_dir, sessions, training.word_vectors)
    versions = installed_versions(with_training=training is not None)
    return Expectations(versions, dict(settings.cluster.resources), features)


def message_template(context: SearchContext, expectations: Expectations, topic: str) -> Callable[..., TaskMessage]:
    """Return a function that makes task messages; it sets the fields that all trials of a search share."""
    settings = context.settings
    return partial(
        TaskMessage,
        script=settings.script,
        script_content=settings.script.path.read_bytes(),
        limits=settings.limits,
        environment=dict(settings.job_environment),
        mark=context.folder.mark,
        sees_cards=_CARDS in expectations.resources,
        digest=expectations.digest,
        topic=topic,
    )


def register_dask() -> None:
    """Let ``"resource": "dask"`` mean a Dask cluster."""
    register_resource("dask", HarnessDaskManager)
