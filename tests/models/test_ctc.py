"""The likelihood of one label among Nulls against the enumeration of all paths, and the decisions over it."""

from itertools import groupby, product

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models.build import build_network
from harness.models.ctc import NUM_CLASSES, BestPath, CtcLikelihoods
from harness.models.inputs import InputShapes
from harness.models.network_file import load_network, save_network
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import PROTOCOLS

NULL = NUM_CLASSES


def sum_over_paths(posteriors):
    """The likelihood of each label by every path of the frames, float64 (4,)."""
    likelihoods = np.zeros(NUM_CLASSES)
    for path in product(range(NUM_CLASSES + 1), repeat=len(posteriors)):
        labels = [label for label, _ in groupby(path) if label != NULL]
        if len(labels) == 1:
            likelihoods[labels[0]] += np.prod(posteriors[np.arange(len(path)), path])
    return likelihoods


def random_posteriors(*shape):
    scores = np.random.default_rng(3).normal(scale=2.0, size=(*shape, NUM_CLASSES + 1))
    return np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("num_frames", [1, 2, 6])
def test_the_likelihood_is_the_sum_over_all_paths(num_frames):
    posteriors = random_posteriors(num_frames)
    layer = CtcLikelihoods(dtype="float64")
    found = layer(tf.constant(np.log(posteriors[None]))).numpy()[0]
    np.testing.assert_allclose(found, np.log(sum_over_paths(posteriors)), rtol=1e-12, atol=1e-12)


def test_the_gradient_is_that_of_the_sum_over_all_paths():
    posteriors, step = random_posteriors(5), 1e-6
    inputs = tf.constant(np.log(posteriors[None]))
    layer = CtcLikelihoods(dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        likelihoods = layer(inputs)
    found = tape.jacobian(likelihoods, inputs).numpy()[0, :, 0]
    expected = np.zeros_like(found)
    for place in np.ndindex(posteriors.shape):
        change = np.zeros(posteriors.shape)
        change[place] = step
        above, below = (np.log(sum_over_paths(posteriors * np.exp(sign * change))) for sign in (1, -1))
        expected[(slice(None), *place)] = (above - below) / (2 * step)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 0.1


def test_frames_beyond_an_utterance_change_neither_likelihood_nor_answer():
    posteriors = np.log(random_posteriors(2, 9))
    mask = np.arange(9) < np.array([4, 0])[:, None]
    for layer in (CtcLikelihoods(dtype="float64"), BestPath(dtype="float64")):
        padded = layer(tf.constant(posteriors), tf.constant(mask)).numpy()
        np.testing.assert_allclose(padded[0], layer(tf.constant(posteriors[:1, :4])).numpy()[0])
        np.testing.assert_allclose(padded[1], padded[1, 0])  # no frame says nothing of any label


def test_the_best_path_counts_frames_and_asks_the_posteriors_where_it_is_null_throughout():
    rows = {0: [0.6, 0.1, 0.1, 0.1, 0.1], 2: [0.1, 0.1, 0.6, 0.1, 0.1], NULL: [0.1, 0.1, 0.05, 0.15, 0.6]}
    paths = [[NULL, 0, 0, 2], [NULL, NULL, 2, NULL], [NULL] * 4]
    posteriors = np.array([[rows[label] for label in path] for path in paths])
    answers = BestPath()(tf.constant(np.log(posteriors), tf.float32)).numpy()
    assert answers.argmax(axis=1).tolist() == [0, 2, 3]
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("decision", ["exact", "best-path"])
def test_a_saved_network_answers_the_same(decision, tmp_path):
    system = find_system("ctc")
    point = read_hyperparameters(system, {"decision": decision, "dense": 8}, PROTOCOLS["paper"])
    model = build_network(system, point, InputShapes()).model
    save_network(tmp_path, model)
    frames = np.random.default_rng(0).normal(size=(2, 12, 34)).astype(np.float32)
    batch = {"speech": frames, "speech_lengths": np.array([12, 7], np.int32)}
    np.testing.assert_array_equal(load_network(tmp_path)(batch).numpy(), model(batch).numpy())


@pytest.mark.parametrize("name", ["ctc", "one_label"])
def test_the_layers_are_as_published_and_read_the_first_78_frames_alone(name):
    system = find_system(name)
    point = read_hyperparameters(system, {}, PROTOCOLS["paper"])
    keras.utils.set_random_seed(1)
    network = build_network(system, point, InputShapes())
    units = {layer.name: layer.output.shape[-1] for layer in network.model.layers}
    assert (units["speech_bilstm"], units["speech_bilstm2"], units["speech_dense"]) == (128, 128, 512)
    frames = np.random.default_rng(0).normal(size=(2, 90, 34)).astype(np.float32)
    changed = frames.copy()
    changed[:, 78:] += 5.0
    lengths = np.array([90, 80], np.int32)
    first, second = (
        network.model({"speech": values, "speech_lengths": lengths}).numpy() for values in (frames, changed)
    )
    assert first.shape == (2, 4) and np.array_equal(first, second)
    changed[:, 77] += 5.0
    assert not np.array_equal(first, network.model({"speech": changed, "speech_lengths": lengths}).numpy())
