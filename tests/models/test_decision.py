"""Extreme learning machines against their formulas, and that they separate classes and are saved."""

import keras
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from harness.models.decision import ExtremeLearningMachine, KernelMachine, LinearSvm, Network, Shares

NUM, WIDTH = 60, 3


@pytest.fixture
def corners():
    """Vectors about four corners, and which corner each is about."""
    rng = np.random.default_rng(5)
    emotions = rng.integers(0, 4, NUM)
    centres = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])
    return centres[emotions] + rng.normal(scale=0.1, size=(NUM, WIDTH)), emotions


def network_of(layer):
    vectors = keras.Input((WIDTH,), name="vectors")
    answers = keras.layers.Softmax() if isinstance(layer, LinearSvm) else Shares()
    return Network(keras.Model(vectors, answers(layer(vectors))))


@pytest.mark.parametrize("layer", [ExtremeLearningMachine(40), KernelMachine(NUM, 100.0, 2.0), LinearSvm(1.0)])
def test_a_fitted_decision_separates_classes_and_its_file_answers_the_same(layer, corners, tmp_path):
    vectors, emotions = corners
    network = network_of(layer)
    assert network.decision is layer and not network.model.trainable_variables
    np.testing.assert_allclose(network.model(vectors.astype(np.float32)).numpy(), 0.25)
    layer.fit(vectors, emotions, np.ones(NUM))
    answers = network.model(vectors.astype(np.float32)).numpy()
    assert (answers.argmax(axis=1) == emotions).mean() > 0.95
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)
    network.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(vectors.astype(np.float32)).numpy(), answers)


def test_the_extreme_learning_machine_is_the_least_squares_answer_of_its_units(corners):
    vectors, emotions = corners
    layer = ExtremeLearningMachine(7)
    network_of(layer)
    layer.fit(vectors, emotions, np.ones(NUM))
    random = np.asarray(layer.random, np.float64)
    assert np.abs(random).max() <= 1.0
    hidden = 1.0 / (1.0 + np.exp(-vectors @ random))
    expected = np.linalg.inv(hidden.T @ hidden) @ hidden.T @ np.eye(4)[emotions]
    np.testing.assert_allclose(np.asarray(layer.readout), expected, rtol=1e-3, atol=1e-3)


def test_the_kernel_machine_is_its_formula(corners):
    vectors, emotions = corners
    layer = KernelMachine(NUM, regularisation=3.0, width=1.5)
    network_of(layer)
    layer.fit(vectors, emotions, np.ones(NUM))
    distances = ((vectors[:, None] - vectors) ** 2).sum(axis=2)
    kernel = np.exp(-1.5 * distances)
    expected = kernel @ np.linalg.inv(np.eye(NUM) / 3.0 + kernel) @ np.eye(4)[emotions]
    np.testing.assert_allclose(layer(vectors.astype(np.float32)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("cost", [0.01, 2.0])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_support_vector_machine_decides_as_scikit_learn_s(corners, cost, is_weighted):
    vectors, emotions = corners
    # One number is the same for all, and the others are far from the mean 0 and the deviation 1.
    vectors = np.concatenate([vectors[:, :2] * [300.0, 0.01] + [50.0, 4.0], np.full((NUM, 1), 7.0)], axis=1)
    weights = np.where(emotions == 1, 3.0, 0.5) if is_weighted else np.ones(NUM)
    layer = LinearSvm(cost)
    network_of(layer)
    layer.fit(vectors, emotions, weights)
    pipeline = make_pipeline(StandardScaler(), LinearSVC(C=cost, dual=False))
    pipeline.fit(vectors, emotions, linearsvc__sample_weight=weights)
    expected = pipeline.decision_function(vectors)
    np.testing.assert_allclose(layer(vectors.astype(np.float32)).numpy(), expected, atol=1e-3)
    assert np.abs(expected).max() > 0.3 and not np.asarray(layer.kernel)[2].any()


def test_a_class_without_a_training_utterance_has_the_margin_of_the_rest(corners):
    vectors, emotions = corners
    layer = LinearSvm()
    network_of(layer)
    some = np.flatnonzero(emotions < 2)
    layer.fit(vectors[some], emotions[some], np.ones(len(some)))
    margins = layer(vectors.astype(np.float32)).numpy()
    np.testing.assert_array_equal(margins[:, 2:], -1.0)
    assert (margins[some].argmax(axis=1) == emotions[some]).all()
    layer.fit(vectors[:3], np.full(3, 3), np.ones(3))
    np.testing.assert_array_equal(layer(vectors.astype(np.float32)).numpy(), np.tile([-1.0, -1.0, -1.0, 1.0], (NUM, 1)))


@pytest.mark.parametrize("layer", [ExtremeLearningMachine(40), KernelMachine(NUM, 10.0, 2.0), LinearSvm(0.1)])
def test_a_heavier_class_is_answered_more_often(layer, corners):
    vectors, emotions = corners
    crowded = 0.3 * vectors + np.random.default_rng(6).normal(scale=0.3, size=vectors.shape)
    # With these units an extreme learning machine had weights of 1e7, whose answers in float32 were noise.
    keras.utils.set_random_seed(43)
    if isinstance(layer, ExtremeLearningMachine):
        layer = ExtremeLearningMachine(40)
    network = network_of(layer)
    counts = []
    for heavy in (1.0, 20.0):
        weights = np.where(emotions == 2, heavy, 1.0)
        layer.fit(crowded, emotions, weights / weights.mean())
        counts.append((network.model(crowded.astype(np.float32)).numpy().argmax(axis=1) == 2).sum())
    assert counts[1] > counts[0]


def test_shares_cut_off_scores_below_zero():
    shares = Shares()(np.array([[-0.5, 0.2, 0.6, 0.0], [-1.0, -1.0, -2.0, -1.0]], np.float32)).numpy()
    np.testing.assert_allclose(shares, [[0.0, 0.25, 0.75, 0.0], [0.25] * 4], atol=1e-5)
