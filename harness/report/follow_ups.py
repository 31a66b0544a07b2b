"""What has been trained after a search at its best point: new seeds of it, and the same under leaking splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.leak_splits import LeakSplit
from harness.scoring.significance import bootstrap_over_draws
from harness.scoring.statistics import Interval, Spread, mean_and_spread
from harness.store.openings import OpeningsStore
from harness.store.queries import ResultsReader
from harness.store.records import ExperimentKind, ExperimentRow, Prediction, ScoreKind, TrialRow, TrialStatus


@dataclass(frozen=True)
class Replication:
    """The best trial of a search and what new seeds of its point scored.

    Attributes:
        experiment: the replication's own
        best: the trial that was replicated
        num_trials: finished trials of the search, of which it is the best
        trials: the finished trainings with new seeds, at least one
    """

    experiment: ExperimentRow
    best: TrialRow
    num_trials: int
    trials: tuple[TrialRow, ...]

    @cached_property
    def spread(self) -> Spread:
        """Of the new seeds' validation accuracies."""
        return mean_and_spread([known_score(trial) for trial in self.trials])

    @property
    def best_score(self) -> float:
        """The best trial's own validation accuracy, from 0 to 1."""
        return known_score(self.best)

    @property
    def luck(self) -> float:
        """How much of the best trial's accuracy its point does not keep; negative where new seeds score more."""
        return self.best_score - self.spread.mean


def read_replication(store: ResultsReader, experiment: ExperimentRow) -> Replication | None:
    """Read the latest replication of a search's best trial.

    Returns:
        None where nothing of it has finished, or another trial has become the best since
    """
    for found, settings in reversed(list(_find_follow_ups(store, experiment, ExperimentKind.REPLICATION))):
        best = store.best_trial(experiment.eid)
        trials = [trial for trial in store.trials(found.eid) if trial.status is TrialStatus.FINISHED]
        if best is not None and settings.get("searched_trial") == best.trial_index and trials:
            finished = [
                trial for trial in store.trials(experiment.eid) if trial.status is TrialStatus.FINISHED
            ]
            return Replication(found, best, len(finished), tuple(trials))
    return None


def known_score(trial: TrialRow) -> float:
    """The score of a finished trial."""
    assert trial.score is not None, "a finished trial has a score"
    return trial.score


def _find_follow_ups(
    store: ResultsReader, experiment: ExperimentRow, kind: ExperimentKind
) -> Iterator[tuple[ExperimentRow, dict[str, Any]]]:
    """Yield the experiments that trained a search's best point again, oldest first, each with its settings."""
    for found in store.experiments():
        if found.kind is kind:
            settings = json.loads(found.settings)
            if isinstance(settings, dict) and settings.get("searched_eid") == experiment.eid:
                yield found, settings


@dataclass(frozen=True)
class LeakGain:
    """What one split scores above another, on the same utterances.

    Attributes:
        difference: over all utterances of all draws, from -1 to 1
        interval: of the difference, by bootstrap over draws and over the dialogues within each
        spread: of the draws' own differences
    """

    difference: float
    interval: Interval
    spread: Spread


@dataclass(frozen=True)
class LeakScore:
    """What the best point scored under one split.

    Attributes:
        accuracy: of all scored utterances of all draws, from 0 to 1
        spread: of the draws' accuracies; each draw has another speaker and another seed
        above_strictest, above_next: the gain over the strictest split and over the next stricter one; None for the
            strictest
    """

    split: LeakSplit
    accuracy: float
    spread: Spread
    above_strictest: LeakGain | None
    above_next: LeakGain | None


@dataclass(frozen=True)
class Leaks:
    """The splits that have finished, the most leaking one first; all scored the same utterances.

    Attributes:
        trial_index: of the searched trial whose point was trained
        opens_test: whether utterances of the test session were scored and trained on
        seeds: those that finished under every split, each with another draw of what is scored
        num_scored: utterances, over all draws
        num_train: of each split, fewest and most over the draws
    """

    trial_index: int
    opens_test: bool
    is_synthetic: bool
    seeds: tuple[int, ...]
    num_scored: int
    num_train: tuple[int, int]
    scores: tuple[LeakScore, ...]


def read_leaks(store: OpeningsStore, experiment: ExperimentRow, *, opens_test: bool = False) -> Leaks | None:
    """Read what the best trial's point scored under each split.

    Args:
        opens_test: whether to read what `harness leaks --test` scored, in place of what it scored without

    Returns:
        None until one seed has finished under every split, or where another trial has become the best since
    """
    best = store.best_trial(experiment.eid) if experiment.kind is ExperimentKind.SEARCH else None
    found: dict[LeakSplit, ExperimentRow] = {}
    draws: Mapping[str, Any] = {}
    for each, settings in _find_follow_ups(store, experiment, ExperimentKind.LEAKS):
        of_best = best is not None and settings.get("searched_trial") == best.trial_index
        if of_best and settings.get("opens_test") is opens_test:
            found[LeakSplit(settings["split"])] = each
            draws = settings["draws"]
    if best is None or set(found) != set(LeakSplit):
        return None
    predictions = {split: _read_predictions(store, found[split].eid, opens_test) for split in LeakSplit}
    seeds = sorted(set.intersection(*(set(of_split) for of_split in predictions.values())))
    if not seeds:
        return None
    sizes = [draws[str(seed)]["num_train"] for seed in seeds if str(seed) in draws]
    return Leaks(
        trial_index=best.trial_index,
        opens_test=opens_test,
        is_synthetic=experiment.is_synthetic,
        seeds=tuple(seeds),
        num_scored=sum(len(predictions[LeakSplit.RANDOM][seed]) for seed in seeds),
        num_train=(min(sizes, default=0), max(sizes, default=0)),
        scores=_score(predictions, seeds),
    )


_Predictions = Mapping[int, tuple[Prediction, ...]]


def _read_predictions(store: OpeningsStore, eid: int, opens_test: bool) -> dict[int, tuple[Prediction, ...]]:
    return {
        trial.seed: (
            store.trial_test_scores(trial.trial_id)[ScoreKind.VALIDATION_CHOSEN].predictions
            if opens_test
            else tuple(store.validation_predictions(trial.trial_id))
        )
        for trial in store.trials(eid)
        if trial.status is TrialStatus.FINISHED
    }


def _score(predictions: Mapping[LeakSplit, _Predictions], seeds: list[int]) -> tuple[LeakScore, ...]:
    order = list(LeakSplit)
    scores = []
    for place, split in enumerate(order):
        strictest = split is order[-1]
        scores.append(
            LeakScore(
                split=split,
                # An utterance that two draws score counts twice.
                accuracy=_accuracy([each for seed in seeds for each in predictions[split][seed]]),
                spread=mean_and_spread([_accuracy(predictions[split][seed]) for seed in seeds]),
                above_strictest=None if strictest else _gain(predictions[split], predictions[order[-1]], seeds),
                above_next=None if strictest else _gain(predictions[split], predictions[order[place + 1]], seeds),
            )
        )
    return tuple(scores)


def _gain(first: _Predictions, second: _Predictions, seeds: list[int]) -> LeakGain:
    paired = bootstrap_over_draws([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    of_draws = [_accuracy(first[seed]) - _accuracy(second[seed]) for seed in seeds]
    return LeakGain(paired.difference, paired.interval, mean_and_spread(of_draws))


def _accuracy(predictions: list[Prediction] | tuple[Prediction, ...]) -> float:
    return float(np.mean([each.emotion == each.predicted for each in predictions]))
