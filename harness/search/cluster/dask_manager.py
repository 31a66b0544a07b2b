"""Trials as jobs of a Dask cluster's workers."""

from __future__ import annotations

import time
import uuid
from typing import Any

from harness.corpus.utterances import Seconds
from harness.errors import WorkFailedError
from harness.search.auptimizer import register_resource
from harness.search.backend import SearchContext, TrialResourceManager
from harness.search.cluster import endings
from harness.search.cluster.flights import Flight, Flights
from harness.search.cluster.job import run_job
from harness.search.cluster.link import SchedulerLink
from harness.search.cluster.mailbox import (
    Disconnected,
    Failed,
    GivenUp,
    Lost,
    Mailbox,
    Message,
    NoJobs,
    Returned,
    Told,
    WorkerGone,
    WorkersSeen,
)
from harness.search.cluster.order import EVENTS, JobEpoch, JobReturn, JobStarted
from harness.search.cluster.ordering import OrderMaker
from harness.search.cluster.plain import WireError, describe_error, from_plain, to_plain
from harness.search.cluster.roster import Roster
from harness.search.cluster.waiting import Waiting
from harness.search.outcome import JobOutput, TrialJob
from harness.search.process import EndedBy, JobEnd
from harness.store.records import TrialRecords

#: Workers that an attempt may take with it before it counts as killed. Source: Dask's ``allowed-failures``.
_ALLOWED_LOSSES = 3
#: Seconds in which a job that was called off says how it ended. A choice: its worker looks ten times a second.
_LAST_WORDS: Seconds = 5.0
_NO_RECORDS = TrialRecords(None, (), None)


class HarnessDaskManager(TrialResourceManager):
    """Auptimizer's resource manager for a Dask cluster: one trial a worker, and only the controller records.

    Dask's threads leave messages; all that they lead to happens in ``collect``, in the controller's own.
    """

    def __init__(self, connector: Any, n_parallel: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(connector, n_parallel, *args, **kwargs)
        self._flights = Flights()
        self._num_submitted = 0
        self._num_discarded = 0
        self._is_ending = False
        self._link: SchedulerLink | None = None

    def bind(self, context: SearchContext) -> None:
        """Attach the search context, and begin to connect to the scheduler."""
        super().bind(context)
        settings = context.settings.cluster
        assert settings is not None
        self._waiting = Waiting(context.settings, settings.patience_seconds, context.view.note)
        # A scheduler may serve several searches, and this one's earlier controllers.
        self._name = f"harness-{uuid.uuid4().hex[:12]}"
        self._trial_key = f"{self._name}-trial-"
        self._orders = OrderMaker(context, topic=self._name)
        self._mailbox = Mailbox(context.wake)
        self._link = SchedulerLink(settings, context.settings.num_parallel, self._name, self._mailbox)
        sender = self._orders.feature_sender(self._name, self._link)
        self._roster = Roster(self._name, self._link, self._orders.expectations, sender, context.view.note)
        self._link.open()

    def launch(self, trial: TrialJob) -> None:
        """Have a job run as soon as a worker is free for it."""
        self._flights.begin(trial)
        self._submit_waiting()

    def collect(self) -> None:
        """Do what the messages lead to, and report every job that has ended.

        Raises:
            WorkFailedError: no worker may run a trial, or the scheduler is gone, for longer than patience lasts
        """
        for message in self._mailbox.read():
            self._act(message)
        self._give_up_last_words()
        self._submit_waiting()
        self._waiting.judge(self._roster.seconds_without if self._flights else 0.0, self._roster.complaints)

    def end_all(self) -> None:
        """Call every job off; each is reported when it has said how it ended."""
        now = time.monotonic()
        self._is_ending = True
        wanted = [flight for flight in self._flights if flight.called_off is None]
        for flight in wanted:
            flight.called_off = now
        if self._link is not None and wanted:
            self._link.cancel([flight.key for flight in wanted if flight.key is not None])

    def abandon(self) -> None:
        """End every job without a record."""
        self._flights.clear()
        self.close()

    def close(self) -> None:
        """Leave the scheduler; whatever still runs there for this controller is ended by that."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def seconds_to_look(self) -> Seconds | None:
        """How long nothing needs a look unless a message comes."""
        if self._is_ending:
            return 0.1
        return None if self._roster.accepted else 1.0

    def finish(self, status: str = "FINISHED") -> Any:
        """Say what was discarded, leave the scheduler, and close Auptimizer's books."""
        if self._num_discarded:
            self.context.view.note(
                f"{self._num_discarded} results came for trials that had ended already, and were discarded."
            )
        self.close()
        return super().finish(status)

    def _act(self, message: Message) -> None:
        if isinstance(message, WorkersSeen | WorkerGone):
            had_some = bool(self._roster.accepted)
            if isinstance(message, WorkersSeen):
                self._waiting.find_scheduler()
                self._roster.see(message.addresses)
            else:
                self._roster.forget(message.address)
                self._flights.count_losses(message.lost)
            if had_some and not self._roster.accepted:
                self._ask_again()
        elif isinstance(message, Told):
            self._hear(dict(message.event))
        elif isinstance(message, Disconnected):
            self._waiting.lose_scheduler()
            self._roster.forget_all()
            for flight in self._flights.asked.values():
                self._flights.take_back(flight)
        elif isinstance(message, GivenUp):
            raise WorkFailedError(endings.no_scheduler(self.context.settings, message.cause))
        elif isinstance(message, NoJobs):
            raise WorkFailedError(endings.no_jobs(self.context.settings, message.cause))
        elif isinstance(message, Returned):
            if not self._roster.take(message.key, message.value):
                self._take_return(message.key, message.value)
        elif isinstance(message, Failed):
            if not self._roster.take(message.key, message.error):
                self._take_failure(message.key, message.error)
        elif isinstance(message, Lost):
            self._take_loss(message.key)

    def _hear(self, event: dict[str, Any]) -> None:
        """Record what a running job tells; what an execution says that is over or superseded is not heard."""
        try:
            told = from_plain(EVENTS[str(event.get("event"))], event.get("told"))
        except (KeyError, WireError):
            # Not of this package's making.
            return
        flight = self._flights.of_trial(told.trial_id)
        if flight is None:
            return
        if isinstance(told, JobStarted):
            self._record_start(flight, told)
        elif not flight.is_heard(told.execution):
            self._num_discarded += isinstance(told, JobReturn) and told.end.ended_by is not EndedBy.STOP
        elif isinstance(told, JobEpoch):
            self.context.store.record_live_epoch(told.trial_id, told.execution, told.epoch)
        elif flight.called_off is not None:
            self._land(flight, told.end, told.output, told.records)

    def _record_start(self, flight: Flight, started: JobStarted) -> None:
        if flight.begins(started):
            job_path = str(flight.trial.job_path)
            self.context.store.record_job(
                flight.trial.trial_id, started.pid, started.host, started.process_started_at, job_path
            )

    def _take_return(self, key: str, value: object) -> None:
        flight = self._flights.of_key(key)
        if flight is None:
            # Of a question that was forgotten, too.
            self._num_discarded += key.startswith(self._trial_key)
            return
        try:
            returned = from_plain(JobReturn, value)
        except WireError as error:
            self._land(flight, JobEnd(EndedBy.MACHINE, None, None, f"its worker returned something else: {error}"))
            return
        if returned.started is not None:
            self._record_start(flight, returned.started)
        if returned.end.ended_by is EndedBy.STOP and flight.called_off is None:
            # Its worker was asked to leave, and no trial stays for that.
            self._flights.take_back(flight)
            return
        self._land(flight, returned.end, returned.output, returned.records)

    def _take_failure(self, key: str, error: BaseException) -> None:
        flight = self._flights.of_key(key)
        if flight is not None:
            self._land(flight, JobEnd(EndedBy.MACHINE, None, None, describe_error(error)))

    def _take_loss(self, key: str) -> None:
        """Take notice that a task is gone: called off by us, or with its scheduler, and then to be asked again."""
        flight = self._flights.of_key(key)
        if flight is None:
            self._roster.lose(key)
        elif flight.called_off is None:
            self._flights.take_back(flight)
        elif not flight.executions:
            self._land(flight, JobEnd(EndedBy.STOP, None, None))

    def _ask_again(self) -> None:
        """Take back what was asked for: with the last accepted worker gone, Dask looks for no other by itself.

        It does so for a worker that comes, and not for one that is there and accepted later.
        """
        asked = [(key, flight) for key, flight in self._flights.asked.items() if flight.called_off is None]
        if self._link is not None:
            self._link.cancel([key for key, _ in asked])
        for _, flight in asked:
            self._flights.take_back(flight)
            if flight.num_losses > _ALLOWED_LOSSES:
                detail = f"{flight.num_losses} workers were lost while they ran it"
                self._land(flight, JobEnd(EndedBy.MACHINE, None, None, detail))

    def _give_up_last_words(self) -> None:
        if not self._is_ending:
            return
        now = time.monotonic()
        for flight in self._flights:
            if flight.called_off is not None:
                has_begun = flight.key is not None and flight.executions
                if not has_begun or now - flight.called_off > _LAST_WORDS:
                    self._land(flight, JobEnd(EndedBy.STOP, None, None))

    def _land(
        self,
        flight: Flight,
        end: JobEnd,
        output: JobOutput = JobOutput("", None),
        records: TrialRecords = _NO_RECORDS,
    ) -> None:
        self._flights.land(flight)
        flight.trial.output_path.write_text(output.tail, "utf-8")
        self.report(flight.trial, end, output, records)

    def _submit_waiting(self) -> None:
        """Ask for the tasks that wait: no more than there are workers, so that none is bound to one too early."""
        while self._flights.num_asked < len(self._roster.accepted):
            flight = self._flights.next_waiting()
            if flight is None or self._link is None:
                return
            self._num_submitted += 1
            key = f"{self._trial_key}{flight.trial.trial_index}-{self._num_submitted}"
            self._flights.ask(flight, key)
            order = to_plain(self._orders.order_for(flight.trial))
            self._link.submit(key, run_job, order, resources=self._orders.taken)


def register_cluster() -> None:
    """Let ``"resource": "dask"`` mean a Dask cluster."""
    register_resource("dask", HarnessDaskManager)
