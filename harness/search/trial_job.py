"""One attempt at one trial, as a job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.search.space import Point


@dataclass(frozen=True)
class TrialJob:
    """What is known of a job before it starts.

    Attributes:
        jid: Auptimizer's id; an attempt that repeats another has the same
        job_path: Auptimizer's job file, the script's one argument
        output_path: where the job's output goes
    """

    trial_id: int
    trial_index: int
    jid: int
    point: Point
    job_path: Path
    output_path: Path
