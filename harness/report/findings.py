"""All values that a report is made of, read from results.db at one moment, also while the search runs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np

from harness.corpus.utterances import Emotion
from harness.errors import StoreError
from harness.scoring.assessment import (
    METRICS,
    ScoredOpening,
    assess_opening,
    draw_intervals,
    find_scored_opening,
    leading_score,
    read_predictions,
)
from harness.scoring.folds import FoldedScores, read_folded_scores
from harness.scoring.search import ExpectedBest, estimate_expected_best
from harness.scoring.significance import bootstrap_over_draws
from harness.scoring.statistics import Interval, Spread, bootstrap_intervals, mean_and_spread
from harness.splits.parts import LeakSplit
from harness.store.evaluations import read_evaluations
from harness.store.notes import TrialNote, read_notes
from harness.store.records import (
    EpochRecord,
    EvaluationRow,
    ExperimentKind,
    ExperimentRow,
    ExperimentStatus,
    Prediction,
    ScoreKind,
    TestOpeningRow,
    TrialEnvironment,
    TrialRow,
    TrialStatus,
    are_accuracies,
    find_trial,
    last_attempts,
    rank_trials,
    utc_now,
)
from harness.store.store import ResultsStore
from harness.tables.reproductions import StoredReproductions, read_stored


@dataclass(frozen=True)
class Replication:
    """The best trial of a search and what new seeds of its hyperparameters scored.

    Attributes:
        experiment: the replication's own
        best: the trial that was replicated
        num_trials: finished trials of the search, of which it is the best
        trials: the finished trainings with new seeds, at least one
        at_chosen_epoch: validation accuracies, from 0 to 1, after the best trial's own epoch, of the trainings that
            reached it
    """

    experiment: ExperimentRow
    best: TrialRow
    num_trials: int
    trials: tuple[TrialRow, ...]
    at_chosen_epoch: tuple[float, ...]

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
        """Accuracy of the best trial that its hyperparameters do not keep; negative where new seeds score more."""
        return self.best_score - self.spread.mean


def read_replication(store: ResultsStore, experiment: ExperimentRow) -> Replication | None:
    """Read the latest replication of a search's best trial.

    Returns:
        None where nothing of it has finished, or another trial has become the best since
    """
    for found, settings in reversed(list(_find_follow_ups(store, experiment, ExperimentKind.REPLICATION))):
        best = store.best_trial(experiment.eid)
        trials = [trial for trial in store.trials(found.eid) if trial.status is TrialStatus.FINISHED]
        if best is not None and settings.get("searched_trial") == best.trial_index and trials:
            num_trials = sum(trial.status is TrialStatus.FINISHED for trial in store.trials(experiment.eid))
            at_epoch = tuple(
                epoch.validation_accuracy
                for trial in trials
                for epoch in store.epochs(trial.trial_id)
                if epoch.epoch == best.best_epoch
            )
            return Replication(found, best, num_trials, tuple(trials), at_epoch)
    return None


def known_score(trial: TrialRow) -> float:
    """Return the score of a finished trial."""
    assert trial.score is not None, "a finished trial has a score"
    return trial.score


def trial_seconds(trial: TrialRow) -> float | None:
    """Return how long a trial took: as it says itself, or from its start to its end; None while it runs."""
    if trial.duration_seconds is not None or trial.ended_at is None:
        return trial.duration_seconds
    return _seconds_between(trial.started_at, trial.ended_at)


def _seconds_between(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _find_follow_ups(
    store: ResultsStore, experiment: ExperimentRow, kind: ExperimentKind
) -> Iterator[tuple[ExperimentRow, dict[str, Any]]]:
    """Yield the experiments that trained the best hyperparameters again, oldest first, each with its settings."""
    for found in store.experiments():
        if found.kind is kind:
            settings = json.loads(found.settings)
            if isinstance(settings, dict) and settings.get("searched_eid") == experiment.eid:
                yield found, settings


@dataclass(frozen=True)
class LeakGain:
    """The gain of one split over another, on the same utterances.

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
    """The score of the best hyperparameters under one split.

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
        trial_index: of the searched trial whose hyperparameters were trained
        protocol_name: of the search, whose choices beside the split hold under every split
        opens_test: whether utterances of the test session were scored and trained on
        seeds: those that finished under every split, each with another draw of what is scored
        num_scored: utterances, over all draws
        num_train: of each split, fewest and most over the draws
    """

    trial_index: int
    protocol_name: str
    opens_test: bool
    is_synthetic: bool
    seeds: tuple[int, ...]
    num_scored: int
    num_train: tuple[int, int]
    scores: tuple[LeakScore, ...]


def read_leaks(store: ResultsStore, experiment: ExperimentRow, *, opens_test: bool = False) -> Leaks | None:
    """Read what the best trial's hyperparameters scored under each split.

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
        protocol_name=experiment.protocol_name,
        opens_test=opens_test,
        is_synthetic=experiment.is_synthetic,
        seeds=tuple(seeds),
        num_scored=sum(len(predictions[LeakSplit.RANDOM][seed]) for seed in seeds),
        num_train=(min(sizes, default=0), max(sizes, default=0)),
        scores=_score(predictions, seeds),
    )


_Predictions = Mapping[int, tuple[Prediction, ...]]


def _read_predictions(store: ResultsStore, eid: int, opens_test: bool) -> dict[int, tuple[Prediction, ...]]:
    """Read what was predicted with each seed that has finished."""
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
    splits = list(LeakSplit)
    strictest = predictions[splits[-1]]
    scores = []
    for split, next_split in zip(splits, [*splits[1:], None], strict=True):
        of_split = predictions[split]
        scores.append(
            LeakScore(
                split=split,
                # An utterance that two draws score counts twice.
                accuracy=_accuracy([each for seed in seeds for each in of_split[seed]]),
                spread=mean_and_spread([_accuracy(of_split[seed]) for seed in seeds]),
                above_strictest=None if next_split is None else _gain(of_split, strictest, seeds),
                above_next=None if next_split is None else _gain(of_split, predictions[next_split], seeds),
            )
        )
    return tuple(scores)


def _gain(first: _Predictions, second: _Predictions, seeds: list[int]) -> LeakGain:
    paired = bootstrap_over_draws([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    of_draws = [_accuracy(first[seed]) - _accuracy(second[seed]) for seed in seeds]
    return LeakGain(paired.difference, paired.interval, mean_and_spread(of_draws))


def _accuracy(predictions: Sequence[Prediction]) -> float:
    return float(np.mean([each.emotion == each.predicted for each in predictions]))


#: Auptimizer's types of a hyperparameter that are numbers.
_NUMBER_TYPES = ("int", "float")
#: Finished trials below which the best score to expect of them is not estimated.
MIN_TRIALS_OF_CURVE = 3
#: Most by which a script's score may differ from the accuracy that it is. A choice: scripts print four digits or more.
_PRINTED_DIGITS = 1e-4


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

    @property
    def has_one_value(self) -> bool:
        """True where there is nothing to search."""
        return len(self.choices) == 1 or self.low == self.high


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
    """One experiment, and every test evaluation of its results folder.

    Attributes:
        trials: the latest attempt at each trial index, in order
        failures: every attempt that failed, latest first
        epochs: of each trial that has any, by trial_id
        best: the best finished trial
        predictions: its predictions on validation
        environment: what the best trial, or else the latest, ran in
        openings: of every experiment, oldest first
        test_predictions: by test evaluation and kind of score, one sequence a seed
        test_utterances: by test evaluation, of each utterance whether training had read its transcript; None where
            no word was said
        evaluations: of the experiment's saved models on other corpora, oldest first
        replication: the best trial's hyperparameters with new seeds; None before it was trained again
        leaks: the best trial's hyperparameters under leaking splits: on validation, and with the test session open
        folds: every fold of the experiment that the search is one of; None for a whole experiment
        notes: on the trials, by trial index, in the order in which they were written
        compared: the systems that the paper compares with, where `harness tables` has trained any in the results folder
        counts_pruned: whether the best validation accuracy that a pruned trial came to stands for its score
    """

    experiment: ExperimentRow
    trials: tuple[TrialRow, ...]
    failures: tuple[TrialRow, ...]
    epochs: Mapping[int, Sequence[EpochRecord]]
    best: TrialRow | None
    predictions: tuple[Prediction, ...]
    environment: TrialEnvironment | None
    openings: tuple[TestOpeningRow, ...]
    test_predictions: Mapping[tuple[int, ScoreKind], Sequence[Sequence[Prediction]]]
    test_utterances: Mapping[int, Mapping[str, bool | None]]
    evaluations: tuple[EvaluationRow, ...]
    replication: Replication | None
    leaks: tuple[Leaks, ...]
    read_at: str
    folds: FoldedScores | None = None
    compared: StoredReproductions | None = None
    notes: tuple[TrialNote, ...] = ()
    counts_pruned: bool = False

    @cached_property
    def finished(self) -> list[TrialRow]:
        """The finished trials, best first; of equals the lowest trial index first."""
        return rank_trials(self.trials, self.experiment.target)

    @cached_property
    def counted(self) -> tuple[TrialRow, ...]:
        """The trials in order; a pruned one has the accuracy that it came to as its score where it counts."""
        if not self.counts_pruned:
            return self.trials
        return tuple(
            replace(trial, score=trial.best_validation_accuracy) if trial.status is TrialStatus.PRUNED else trial
            for trial in self.trials
        )

    @cached_property
    def ranked(self) -> list[TrialRow]:
        """The finished trials, and the pruned ones where they count, as ``finished`` orders them."""
        return rank_trials(self.counted, self.experiment.target)

    def ranked_with(self, searched: SearchedHyperparameter) -> list[TrialRow]:
        """Return those of ``ranked`` that have the hyperparameter."""
        return [trial for trial in self.ranked if searched.name in trial.hyperparameters]

    def count(self, status: TrialStatus) -> int:
        """Count the trials whose latest attempt has that status."""
        return sum(trial.status is status for trial in self.trials)

    @property
    def num_pruned(self) -> int:
        """Trials that early stopping ended; they have no score."""
        return self.count(TrialStatus.PRUNED)

    @property
    def is_running(self) -> bool:
        """True until the search has ended."""
        return self.experiment.status is ExperimentStatus.RUNNING

    @property
    def scores_are_accuracies(self) -> bool:
        """True if scores are validation accuracies, as those of the package's own trials are."""
        return are_accuracies(self.experiment)

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol's choices by name."""
        choices = json.loads(self.experiment.protocol)
        return choices if isinstance(choices, dict) else {}

    @property
    def leading_score(self) -> str:
        """The score on the test set that leads in what is printed, of ``METRICS``."""
        return leading_score(self.protocol)

    @property
    def attempts(self) -> list[TrialRow]:
        """Every known attempt in the order of the trials: the latest of each, and all that failed."""
        attempts = {trial.trial_id: trial for trial in (*self.trials, *self.failures)}
        return sorted(attempts.values(), key=lambda trial: (trial.trial_index, trial.attempt))

    @property
    def seconds_in_all(self) -> float | None:
        """Wall time from the experiment's beginning to its end; None while it runs."""
        ended = self.experiment.ended_at
        return None if ended is None else _seconds_between(self.experiment.created_at, ended)

    @cached_property
    def expected_best(self) -> ExpectedBest | None:
        """The best score to expect of so many finished trials; None of fewer than ``MIN_TRIALS_OF_CURVE``.

        Pruned trials never count: the estimate is of independent trials that all train to their ends.
        """
        if len(self.finished) < MIN_TRIALS_OF_CURVE:
            return None
        scores = np.array([trial.score for trial in self.finished], dtype=np.float64)
        bounds = (0.0, 1.0) if self.scores_are_accuracies else None
        return estimate_expected_best(scores, self.experiment.target, bounds)

    @cached_property
    def baseline(self) -> Baseline | None:
        """The largest class of the validation utterances; None before a trial has predicted them."""
        return find_baseline(self.predictions)

    @cached_property
    def test_intervals(self) -> dict[tuple[int, ScoreKind], tuple[Interval, ...]]:
        """Of each of ``METRICS``, in its order, by test evaluation and kind of score."""
        scored = self.scored_opening
        found = {}
        if scored is not None:
            # Drawn already, from the same draws.
            assessed = (scored.opening.opening_id, scored.assessment.kind)
            found[assessed] = tuple(score.interval for score in scored.assessment.scores)
        for key, predictions in self.test_predictions.items():
            if key not in found:
                found[key] = tuple(bootstrap_intervals(predictions, list(METRICS.values())))
        return found

    @cached_property
    def evaluation_intervals(self) -> dict[int, tuple[Interval, ...]]:
        """Of each of ``METRICS``, in its order, by evaluation on another corpus."""
        return {evaluation.evaluation_id: draw_intervals(evaluation) for evaluation in self.evaluations}

    @cached_property
    def scored_opening(self) -> ScoredOpening | None:
        """The test evaluation that counts for the experiment's model, and its scores; None before there is one."""
        found = find_scored_opening(self.openings, self.experiment.eid)
        if found is None:
            return None
        number = found.opening.opening_id
        predictions = {kind: seeds for (known, kind), seeds in self.test_predictions.items() if known == number}
        system, trial = self.experiment.name_model(found.model, self.trials), find_trial(found.model, self.trials)
        is_seen, temperature = self.test_utterances.get(number, {}), None if trial is None else trial.temperature
        return assess_opening(found, predictions, is_seen, self.leading_score, system, temperature)

    @cached_property
    def search_space(self) -> list[SearchedHyperparameter]:
        """The hyperparameters that were searched, in the search space's order."""
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
        # A resumed or foreign proposer may have left the bounds; every trial must be on the axis.
        values = [float(value) for value in [*bounds, *tried] if value is not None]
        is_log = bool(entry.get("log")) and min(values) > 0
        return SearchedHyperparameter(name, min(values), max(values), (), is_log)
    choices = dict.fromkeys(str(value) for value in [*bounds, *tried])
    return SearchedHyperparameter(name, np.nan, np.nan, tuple(choices), False)


def read_findings(store: ResultsStore, eid: int | None, counts_pruned: bool = False) -> Findings:
    """Read what a report says of one experiment, all of one moment.

    Args:
        store: opened for reading
        eid: the experiment; None for the latest
        counts_pruned: as ``Findings`` has it

    Raises:
        StoreError: no such experiment, one that is no search, or none at all; or pruned trials would count beside
            scores that are no accuracies
    """
    with store.snapshot():
        experiment = store.latest_experiment() if eid is None else store.experiment(eid)
        if experiment is None:
            raise StoreError(f"results database '{store.path}': holds no search yet; run aup first")
        _require_search(experiment)
        attempts = store.trials(experiment.eid)
        if counts_pruned:
            _require_accuracies(experiment, attempts)
        best = store.best_trial(experiment.eid)
        openings = tuple(store.openings())
        described = best or max(attempts, key=lambda trial: trial.trial_id, default=None)
        with_and_without = [read_leaks(store, experiment, opens_test=opens_test) for opens_test in (False, True)]
        failed = [trial for trial in attempts if trial.status.is_failure]
        folded = store.folded(experiment)
        return Findings(
            experiment=experiment,
            trials=tuple(last_attempts(attempts)),
            failures=tuple(sorted(failed, key=lambda trial: -trial.trial_id)),
            epochs=store.epochs_of(experiment.eid),
            best=best,
            predictions=() if best is None else tuple(store.validation_predictions(best.trial_id)),
            environment=None if described is None else store.environment(described.trial_id),
            openings=openings,
            test_predictions=_read_test_predictions(store, openings),
            test_utterances={found.opening_id: store.test_utterances(found.opening_id) for found in openings},
            evaluations=tuple(read_evaluations(store, experiment.eid)),
            replication=read_replication(store, experiment),
            leaks=tuple(found for found in with_and_without if found is not None),
            read_at=utc_now(),
            folds=None if folded is None else read_folded_scores(store, folded),
            compared=read_stored(store),
            notes=tuple(read_notes(store, experiment.eid)),
            counts_pruned=counts_pruned,
        )


def _require_search(experiment: ExperimentRow) -> None:
    if experiment.kind is not ExperimentKind.SEARCH:
        raise StoreError(
            f"experiment {experiment.eid}, {experiment.name!r}: trainings of `{experiment.kind.command}`, each with "
            f"its own split or seed; expected a search; `{experiment.kind.command}` reports them"
        )


def _require_accuracies(experiment: ExperimentRow, trials: Sequence[TrialRow]) -> None:
    """Refuse to set a pruned trial's accuracy beside a user's own scores that are none."""
    if are_accuracies(experiment) or all(trial.status is not TrialStatus.PRUNED for trial in trials):
        return
    for trial in trials:
        best = math.nan if trial.best_validation_accuracy is None else trial.best_validation_accuracy
        if trial.score is not None and not math.isclose(trial.score, best, abs_tol=_PRINTED_DIGITS):
            raise StoreError(
                f"experiment {experiment.eid}, {experiment.name!r}: trial {trial.trial_index} has the score "
                f"{trial.score:.4g}, and the best validation accuracy of its epochs is {best:.4g}; expected the same, "
                "or a pruned trial's accuracy cannot stand for its score; leave out --pruned"
            )


def _read_test_predictions(
    store: ResultsStore, openings: Sequence[TestOpeningRow]
) -> dict[tuple[int, ScoreKind], list[list[Prediction]]]:
    return {
        (opening.opening_id, kind): seeds
        for opening in openings
        for kind, seeds in read_predictions(store, opening).items()
    }
