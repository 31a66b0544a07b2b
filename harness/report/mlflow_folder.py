"""An MLflow folder of experiments: the SQLite file that `mlflow server` opens, and the place of artifacts."""

from __future__ import annotations

import logging
import math
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import make_then_rename
from harness.report.attributes import describe_experiment, describe_trial, require_packages, to_scalar
from harness.store.records import EpochRecord, ExperimentRow, TrialRow, TrialStatus
from harness.store.store import ResultsStore
from harness.wording import SYNTHETIC_SENTENCE

#: The database in the folder.
DATABASE_NAME = "mlflow.db"

#: MLflow has no status for a pruned trial; the tag ``status`` tells it from one that was killed.
_STATUSES = {
    TrialStatus.RUNNING: "RUNNING",
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.PRUNED: "KILLED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.KILLED: "KILLED",
}
#: MLflow's own limits on a call, and on a name.
_METRICS_AT_ONCE, _PARAMS_AT_ONCE, _NAME_CHARACTERS = 1000, 100, 250


def write_mlflow(folder: Path, store: ResultsStore, experiments: Sequence[ExperimentRow]) -> int:
    """Write experiments into a new folder of MLflow's, by MLflow's own client; every attempt at a trial is a run.

    Hyperparameters are params; what was measured at an epoch is a metric with the epoch as its step, and so is the
    score, at the epoch that validation chose; everything else is a tag. MLflow cuts a hyperparameter's value at 6000
    characters, keeps tags whole (seen with 3.17), and sends no data about its use.

    Args:
        folder: appears whole or not at all, so a half-written one is never there

    Returns:
        the number of runs

    Raises:
        HarnessError: MLflow is not installed, or the folder is not empty
    """
    require_packages("--mlflow", "mlflow", "mlflow", "sqlalchemy", "alembic")
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        # It may be one of MLflow's that has other experiments too, or notes that somebody wrote there.
        raise HarnessError(f"--mlflow: folder '{folder}' is not empty; expected a new one; name another, or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside,
        # MLflow makes a folder of another name for a path whose characters have a meaning in a URL.
        tempfile.TemporaryDirectory(prefix="harness-mlflow-") as plain,
    ):
        database, partial = Path(plain) / DATABASE_NAME, Path(beside) / "partial"
        with _opening(database) as client:
            num_runs = sum(_write_experiment(client, folder, store, each) for each in experiments)
        partial.mkdir()
        with make_then_rename(partial / DATABASE_NAME) as copy:
            shutil.copyfile(database, copy)
        os.rename(partial, folder)
    return num_runs


@contextmanager
def _opening(database: Path) -> Iterator[Any]:
    """Make a new database of MLflow's and yield MLflow's client of it."""
    # MLflow reads it when it is imported.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import URL, Engine

    def skip_syncs(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    # It warns of every long value that it cuts.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    # Nobody else sees the file before it is whole, so that no transaction needs to wait for the disk.
    event.listen(Engine, "connect", skip_syncs)
    try:
        yield MlflowClient(tracking_uri=URL.create("sqlite", database=str(database)).render_as_string())
    finally:
        event.remove(Engine, "connect", skip_syncs)


def _write_experiment(client: Any, folder: Path, store: ResultsStore, experiment: ExperimentRow) -> int:
    tags = {name: str(value) for name, value in describe_experiment(experiment).items()}
    # MLflow shows the note as the description.
    described = {"mlflow.note.content": SYNTHETIC_SENTENCE} if experiment.is_synthetic else {}
    created = client.create_experiment(
        f"{experiment.eid}: {experiment.name}",
        artifact_location=(folder / "artifacts" / str(experiment.eid)).as_uri(),
        tags=tags | described,
    )
    epochs = store.epochs_of(experiment.eid)
    trials = store.trials(experiment.eid)
    for trial in trials:
        _write_run(client, created, trial, epochs.get(trial.trial_id, []), tags)
    return len(trials)


def _write_run(
    client: Any, experiment_id: str, trial: TrialRow, epochs: Sequence[EpochRecord], tags: dict[str, str]
) -> None:
    from mlflow.entities import Param

    name = f"trial {trial.trial_index}" + (f", attempt {trial.attempt}" if trial.attempt > 1 else "")
    run = client.create_run(
        experiment_id,
        start_time=_to_milliseconds(datetime.fromisoformat(trial.started_at)),
        tags=tags | {key: str(value) for key, value in describe_trial(trial).items()},
        run_name=name,
    )
    run_id = run.info.run_id
    names = _to_names(trial.hyperparameters)
    params = [Param(names[key], str(to_scalar(value))) for key, value in trial.hyperparameters.items()]
    for start in range(0, len(params), _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[start : start + _PARAMS_AT_ONCE])
    metrics = _list_metrics(trial, epochs)
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])
    if trial.ended_at is not None:
        ended = _to_milliseconds(datetime.fromisoformat(trial.ended_at))
        client.set_terminated(run_id, _STATUSES.get(trial.status, "FAILED"), ended)


def _list_metrics(trial: TrialRow, epochs: Sequence[EpochRecord]) -> list[Any]:
    """Return MLflow's metrics of a trial; NaN, where there was nothing to measure, is left out."""
    from mlflow.entities import Metric

    metrics, time = [], datetime.fromisoformat(trial.started_at)
    for each in epochs:
        measured = asdict(each)
        epoch = measured.pop("epoch")
        time += timedelta(seconds=0 if math.isnan(each.seconds) else each.seconds)
        metrics += [
            Metric(name, value, _to_milliseconds(time), epoch)
            for name, value in measured.items()
            if not math.isnan(value)
        ]
    if trial.score is not None:
        metrics.append(Metric("score", trial.score, _to_milliseconds(time), trial.best_epoch or 0))
    return metrics


def _to_names(names: Iterable[str]) -> dict[str, str]:
    """Return the hyperparameters' names as MLflow allows them, each once in a run; one that is allowed stays.

    Example:
        >>> _to_names(["lr(", "lr_28_"])
        {'lr_28_': 'lr_28_', 'lr(': 'lr_28__2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda name: (_to_name(name) != name, name)):
        allowed, number = _to_name(name), 1
        while allowed in taken:
            number += 1
            end = f"_{number}"
            allowed = _to_name(name)[: _NAME_CHARACTERS - len(end)] + end
        taken.add(allowed)
        found[name] = allowed
    return found


def _to_name(name: str) -> str:
    """Return a hyperparameter's name as MLflow allows it: another character as its number, in hexadecimal digits.

    Example:
        >>> _to_name("dropout"), _to_name("rate (first)"), _to_name("a/b:c"), _to_name("../x")
        ('dropout', 'rate _28_first_29_', 'a/b:c', '_2e__2e__2f_x')
    """
    allowed = _spell_out(r"[^\w./: -]", name)[:_NAME_CHARACTERS]
    # MLflow refuses a name that, as a path, has a shorter form or leaves its folder.
    if posixpath.normpath(allowed) != allowed or allowed == "." or allowed.startswith(("..", "/")):
        allowed = _spell_out(r"[^\w.: -]|^\.+", name)[:_NAME_CHARACTERS]
    return allowed


def _spell_out(pattern: str, name: str) -> str:
    return re.sub(pattern, lambda found: "".join(f"_{ord(each):x}_" for each in found[0]), name)


def _to_milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)
