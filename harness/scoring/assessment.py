"""The assessment of a model by its latest test evaluation, or on another corpus: scores, classes, baselines, scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.corpus.utterances import CLASSES, Emotion
from harness.scoring.breakdown import ALL, GroupScore, divide, score_groups
from harness.scoring.calibration import (
    Calibration,
    average_probabilities,
    measure_calibration,
    scale_predictions,
)
from harness.scoring.metrics import (
    confusion_matrix,
    f1s_of,
    macro_f1_of,
    precisions_of,
    predicted_classes,
    recalls_of,
    unweighted_accuracy_of,
    weighted_accuracy_of,
)
from harness.scoring.scenes import ScenePair, pair_scenes
from harness.scoring.significance import McNemar, PairedBootstrap, mcnemar_test, paired_bootstrap
from harness.scoring.statistics import (
    Interval,
    Metric,
    Seeds,
    Spread,
    bootstrap_interval,
    bootstrap_intervals,
    dialogue_of,
    mean_and_spread,
)
from harness.splits.protocol import Scenes
from harness.store.records import (
    BASELINE_PREFIX,
    EvaluationRow,
    Prediction,
    ScoreKind,
    TestOpeningRow,
    TestScores,
    find_trial,
)
from harness.store.store import ResultsStore

#: Each score by its name, and how to get it from matrices of counts.
METRICS: Mapping[str, Metric] = {
    "weighted accuracy": weighted_accuracy_of,
    "unweighted accuracy": unweighted_accuracy_of,
    "macro F1": macro_f1_of,
}

#: Those of ``METRICS`` in which the model is compared with baselines.
ACCURACIES = ("weighted accuracy", "unweighted accuracy")

#: The kinds of scores whose probabilities have the temperature of their trial.
_WITH_TEMPERATURE = (ScoreKind.VALIDATION_CHOSEN, ScoreKind.SCENES_LEFT_OUT)

#: The score that leads where scenes are disjoint.
_LEADS_WITHOUT_SCENES = "unweighted accuracy"


def name_baseline(kind: ScoreKind) -> str:
    """Return the name of the baseline whose scores are of that kind.

    Example:
        >>> name_baseline(ScoreKind.BASELINE_MAJORITY)
        'majority class'
    """
    return kind.removeprefix(BASELINE_PREFIX)


@dataclass(frozen=True)
class Score:
    """One score of the model, from 0 to 1.

    Attributes:
        values: of each seed
        averaged: of the seeds' averaged probabilities
    """

    name: str
    values: tuple[float, ...]
    spread: Spread
    interval: Interval
    averaged: float


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class, over the seeds for which each number is defined; NaN where it is for none.

    Attributes:
        precision: undefined for a seed that never predicts the class
        recall_interval: of the recall
    """

    emotion: Emotion
    num_utterances: int
    precision: Spread
    recall: Spread
    recall_interval: Interval
    f1: Spread


@dataclass(frozen=True)
class BaselineComparison:
    """The model beside a baseline, on the same utterances.

    Attributes:
        weighted_accuracy, unweighted_accuracy: of the baseline, over its seeds
        paired: difference of each of these accuracies, by its name in ``METRICS``, each the mean over its seeds
        mcnemar: of the answers by averaged probabilities, the model first
    """

    kind: ScoreKind
    weighted_accuracy: Spread
    unweighted_accuracy: Spread
    paired: Mapping[str, PairedBootstrap]
    mcnemar: McNemar


@dataclass(frozen=True)
class Calibrated:
    """The calibration of one set of probabilities, and whose they are: the model's or a baseline's."""

    kind: ScoreKind
    calibration: Calibration

    @property
    def name(self) -> str:
        """In words."""
        return name_baseline(self.kind) if self.kind.is_baseline else "the model"


@dataclass(frozen=True)
class Assessment:
    """The scores of the model, broken down.

    Attributes:
        kind: who chose the epoch that was scored
        leading: the score that leads in what is printed, of ``METRICS``: the intervals of groups and the comparisons
            are of it
        scores: in the order of ``METRICS``
        groups: each with the interval of its leading score
        confusion: float64 (4, 4), mean over the seeds of the counts, rows what the raters said
        calibrations: of the averaged probabilities first, then of each baseline
        seed_calibrations: of each seed
        temperature: that the model's probabilities have; None where they have none
        uncalibrated: as ``calibrations`` and ``seed_calibrations`` of the model, before the temperature was applied:
            of the averaged probabilities, then of each seed; empty without a temperature
        scenes: of the probes, and of the model where it was trained without the scored scenes too; empty where none
            was scored
        num_without_words: utterances without a transcript that could have been seen
    """

    kind: ScoreKind
    leading: str
    num_seeds: int
    num_utterances: int
    num_dialogues: int
    scores: tuple[Score, ...]
    classes: tuple[ClassScore, ...]
    groups: tuple[tuple[GroupScore, Interval], ...]
    confusion: np.ndarray
    comparisons: tuple[BaselineComparison, ...]
    calibrations: tuple[Calibrated, ...]
    seed_calibrations: tuple[Calibration, ...]
    scenes: tuple[ScenePair, ...]
    num_without_words: int
    temperature: float | None = None
    uncalibrated: tuple[Calibration, ...] = ()

    @property
    def leading_first(self) -> list[Score]:
        """The scores in the order in which they are printed."""
        return sorted(self.scores, key=lambda score: score.name != self.leading)

    @property
    def has_disjoint_scenes(self) -> bool:
        """Whether the model's own scores are those of models that have not read the scored scenes."""
        return self.leading == _LEADS_WITHOUT_SCENES

    @property
    def drawn(self) -> str:
        """The units that the bootstrap draws from the test set: ``"dialogues"`` or ``"utterances"``."""
        return self.scores[0].interval.drawn


def leading_score(protocol: Mapping[str, Any]) -> str:
    """Return the score that leads under a protocol, as JSON has it, of ``ACCURACIES``.

    Where scenes are disjoint it is unweighted accuracy: with a scene left out a training set holds other shares of the
    classes than the test set.
    """
    is_disjoint = protocol.get("scenes") == Scenes.DISJOINT
    return _LEADS_WITHOUT_SCENES if is_disjoint else "weighted accuracy"


def assess(
    kind: ScoreKind,
    predictions: Mapping[ScoreKind, Seeds],
    is_seen: Mapping[str, bool | None],
    leading: str = "weighted accuracy",
    temperature: float | None = None,
) -> Assessment:
    """Assess the model by the predictions of one test evaluation.

    Args:
        kind: of the model's scores, a key of ``predictions``
        predictions: of that evaluation, those of the baselines and of the probes among them
        is_seen: as ``test_utterances`` of the store returns it
        leading: of ``ACCURACIES``
        temperature: that the model's predictions have

    Raises:
        ShapeError: no predictions, or the seeds or baselines scored different utterances
    """
    model, metric = predictions[kind], METRICS[leading]
    averaged = average_probabilities(model)
    confusions = _confusions(model)
    baselines = [found for found in ScoreKind if found.is_baseline and found in predictions]
    by_average = {found: average_probabilities(predictions[found]) for found in baselines}
    recalls = [_recall_of(number) for number in range(len(CLASSES))]
    intervals = bootstrap_intervals(model, [*METRICS.values(), *recalls])
    return Assessment(
        kind=kind,
        leading=leading,
        num_seeds=len(model),
        num_utterances=len(model[0]),
        num_dialogues=len({dialogue_of(prediction.utterance_id) for prediction in model[0]}),
        scores=tuple(
            _score(name, confusions, averaged, interval)
            for name, interval in zip(METRICS, intervals, strict=False)
        ),
        classes=tuple(
            _score_class(number, confusions, interval)
            for number, interval in enumerate(intervals[len(METRICS) :])
        ),
        groups=_score_groups(model, is_seen, metric),
        confusion=np.asarray(confusions.mean(axis=0)),
        comparisons=tuple(
            BaselineComparison(
                found,
                _spread(weighted_accuracy_of(_confusions(predictions[found]))),
                _spread(unweighted_accuracy_of(_confusions(predictions[found]))),
                {name: paired_bootstrap(model, predictions[found], metric=METRICS[name]) for name in ACCURACIES},
                mcnemar_test(averaged, by_average[found]),
            )
            for found in baselines
        ),
        calibrations=tuple(
            Calibrated(found, measure_calibration(answers)) for found, answers in {kind: averaged, **by_average}.items()
        ),
        seed_calibrations=tuple(measure_calibration(of_seed) for of_seed in model),
        scenes=pair_scenes(kind, predictions),
        num_without_words=sum(seen is None for seen in is_seen.values()),
        temperature=temperature,
        uncalibrated=() if temperature is None else _undo_temperature(model, temperature),
    )


def _undo_temperature(model: Seeds, temperature: float) -> tuple[Calibration, ...]:
    before = [scale_predictions(of_seed, 1.0 / temperature) for of_seed in model]
    return tuple(map(measure_calibration, [average_probabilities(before), *before]))


def _score(name: str, confusions: np.ndarray, averaged: Sequence[Prediction], interval: Interval) -> Score:
    values = METRICS[name](confusions)
    return Score(
        name=name,
        values=tuple(float(value) for value in values),
        spread=_spread(values),
        interval=interval,
        averaged=float(METRICS[name](_confusions([averaged]))[0]),
    )


def _score_class(number: int, confusions: np.ndarray, recall_interval: Interval) -> ClassScore:
    return ClassScore(
        emotion=CLASSES[number],
        num_utterances=int(confusions[0, number].sum()),
        precision=_spread(precisions_of(confusions)[:, number]),
        recall=_spread(recalls_of(confusions)[:, number]),
        recall_interval=recall_interval,
        f1=_spread(f1s_of(confusions)[:, number]),
    )


def _recall_of(number: int) -> Metric:
    return lambda confusions: recalls_of(confusions)[..., number]


def _score_groups(
    model: Seeds, is_seen: Mapping[str, bool | None], metric: Metric
) -> tuple[tuple[GroupScore, Interval], ...]:
    known = {name: seen for name, seen in is_seen.items() if seen is not None}
    parts = [divide(of_seed, known) for of_seed in model]
    return tuple(
        (score, bootstrap_interval([part[score.group] for part in parts], metric))
        for score in score_groups(model, known)
        if score.group != ALL
    )


def _confusions(seeds: Seeds) -> np.ndarray:
    """Return int64 (num_seeds, 4, 4)."""
    return np.stack([confusion_matrix(*predicted_classes(of_seed)) for of_seed in seeds])


def _spread(values: np.ndarray) -> Spread:
    known = [float(value) for value in values if not np.isnan(value)]
    if not known:
        return Spread(np.nan, np.nan, np.nan, np.nan, 0)
    # Sorted, so that the order of the seeds changes no last bit.
    return mean_and_spread(sorted(known))


@dataclass(frozen=True)
class FoundOpening:
    """The test evaluation by which a model is assessed.

    Attributes:
        kind: who chose the epoch that was scored there
        other_ids: of the experiment's other evaluations that scored a model of one of these seeds, oldest first
    """

    opening: TestOpeningRow
    kind: ScoreKind
    other_ids: tuple[int, ...]

    @property
    def model(self) -> str | None:
        """The folder of the saved model, as ``TestScores`` has it."""
        return next((score.model for score in self.opening.scores if score.kind is self.kind), None)


@dataclass(frozen=True)
class ScoredOpening:
    """One test evaluation, and the assessment of the model by it.

    Attributes:
        other_ids: as those of ``FoundOpening``
        system: of the model, with its context; empty where it is not known
    """

    opening: TestOpeningRow
    assessment: Assessment
    other_ids: tuple[int, ...] = ()
    system: str = ""

    @property
    def was_open_in_training(self) -> bool:
        """True where the test session was open while the models trained: it scored their every epoch."""
        return any(score.kind is ScoreKind.TEST_MAXIMUM for score in self.opening.scores)


def find_scored_opening(
    openings: Sequence[TestOpeningRow], eid: int, model: str | None = None, opening_id: int | None = None
) -> FoundOpening | None:
    """Find the latest test evaluation of an experiment's model, and who chose the epoch scored there.

    An evaluation of the model itself goes before later ones of its variants.

    Args:
        openings: oldest first
        model: folder of the saved model whose scores count, as ``TestScores`` has it; None for whichever
        opening_id: of the one evaluation that counts; None for the latest
    """
    counted = [opening for opening in openings if opening_id in (None, opening.opening_id)]
    for wanted in ((ScoreKind.VALIDATION_CHOSEN,), tuple(ScoreKind)):
        for opening in reversed(counted):
            scored = _scores_of(opening, eid, model)
            kinds = [kind for kind in wanted if any(score.kind is kind for score in scored)]
            if kinds:
                kind = kinds[0]
                of_kind = {score.seed for score in scored if score.kind is kind}
                seeds = set(opening.seeds) if kind.is_mean_of_models else of_kind
                others = [
                    other.opening_id
                    for other in openings
                    if other is not opening and any(score.seed in seeds for score in _scores_of(other, eid, None))
                ]
                # An ensemble's evaluation has scores of the same kind of other trials' models.
                own = [score for score in opening.scores if score.kind is not kind or model in (None, score.model)]
                return FoundOpening(replace(opening, scores=tuple(own)), kind, tuple(others))
    return None


def _scores_of(opening: TestOpeningRow, eid: int, model: str | None) -> list[TestScores]:
    if opening.eid != eid:
        return []
    of_model = [score for score in opening.scores if score.kind.is_of_model]
    return [score for score in of_model if model is None or score.model == model]


def assess_opening(
    found: FoundOpening | None,
    predictions: Mapping[ScoreKind, Seeds],
    is_seen: Mapping[str, bool | None],
    leading: str,
    system: str = "",
    temperature: float | None = None,
) -> ScoredOpening | None:
    """Assess the model by a test evaluation; None where no prediction of it is on record.

    Models that were trained without the scored scenes for ``--scenes`` are assessed by unweighted accuracy, and beside
    the probes alone: the baselines, and the transcripts seen, are of all training utterances there.

    Args:
        predictions, is_seen: of that evaluation
        leading, temperature: as ``assess``
        system: as ``ScoredOpening`` has it
    """
    if found is None or not predictions.get(found.kind):
        return None
    if found.kind is ScoreKind.SCENES_LEFT_OUT:
        predictions = {kind: seeds for kind, seeds in predictions.items() if not kind.is_baseline}
        is_seen, leading = {}, _LEADS_WITHOUT_SCENES
    if found.kind not in _WITH_TEMPERATURE:
        temperature = None
    assessment = assess(found.kind, predictions, is_seen, leading, temperature)
    return ScoredOpening(found.opening, assessment, found.other_ids, system)


def read_scored_opening(
    results: ResultsStore, eid: int, model: str | None = None, opening_id: int | None = None
) -> ScoredOpening | None:
    """Read the latest test evaluation of an experiment's model, or that of a number, and assess the model by it.

    Args:
        model, opening_id: as ``find_scored_opening``
    """
    found = find_scored_opening(results.openings(), eid, model, opening_id)
    if found is None:
        return None
    predictions = read_predictions(results, found.opening)
    experiment = results.experiment(eid)
    trials = results.trials(eid)
    system, trial = experiment.name_model(found.model, trials), find_trial(found.model, trials)
    temperature = None if trial is None else trial.temperature
    is_seen = results.test_utterances(found.opening.opening_id)
    leading = leading_score(json.loads(experiment.protocol))
    return assess_opening(found, predictions, is_seen, leading, system, temperature)


def read_predictions(results: ResultsStore, opening: TestOpeningRow) -> dict[ScoreKind, list[list[Prediction]]]:
    """Read the predictions of a test evaluation by kind of score, a sequence for each seed that has any."""
    predictions: dict[ScoreKind, list[list[Prediction]]] = {}
    for scores in opening.scores:
        of_seed = results.test_predictions(opening.opening_id, scores.seed, scores.kind)
        if of_seed:
            predictions.setdefault(scores.kind, []).append(of_seed)
    return predictions


@dataclass(frozen=True)
class ScoredEvaluation:
    """An evaluation on another corpus, and the assessment of the model by it."""

    evaluation: EvaluationRow
    assessment: Assessment


def assess_evaluation(evaluation: EvaluationRow) -> ScoredEvaluation:
    """Assess a model by an evaluation on another corpus: the same numbers, drawn in the same way, as of a test set."""
    predictions: dict[ScoreKind, list[Sequence[Prediction]]] = {}
    for score in evaluation.scores:
        predictions.setdefault(score.kind, []).append(score.predictions)
    return ScoredEvaluation(evaluation, assess(evaluation.of_model[0].kind, predictions, evaluation.is_seen))


def draw_intervals(evaluation: EvaluationRow) -> tuple[Interval, ...]:
    """Return the interval of each of ``METRICS``, in its order, without the rest of ``assess_evaluation``."""
    return tuple(bootstrap_intervals([score.predictions for score in evaluation.of_model], [*METRICS.values()]))
