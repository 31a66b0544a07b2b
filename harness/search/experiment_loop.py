"""Auptimizer's experiment loop, in one thread and with an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from harness.errors import WorkFailedError
from harness.search.auptimizer import (
    USERNAME,
    BasicConfig,
    Experiment,
    ProposerStatus,
    SearchConnector,
    get_proposer,
)
from harness.search.experiment_file import ExperimentSettings
from harness.search.interrupts import Interrupts, Request
from harness.search.proposer import PastTrial, ResumableProposer
from harness.search.resource_manager import NO_SCORE, SearchContext, TrialResourceManager
from harness.store.records import TrialStatus


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
