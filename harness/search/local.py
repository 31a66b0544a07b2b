"""Trials as subprocesses of this machine."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.auptimizer import register_resource
from harness.search.backend import SearchContext, TrialResourceManager
from harness.search.jobs import RunningJob, RunningJobs, process_started_at
from harness.search.known_keys import Resource
from harness.search.outcome import JobOutput, TrialJob
from harness.search.process import EndedBy, JobEnd, job_environment
from harness.search.reports import REPORTS_INTERVAL, TrialReports
from harness.training.early_stopping import Comparison

#: Where the NVIDIA driver lists its cards.
_NVIDIA_CARDS = Path("/proc/driver/nvidia/gpus")


class HarnessLocalManager(TrialResourceManager):
    """Auptimizer's resource manager for this machine: processors, or graphics cards one a job.

    No thread waits for a job: the controller looks at all of them when the system signals the end of one.
    """

    def __init__(self, connector: Any, n_parallel: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(connector, n_parallel, *args, **kwargs)
        self._trials: dict[RunningJob, tuple[TrialJob, int]] = {}
        self._reports: dict[RunningJob, TrialReports] = {}
        self._never_started: list[tuple[TrialJob, str]] = []

    def bind(self, context: SearchContext) -> None:
        """Attach the search context, and start the guardian of the jobs."""
        super().bind(context)
        self._jobs = RunningJobs(context.settings.limits)
        self._cards = visible_cards() if context.settings.resource is Resource.GPU else []

    def warm_up(self) -> None:
        """Begin to import what this package's own trials import, once for all of them."""
        script = self.context.settings.script
        if script.is_harness_trial:
            self._jobs.warm_up(script.path.parent, self._environment_of(slot=0))

    @property
    def is_warming_up(self) -> bool:
        """The imports have not ended."""
        return self._jobs.is_warming_up

    def launch(self, trial: TrialJob) -> None:
        """Start a job in a process group of its own."""
        context, script = self.context, self.context.settings.script
        slot = min(set(range(len(self._trials) + 1)) - {slot for _, slot in self._trials.values()})
        command = [*script.command, str(trial.job_path)]
        if (failure := self._jobs.warm_failure()) is not None:
            context.view.note(f"Each trial imports TensorFlow for itself: {failure}.")
        try:
            job = self._jobs.start(command, script.working_dir, self._environment_of(slot), trial.output_path)
        except OSError as error:
            self._never_started.append((trial, f"{error.strerror} ({script.path})"))
            return
        self._trials[job] = (trial, slot)
        if context.settings.training is None:
            self._reports[job] = self._follow(trial)
        context.store.record_job(
            trial.trial_id,
            job.process.group,
            platform.node(),
            process_started_at(job.process.group),
            str(trial.job_path),
        )

    def collect(self) -> None:
        """Report every job that has ended, and end those that are over their limits."""
        while self._never_started:
            trial, cause = self._never_started.pop()
            self.report(trial, JobEnd(EndedBy.SYSTEM, None, None, cause), JobOutput("", None))
        for job, following in self._reports.items():
            has_ended = job.process.has_ended
            following.follow(has_ended)
            if following.is_pruned:
                job.end_for(EndedBy.PRUNING)
            elif following.problem is not None:
                # It is reaped once the epochs that it reported before are compared: they may prune its trial.
                job.process.kill()
        for job in self._jobs.ended():
            if self._is_undecided(job):
                continue
            end, output = self._jobs.reap(job)
            trial, _ = self._trials.pop(job)
            reports = self._reports.pop(job, None)
            if reports is None:
                self.report(trial, end, output)
                continue
            # It may have printed more since it was looked at. What was ended from here may have left half a line.
            reports.follow_to_end(has_ended=end.ended_by is EndedBy.ITSELF)
            if reports.is_behind:
                if end.ended_by is EndedBy.ITSELF:
                    end = replace(end, ended_by=EndedBy.STOP)
            elif reports.problem is not None:
                end = replace(end, ended_by=EndedBy.REPORT, detail=reports.problem)
            self.report(trial, end, output, records_of=reports.records)

    def end_all(self) -> None:
        """Have every job ended at the next ``collect``."""
        self._jobs.end_all()

    def abandon(self) -> None:
        """End every job without a record."""
        self._jobs.abandon()
        self._trials.clear()
        self._reports.clear()
        self._never_started.clear()

    def seconds_to_look(self) -> Seconds | None:
        """Return for how long no limit can be exceeded, unless a job ends."""
        if self._never_started:
            return 0.0
        seconds = self._jobs.seconds_to_look()
        if not self._reports:
            return seconds
        return REPORTS_INTERVAL if seconds is None else min(seconds, REPORTS_INTERVAL)

    def finish(self) -> None:
        """Dismiss the guardian; no job is left."""
        self._jobs.close()
        super().finish()

    def _is_undecided(self, job: RunningJob) -> bool:
        """A job has ended, not for a stop, and whether its trial is pruned depends on trials that have not come so far.

        Or it has ended since its output was read.
        """
        following = self._reports.get(job)
        if following is None or not job.process.has_ended or (job.end is not None and job.end[0] is EndedBy.STOP):
            return False
        return not following.is_complete or following.is_behind

    def _follow(self, trial: TrialJob) -> TrialReports:
        context, comparison = self.context, None
        reported = context.settings.reported
        if reported.early_stopping is not None and reported.max_epochs is not None:
            comparison = Comparison(
                context.store,
                reported.early_stopping,
                trial.trial_id,
                context.eid,
                trial.trial_index,
                reported.max_epochs,
            )
        return TrialReports(context.store, trial.trial_id, trial.output_path, comparison)

    def _environment_of(self, slot: int) -> dict[str, str]:
        context = self.context
        added = {**self._card_of(slot), **context.settings.job_environment}
        return job_environment((context.folder.mark, self._jobs.mark), context.threads or 1, added)

    def _card_of(self, slot: int) -> dict[str, str]:
        """Return the variable that names a job's graphics card; on processors it names none, as under Auptimizer."""
        if self.context.settings.resource is Resource.CPU:
            return {"CUDA_VISIBLE_DEVICES": ""}
        return {"CUDA_VISIBLE_DEVICES": self._cards[slot % len(self._cards)]} if self._cards else {}


def visible_cards() -> list[str]:
    """Return the names of the graphics cards that a job may use; empty where nothing lists them.

    Source: CUDA's manual on ``CUDA_VISIBLE_DEVICES``: a name of no card, such as -1, hides those after it, too.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return list(takewhile(lambda card: card and not card.startswith("-"), chosen.split(",")))
    try:
        return [str(number) for number, _ in enumerate(_NVIDIA_CARDS.iterdir())]
    except OSError:
        return []


def note_missing_card(resource: Resource) -> str | None:
    """Return a sentence where an experiment asks for graphics cards and none is here; else None."""
    if resource is Resource.GPU and not visible_cards():
        return "resource is 'gpu', and no graphics card was found here: the jobs run on the processor."
    return None


def register_resources() -> None:
    """Put our manager in the place of Auptimizer's, for processors and graphics cards alike."""
    for resource in Resource:
        register_resource(resource.value, HarnessLocalManager)
