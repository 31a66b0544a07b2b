"""Our numbers beside those of scikit-learn, SciPy, statsmodels, pandas and opda, on random inputs.

The random inputs are small and many, so that classes are absent, ties are frequent and whole groups are right or wrong.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from opda.nonparametric import EmpiricalDistribution
from scipy import stats
from sklearn import metrics as sklearn_metrics
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.frozen import FrozenEstimator
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from harness.corpus.utterances import CLASSES
from harness.scoring.calibration import NUM_BINS, apply_temperature, fit_temperature, measure_calibration
from harness.scoring.metrics import (
    character_error_rate,
    confusion_matrix,
    f1s_of,
    macro_f1,
    macro_f1_of,
    precisions_of,
    recalls_of,
    unweighted_accuracy,
    unweighted_accuracy_of,
    weighted_accuracy,
    weighted_accuracy_of,
)
from harness.scoring.search import estimate_expected_best, mean_ranks, rank_correlation
from harness.scoring.significance import exact_p_value, mcnemar_test, paired_bootstrap
from harness.scoring.statistics import (
    Metric,
    bootstrap_error,
    bootstrap_interval,
    mean_and_spread,
    wilson_interval,
)
from harness.store.records import Prediction
from tests.scored import name_utterance

LABELS = range(len(CLASSES))


def draw_answers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Between 1 and 40 utterances; more than half of the draws lack a class among what is true, or what is said."""
    generator = np.random.default_rng(seed)
    size = int(generator.choice([1, 2, 3, 5, 10, 20, 40]))
    true_classes, said = (generator.permutation(4)[: generator.integers(1, 5)] for _ in range(2))
    emotions = generator.choice(true_classes, size)
    predicted = np.where(generator.random(size) < generator.random(), emotions, generator.choice(said, size))
    return emotions, predicted


ANSWERS = [draw_answers(seed) for seed in range(60)]


def test_the_random_answers_hold_the_edge_cases() -> None:
    is_absent = [set(emotions) != set(LABELS) for emotions, _ in ANSWERS]
    is_said_alone = [bool(set(predicted) - set(emotions)) for emotions, predicted in ANSWERS]
    is_one_class = [len(set(emotions)) == 1 for emotions, _ in ANSWERS]
    is_never_right = [not (emotions == predicted).any() for emotions, predicted in ANSWERS]
    for cases in (is_absent, is_said_alone, is_one_class, is_never_right):
        assert 2 <= sum(cases) < len(ANSWERS)


def test_confusion_matrices_are_those_of_scikit_learn() -> None:
    for emotions, predicted in ANSWERS:
        expected = sklearn_metrics.confusion_matrix(emotions, predicted, labels=LABELS)
        np.testing.assert_array_equal(confusion_matrix(emotions, predicted), expected)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (weighted_accuracy, sklearn_metrics.accuracy_score),
        (unweighted_accuracy, sklearn_metrics.balanced_accuracy_score),
        (macro_f1, lambda *answers: sklearn_metrics.f1_score(*answers, average="macro")),
    ],
    ids=["weighted accuracy", "unweighted accuracy", "macro F1"],
)
def test_scores_are_those_of_scikit_learn(
    ours: Callable[..., float], theirs: Callable[..., float]
) -> None:
    for answers in ANSWERS:
        assert ours(*answers) == pytest.approx(theirs(*answers), abs=1e-12), answers


def test_scores_of_each_class_are_those_of_scikit_learn() -> None:
    for emotions, predicted in ANSWERS:
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
            emotions, predicted, labels=LABELS, zero_division=np.nan
        )
        confusion = confusion_matrix(emotions, predicted)
        np.testing.assert_allclose(recalls_of(confusion_matrix(emotions, predicted)), recall, atol=1e-12)
        np.testing.assert_allclose(precisions_of(confusion), precision, atol=1e-12)
        np.testing.assert_allclose(f1s_of(confusion), f1, atol=1e-12)


@pytest.mark.parametrize("num_utterances", [1, 2, 3, 10, 57, 1098])
def test_wilson_intervals_are_those_of_scipy_and_statsmodels(num_utterances: int) -> None:
    for num_right in {*range(0, num_utterances + 1, max(1, num_utterances // 20)), num_utterances}:
        found = wilson_interval(num_right, num_utterances)
        of_scipy = stats.binomtest(num_right, num_utterances).proportion_ci(method="wilson")
        assert found == pytest.approx((of_scipy.low, of_scipy.high), abs=1e-12)
        assert found == pytest.approx(proportion_confint(num_right, num_utterances, method="wilson"), abs=1e-12)


@pytest.mark.parametrize("num_values", [2, 3, 10, 50])
def test_spreads_over_seeds_are_those_of_statsmodels(num_values: int) -> None:
    generator = np.random.default_rng(num_values)
    for _ in range(20):
        values = generator.normal(0.7, 0.02, num_values)
        found, expected = mean_and_spread(list(values)), DescrStatsW(values)
        assert found.mean == pytest.approx(expected.mean)
        assert found.deviation == pytest.approx(stats.tstd(values))
        assert (found.low, found.high) == pytest.approx(expected.tconfint_mean())


def name_answers(emotions: np.ndarray, predicted: np.ndarray) -> list[Prediction]:
    """The answers as predictions, four utterances a dialogue."""
    return [
        Prediction(name_utterance(*divmod(place, 4)), CLASSES[emotion], CLASSES[said], tuple(np.eye(4)[said]))
        for place, (emotion, said) in enumerate(zip(emotions, predicted, strict=True))
    ]


def test_mcnemars_test_is_that_of_statsmodels() -> None:
    for seed, (emotions, first) in enumerate(ANSWERS):
        second = np.random.default_rng(seed).permutation(first)
        table = sklearn_metrics.confusion_matrix(emotions == first, emotions == second, labels=[False, True])
        found = mcnemar_test(name_answers(emotions, first), name_answers(emotions, second))
        assert (found.num_first_only, found.num_second_only) == (table[1, 0], table[0, 1])
        assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)


def test_exact_p_values_are_those_of_scipy() -> None:
    for num_pairs in [1, 2, 3, 8, 21, 1000]:
        for num_first in range(0, num_pairs + 1, max(1, num_pairs // 10)):
            expected = stats.binomtest(num_first, num_pairs).pvalue
            assert exact_p_value(num_first, num_pairs - num_first) == pytest.approx(expected)


def test_ranks_and_their_correlation_are_those_of_scipy() -> None:
    for seed in range(60):
        generator = np.random.default_rng(seed)
        size = int(generator.integers(2, 30))
        values = generator.integers(0, size, size).astype(float)
        scores = values * generator.normal() + generator.integers(0, 10, size)
        np.testing.assert_array_equal(mean_ranks(list(values)), stats.rankdata(values))
        if len(set(values)) == 1 or len(set(scores)) == 1:
            assert np.isnan(rank_correlation(list(values), list(scores)).rho)
            continue
        expected = stats.spearmanr(values, scores).statistic
        assert rank_correlation(list(values), list(scores)).rho == pytest.approx(expected, abs=1e-11)


def draw_probabilities(seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet probabilities, and classes that follow them; about a third have a confidence of whole tenths."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet([generator.uniform(0.2, 3)] * 4, size)
    rounded = generator.random(size) < 1 / 3
    tenths = generator.integers(4, 11, size) / 10
    winners = probabilities.argmax(axis=1)
    for place in np.flatnonzero(rounded):
        probabilities[place] = (1 - tenths[place]) / 3
        probabilities[place, winners[place]] = tenths[place]
    emotions = np.array([generator.choice(4, p=row / row.sum()) for row in probabilities])
    return probabilities, emotions


def predictions_of(probabilities: np.ndarray, emotions: np.ndarray) -> list[Prediction]:
    return [
        Prediction(name_utterance(*divmod(place, 4)), CLASSES[emotion], CLASSES[int(row.argmax())], tuple(row))
        for place, (row, emotion) in enumerate(zip(probabilities, emotions, strict=True))
    ]


CALIBRATED = [draw_probabilities(seed, size) for seed, size in enumerate([1, 2, 5, 20, 100] * 5)]


def test_log_loss_and_brier_score_are_those_of_scikit_learn() -> None:
    for probabilities, emotions in CALIBRATED:
        found = measure_calibration(predictions_of(probabilities, emotions))
        if found.num_impossible == 0:
            expected = sklearn_metrics.log_loss(emotions, probabilities, labels=LABELS)
            assert found.mean_negative_log_likelihood == pytest.approx(expected, abs=1e-12)
        brier = sklearn_metrics.brier_score_loss(emotions, probabilities, labels=LABELS, scale_by_half=False)
        assert found.brier_score == pytest.approx(brier, abs=1e-12)


def test_log_loss_without_a_probability_is_infinite_where_scikit_learn_cuts_it_off() -> None:
    probabilities, emotions = np.array([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]]), np.array([1, 0])
    found = measure_calibration(predictions_of(probabilities, emotions))
    assert np.isinf(found.mean_negative_log_likelihood) and found.num_impossible == 1
    expected = (-np.log(np.finfo(float).eps) + np.log(2)) / 2
    assert sklearn_metrics.log_loss(emotions, probabilities, labels=LABELS) == pytest.approx(expected)


def test_calibration_error_is_that_of_a_table_in_pandas() -> None:
    edges = [step / NUM_BINS for step in range(NUM_BINS + 1)]
    for probabilities, emotions in CALIBRATED:
        table = pd.DataFrame(
            {"confidence": probabilities.max(axis=1), "is_right": probabilities.argmax(axis=1) == emotions}
        )
        grouped = table.groupby(pd.cut(table["confidence"], edges), observed=True)
        gaps = (grouped["is_right"].mean() - grouped["confidence"].mean()).abs()
        expected = (gaps * grouped.size()).sum() / len(table)
        found = measure_calibration(predictions_of(probabilities, emotions))
        assert found.expected_calibration_error == pytest.approx(expected, abs=1e-12)


def test_reliability_bins_are_those_of_scikit_learn() -> None:
    for probabilities, emotions in CALIBRATED:
        is_right = probabilities.argmax(axis=1) == emotions
        accuracy, confidence = calibration_curve(is_right, probabilities.max(axis=1), pos_label=True, n_bins=NUM_BINS)
        found = measure_calibration(predictions_of(probabilities, emotions))
        used = [each for each in found.bins if each.num_utterances]
        np.testing.assert_allclose([each.accuracy for each in used], accuracy, atol=1e-12)
        np.testing.assert_allclose([each.mean_confidence for each in used], confidence, atol=1e-12)


class Recorded(ClassifierMixin, BaseEstimator):
    """A classifier whose inputs are the probabilities that it answers with."""

    classes_ = np.arange(4)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, inputs: np.ndarray, emotions: np.ndarray) -> "Recorded":
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        return inputs

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        return inputs.argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(2))
def test_temperatures_are_those_of_scikit_learn(temperature: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.dirichlet([0.8] * 4, 300).clip(1e-4)
    truth /= truth.sum(axis=1, keepdims=True)
    emotions = np.array([generator.choice(4, p=row) for row in truth])
    probabilities = apply_temperature(truth, 1 / temperature)
    found = fit_temperature(probabilities, emotions)
    theirs = CalibratedClassifierCV(FrozenEstimator(Recorded()), method="temperature").fit(probabilities, emotions)
    assert found == pytest.approx(temperature, rel=0.3)
    scaled = apply_temperature(probabilities, found)
    np.testing.assert_allclose(scaled, theirs.predict_proba(probabilities), atol=2e-5)


def draw_dialogues(seed: int, num_dialogues: int) -> tuple[list[Prediction], list[Prediction]]:
    """Two models' answers; a dialogue's utterances are right together more often than utterances are."""
    generator = np.random.default_rng(seed)
    names = [name_utterance(dialogue, turn) for dialogue in range(num_dialogues) for turn in range(8)]
    ease = np.repeat(generator.beta(1, 1, num_dialogues), 8)
    emotions = generator.integers(0, 4, len(names))
    models = []
    for _ in range(2):
        is_right = generator.random(len(names)) < ease
        said = np.where(is_right, emotions, (emotions + generator.integers(1, 4, len(names))) % 4)
        models.append(
            [
                Prediction(name, CLASSES[emotion], CLASSES[answer], tuple(np.eye(4)[answer]))
                for name, emotion, answer in zip(names, emotions, said, strict=True)
            ]
        )
    return models[0], models[1]


def confusions_of_dialogues(predictions: Sequence[Prediction]) -> np.ndarray:
    """Counted by pandas: (num_dialogues, 4, 4)."""
    found = pd.DataFrame(
        {
            "dialogue": [each.utterance_id.rsplit("_", 1)[0] for each in predictions],
            "emotion": [CLASSES.index(each.emotion) for each in predictions],
            "predicted": [CLASSES.index(each.predicted) for each in predictions],
        }
    )
    counts = found.groupby(["dialogue", "emotion", "predicted"]).size()
    every = pd.MultiIndex.from_product([sorted(set(found["dialogue"])), LABELS, LABELS])
    return counts.reindex(every, fill_value=0).to_numpy().reshape(-1, 4, 4)


#: Of two intervals from 10 000 resamples each: some 4 times the Monte Carlo error of a bound, in standard errors.
_BETWEEN_RESAMPLINGS = 0.15


@pytest.mark.parametrize("metric", [weighted_accuracy_of, unweighted_accuracy_of, macro_f1_of])
@pytest.mark.parametrize("seed", range(3))
def test_bootstrap_intervals_are_those_of_scipy_over_dialogues(metric: Metric, seed: int) -> None:
    predictions, _ = draw_dialogues(seed, 30)
    counts = confusions_of_dialogues(predictions)
    expected = stats.bootstrap(
        (np.arange(len(counts)),),
        lambda drawn, axis: metric(counts[drawn].sum(axis=axis - 2 if axis < 0 else axis)),
        n_resamples=10_000,
        batch=1000,
        method="percentile",
        rng=seed + 100,
    )
    found = bootstrap_interval([predictions], metric)
    reach = _BETWEEN_RESAMPLINGS * expected.standard_error
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=reach)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=reach)
    if metric is weighted_accuracy_of:
        assert bootstrap_error(predictions)[0] == pytest.approx(expected.standard_error, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_paired_bootstraps_are_those_of_scipy_over_dialogues(seed: int) -> None:
    first, second = draw_dialogues(seed, 30)
    counts = [confusions_of_dialogues(predictions) for predictions in (first, second)]
    right = [np.trace(each, axis1=1, axis2=2) for each in counts]
    sizes = counts[0].sum(axis=(1, 2))
    expected = stats.bootstrap(
        (*right, sizes),
        lambda one, other, size, axis: (one - other).sum(axis=axis) / size.sum(axis=axis),
        n_resamples=10_000,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=seed + 100,
    )
    found = paired_bootstrap([first], [second])
    reach = _BETWEEN_RESAMPLINGS * expected.standard_error
    assert found.difference == pytest.approx((right[0].sum() - right[1].sum()) / sizes.sum())
    assert found.interval.low == pytest.approx(expected.confidence_interval.low, abs=reach)
    assert found.interval.high == pytest.approx(expected.confidence_interval.high, abs=reach)
    assert found.share_above == pytest.approx((expected.bootstrap_distribution > 0).mean(), abs=0.03)


@pytest.mark.parametrize("target", ["max", "min"])
@pytest.mark.parametrize("num_trials", [1, 2, 3, 10, 80, 300])
def test_expected_bests_are_those_of_opda(num_trials: int, target: str) -> None:
    for seed in range(5):
        # Rounded, so that there are ties.
        scores = np.random.default_rng(seed).beta(5, 2, num_trials).round(2)
        found = estimate_expected_best(scores, target)
        theirs = EmpiricalDistribution(scores).u_tuning_curve(found.num_trials, minimize=target == "min")
        np.testing.assert_allclose(found.expected, theirs, atol=1e-10)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
@pytest.mark.parametrize("target", ["max", "min"])
@pytest.mark.parametrize("num_trials", [1, 2, 3, 10, 80, 300])
def test_bands_of_expected_bests_are_those_of_opda(num_trials: int, target: str, low: float, high: float) -> None:
    for seed in range(5):
        scores = low + (high - low) * np.random.default_rng(seed).beta(5, 2, num_trials).round(2)
        found = estimate_expected_best(scores, target, (low, high))
        bands = EmpiricalDistribution.confidence_bands(scores, 0.95, low, high, method="dkw")
        # Their lower band of the distribution is the upper one of the curve.
        highest, _, lowest = (band.average_tuning_curve(found.num_trials, minimize=target == "min") for band in bands)
        np.testing.assert_allclose(found.low, lowest, atol=1e-12)
        np.testing.assert_allclose(found.high, highest, atol=1e-12)


@pytest.mark.parametrize("target", ["max", "min"])
@pytest.mark.parametrize("num_trials", range(1, 10))
def test_expected_bests_with_ties_are_means_over_all_choices(num_trials: int, target: str) -> None:
    scores = np.random.default_rng(num_trials).integers(0, 4, num_trials) / 4
    best = max if target == "max" else min
    found = estimate_expected_best(scores, target)
    expected = [np.mean([best(chosen) for chosen in combinations(scores, count)]) for count in found.num_trials]
    np.testing.assert_allclose(found.expected, expected, atol=1e-12)


@pytest.mark.parametrize("num_drawn", [1, 5, 20])
def test_expected_bests_are_what_shuffled_searches_find(num_drawn: int) -> None:
    generator = np.random.default_rng(num_drawn)
    scores = generator.normal(size=40)
    bests = [generator.permutation(scores)[:num_drawn].max() for _ in range(20_000)]
    found = estimate_expected_best(scores, "max").expected[num_drawn - 1]
    assert found == pytest.approx(np.mean(bests), abs=4 * np.std(bests) / 20_000**0.5)


def test_character_errors_are_those_of_the_recursive_definition() -> None:
    @cache
    def count_edits(text: str, read: str) -> int:
        if not text or not read:
            return len(text) + len(read)
        kept = count_edits(text[1:], read[1:]) + (text[0] != read[0])
        return min(kept, count_edits(text[1:], read) + 1, count_edits(text, read[1:]) + 1)

    generator = np.random.default_rng(0)
    for _ in range(60):
        text, read = ("".join(generator.choice([*"abc"], size)) for size in generator.integers(0, 9, 2))
        assert character_error_rate([f"{text}!"], [read]) == count_edits(f"{text}!", read) / (len(text) + 1)
