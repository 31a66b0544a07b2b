"""The decoder's loops, compiled or not, against the plain loop differentiated automatically."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models import decoder as decoding
from harness.models.decoder import AttentionDecoder
from tests.models.cases import every_case

UNITS, COLUMNS = 6, 5


def plain_outputs(layer, encoded, blocked):
    """The emitted steps of ``AttentionDecoder``, (steps, directions, batch, units), step by step."""
    units = layer.units
    keys = tf.einsum("dbtc,dcu->dbtu", encoded, layer.attend_input) + layer.attend_bias[:, None]
    state = tf.tanh(encoded[:, :, 0] @ layer.initial_state)
    output, outputs = tf.zeros_like(state), []
    for _ in range(encoded.shape[2]):
        scores = tf.tanh((state @ layer.attend_state)[:, :, None] + keys) @ layer.attend_score[:, None]
        attention = tf.nn.softmax(scores[..., 0] + blocked)
        context = tf.einsum("dbt,dbtc->dbc", attention, encoded)
        shared = output @ layer.from_output + context @ layer.from_context + layer.bias
        recurrent = state @ layer.from_state
        reset = tf.sigmoid(shared[..., :units] + recurrent[..., :units])
        update = tf.sigmoid(shared[..., units : 2 * units] + recurrent[..., units : 2 * units])
        from_reset = (reset * state) @ layer.from_state[..., 2 * units : 3 * units]
        proposal = tf.tanh(shared[..., 2 * units : 3 * units] + from_reset)
        emission = shared[..., 3 * units :] + recurrent[..., 3 * units :]
        output = tf.nn.softmax(emission)
        state = (1 - update) * state + update * proposal
        outputs.append(emission if layer.is_linear else output)
    return tf.stack(outputs)


def plain_layer(layer, steps, lengths):
    mask = tf.sequence_mask(lengths, steps.shape[1])
    encoded = [steps]
    if layer.directions == 2:
        encoded.append(tf.reverse_sequence(steps, lengths, seq_axis=1))
    outputs = plain_outputs(layer, tf.stack(encoded), tf.where(mask, 0.0, decoding.BLOCKED))
    outputs = list(tf.unstack(tf.transpose(outputs, (1, 2, 0, 3))))
    if layer.directions == 2:
        outputs[1] = tf.reverse_sequence(outputs[1], lengths, seq_axis=1)
    return tf.where(mask[..., None], tf.concat(outputs, axis=-1), 0.0)


def outputs_and_gradients(run, steps, weights, factors):
    # Traced, as training is: a tape would try to differentiate the compiled loop itself.
    @tf.function(autograph=False)
    def differentiate(steps, factors):
        with tf.GradientTape() as tape:
            tape.watch(steps)
            outputs = run(steps)
            loss = tf.reduce_sum(outputs * factors)
        return [outputs, *tape.gradient(loss, [steps, *weights])]

    return differentiate(steps, factors)


def assert_same(ours, plain):
    for one, other in zip(ours, plain, strict=True):
        other = other.numpy()
        np.testing.assert_allclose(one.numpy(), other, atol=2e-5 * max(1.0, np.abs(other).max()))
    assert all(np.abs(values.numpy()).max() > 1e-4 for values in plain)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def make(directions, rng, scale=0.5, is_linear=False):
    """A layer whose weights, the biases too, are anything but 0."""
    layer = AttentionDecoder(UNITS, directions, is_linear)
    layer.build((None, None, COLUMNS))
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * scale)
    return layer


@pytest.mark.parametrize(
    ("lengths", "is_training", "is_compiled", "directions", "is_linear"),
    every_case(
        [("one more than compiled for", [26] * 17), ("one without a step", [5, 0, 25])],
        [("scored", False), ("trained", True)],
        [("interpreted", False), ("compiled", True)],
        [("1", 1), ("2", 2)],
        [("softmax", False), ("linear", True)],
        quick=[
            ("one more than compiled for", "trained", "compiled", "2", "softmax"),
            ("one without a step", "trained", "compiled", "2", "softmax"),
            ("one without a step", "trained", "interpreted", "2", "softmax"),
            ("one without a step", "trained", "interpreted", "2", "linear"),
        ],
    ),
)
def test_outputs_and_gradients_are_those_of_the_plain_loop(
    directions, is_compiled, is_linear, is_training, lengths, rng
):
    layer = make(directions, rng, is_linear=is_linear)
    layer.is_compiled = is_compiled
    lengths = tf.constant(lengths)
    num_steps = int(tf.reduce_max(lengths))
    steps = tf.constant(rng.normal(size=(len(lengths), num_steps, COLUMNS)), tf.float32)
    factors = tf.constant(rng.normal(size=(len(lengths), num_steps, directions * UNITS)), tf.float32)
    mask = tf.sequence_mask(lengths, num_steps)
    weights = layer.trainable_weights
    ours = outputs_and_gradients(lambda steps: layer(steps, mask, training=is_training), steps, weights, factors)
    plain = outputs_and_gradients(lambda steps: plain_layer(layer, steps, lengths), steps, weights, factors)
    assert_same(ours, plain)


@pytest.mark.parametrize("is_compiled", [False, True], ids=["interpreted", "compiled"])
def test_attention_that_saturates_stays_finite(is_compiled, rng):
    layer = make(2, rng, scale=30.0)
    layer.is_compiled = is_compiled
    steps = tf.constant(rng.normal(size=(3, 6, COLUMNS)) * 10, tf.float32)
    weights = layer.trainable_weights
    factors = tf.constant(rng.normal(size=(3, 6, 2 * UNITS)), tf.float32)
    results = outputs_and_gradients(lambda steps: layer(steps, training=True), steps, weights, factors)
    assert all(np.isfinite(values).all() for values in results)
    np.testing.assert_allclose(results[0].numpy().sum(axis=-1), 2.0, atol=1e-5)


def test_a_layer_is_saved_without_what_it_is_compiled_for(tmp_path, rng):
    inputs = keras.Input((None, COLUMNS))
    layer = AttentionDecoder(UNITS, 2, is_linear=True)
    model = keras.Model(inputs, layer(inputs))
    layer.is_compiled = True
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.layers[-1].is_compiled
    steps = rng.normal(size=(2, 9, COLUMNS)).astype(np.float32)
    np.testing.assert_allclose(loaded(steps), model(steps), atol=1e-6)
