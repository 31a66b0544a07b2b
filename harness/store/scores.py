"""What the scores of an experiment's trials are, and which trial has the best."""

from __future__ import annotations

from collections.abc import Iterable

from harness.store.records import ExperimentRecord, TrialRow


def are_accuracies(experiment: ExperimentRecord) -> bool:
    """Whether the scores are validation accuracies; those of a script of its own are what it says they are."""
    return bool(experiment.system) and experiment.target == "max"


def rank_trials(trials: Iterable[TrialRow], target: str) -> list[TrialRow]:
    """Return the trials that have a score, best first; of equals the lowest trial index first.

    Args:
        target: ``"max"`` or ``"min"``
    """
    sign = -1.0 if target == "max" else 1.0
    scored = [(trial.score, trial) for trial in trials if trial.score is not None]
    return [trial for _, trial in sorted(scored, key=lambda pair: (sign * pair[0], pair[1].trial_index))]


def best_of(trials: Iterable[TrialRow], target: str) -> TrialRow | None:
    """Return the first of them as ``rank_trials`` orders them; None where none has a score."""
    return next(iter(rank_trials(trials, target)), None)
