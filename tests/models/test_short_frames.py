"""Deltas of short frames, and the networks over them: padding, files, and that the classifier at the end learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models.short_frames import Deltas
from tests.models.short_frames import network_of, random_frames

#: Both systems, small, with each decision.
NETWORKS = [
    pytest.param(name, {"decision": decision, **small}, id=f"{name}-{decision}")
    for name, small in (
        ("dnn_elm", {"dense": 8, "segment_share": 0.3}),
        ("blstm_null", {"speechlstm": 4, "speechlstm2": 4}),
    )
    for decision in ("elm", "kelm", "posterior")
]


def test_deltas_are_the_slope_of_the_regression_over_five_frames():
    values = np.random.default_rng(0).normal(size=(1, 11, 3))
    found = Deltas(dtype="float64")(tf.constant(values)).numpy()[0]
    edged = np.concatenate([values[0, :1]] * 2 + [values[0]] + [values[0, -1:]] * 2)
    expected = [np.polyfit([-2, -1, 0, 1, 2], edged[t : t + 5], 1)[0] for t in range(11)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_deltas_read_no_padding():
    values = np.random.default_rng(0).normal(size=(3, 8, 2))
    lengths = np.array([8, 3, 0])
    found = Deltas(dtype="float64")(tf.constant(values), tf.sequence_mask(lengths, 8)).numpy()
    for row, length in enumerate(lengths):
        alone = Deltas(dtype="float64")(tf.constant(values[row : row + 1, : max(length, 1)])).numpy()[0, :length]
        np.testing.assert_array_equal(found[row, :length], alone)
        assert not found[row, length:].any()


@pytest.mark.parametrize(("name", "choices"), NETWORKS)
def test_frames_beyond_an_utterance_change_no_answer_and_no_likelihood(name, choices):
    network = network_of(name, **choices)
    fit_at_random(network)
    batch = random_frames([60, 31, 10, 1] if name == "dnn_elm" else [12, 7, 3, 1])
    longer = {**batch, "speech": np.pad(batch["speech"], [(0, 0), (0, 3), (0, 0)], constant_values=3.0)}
    longer["speech"][1, batch["speech_lengths"][1] :] = 7.0
    for model in (network.model, network.likelihoods):
        answers = model(batch).numpy()
        assert answers.shape == (4, 4) and np.abs(np.diff(answers, axis=0)).min() > 0
        np.testing.assert_allclose(model(longer).numpy(), answers, atol=1e-5)
        for row, length in enumerate(batch["speech_lengths"]):
            alone = {"speech": batch["speech"][row : row + 1, :length], "speech_lengths": np.array([length], np.int32)}
            np.testing.assert_allclose(model(alone).numpy()[0], answers[row], atol=1e-5)


@pytest.mark.parametrize(("name", "choices"), NETWORKS)
def test_an_utterance_without_a_frame_gets_an_answer(name, choices):
    network = network_of(name, **choices)
    fit_at_random(network)
    batch = {"speech": np.zeros((2, 1, 46), np.float32), "speech_lengths": np.array([0, 1], np.int32)}
    np.testing.assert_allclose(network.model(batch).numpy().sum(axis=1), 1.0, atol=1e-6)
    assert not network.likelihoods(batch).numpy()[0].any()


@pytest.mark.parametrize(("name", "choices"), NETWORKS)
def test_a_saved_network_gives_the_same_numbers(name, choices, tmp_path):
    network = network_of(name, **choices)
    fit_at_random(network)
    batch = random_frames([30, 12, 5])
    network.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(batch).numpy(), network.model(batch).numpy())


@pytest.mark.parametrize("name", ["dnn_elm", "blstm_null"])
def test_columns_that_are_not_the_network_s_change_nothing(name):
    network = network_of(name, decision="posterior", **({"dense": 8} if name == "dnn_elm" else {}))
    batch = random_frames([30, 12])
    changed = {**batch, "speech": batch["speech"].copy()}
    changed["speech"][..., :26] += 1.0  # mel bands
    np.testing.assert_array_equal(network.model(changed).numpy(), network.model(batch).numpy())
    changed["speech"][..., 26] *= 2.0
    assert not np.array_equal(network.model(changed).numpy(), network.model(batch).numpy())


def fit_at_random(network):
    """Fit the classifier at the end on four vectors, one of each class."""
    if network.decision is not None:
        vectors = np.random.default_rng(2).random((4, 16))
        network.decision.fit(vectors, np.arange(4), np.ones(4))
