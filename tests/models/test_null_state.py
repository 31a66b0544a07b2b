"""The likelihood of an emotion by the voiced segments' states, against the enumeration of all paths."""

from functools import lru_cache
from itertools import product

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models.decision import KernelMachine
from harness.models.null_state import NUM_CLASSES, NullLikelihoods
from tests.models.short_frames import network_of, random_frames

NULL = NUM_CLASSES

#: 1 where a frame is voiced: no segment, one within, one at each end, one throughout, two that are one frame apart.
VOICED = {
    "none": [0, 0, 0],
    "one frame": [1],
    "within": [0, 1, 1, 0, 0],
    "at both ends": [1, 1, 0, 0, 1],
    "throughout": [1, 1, 1],
    "three": [1, 0, 1, 1, 0, 1],
}


def segments_of(voiced):
    """The first frame and the last one of each voiced segment."""
    first = [t for t, value in enumerate(voiced) if value and (t == 0 or not voiced[t - 1])]
    return [(t, next(u for u in range(t, len(voiced)) if u + 1 == len(voiced) or not voiced[u + 1])) for t in first]


@lru_cache(maxsize=None)
def paths_of(voiced, boundaries):
    """Every path as the states of its frames: 0 and other even ones are Null, 2k + 1 is the emotion of segment k."""
    segments, paths = segments_of(voiced), []
    for path in product(range(2 * len(segments) + 1), repeat=len(voiced)):
        whole = [0, *path, 2 * len(segments)]
        if any(after - before not in (0, 1) for before, after in zip(whole, whole[1:], strict=False)):
            continue
        if boundaries == "segments" and not all(
            # The emotion of a segment in its frames alone, and Nulls from the segment before to the one behind.
            segments[state // 2][0] <= t <= segments[state // 2][1]
            if state % 2
            else (state == 0 or t >= segments[state // 2 - 1][0])
            and (state == 2 * len(segments) or t <= segments[state // 2][1])
            for t, state in enumerate(path)
        ):
            continue
        paths.append(path)
    return paths


def log_likelihoods(log_posteriors, voiced, loss, boundaries):
    """Each label's likelihood by every path, float64 (4,)."""
    frames = np.arange(len(voiced))
    found = np.array(
        [
            [log_posteriors[frames, [label if state % 2 else NULL for state in path]].sum() for label in range(4)]
            for path in paths_of(tuple(voiced), boundaries)
        ]
    )
    return found.mean(axis=0) if loss == "literal" else np.log(np.exp(found).sum(axis=0))


def random_log_posteriors(*shape):
    scores = np.random.default_rng(3).normal(scale=2.0, size=(*shape, NUM_CLASSES + 1))
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("boundaries", ["none", "segments"])
@pytest.mark.parametrize("loss", ["log-sum", "literal"])
@pytest.mark.parametrize("voiced", VOICED.values(), ids=VOICED)
def test_likelihood_and_gradient_are_those_of_the_sum_over_all_paths(voiced, loss, boundaries):
    log_posteriors, step = random_log_posteriors(len(voiced)), 1e-6
    inputs, layer = tf.constant(log_posteriors[None]), NullLikelihoods(loss, boundaries, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        likelihoods = layer(inputs, tf.constant([voiced], tf.float64))
    expected = log_likelihoods(log_posteriors, voiced, loss, boundaries)
    np.testing.assert_allclose(likelihoods.numpy()[0], expected, rtol=1e-12, atol=1e-12)
    found = tape.jacobian(likelihoods, inputs).numpy()[0, :, 0]
    slopes = np.zeros_like(found)
    for place in np.ndindex(log_posteriors.shape):
        change = np.zeros(log_posteriors.shape)
        change[place] = step
        above, below = (
            log_likelihoods(log_posteriors + sign * change, voiced, loss, boundaries) for sign in (1, -1)
        )
        slopes[(slice(None), *place)] = (above - below) / (2 * step)
    np.testing.assert_allclose(found, slopes, atol=1e-6)
    # At each frame a path has one state.
    np.testing.assert_allclose(found.sum(axis=2), 1.0, atol=1e-6)


def test_the_choices_differ_and_boundaries_keep_the_emotion_within_its_segment():
    voiced = VOICED["within"]
    inputs = tf.constant(random_log_posteriors(1, len(voiced)))
    answers, places = [], {}
    for loss, boundaries in product(["log-sum", "literal"], ["none", "segments"]):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            likelihoods = NullLikelihoods(loss, boundaries, dtype="float64")(inputs, tf.constant([voiced], tf.float64))
        answers.append(tuple(likelihoods.numpy()[0]))
        places[boundaries] = tape.gradient(likelihoods, inputs).numpy()[0, :, :NULL].any(axis=1)
    assert len(set(answers)) == 4
    assert places["segments"].tolist() == [False, True, True, False, False] and places["none"].all()


@pytest.mark.parametrize("boundaries", ["none", "segments"])
def test_frames_beyond_an_utterance_change_nothing_whatever_they_hold(boundaries):
    inputs = tf.constant(random_log_posteriors(3, 9))
    voiced = tf.constant([[0.0, 1, 1, 0, 1, 1, 0, 1, 0]] * 3, tf.float64)
    lengths = np.array([9, 4, 0])
    layer = NullLikelihoods("log-sum", boundaries, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        padded = layer(inputs, voiced, tf.sequence_mask(lengths, 9))
    gradient = tape.gradient(padded, inputs).numpy()
    for row, length in enumerate(lengths[:2]):
        alone = layer(inputs[row : row + 1, :length], voiced[:1, :length]).numpy()[0]
        np.testing.assert_allclose(padded.numpy()[row], alone, rtol=1e-12)
        assert gradient[row, :length].any() and not gradient[row, length:].any()
    assert not padded.numpy()[2].any() and not gradient[2].any()


def test_many_segments_in_single_precision_stay_near_double_precision():
    voiced = np.tile([0.0, 0, 1, 1, 1], (2, 160))
    log_posteriors = random_log_posteriors(2, voiced.shape[1])
    single, double = (
        NullLikelihoods(dtype=dtype)(tf.constant(log_posteriors, dtype), tf.constant(voiced, dtype)).numpy()
        for dtype in ("float32", "float64")
    )
    assert np.isfinite(single).all()
    np.testing.assert_allclose(single, double, rtol=1e-5)


def test_the_layers_are_as_published():
    network, undecided = network_of("blstm_null"), network_of("blstm_null", decision="posterior")
    widths = {layer.name: layer.output.shape[-1] for layer in network.model.layers}
    named = ("speech_frames", "speech_bilstm", "speech_bilstm2", "frame_labels", "class_statistics")
    assert [widths[name] for name in named] == [32, 128, 128, 5, 16]
    assert isinstance(network.decision, KernelMachine) and undecided.decision is None


def test_the_posterior_decision_is_the_highest_mean_of_the_emotions_probabilities():
    network = network_of("blstm_null", decision="posterior", speechlstm=4, speechlstm2=4)
    batch = random_frames([12])
    frames = keras.Model(network.model.inputs, network.model.get_layer("emotion_posteriors").output)
    means = frames(batch).numpy()[0].mean(axis=0)
    np.testing.assert_allclose(network.model(batch).numpy()[0], means / means.sum(), rtol=1e-5)
