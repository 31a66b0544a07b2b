"""A watched search in plain lines: what has changed between two looks, and how it ended."""

from __future__ import annotations

from harness.corpus.disclaimer import SYNTHETIC_SENTENCE
from harness.errors import one_line
from harness.quantities import write_duration
from harness.search.view import format_point, name_measure, sum_up
from harness.search.watched import Watched, WatchState, has_failed
from harness.store.records import ExperimentKind, TrialRow, TrialStatus

_COMMANDS = {
    ExperimentKind.SEARCH: "`aup` with its file",
    ExperimentKind.TABLES: "`harness tables`",
    ExperimentKind.LEAKS: "`harness leaks`",
    ExperimentKind.REPLICATION: "`harness replicate`",
}


def describe_changes(before: Watched | None, now: Watched) -> list[str]:
    """Say what is new since the last look; at the first one, how things stand."""
    if now.experiment is None:
        return [] if before is not None and before.message == now.message else [now.message or ""]
    if before is None or before.experiment is None:
        return _describe_standing(now)
    controllers = [None if each.controller is None else each.controller.pid for each in (before, now)]
    said = [] if controllers[0] == controllers[1] else [describe_controller(now)]
    known = {trial.trial_id for trial in before.failures}
    said += [describe_failure(trial) for trial in reversed(now.failures) if trial.trial_id not in known]
    stood = {trial.trial_index: (trial.attempt, trial.status) for trial in before.attempts}
    for trial in now.attempts:
        if stood.get(trial.trial_index) == (trial.attempt, trial.status) or has_failed(trial):
            continue
        if trial.status is TrialStatus.RUNNING:
            said.append(f"trial {trial.trial_index} begins: {format_point(trial.hyperparameters)}")
        elif trial.status is TrialStatus.FINISHED:
            measure = f"{name_measure(now.experiment)} {trial.score:.4f}"
            said.append(f"trial {trial.trial_index} finished: {measure}; {describe_counts(now)} {describe_rate(now)}")
        else:
            said.append(f"trial {trial.trial_index} {trial.status.value}")
    return [line.rstrip() for line in said]


def _describe_standing(watched: Watched) -> list[str]:
    """Say what is being watched, and how it stands."""
    said = describe_heading(watched)
    if watched.state is WatchState.RUNNING:
        said += [describe_controller(watched), f"{describe_counts(watched)} {describe_rate(watched)}"]
        said += [] if watched.best is None else [describe_best(watched)]
    return said


def describe_heading(watched: Watched) -> list[str]:
    """Name the experiment, and say where its scores are none on IEMOCAP."""
    assert watched.experiment is not None
    return [describe_experiment(watched), *([SYNTHETIC_SENTENCE] if watched.experiment.is_synthetic else [])]


def describe_end(watched: Watched) -> list[str]:
    """Sum up a search that has ended, or that nobody runs any more."""
    return [*sum_up(watched.report()), describe_controller(watched)]


def describe_experiment(watched: Watched) -> str:
    """Name the experiment, what it trains and under which protocol."""
    assert watched.experiment is not None
    experiment = watched.experiment
    said = f"Experiment {experiment.eid}, {one_line(repr(experiment.name))}"
    return f"{said}: system {experiment.system}, protocol {experiment.protocol_name}" if experiment.system else said


def describe_controller(watched: Watched) -> str:
    """Say who runs the experiment, or that nobody does."""
    assert watched.experiment is not None
    if watched.state is WatchState.ENDED:
        return f"The experiment has ended: {watched.experiment.status.value}."
    if watched.state is WatchState.ABANDONED:
        return f"Nobody runs this experiment; {_COMMANDS[watched.experiment.kind]} goes on with it."
    controller = watched.controller
    if controller is None or controller.pid is None:
        return "A process that has only just begun runs it."
    since = (controller.since or "")[:19].replace("T", " ")
    return f"Process {controller.pid} on {one_line(str(controller.host))} runs it since {since} UTC."


def describe_counts(watched: Watched) -> str:
    """Say how many trials are finished, running, failed and left."""
    counts = {"finished": watched.num_finished, "running": watched.num_running, "failed": watched.num_failed}
    told = ", ".join(f"{count} {what}" for what, count in counts.items())
    return f"{watched.num_trials} trials: {told}, {watched.num_left} left."


def describe_rate(watched: Watched) -> str:
    """Say how fast it goes, and for how long it will; empty where nobody runs it."""
    if watched.state is not WatchState.RUNNING:
        return ""
    rate = watched.trials_per_hour
    said = "No trial has ended yet" if rate is None else f"{_format_rate(rate)} trials an hour"
    return f"{said}." if watched.seconds_left is None else f"{said}, about {write_duration(watched.seconds_left)} left."


def describe_best(watched: Watched) -> str:
    """Name the best trial so far, and its score."""
    assert watched.experiment is not None and watched.best is not None
    best = watched.best
    epoch = f", epoch {best.best_epoch}" if best.best_epoch else ""
    return f"Best {name_measure(watched.experiment)} {best.score:.4f} (trial {best.trial_index}{epoch})"


def describe_failure(trial: TrialRow) -> str:
    """Say of a trial how it failed."""
    return f"trial {trial.trial_index} {trial.status.value}: {one_line(trial.message or 'no cause is recorded')}"


def _format_rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"
