"""Proposers pick the next trial's point, each by trial index: ours, or Auptimizer's.

Ours are ``random`` and ``sobol``, whose points follow from the seed alone, and ``optuna``, which learns from scores.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.errors import ExperimentFileError
from harness.search.auptimizer import AbstractProposer, register_proposer
from harness.search.space import Parameter, ParameterType, Point, SearchSpace, space_from_json
from harness.store.records import TrialRow

#: Draws of one trial before the points that are left are listed instead. Only a nearly exhausted, finite
#: space comes to that.
_MAX_DRAWS = 200

#: The key of a proposal with its trial's index; no hyperparameter may have this name.
TRIAL_INDEX = "trial_index"
#: What proposers and this package add to a point.
_BOOKKEEPING = (TRIAL_INDEX, "tid")


class RandomPoints:
    """Trial *i*'s point: a function of (experiment seed, *i*), in any order of asking.

    No point comes twice: one that an earlier trial has is drawn again, from (seed, *i*, 1) and so on.

    Args:
        given: the points of the first trials

    Example:
        >>> space = space_from_json([{"name": "units", "range": [1, 3], "type": "int"}])
        >>> points = RandomPoints(space, seed=0)
        >>> sorted(points.point(index)["units"] for index in range(3))
        [1, 2, 3]
    """

    def __init__(self, space: SearchSpace, seed: int, given: Sequence[Point] = ()) -> None:
        self._space = space
        self._seed = seed
        self._points: list[Point] = list(given)
        self._taken = {_key(point) for point in given}

    def point(self, index: int) -> Point:
        """Return trial ``index``'s point.

        Raises:
            IndexError: the space is finite and has no more than ``index`` points
        """
        while len(self._points) <= index:
            point = self._draw_new(len(self._points))
            self._taken.add(_key(point))
            self._points.append(point)
        return dict(self._points[index])

    def take(self, point: Point) -> None:
        """Give the next trial a point of another origin, which may have come before."""
        self._taken.add(_key(point))
        self._points.append(dict(point))

    def has_taken(self, point: Point) -> bool:
        """Return whether an earlier trial has a point."""
        return _key(point) in self._taken

    @property
    def num_taken(self) -> int:
        """Count the trials that have a point."""
        return len(self._points)

    def _draw_new(self, index: int) -> Point:
        num_points = self._space.num_points
        if num_points is not None and index >= num_points:
            raise IndexError(f"the search space has {num_points} points, and trial {index} needs one more")
        for point in islice(self._candidates(index), _MAX_DRAWS):
            if _key(point) not in self._taken:
                return point
        left = [point for point in self._space.points() if _key(point) not in self._taken]
        if not left:
            raise ExperimentFileError(
                f"search space: {index} points are drawn, and {_MAX_DRAWS} more draws gave no new one; expected wider "
                "bounds, or a smaller n_samples"
            )
        return left[int(np.random.default_rng([self._seed, index, _MAX_DRAWS]).integers(len(left)))]

    def _candidates(self, index: int) -> Iterator[Point]:
        """Yield points for a trial, the first choice first."""
        yield self._space.draw(_generator(self._seed, index))
        for number in count(1):
            yield self._space.draw(np.random.default_rng([self._seed, index, number]))


class SobolPoints(RandomPoints):
    """Trial *i*'s point: the *i*-th of Sobol's sequence, scrambled by the experiment's seed.

    The points cover the space more evenly than random ones do. A point that comes again, which a space of few values
    has, is replaced by a random one of trial *i*.

    Source: Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points", by ``scipy.stats.qmc.Sobol``.
    """

    def __init__(self, space: SearchSpace, seed: int, given: Sequence[Point] = ()) -> None:
        super().__init__(space, seed, given)
        self._rows: list[list[float]] = []

    def _candidates(self, index: int) -> Iterator[Point]:
        parameters = self._space.parameters
        shares = zip(parameters, self._row(index), strict=True)
        yield {parameter.name: parameter.from_unit(share) for parameter, share in shares}
        yield from super()._candidates(index)

    def _row(self, index: int) -> list[float]:
        # Made in powers of two, of which the sequence is balanced; every power begins like the one before.
        if index >= len(self._rows):
            # Slow to import, and for this proposer alone.
            from scipy.stats.qmc import Sobol

            engine = Sobol(len(self._space.parameters), scramble=True, rng=np.random.default_rng([self._seed]))
            self._rows = engine.random_base2(index.bit_length()).tolist()
        return self._rows[index]


def trial_seed(seed: int, index: int) -> int:
    """Return the training seed of trial ``index``, below 2**31.

    Example:
        >>> trial_seed(0, 1) == trial_seed(0, 1), trial_seed(0, 1) == trial_seed(0, 2)
        (True, False)
    """
    return int(np.random.default_rng([seed, index]).integers(2**31))


def _generator(seed: int, index: int) -> np.random.Generator:
    generator = np.random.default_rng([seed, index])
    generator.integers(2**31)  # the training seed, drawn first
    return generator


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


class HarnessRandomProposer(AbstractProposer):  # type: ignore[misc]
    """``"proposer": "random"``: Auptimizer's interface to ``RandomPoints``; knows log scales and steps."""

    sequence: type[RandomPoints] = RandomPoints

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        space = space_from_json(config["parameter_config"])
        self._points = self.sequence(space, int(config["random_seed"]), config.get("points", ()))
        num_points = space.num_points
        self.nSamples = config["n_samples"] if num_points is None else min(config["n_samples"], num_points)

    def get_param(self, **kwargs: Any) -> Point:
        """Return the next trial's point."""
        return self._points.point(self.counter)


class HarnessSobolProposer(HarnessRandomProposer):
    """``"proposer": "sobol"``: Auptimizer's interface to ``SobolPoints``."""

    sequence = SobolPoints


class HarnessOptunaProposer(AbstractProposer):  # type: ignore[misc]
    """``"proposer": "optuna"``: the points of Optuna's TPE, which learns from scores; knows log scales and steps.

    The first points are those of ``RandomPoints``. Trial *i*'s is a function of the experiment's seed, of *i*, and of
    the points and scores that are known when it is asked for: with one trial at a time, those of all trials before.
    A trial without a score counts as worse than every one that has a score. A point that comes again is replaced by a
    random one of trial *i*.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", by ``optuna.samplers.TPESampler``.
    """

    #: Trials before the first that learns. Source: Optuna's TPESampler, ``n_startup_trials``.
    NUM_RANDOM = 10

    def __init__(self, config: Mapping[str, Any]) -> None:
        # Slow to import, and an extra of this package.
        import optuna

        super().__init__(config)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        space = space_from_json(config["parameter_config"])
        given = config.get("points", ())
        self._optuna = optuna
        self._seed = int(config["random_seed"])
        self._parameters = space.parameters
        self._points = RandomPoints(space, self._seed, given)
        self._num_random = max(self.NUM_RANDOM, len(given))
        self._distributions = {each.name: _distribution(each, optuna.distributions) for each in space.parameters}
        self._study = optuna.create_study(direction="maximize" if config["target"] == "max" else "minimize")
        #: The points of an earlier controller's trials, and the trials that Optuna knows, by index.
        self._known: dict[int, Point] = {}
        self._trials: dict[int, Any] = {}
        num_points = space.num_points
        self.nSamples = config["n_samples"] if num_points is None else min(config["n_samples"], num_points)

    def expect(self, index: int, point: Point) -> None:
        """Name the point that trial ``index`` was started with; comes before it is asked for."""
        self._known[index] = point

    def get_param(self, **kwargs: Any) -> dict[str, Any]:
        """Return the next trial's point, and its index as ``tid``."""
        index = self.counter
        if index in self._known:
            point, trial = self._known[index], None
        elif index < self._num_random:
            point, trial = self._points.point(index), None
        else:
            point, trial = self._ask(index)
        if self._points.num_taken == index:
            self._points.take(point)
        if trial is None:
            self._study.enqueue_trial({each.name: each.to_number(point[each.name]) for each in self._parameters})
            trial = self._study.ask(self._distributions)
        self._trials[index] = trial
        return {**point, "tid": index}

    def update(self, score: float, job: Any) -> None:
        """Learn a trial's score."""
        self._study.tell(self._trials[job.config["tid"]], score)

    def failed(self, job: Any) -> None:
        """Learn that a trial has no score."""
        self._study.tell(self._trials[job.config["tid"]], state=self._optuna.trial.TrialState.PRUNED)

    def _ask(self, index: int) -> tuple[Point, Any]:
        # A sampler of its own: what is proposed does not depend on how often another was asked before.
        self._study.sampler = self._optuna.samplers.TPESampler(n_startup_trials=1, seed=trial_seed(self._seed, index))
        trial = self._study.ask(self._distributions)
        point = {each.name: each.from_number(trial.params[each.name]) for each in self._parameters}
        if not self._points.has_taken(point):
            return point, trial
        self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return self._points.point(index), None


def _distribution(parameter: Parameter, distributions: Any) -> Any:
    """Return Optuna's distribution of a parameter; of choices and values on a grid, that of their numbers from 0 on."""
    if parameter.type is ParameterType.CHOICE:
        return distributions.CategoricalDistribution(range(len(parameter.choices)))
    if parameter.step is not None:
        return distributions.IntDistribution(0, (parameter.num_values or 1) - 1)
    kind = distributions.IntDistribution if parameter.type is ParameterType.INT else distributions.FloatDistribution
    return kind(parameter.low, parameter.high, log=parameter.is_log)


#: Proposer -> the packages that it needs beside Auptimizer's declared and undeclared dependencies.
PROPOSERS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "sobol": (),
    "sequence": (),
    "hyperopt": ("future", "networkx"),
    "optuna": ("optuna",),
}
#: Auptimizer's proposers that cannot be used, each with the reason. All were tried with Auptimizer 2.0.
REFUSED: Mapping[str, str] = {
    "hyperband": "it ends after 143 of the 206 jobs of its default schedule, breaks off at the first failed trial, and "
    "cannot be resumed",
    "bohb": "it needs the package hpbandster, which Auptimizer does not declare, and cannot be resumed",
    "spearmint": "it needs the package protobuf before version 4, and TensorFlow a later one",
    "eas": "it needs tensorflow.contrib, which TensorFlow 2 does not have",
}
#: Those of this package: they know log scales, steps and points that come first.
OWN_PROPOSERS = ("random", "sobol", "optuna")


def register_proposers() -> None:
    """Put our random proposer in the place of Auptimizer's, and our others beside it."""
    register_proposer("random", HarnessRandomProposer)
    register_proposer("sobol", HarnessSobolProposer)
    register_proposer("optuna", HarnessOptunaProposer)


def check_installed(proposer: str) -> None:
    """Check that the packages of ``proposer`` are installed.

    Raises:
        ExperimentFileError: names the packages to install
    """
    missing = [name for name in PROPOSERS[proposer] if importlib.util.find_spec(name) is None]
    if missing:
        raise ExperimentFileError(
            f"proposer {proposer!r}: needs {' and '.join(missing)}; run: pip install "
            f"{' '.join(missing)}, or choose one of {[name for name in PROPOSERS if name != proposer]}"
        )


class ResumableProposer(AbstractProposer):  # type: ignore[misc]
    """Asks another proposer in order of trial index, and returns the points of trials that are left to run.

    A proposal has its trial index under ``TRIAL_INDEX``.

    Args:
        history: the last attempt of each trial that was started before, none of them running
    """

    def __init__(self, inner: Any, history: Sequence[TrialRow]) -> None:
        super().__init__({"parameter_config": []})
        self._inner = inner
        self._proposals: list[dict[str, Any]] = []
        done = {past.trial_index for past in history if not past.status.runs_again}
        #: Trials in all, those of earlier controllers included.
        self.num_samples: int = inner.nSamples
        self._to_run = [index for index in range(self.num_samples) if index not in done]
        self.nSamples = len(self._to_run)
        self.check_termination()
        for past in sorted(history, key=lambda past: past.trial_index):
            self._remember(past)

    def get_param(self, **kwargs: Any) -> dict[str, Any]:
        """Return the point of the next trial to run, and its index."""
        index = self._to_run[self.counter]
        return {**self._proposal(index), TRIAL_INDEX: index}

    def update(self, score: float, job: Any) -> None:
        """Give the inner proposer a job's score."""
        self._inner.update(score, job)

    def failed(self, job: Any) -> None:
        """Give the inner proposer a job that has no score."""
        self._inner.failed(job)

    def _proposal(self, index: int) -> dict[str, Any]:
        while len(self._proposals) <= index:
            proposal = self._inner.get()
            self._inner.increment_job_counter()
            self._proposals.append({name: _plain(value) for name, value in proposal.items()})
        return self._proposals[index]

    def _remember(self, past: TrialRow) -> None:
        if past.trial_index >= self.num_samples:
            return
        if isinstance(self._inner, HarnessOptunaProposer):
            self._inner.expect(past.trial_index, dict(past.hyperparameters))
        proposal = self._proposal(past.trial_index)
        proposal.update(past.hyperparameters)
        if "tid" not in proposal:
            return
        if not isinstance(self._inner, HarnessOptunaProposer):
            # Hyperopt would propose something else now: it learns from what was really tried.
            _correct_hyperopt(self._inner, proposal)
        job = SimpleNamespace(jid=past.trial_index, config=proposal)
        if past.score is not None:
            self._inner.update(past.score, job)
        elif not past.status.runs_again:
            self._inner.failed(job)


def point_of(proposal: Mapping[str, Any]) -> Point:
    """Return a proposal's hyperparameters, without what proposers add."""
    return {name: value for name, value in proposal.items() if name not in _BOOKKEEPING}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _correct_hyperopt(inner: Any, proposal: Mapping[str, Any]) -> None:
    (document,) = [trial for trial in inner.trials._dynamic_trials if trial["tid"] == proposal["tid"]]
    for parameter in inner.parameter_config:
        name, bounds = parameter["name"], parameter["range"]
        if parameter["type"] == "choice":
            tried = bounds.index(proposal[name])
        else:
            tried = proposal[name] - bounds[0] if parameter["type"] == "int" else proposal[name]
        document["misc"]["vals"][name] = [tried]
