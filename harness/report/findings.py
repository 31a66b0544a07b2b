"""Everything a report says, read from results.db in one moment, also while the search runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harness.corpus.utterances import Emotion
from harness.errors import StoreError
from harness.report.follow_ups import Leaks, Replication, read_leaks, read_replication
from harness.scoring.metrics import macro_f1_of, unweighted_accuracy_of, weighted_accuracy_of
from harness.scoring.scored_opening import ScoredOpening, assess_opening, find_scored_opening
from harness.scoring.statistics import Interval, bootstrap_intervals
from harness.store.records import (
    EpochRecord,
    ExperimentKind,
    ExperimentRow,
    ExperimentStatus,
    FinalModel,
    Prediction,
    ScoreKind,
    TestOpeningRow,
    TrialEnvironment,
    TrialRow,
    TrialStatus,
    utc_now,
)
from harness.store.results import ResultsStore
from harness.store.scores import are_accuracies, rank_trials

#: Auptimizer's types of a hyperparameter that are numbers.
_NUMBER_TYPES = ("int", "float")

#: What has trained an experiment that is no search, and reports it.
_COMMANDS = {
    ExperimentKind.TABLES: "harness tables",
    ExperimentKind.LEAKS: "harness leaks",
    ExperimentKind.REPLICATION: "harness replicate",
}

_NO_FAILURES = (TrialStatus.RUNNING, TrialStatus.FINISHED)


@dataclass(frozen=True)
class SearchedHyperparameter:
    """One hyperparameter of the search space.

    Attributes:
        low, high: bounds of a number; NaN for a choice
        choices: in the search space's order; empty for a number
        is_log: whether the logarithm was searched
    """

    name: str
    low: float
    high: float
    choices: tuple[str, ...]
    is_log: bool


@dataclass(frozen=True)
class Baseline:
    """The class that most of the scored utterances have: what a constant answer scores.

    Attributes:
        share: of the utterances, from 0 to 1
    """

    emotion: Emotion
    num_utterances: int
    share: float


@dataclass(frozen=True)
class Findings:
    """One experiment, and every opening of the test set that its results folder has seen.

    Attributes:
        trials: the latest attempt at each trial index, in order
        failures: every attempt that failed, latest first
        epochs: of each trial that has any, by trial_id
        best: the best finished trial
        predictions: its predictions on validation
        environment: what the best trial, or else the latest, ran in
        openings: of every experiment, oldest first
        test_predictions: by opening and kind of score, one sequence a seed
        test_utterances: by opening, of each utterance whether training had read its transcript; None where
            no word was said
        replication: the best trial's point with new seeds; None before it was trained again
        leaks: the best trial's point under leaking splits: on validation, and with the test session open
    """

    experiment: ExperimentRow
    trials: tuple[TrialRow, ...]
    failures: tuple[TrialRow, ...]
    epochs: Mapping[int, Sequence[EpochRecord]]
    best: TrialRow | None
    predictions: tuple[Prediction, ...]
    environment: TrialEnvironment | None
    final_models: tuple[FinalModel, ...]
    openings: tuple[TestOpeningRow, ...]
    test_predictions: Mapping[tuple[int, ScoreKind], Sequence[Sequence[Prediction]]]
    test_utterances: Mapping[int, Mapping[str, bool | None]]
    replication: Replication | None
    leaks: tuple[Leaks, ...]
    read_at: str

    @cached_property
    def finished(self) -> list[TrialRow]:
        """The finished trials, best first; of equals the lowest trial index first."""
        return rank_trials(self.trials, self.experiment.target)

    def count(self, status: TrialStatus) -> int:
        """Count the trials whose latest attempt has that status."""
        return sum(trial.status is status for trial in self.trials)

    @property
    def is_running(self) -> bool:
        """Whether the search has not ended."""
        return self.experiment.status is ExperimentStatus.RUNNING

    @property
    def scores_are_accuracies(self) -> bool:
        """Whether scores are validation accuracies, as those of the package's own trials are."""
        return are_accuracies(self.experiment)

    @property
    def is_synthetic_only(self) -> bool:
        """Whether neither the experiment nor any opening of the test set concerns recordings of people."""
        return self.experiment.is_synthetic and all(opening.is_synthetic for opening in self.openings)

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol's choices by name."""
        choices = json.loads(self.experiment.protocol)
        return choices if isinstance(choices, dict) else {}

    @cached_property
    def baseline(self) -> Baseline | None:
        """The largest class of the validation utterances; None before a trial has predicted them."""
        return find_baseline(self.predictions)

    @cached_property
    def test_intervals(self) -> dict[tuple[int, ScoreKind], tuple[Interval, ...]]:
        """Of weighted accuracy, unweighted accuracy and macro F1, in this order, by opening and kind of score."""
        metrics = (weighted_accuracy_of, unweighted_accuracy_of, macro_f1_of)
        return {
            key: tuple(bootstrap_intervals(predictions, metrics))
            for key, predictions in self.test_predictions.items()
        }

    @cached_property
    def scored_opening(self) -> ScoredOpening | None:
        """The opening that speaks for the experiment's model, and what it scored; None before there is one."""
        found = find_scored_opening(self.openings, self.experiment.eid)
        if found is None:
            return None
        number = found.opening.opening_id
        predictions = {kind: seeds for (known, kind), seeds in self.test_predictions.items() if known == number}
        return assess_opening(found, predictions, self.test_utterances.get(number, {}))

    @cached_property
    def search_space(self) -> list[SearchedHyperparameter]:
        """What was searched, in the search space's order."""
        entries = json.loads(self.experiment.search_space)
        named = [entry for entry in entries if isinstance(entry, dict) and "name" in entry]
        return [_read_hyperparameter(entry, self.trials) for entry in named]


def find_baseline(predictions: Sequence[Prediction]) -> Baseline | None:
    """Return the largest class of what was predicted, by what the raters said; None of nothing."""
    counts = Counter(prediction.emotion for prediction in predictions)
    if not counts:
        return None
    emotion, num_utterances = max(counts.items(), key=lambda item: (item[1], item[0]))
    return Baseline(emotion, num_utterances, num_utterances / counts.total())


def _read_hyperparameter(entry: Mapping[str, Any], trials: Sequence[TrialRow]) -> SearchedHyperparameter:
    name, bounds = str(entry["name"]), entry.get("range", [])
    tried = [trial.hyperparameters[name] for trial in trials if name in trial.hyperparameters]
    is_number = entry.get("type") in _NUMBER_TYPES and len(bounds) == 2
    if is_number and all(isinstance(value, int | float) for value in [*bounds, *tried]):
        # A resumed or foreign proposer may have left the bounds; every point must be on the axis.
        values = [float(value) for value in [*bounds, *tried] if value is not None]
        is_log = bool(entry.get("log")) and min(values) > 0
        return SearchedHyperparameter(name, min(values), max(values), (), is_log)
    choices = dict.fromkeys(str(value) for value in [*bounds, *tried])
    return SearchedHyperparameter(name, np.nan, np.nan, tuple(choices), False)


def read_findings(store: ResultsStore, eid: int | None) -> Findings:
    """Read what a report says of one experiment, all of one moment.

    Args:
        store: opened for reading
        eid: the experiment; None for the latest

    Raises:
        StoreError: no such experiment, one that is no search, or none at all
    """
    with store.snapshot():
        experiment = store.latest_experiment() if eid is None else store.experiment(eid)
        if experiment is None:
            raise StoreError(f"results database '{store.path}': holds no search yet; run aup first")
        _require_search(experiment)
        attempts = store.trials(experiment.eid)
        best = store.best_trial(experiment.eid)
        openings = tuple(store.openings())
        described = best or max(attempts, key=lambda trial: trial.trial_id, default=None)
        with_and_without = [read_leaks(store, experiment, opens_test=opens_test) for opens_test in (False, True)]
        failed = [trial for trial in attempts if trial.status not in _NO_FAILURES]
        return Findings(
            experiment=experiment,
            # Attempts come in order, so that the last of a trial index stays.
            trials=tuple({trial.trial_index: trial for trial in attempts}.values()),
            failures=tuple(sorted(failed, key=lambda trial: -trial.trial_id)),
            epochs=store.epochs_of(experiment.eid),
            best=best,
            predictions=() if best is None else tuple(store.validation_predictions(best.trial_id)),
            environment=None if described is None else store.environment(described.trial_id),
            final_models=tuple(store.final_models(experiment.eid)),
            openings=openings,
            test_predictions=_read_test_predictions(store, openings),
            test_utterances={found.opening_id: store.test_utterances(found.opening_id) for found in openings},
            replication=read_replication(store, experiment),
            leaks=tuple(found for found in with_and_without if found is not None),
            read_at=utc_now(),
        )


def _require_search(experiment: ExperimentRow) -> None:
    if experiment.kind is not ExperimentKind.SEARCH:
        raise StoreError(
            f"experiment {experiment.eid}, {experiment.name!r}: trainings of `{_COMMANDS[experiment.kind]}`, each with "
            f"its own split or seed; expected a search; `{_COMMANDS[experiment.kind]}` reports them"
        )


def _read_test_predictions(
    store: ResultsStore, openings: Sequence[TestOpeningRow]
) -> dict[tuple[int, ScoreKind], list[list[Prediction]]]:
    found: dict[tuple[int, ScoreKind], list[list[Prediction]]] = {}
    for opening in openings:
        for scores in opening.scores:
            predictions = store.test_predictions(opening.opening_id, scores.seed, scores.kind)
            if predictions:
                found.setdefault((opening.opening_id, scores.kind), []).append(predictions)
    return found
