"""Proposers pick the next trial's point, each by trial index: ours for ``random`` and ``sobol``, else Auptimizer's."""

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
from harness.search.space import Point, SearchSpace, space_from_json
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


#: Proposer -> the packages that it needs beside Auptimizer's declared and undeclared dependencies.
PROPOSERS: Mapping[str, tuple[str, ...]] = {
    "random": (),
    "sobol": (),
    "sequence": (),
    "hyperopt": ("future", "networkx"),
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
OWN_PROPOSERS = ("random", "sobol")


def register_proposers() -> None:
    """Put our random proposer in the place of Auptimizer's, and Sobol's sequence beside it."""
    register_proposer("random", HarnessRandomProposer)
    register_proposer("sobol", HarnessSobolProposer)


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
        proposal = self._proposal(past.trial_index)
        proposal.update(past.hyperparameters)
        if "tid" not in proposal:
            return
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
