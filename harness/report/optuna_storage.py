"""An Optuna storage of experiments, for the tools that open one, such as optuna-dashboard."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.report.attributes import describe_experiment, describe_trial, require_packages, to_scalar
from harness.search.space import Parameter, ParameterType, space_from_json
from harness.store.records import EpochRecord, ExperimentRow, TrialRow, TrialStatus
from harness.store.store import ResultsStore


def write_optuna(path: Path, store: ResultsStore, experiments: Sequence[ExperimentRow]) -> int:
    """Write experiments into a new SQLite file of Optuna's, a study each; an existing file is replaced.

    A trial's value is its score, its intermediate values are the validation accuracies of its epochs; every attempt is
    a trial. What Optuna has no place for is in user attributes: trial index, attempt, seed, message. A fixed
    hyperparameter is one too, and takes the place of any of these that has its name.

    Returns:
        the number of trials

    Raises:
        HarnessError: Optuna is not installed
    """
    require_packages("--optuna", "optuna", "optuna")
    import optuna
    from sqlalchemy.engine import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    num_trials = 0
    # Beside the file, so that it appears whole or not at all.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / "optuna.db"
        url = URL.create("sqlite", database=str(partial)).render_as_string()
        storage = optuna.storages.RDBStorage(url)
        for experiment in experiments:
            direction = "maximize" if experiment.target == "max" else "minimize"
            name = f"{experiment.eid}: {experiment.name}"
            study = optuna.create_study(storage=storage, study_name=name, direction=direction)
            for key, value in describe_experiment(experiment).items():
                study.set_user_attr(key, value)
            space = space_from_json(json.loads(experiment.search_space))
            trials = store.trials(experiment.eid)
            distributions = {parameter.name: _distribute(parameter, trials) for parameter in space.parameters}
            epochs = store.epochs_of(experiment.eid)
            for trial in trials:
                study.add_trial(_convert(trial, epochs.get(trial.trial_id, []), distributions))
                num_trials += 1
        storage.engine.dispose()
        os.replace(partial, path)
    return num_trials


def _distribute(parameter: Parameter, trials: Sequence[TrialRow]) -> Any:
    """Return Optuna's distribution of the values that can be drawn, and of those that were tried outside of them.

    A foreign proposer may leave the bounds, if only by rounding, or the type; Optuna refuses a trial outside of its
    distribution.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    tried = [trial.hyperparameters[parameter.name] for trial in trials if parameter.name in trial.hyperparameters]
    if parameter.type is ParameterType.CHOICE:
        choices = [to_scalar(choice) for choice in parameter.choices]
        others = dict.fromkeys(map(to_scalar, tried))
        return CategoricalDistribution([*choices, *(other for other in others if other not in choices)])
    values = [value for value in tried if isinstance(value, int | float)]
    if len(values) < len(tried):
        return CategoricalDistribution(list(dict.fromkeys(map(to_scalar, tried))))
    low, high = min([parameter.low, *values]), max([parameter.high, *values])
    is_log = parameter.is_log and low > 0
    is_inside = (low, high) == (parameter.low, parameter.high)
    # Values outside of the bounds are on no grid that begins there.
    step = parameter.step if is_inside and all(_is_on_grid(value, parameter) for value in values) else None
    if parameter.type is ParameterType.INT and all(float(value).is_integer() for value in values):
        return IntDistribution(int(low), int(high), log=is_log, step=int(step or 1))
    return FloatDistribution(low, high, log=is_log, step=step)


def _is_on_grid(value: float, parameter: Parameter) -> bool:
    steps = (value - parameter.low) / (parameter.step or 1)
    return abs(steps - round(steps)) < 1e-8


def _convert(trial: TrialRow, epochs: Sequence[EpochRecord], distributions: dict[str, Any]) -> Any:
    from optuna.trial import FrozenTrial, TrialState

    states = {
        TrialStatus.FINISHED: TrialState.COMPLETE,
        TrialStatus.PRUNED: TrialState.PRUNED,
        TrialStatus.RUNNING: TrialState.RUNNING,
    }
    searched = {name: to_scalar(value) for name, value in trial.hyperparameters.items() if name in distributions}
    fixed = {
        name: to_scalar(value)
        for name, value in trial.hyperparameters.items()
        if name not in distributions and value is not None
    }
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=states.get(trial.status, TrialState.FAIL),
        value=trial.score,
        datetime_start=_local(trial.started_at),
        datetime_complete=None if trial.ended_at is None else _local(trial.ended_at),
        params=searched,
        distributions={name: distributions[name] for name in searched},
        user_attrs=describe_trial(trial) | fixed,
        system_attrs={},
        # NaN where there was none to measure, which no chart can show.
        intermediate_values={
            each.epoch: each.validation_accuracy for each in epochs if not math.isnan(each.validation_accuracy)
        },
    )


def _local(time: str) -> datetime:
    """Return a time as Optuna keeps it: of this machine's clock, without a zone."""
    return datetime.fromisoformat(time).astimezone().replace(tzinfo=None)
