"""The loudest segments of an utterance, and the network over them as published."""

import numpy as np
import pytest
import tensorflow as tf

from harness.models.decision import ClassStatistics
from harness.models.segments import SEGMENT_FRAMES, LoudestSegments
from tests.models.short_frames import network_of


def choose(share, frames, energy, length=None):
    mask = None if length is None else tf.sequence_mask([length], frames.shape[1])
    segments, is_real = LoudestSegments(share)(tf.constant(frames), tf.constant(energy), mask)
    return segments.numpy()[0], is_real.numpy()[0]


@pytest.mark.parametrize(("share", "num_chosen"), [(0.1, 4), (0.3, 12), (1.0, 39), (0.001, 1)])
def test_the_chosen_segments_are_those_of_the_highest_energy(share, num_chosen):
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(1, 63, 3)).astype(np.float32)
    energy = rng.normal(size=(1, 63)).astype(np.float32)
    segments, is_real = choose(share, frames, energy)
    starts = np.arange(63 - SEGMENT_FRAMES + 1)
    energies = np.array([energy[0, start : start + SEGMENT_FRAMES].mean() for start in starts])
    expected = np.argsort(-energies)[:num_chosen]
    assert is_real.all() and segments.shape == (num_chosen, SEGMENT_FRAMES * 3)
    np.testing.assert_array_equal(
        segments, [frames[0, start : start + SEGMENT_FRAMES].reshape(-1) for start in expected]
    )
    rescaled, _ = choose(share, frames, energy * 2.5 - 3.0)
    np.testing.assert_array_equal(rescaled, segments)


def test_the_number_of_segments_is_each_utterance_s_own_and_padding_is_not_among_them():
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(2, 64, 2)).astype(np.float32)
    energy = rng.normal(size=(2, 64)).astype(np.float32)
    energy[1, 34:] = 99.0
    mask = tf.sequence_mask([64, 34], 64)
    segments, is_real = LoudestSegments(0.2)(tf.constant(frames), tf.constant(energy), mask)
    assert is_real.numpy().sum(axis=1).tolist() == [8, 2]
    alone, _ = choose(0.2, frames[1:, :34], energy[1:, :34])
    np.testing.assert_array_equal(segments.numpy()[1, :2], alone)


def test_an_utterance_shorter_than_a_segment_is_one_segment_whose_last_frame_repeats():
    frames = np.arange(10, dtype=np.float32).reshape(1, 10, 1)
    expected = np.minimum(np.arange(SEGMENT_FRAMES), 6)
    segments, is_real = choose(0.5, frames, np.zeros((1, 10), np.float32), length=7)
    assert is_real.tolist() == [True]
    np.testing.assert_array_equal(segments, [expected])


def test_the_statistics_are_highest_lowest_mean_and_share_above_a_fifth():
    probabilities = np.array([[[0.7, 0.1, 0.1, 0.1], [0.1, 0.3, 0.3, 0.3], [0.2, 0.2, 0.0, 0.6], [0.9, 0.0, 0.1, 0.0]]])
    highest, lowest, mean = (0.7, 0.3, 0.3, 0.6), (0.1, 0.1, 0.0, 0.1), (1 / 3, 0.2, 0.4 / 3, 1 / 3)
    expected = [*highest, *lowest, *mean, *(1 / 3, 1 / 3, 1 / 3, 2 / 3)]
    found = ClassStatistics(dtype="float64")(tf.constant(probabilities), tf.sequence_mask([3], 4)).numpy()
    np.testing.assert_allclose(found, [expected])
    np.testing.assert_allclose(ClassStatistics(dtype="float64")(tf.constant(probabilities[:, :3])).numpy(), [expected])


def test_the_layers_are_as_published():
    model = network_of("dnn_elm").model
    widths = [model.get_layer(f"segment_dense{number}").output.shape[-1] for number in (1, 2, 3)]
    assert widths == [256, 256, 256] and model.get_layer("class_statistics").output.shape == (None, 16)
    assert model.get_layer("segments").output[0].shape == (None, None, 750)
    assert model.get_layer("segments").share == 0.1 and model.get_layer("elm").units == 120


def test_the_likelihood_is_the_mean_over_the_chosen_segments_and_nothing_else_is_trained():
    network = network_of("dnn_elm", dense=8)
    assert len(network.likelihoods.trainable_variables) == len(network.model.trainable_variables) == 8
