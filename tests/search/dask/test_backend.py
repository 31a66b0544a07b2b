"""Attempts at trials between their start and their outcome, without a cluster."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.codec import to_plain
from harness.search.dask.backend import HarnessDaskManager, PendingTrial
from harness.search.dask.client import Task, TaskLost
from harness.search.dask.messages import JobEpoch, JobReturn, JobStarted
from harness.search.outcome import JobOutput, TrialJob
from harness.search.process import EndedBy, JobEnd
from harness.store.pruning import EarlyStopping, PruningRule, find_pruning
from harness.store.records import EpochRecord, TrialRecords, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_result, an_epoch, an_experiment


class FakeClient:
    """Remembers what it is asked for."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.cancelled: list[Task] = []

    def submit(
        self, function: Any, *arguments: Any, on_end: Callable[[Task], None], resources: Mapping[str, float]
    ) -> Task:
        self.tasks.append(Task(f"task {len(self.tasks)}", on_end))
        return self.tasks[-1]

    def cancel(self, tasks: Collection[Task]) -> None:
        self.cancelled.extend(tasks)

    def handle(self) -> None:
        pass

    def close(self) -> None:
        pass


class Backend(HarnessDaskManager):
    """Two accepted workers, which never answer by themselves."""

    def __init__(self, folder: Path) -> None:
        super().__init__(None, 2)
        self.folder = folder
        self.ends: list[tuple[int, EndedBy, str]] = []
        self.epochs: list[tuple[int, str, int]] = []
        self.executions: list[int] = []
        self.client = self._client = FakeClient()  # type: ignore[assignment]
        self._expectations: Any = SimpleNamespace(taken={})
        self.accepted = {"a", "b"}

        def remove(address: str) -> None:
            self.accepted.discard(address)
            if not self.accepted:
                self._resubmit_all()

        self._workers: Any = SimpleNamespace(accepted=self.accepted, check_patience=lambda: None, remove=remove)

        def record_live_epoch(trial_id: int, execution: str, epoch: EpochRecord) -> None:
            self.epochs.append((trial_id, execution, epoch.epoch))

        store = SimpleNamespace(
            record_live_epoch=record_live_epoch, record_job=lambda *given: self.executions.append(given[1])
        )
        self.context: Any = SimpleNamespace(store=store)

    def _message_for(self, trial: TrialJob) -> Any:
        return trial

    def report(self, trial: TrialJob, end: JobEnd, output: JobOutput, records: TrialRecords | None = None) -> None:
        self.ends.append((trial.trial_id, end.ended_by, end.detail))

    def launch_some(self, number: int) -> list[PendingTrial]:
        for index in range(number):
            output = self.folder / f"{index}.out"
            self.launch(TrialJob(index + 1, index, index + 1, {}, Path("1.json"), output))
        return list(self._pending.values())

    def log(self, event: Any) -> None:
        # The scheduler adds the worker.
        self._take_event({"event": type(event).__name__, "content": to_plain(event), "worker": "tcp://a"})


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return Backend(tmp_path)


def end(task: Task, value: Any = None, error: BaseException | None = None) -> None:
    task.value, task.error = value, error
    task.on_end(task)


def a_return(trial_id: int, execution: str, ended_by: EndedBy = EndedBy.ITSELF) -> JobReturn:
    started = JobStarted(trial_id, execution, "host", 100 + trial_id, None)
    job_end = JobEnd(ended_by, 0, None)
    return JobReturn(trial_id, started, job_end, JobOutput("", None), TrialRecords(None, (), None, execution))


def test_no_more_trials_are_submitted_than_there_are_workers(backend: Backend) -> None:
    backend.launch_some(3)
    assert len(backend.client.tasks) == 2
    end(backend.client.tasks[0], to_plain(a_return(1, "x")))
    backend.collect()
    assert len(backend.client.tasks) == 3


def test_a_trial_whose_scheduler_is_gone_waits_first_in_the_line_and_its_old_task_does_not_count(
    backend: Backend,
) -> None:
    first, second, third = backend.launch_some(3)
    old = backend.client.tasks[0]
    end(old, error=TaskLost())
    backend.collect()
    assert first.task is backend.client.tasks[2] and third.task is None
    end(old, to_plain(a_return(1, "x")))
    assert backend.ends == [] and backend._num_discarded == 1
    for address in "ab":
        backend._lose_worker(address, [])
    assert (first.task, second.task) == (None, None)
    backend.accepted.add("c")
    backend.collect()
    assert third.task is None and len(backend.client.tasks) == 4


def test_a_result_of_a_trial_that_has_ended_is_discarded_and_counted(backend: Backend) -> None:
    backend.launch_some(1)
    (task,) = backend.client.tasks
    for _ in range(2):
        end(task, to_plain(a_return(1, "x")))
    assert backend.ends == [(1, EndedBy.ITSELF, "")]
    assert backend._num_discarded == 1


def test_only_the_latest_execution_counts(backend: Backend) -> None:
    backend.launch_some(1)
    backend.log(JobEpoch(1, "first", an_epoch(1)))
    for execution in ("first", "second", "first"):
        backend.log(JobStarted(1, execution, "host", len(execution), None))
    backend.log(JobEpoch(1, "first", an_epoch(2)))
    backend.log(JobEpoch(1, "second", an_epoch(1)))
    assert backend.executions == [5, 6]
    assert backend.epochs == [(1, "second", 1)]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": "x", "worker": "y"},
        {"event": "JobEpoch", "content": {}},
        {"event": "Other", "content": {"trial_id": 1}},
        {"event": "JobStarted"},
        {"event": ["JobStarted"], "content": {}},
        "a sentence",
        None,
    ],
)
def test_events_of_other_programs_are_ignored(backend: Backend, event: Any) -> None:
    backend.launch_some(1)
    backend._take_event(event)
    assert backend.executions == [] and backend.ends == []


def test_a_worker_that_was_asked_to_leave_gives_its_trial_back(backend: Backend) -> None:
    (pending,) = backend.launch_some(1)
    end(backend.client.tasks[0], to_plain(a_return(1, "x", EndedBy.STOP)))
    assert backend.ends == [] and pending.task is None
    backend.collect()
    assert pending.task is backend.client.tasks[1]


def test_with_the_last_accepted_worker_every_trial_is_submitted_again_and_losses_count_for_what_was_lost(
    backend: Backend,
) -> None:
    first, second = backend.launch_some(2)
    for loss in range(4):
        assert first.task is not None
        backend._lose_worker("a", [first.task.key, "another search's"])
        backend._lose_worker("b", [])
        assert len(backend.client.cancelled) == 2 * loss + 2
        backend.accepted.update("ab")
        backend.collect()
    assert (first.num_losses, second.num_losses) == (4, 0)
    assert backend.ends == [(1, EndedBy.MACHINE, "4 workers were lost while they ran it")]


def test_a_cancelled_trial_that_has_not_started_ends_at_once_and_another_with_its_workers_report(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, silent, waiting = backend.launch_some(3)
    for pending in (started, silent):
        backend.log(JobStarted(pending.trial.trial_id, "x", "host", 1, None))
    backend.end_all()
    assert backend.client.cancelled == backend.client.tasks
    backend.collect()
    assert backend.ends == [(3, EndedBy.STOP, "")]
    end(backend.client.tasks[0], error=TaskLost())
    backend.log(a_return(1, "x"))
    assert backend.ends[1:] == [(1, EndedBy.ITSELF, "")]
    monkeypatch.setattr("harness.search.dask.backend._REPORT_TIMEOUT", -1.0)
    backend.collect()
    assert backend.ends[2:] == [(2, EndedBy.STOP, "")]


class ComparingBackend(Backend):
    """Trials of one seed that come to accuracies of the test's choice, in a real database."""

    def __init__(self, folder: Path, store: ResultsStore) -> None:
        super().__init__(folder)
        self.eid = store.create_experiment(an_experiment())
        self.context = SimpleNamespace(store=store, eid=self.eid)
        self._rule, self._max_epochs = EarlyStopping(PruningRule.ASHA, min_epochs=1, reduction_factor=2), 3
        self.recorded: dict[int, list[int]] = {}

    def report(self, trial: TrialJob, end: JobEnd, output: JobOutput, records: TrialRecords | None = None) -> None:
        super().report(trial, end, output, records)
        assert records is not None
        store = self.context.store
        is_pruned = find_pruning(store, trial.trial_id) is not None
        has_finished = not is_pruned and end.ended_by is EndedBy.ITSELF
        status = TrialStatus.PRUNED if is_pruned else TrialStatus.FINISHED if has_finished else TrialStatus.STOPPED
        assert has_finished == (records.result is not None)
        store.finish_trial(trial.trial_id, status, score=0.5 if has_finished else None, records=records)
        self.recorded[trial.trial_index] = [epoch.epoch for epoch in store.epochs(trial.trial_id)]

    def begin(self, index: int) -> PendingTrial:
        trial_id = self.context.store.start_trial(self.eid, index, index, {})
        self.launch(TrialJob(trial_id, index, trial_id, {}, Path("1.json"), self.folder / f"{index}.out"))
        self.start(pending := self._pending[trial_id])
        return pending

    def start(self, pending: PendingTrial, execution: str = "x") -> None:
        self.log(JobStarted(pending.trial.trial_id, execution, "host", 1, None))

    def come_to(self, pending: PendingTrial, epoch: int, accuracy: float, execution: str = "x") -> None:
        self.log(JobEpoch(pending.trial.trial_id, execution, an_epoch(epoch, accuracy)))
        self.collect()

    def return_(self, pending: PendingTrial, *accuracies: float, execution: str = "x") -> None:
        returned = a_return(pending.trial.trial_id, execution)
        epochs = tuple(an_epoch(number, accuracy) for number, accuracy in enumerate(accuracies, start=1))
        assert pending.task is not None
        records = replace(returned.records, epochs=epochs, result=a_result())
        end(pending.task, to_plain(replace(returned, records=records)))
        self.collect()


@pytest.fixture
def comparing(tmp_path: Path) -> Iterator[ComparingBackend]:
    with ResultsStore.open(tmp_path / "results.db") as store:
        yield ComparingBackend(tmp_path, store)


def test_a_trial_that_runs_ahead_is_pruned_once_the_others_have_come_so_far(comparing: ComparingBackend) -> None:
    first, second = comparing.begin(0), comparing.begin(1)
    comparing.come_to(second, 1, 0.5)
    comparing.come_to(second, 2, 0.9)
    assert comparing.ends == [] and comparing.seconds_to_look() == 1.0
    comparing.come_to(first, 1, 0.75)
    # Its second epoch, better than all others, came too late: it had lost at the first.
    assert comparing.ends == [(second.trial.trial_id, EndedBy.PRUNING, "")]
    assert comparing.recorded == {1: [1]} and comparing.seconds_to_look() is None
    assert comparing.client.cancelled == [comparing.client.tasks[1]]
    comparing.return_(first, 0.75, 0.75, 0.75)
    assert comparing.recorded[0] == [1, 2, 3]


def test_a_trial_that_has_ended_leaves_its_worker_while_it_waits_for_the_comparison(
    comparing: ComparingBackend,
) -> None:
    comparing.accepted.discard("b")
    first, second = comparing.begin(0), comparing.begin(1)
    # The only worker has the second trial: that of the first one is lost.
    first.task, second.task = None, Task("second", lambda task: comparing._end_task(second, task))
    comparing.return_(second, 0.9, 0.9, 0.9)
    assert comparing.ends == [] and second.returned is not None
    assert first.task is comparing.client.tasks[-1]
    comparing.start(first, "y")
    comparing.return_(first, 0.75, 0.75, 0.75, execution="y")
    assert [trial_id for trial_id, _, _ in comparing.ends] == [first.trial.trial_id, second.trial.trial_id]
    assert comparing.recorded == {0: [1, 2, 3], 1: [1, 2, 3]}


def test_a_trial_that_has_ended_keeps_its_place_in_the_comparison_though_dask_runs_its_task_again(
    comparing: ComparingBackend,
) -> None:
    """It ended as stopped: the new execution took its epochs, so that nothing seemed to wait for the comparison."""
    first, second = comparing.begin(0), comparing.begin(1)
    comparing.return_(second, 0.9, 0.9, 0.9)
    comparing.start(second, "again")
    assert comparing.ends == [] and second.executions == ["x"]
    comparing.return_(first, 0.75, 0.75, 0.75)
    assert [ended_by for _, ended_by, _ in comparing.ends] == [EndedBy.ITSELF, EndedBy.ITSELF]
    assert comparing.recorded == {0: [1, 2, 3], 1: [1, 2, 3]}


def test_epochs_whose_messages_were_lost_are_compared_when_the_trial_returns(comparing: ComparingBackend) -> None:
    first, second = comparing.begin(0), comparing.begin(1)
    comparing.return_(first, 0.75, 0.75, 0.75)
    comparing.come_to(second, 2, 0.9)
    comparing.return_(second, 0.5, 0.9, 0.9)
    assert comparing.recorded == {0: [1, 2, 3], 1: [1]}


def test_a_trial_that_begins_again_on_another_worker_is_compared_anew(comparing: ComparingBackend) -> None:
    first, second = comparing.begin(0), comparing.begin(1)
    comparing.come_to(second, 1, 0.8)
    comparing.start(second, "again")
    comparing.come_to(first, 1, 0.75)
    comparing.come_to(second, 1, 0.8, execution="again")
    comparing.return_(second, 0.8, 0.8, 0.8, execution="again")
    assert comparing.ends == []
    comparing.return_(first, 0.75, 0.75, 0.75)
    assert comparing.recorded == {0: [1, 2, 3], 1: [1, 2, 3]}


def test_a_trial_that_is_stopped_undecided_keeps_no_epoch_that_was_not_compared(comparing: ComparingBackend) -> None:
    comparing.begin(0)
    second = comparing.begin(1)
    comparing.return_(second, 0.9, 0.9, 0.9)
    comparing.end_all()
    comparing.collect()
    assert comparing.ends == [(second.trial.trial_id, EndedBy.STOP, "")]
    assert comparing.recorded == {1: [1]}


@pytest.mark.parametrize(
    ("value", "error", "detail"),
    [
        ({"end": 1}, None, "its worker returned something else: JobReturn has the fields ['end']; expected the fields"),
        (None, OSError("disk full"), "OSError: disk full"),
    ],
)
def test_a_task_that_fails_on_its_worker_is_a_loss_of_the_machine(
    backend: Backend, value: Any, error: BaseException | None, detail: str
) -> None:
    backend.launch_some(1)
    end(backend.client.tasks[0], value, error)
    ((trial_id, ended_by, found),) = backend.ends
    assert (trial_id, ended_by) == (1, EndedBy.MACHINE) and found.startswith(detail)
