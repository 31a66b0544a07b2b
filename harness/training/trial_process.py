"""What the process of a trial does: `jobs/trial.py JOB.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import DIVERGED_EXIT_CODE, Diverged, ExperimentFileError, HarnessError
from harness.store.trial_spec import TrialSpec, trial_spec_path
from harness.training.tensorflow import start_tensorflow


def read_job(path: Path) -> dict[str, Any]:
    """Read Auptimizer's job file: the point's hyperparameters, without what Auptimizer adds."""
    try:
        job = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ExperimentFileError(f"job file {str(path)!r}: {error.strerror}; expected Auptimizer's job file") from None
    except (ValueError, RecursionError) as error:
        raise ExperimentFileError(f"job file {str(path)!r}: not JSON ({error})") from None
    if not isinstance(job, dict):
        raise ExperimentFileError(f"job file {str(path)!r}: holds {job!r:.80}; expected an object of hyperparameters")
    return {name: value for name, value in job.items() if name not in {"job_id", "n_iterations"}}


def main(arguments: Sequence[str]) -> int:
    """Run the trial of the job file that is the one argument; returns the exit code."""
    if len(arguments) != 2:
        print("error: expected one argument, the job file that Auptimizer wrote", file=sys.stderr)
        return 2
    job_path = Path(arguments[1])
    try:
        spec = TrialSpec.read(trial_spec_path(job_path))
        values = read_job(job_path)
        start_tensorflow(spec.threads)
        from harness.training.trial import record_trial

        score = record_trial(spec, values)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return DIVERGED_EXIT_CODE if isinstance(error, Diverged) else error.exit_code
    print(f"#Auptimizer:{score!r}", flush=True)
    return 0
