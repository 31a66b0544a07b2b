"""Why a search on a cluster waits, or ends early: what is missing, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from harness.corpus.utterances import Seconds
from harness.search.experiment_file import ExperimentSettings


def waits(seconds: Seconds, patience: Seconds, is_without_scheduler: bool) -> str:
    """Say, while the search goes on, that no worker may run a trial, or that the scheduler is not there."""
    hours, rest = divmod(round(patience), 3600)
    longest = f"{hours} h" if hours and not rest else f"{patience:g} s"
    if is_without_scheduler:
        return f"For {seconds:.0f} s the scheduler has not answered; the search waits {longest} for it."
    return f"For {seconds:.0f} s there was no worker that may run a trial; the search waits {longest} for one."


def no_worker(settings: ExperimentSettings, patience: Seconds, complaints: Mapping[str, str]) -> str:
    """Say that no worker may run a trial.

    Args:
        complaints: what was wrong with each that was refused, by address
    """
    refused = "; ".join(f"worker {address} was refused: {complaint}" for address, complaint in complaints.items())
    return (
        f"experiment {settings.name!r}: for {patience:g} s there was no worker that may run a trial "
        f"({refused or 'the scheduler has none'}); what was recorded before is safe; start such a worker, and start "
        "again"
    )


def no_scheduler(settings: ExperimentSettings, cause: str) -> str:
    """Say that the scheduler is gone, or was never there."""
    if settings.cluster is not None and settings.cluster.scheduler is None:
        return (
            f"experiment {settings.name!r}: its Dask cluster cannot be made, or was lost ({cause}); what was recorded "
            "before is safe: start again when that is mended"
        )
    has_tls = settings.cluster is not None and settings.cluster.tls is not None
    certificates = ", with certificates of the same authority" if has_tls else ""
    return (
        f"experiment {settings.name!r}: its Dask scheduler cannot be reached ({cause}); expected one as the key "
        f"cluster of the experiment file says{certificates}; what was recorded before is safe: start again when it "
        "is there"
    )


def no_jobs(settings: ExperimentSettings, cause: str) -> str:
    """Say that a batch system gives no workers."""
    return (
        f"experiment {settings.name!r}: its batch system gives it no workers: {cause}; expected jobs with the options "
        "of the key cluster; what was recorded before is safe: start again when that is mended"
    )
