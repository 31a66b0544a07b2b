"""Classifiers over functionals: the machine against scikit-learn, its probabilities, and that trainings learn."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from harness.models.build import build_network
from harness.models.decision import KernelSvm, LogisticRegression
from harness.models.functionals import compute_functionals, summarise_speech
from harness.models.inputs import InputShapes
from harness.models.kernel_svm import (
    SVM_COSTS,
    SessionSvm,
    cut_parts,
    find_sharpness,
    fit_machine,
    probabilities_of,
    rbf_kernel,
)
from harness.models.systems import find_system, read_hyperparameters
from harness.models.uni_svm import Functionals
from harness.splits.protocol import PROTOCOLS, ClassWeights
from harness.training.recipe import Recipe, train_for_epochs, train_validated
from tests.invented_features import invent_features

SYSTEM, PAPER = find_system("speech_functionals"), PROTOCOLS["paper"]
TRAIN, SCORED = invent_features(160), invent_features(80, seed=9)


def blobs(num_vectors=120, apart=2.0, seed=0):
    rng = np.random.default_rng(seed)
    emotions = np.arange(num_vectors) % 4
    centres = apart * np.eye(4, 6)
    return centres[emotions] + rng.normal(size=(num_vectors, 6)), emotions


def test_functionals_without_a_network_are_those_of_the_layer():
    rows = np.flatnonzero(TRAIN.speech_lengths > 0)
    found = compute_functionals(TRAIN, rows)
    lengths = TRAIN.speech_lengths[rows]
    mask = np.arange(TRAIN.speech_shape[0]) < lengths[:, None]
    layer = Functionals()(tf.constant(TRAIN.speech(rows)), tf.constant(mask)).numpy()
    np.testing.assert_allclose(found, layer, atol=1e-5)
    np.testing.assert_array_equal(found[:, : 2 * len(TRAIN.speech_columns)], summarise_speech(TRAIN, rows))
    assert len(set(lengths)) > 3


def test_the_sum_of_pairwise_margins_is_scikit_learns():
    vectors, emotions = blobs()
    readout, bias = fit_machine(rbf_kernel(vectors, vectors, 0.1), emotions, np.ones(120), 2.0)
    scores = rbf_kernel(vectors, vectors, 0.1) @ readout + bias
    # Positive for the first class of each pair, in the order (0, 1), (0, 2), ...
    margins = SVC(C=2.0, gamma=0.1, decision_function_shape="ovo").fit(vectors, emotions).decision_function(vectors)
    expected = margins[:, 0] + margins[:, 1] + margins[:, 2]
    np.testing.assert_allclose(scores[:, 0], expected, atol=1e-2)
    np.testing.assert_allclose(scores.sum(axis=1), 0.0, atol=1e-9)


def test_a_weight_counts_an_utterance_as_often():
    vectors, emotions = blobs(40)
    twice = np.concatenate([np.arange(40), np.arange(10)])
    weights = np.ones(40)
    weights[:10] = 2.0
    kernel = rbf_kernel(vectors, vectors, 0.1)
    weighted = kernel @ fit_machine(kernel, emotions, weights, 1.0)[0]
    again = rbf_kernel(vectors, vectors[twice], 0.1)
    repeated = again @ fit_machine(again[twice], emotions[twice], np.ones(50), 1.0)[0]
    np.testing.assert_allclose(weighted - weighted[:1], repeated - repeated[:1], atol=0.02)


def test_the_factor_makes_probabilities_of_the_right_confidence():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 4))
    drawn = np.array([rng.choice(4, p=each) for each in probabilities_of(scores, 3.0)])
    assert find_sharpness(scores, drawn, np.ones(4000)) == pytest.approx(3.0, rel=0.15)
    assert np.array_equal(probabilities_of(scores, 0.1).argmax(axis=1), scores.argmax(axis=1))


def test_sessions_choose_the_cost_and_nothing_else_does():
    vectors, emotions = blobs(apart=1.0)
    sessions = cut_parts(120)
    svm = SessionSvm(sessions)
    svm.fit(vectors, emotions)
    accuracies = []
    for cost in SVM_COSTS:
        right = 0
        for session in range(4):
            here = sessions == session
            scaled = StandardScaler().fit(vectors).transform(vectors)
            kernel = rbf_kernel(scaled[~here], scaled[~here], 1 / 6)
            readout, bias = fit_machine(kernel, emotions[~here], np.ones((~here).sum()), cost)
            answers = rbf_kernel(scaled[here], scaled[~here], 1 / 6) @ readout + bias
            right += (answers.argmax(axis=1) == emotions[here]).sum()
        accuracies.append(right)
    assert svm.cost == SVM_COSTS[int(np.argmax(accuracies))] and len(set(accuracies)) > 1
    assert svm.predict_proba(vectors).sum(axis=1) == pytest.approx(1.0)


def test_the_machine_of_a_network_answers_as_that_of_the_baseline_with_the_same_cost_given_or_chosen():
    vectors, emotions = blobs()
    svm = SessionSvm(cut_parts(120))
    svm.fit(vectors, emotions)
    for cost in (svm.cost, None):
        layer = KernelSvm(num_vectors=120, cost=cost)
        layer(tf.zeros((1, 6)))
        layer.fit(vectors, emotions, np.ones(120))
        answers = tf.nn.softmax(layer(tf.constant(vectors, tf.float32)))
        np.testing.assert_allclose(answers, svm.predict_proba(vectors), atol=1e-4)
    assert svm.cost != SVM_COSTS[0]


def test_balanced_classes_are_answered_more_of_a_rare_class():
    rng = np.random.default_rng(1)
    emotions = np.array([0] * 20 + [2] * 80)
    vectors = rng.normal(size=(100, 3)) + 0.7 * (emotions == 0)[:, None]
    sessions = np.arange(100) % 4
    answered = []
    for weights in ClassWeights:
        svm = SessionSvm(sessions, weights)
        svm.fit(vectors, emotions)
        answered.append(svm.predict_proba(vectors).mean(axis=0)[0])
    assert answered[1] > answered[0] + 0.1


@pytest.mark.parametrize(
    "decision", [lambda: KernelSvm(num_vectors=9), lambda: LogisticRegression(0.1)], ids=["svm", "logistic"]
)
@pytest.mark.parametrize(
    "emotions", [[0, 1, 2, 3, 0, 1, 2, 3, 0], [1, 1, 3, 3, 1, 3, 1, 1, 3], [2] * 9], ids=["four", "two", "one"]
)
def test_a_class_that_was_never_trained_on_is_never_answered(decision, emotions):
    layer, vectors = decision(), np.random.default_rng(2).normal(3.0, 2.0, size=(9, 5))
    layer(tf.zeros((1, 5)))
    layer.fit(vectors, np.array(emotions), np.ones(9))
    answers = tf.nn.softmax(layer(tf.constant(vectors, tf.float32))).numpy()
    assert (answers[:, np.setdiff1d(range(4), emotions)] == 0).all() and np.isfinite(answers).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)


def recipe(max_epochs=15, **values):
    return Recipe(SYSTEM, read_hyperparameters(SYSTEM, values, PAPER), PAPER, 5, max_epochs, None, None)


# A distance over all numbers is told little by the one of 34 that has the cue.
@pytest.mark.parametrize(("classifier", "lowest"), [("svm", 0.4), ("logistic", 0.6), ("network", 0.6)])
def test_a_training_learns_is_saved_and_answers_the_same(classifier, lowest, tmp_path):
    point = {"classifier": classifier, "batch_size": 16, "learning_rate": 0.003, "dropout": 0.2, "logistic_cost": 1.0}
    trained, history = train_validated(recipe(**point), TRAIN, SCORED)
    assert history.epochs[history.best_epoch - 1].validation_accuracy > lowest
    assert len(history.epochs) == (15 if classifier == "network" else 1)
    answers = trained.predict(SCORED)
    np.testing.assert_allclose(answers, history.best_probabilities, atol=1e-5)
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)
    trained.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(replace(trained, model=loaded).predict(SCORED), answers)
    again, _ = train_for_epochs(recipe(**point), TRAIN, history.best_epoch)
    np.testing.assert_allclose(again.predict(SCORED), answers, atol=1e-5)


@pytest.mark.parametrize("has_masks", [True, False])
@pytest.mark.parametrize("classifier", ["svm", "logistic", "network"])
def test_padding_changes_no_answer_where_there_are_masks(classifier, has_masks):
    protocol = PAPER if has_masks else PROTOCOLS["published-code"]
    shapes = InputShapes(has_masks=has_masks, num_training=7)
    model = build_network(SYSTEM, read_hyperparameters(SYSTEM, {"classifier": classifier}, protocol), shapes).model
    rng = np.random.default_rng(3)
    for weight in model.weights:
        # A decision that was not fitted answers alike.
        weight.assign(1.0 + np.abs(rng.normal(size=weight.shape)))
    batch = {"speech": rng.normal(size=(3, 6, 34)).astype(np.float32), "speech_lengths": np.array([6, 2, 0], np.int32)}
    longer = batch | {"speech": np.pad(batch["speech"], [(0, 0), (0, 4), (0, 0)], constant_values=3.0)}
    first, padded = (model({each.name: some[each.name] for each in model.inputs}).numpy() for some in (batch, longer))
    assert np.allclose(first, padded, atol=1e-5) is has_masks
