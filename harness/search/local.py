"""Trials as subprocesses of this machine."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.corpus.utterances import Seconds
from harness.search.auptimizer import register_resource
from harness.search.experiment_file import Resource
from harness.search.job_process import EndedBy, JobEnd, JobProcess, job_environment, private_memory
from harness.search.orphans import Guardian, process_started_at
from harness.search.resource_manager import SearchContext, TrialResourceManager
from harness.search.trial_job import TrialJob
from harness.search.trial_outcome import JobOutput, read_output

#: Seconds between two looks at the jobs' memory. A choice: short beside a training, long beside a look.
_MEMORY_INTERVAL: Seconds = 1.0
#: Where the NVIDIA driver lists its cards.
_NVIDIA_CARDS = Path("/proc/driver/nvidia/gpus")


@dataclass
class _RunningJob:
    trial: TrialJob
    process: JobProcess
    slot: int
    end: tuple[EndedBy, str] | None = None


class HarnessLocalManager(TrialResourceManager):
    """Auptimizer's resource manager for this machine: processors, or graphics cards one a job.

    No thread waits for a job: the controller looks at all of them when the system says that one ended.
    """

    def __init__(self, connector: Any, n_parallel: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(connector, n_parallel, *args, **kwargs)
        self._running: dict[int, _RunningJob] = {}
        self._never_started: list[tuple[TrialJob, str]] = []
        self._next_memory_look = 0.0
        self._guardian: Guardian | None = None

    def equip(self, context: SearchContext) -> None:
        """Give what Auptimizer's interface has no place for; starts the guardian of the jobs."""
        super().equip(context)
        self._guardian = Guardian()
        self._cards = _visible_cards() if context.settings.resource is Resource.GPU else []

    def launch(self, trial: TrialJob) -> None:
        """Start a job in a process group of its own."""
        context = self.context
        script = context.settings.script
        slot = min(set(range(len(self._running) + 1)) - {job.slot for job in self._running.values()})
        assert self._guardian is not None
        environment = job_environment(
            (context.folder.mark, self._guardian.mark),
            context.threads,
            {**self._card_of(slot), **context.settings.job_environment},
        )
        command = [*script.command, str(trial.job_path)]
        try:
            process = JobProcess(command, script.working_dir, environment, trial.output_path)
        except OSError as error:
            self._never_started.append((trial, f"{error.strerror} ({script.path})"))
            return
        self._running[trial.jid] = _RunningJob(trial, process, slot)
        self._guardian.watch(process.group)
        context.store.record_job(
            trial.trial_id,
            process.group,
            platform.node(),
            process_started_at(process.group),
            str(trial.job_path),
        )

    def collect(self) -> None:
        """Report every job that has ended, and end those that are over their limits."""
        if self._guardian is not None:
            self._guardian.look()
        while self._never_started:
            trial, cause = self._never_started.pop()
            self.report(trial, JobEnd(EndedBy.SYSTEM, None, None, cause), JobOutput("", None))
        self._check_limits()
        for job in list(self._running.values()):
            if job.end is not None or job.process.has_ended:
                self._bring_home(job)

    def end_all(self) -> None:
        """Have every job ended at the next ``collect``."""
        for job in self._running.values():
            job.end = (EndedBy.STOP, "")

    def abandon(self) -> None:
        """End every job without a record."""
        for job in self._running.values():
            job.process.end(EndedBy.STOP)
        self._running.clear()
        self._never_started.clear()
        self.close()

    def close(self) -> None:
        """Let the guardian go; no job is left."""
        if self._guardian is not None:
            self._guardian.close()
            self._guardian = None

    def seconds_to_look(self) -> Seconds | None:
        """How long no limit can be exceeded, unless a job ends."""
        if self._never_started:
            return 0.0
        limits = self.context.settings.limits
        looks = []
        if limits.timeout_seconds is not None and self._running:
            oldest = min(job.process.began for job in self._running.values())
            looks.append(max(0.0, oldest + limits.timeout_seconds - time.monotonic()))
        if limits.memory_bytes is not None and self._running:
            looks.append(max(0.0, self._next_memory_look - time.monotonic()))
        return min(looks, default=None)

    def finish(self, status: str = "FINISHED") -> Any:
        """Let the guardian go, and close Auptimizer's books."""
        self.close()
        return super().finish(status)

    def _check_limits(self) -> None:
        limits = self.context.settings.limits
        now = time.monotonic()
        if limits.timeout_seconds is not None:
            for job in self._running.values():
                if now - job.process.began >= limits.timeout_seconds:
                    job.end = job.end or (EndedBy.TIMEOUT, f"{limits.timeout_seconds:g}")
        if limits.memory_bytes is not None and now >= self._next_memory_look:
            self._next_memory_look = now + _MEMORY_INTERVAL
            used = private_memory([job.process.group for job in self._running.values()])
            for job in self._running.values():
                private_bytes = used[job.process.group]
                if private_bytes > limits.memory_bytes:
                    detail = (
                        f"{private_bytes / 1e6:.0f} MB of private memory, more than memory_limit, "
                        f"{limits.memory_bytes / 1e6:.0f} MB"
                    )
                    job.end = job.end or (EndedBy.MEMORY_LIMIT, detail)

    def _bring_home(self, job: _RunningJob) -> None:
        ended_by, detail = job.end or (EndedBy.ITSELF, "")
        end = job.process.end(ended_by, detail)
        del self._running[job.trial.jid]
        if self._guardian is not None:
            self._guardian.forget(job.process.group)
        self.report(job.trial, end, read_output(job.trial.output_path))

    def _card_of(self, slot: int) -> dict[str, str]:
        """Name the graphics card of a job; a job on processors sees none, as under Auptimizer."""
        if self.context.settings.resource is Resource.CPU:
            return {"CUDA_VISIBLE_DEVICES": ""}
        return {"CUDA_VISIBLE_DEVICES": self._cards[slot % len(self._cards)]} if self._cards else {}


def _visible_cards() -> list[str]:
    """Name the graphics cards that a job may be given; empty where nothing lists them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [card for card in chosen.split(",") if card]
    try:
        return [str(number) for number, _ in enumerate(_NVIDIA_CARDS.iterdir())]
    except OSError:
        return []


def register_resources() -> None:
    """Put our manager in the place of Auptimizer's, for processors and graphics cards alike."""
    for resource in Resource:
        register_resource(resource.value, HarnessLocalManager)
