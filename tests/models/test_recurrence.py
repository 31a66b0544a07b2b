"""The compiled LSTM has the numbers and the gradients of the stock one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from harness.models.decoder import AttentionDecoder
from harness.models.recurrence import CompiledLSTM
from harness.training.loop import STEPS_WORTH_COMPILING, Trainer
from tests.models.cases import every_case

UNITS, COLUMNS = 6, 5


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def differentiate(layer, steps, mask, factors):
    # Traced, as training is: a tape would try to differentiate the compiled loop itself.
    @tf.function(autograph=False)
    def run(steps, factors):
        with tf.GradientTape() as tape:
            tape.watch(steps)
            outputs = layer(steps, mask=mask, training=True)
            loss = tf.reduce_sum(outputs * factors)
        return [outputs, *tape.gradient(loss, [steps, *layer.trainable_variables])]

    return run(steps, factors)


def compile_all(layer):
    for part in [layer.forward_layer, layer.backward_layer] if hasattr(layer, "forward_layer") else [layer]:
        part.is_compiled = True


def make(kind, is_bidirectional, **options):
    layer = kind(UNITS, zero_output_for_mask=options["return_sequences"], **options)
    return layers.Bidirectional(layer) if is_bidirectional else layer


@pytest.mark.parametrize(
    ("lengths", "is_bidirectional", "choices"),
    every_case(
        [("unmasked", None), ("one more", [26] * 17), ("one without a step", [5, 0, 25])],
        [("one direction", False), ("two", True)],
        [
            ("last", ("sigmoid", 0.0, False)),
            ("steps", ("sigmoid", 0.0, True)),
            ("published", ("hard_sigmoid", 0.4, True)),
        ],
        quick=[
            ("one without a step", "two", "published"),
            ("one without a step", "one direction", "last"),
            ("unmasked", "one direction", "steps"),
        ],
    ),
)
def test_outputs_and_gradients_are_those_of_the_stock_layer(lengths, is_bidirectional, choices, rng):
    gates, recurrent_dropout, return_sequences = choices
    options = {
        "return_sequences": return_sequences,
        "recurrent_activation": gates,
        "recurrent_dropout": recurrent_dropout,
        "seed": 3,
    }
    num_steps = max(lengths or [9])
    mask = None if lengths is None else tf.sequence_mask(lengths, num_steps)
    steps = tf.constant(rng.normal(size=(len(lengths or "four"), num_steps, COLUMNS)), tf.float32)
    ours, stock = (make(kind, is_bidirectional, **options) for kind in (CompiledLSTM, layers.LSTM))
    for layer in (ours, stock):
        layer.build(steps.shape)
    for one, other in zip(ours.weights, stock.weights, strict=True):
        values = rng.normal(size=one.shape) if one.dtype == "float32" else other.numpy()
        one.assign(values)
        other.assign(values)
    compile_all(ours)
    factors = tf.constant(rng.normal(size=stock.compute_output_shape(steps.shape)), tf.float32)
    results = [differentiate(layer, steps, mask, factors) for layer in (ours, stock)]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(other).max()))
        assert np.abs(other).max() > 1e-4


@pytest.mark.long
@pytest.mark.parametrize("is_bidirectional", [False, True], ids=["one direction", "two"])
def test_uncompiled_it_is_the_stock_layer(is_bidirectional, rng):
    options = {"return_sequences": True}
    ours, stock = (make(kind, is_bidirectional, **options) for kind in (CompiledLSTM, layers.LSTM))
    steps = tf.constant(rng.normal(size=(3, 8, COLUMNS)), tf.float32)
    mask = tf.sequence_mask([8, 0, 2], 8)
    ours(steps), stock(steps)
    stock.set_weights(ours.get_weights())
    factors = tf.constant(rng.normal(size=stock(steps, mask=mask).shape), tf.float32)
    for one, other in zip(*(differentiate(layer, steps, mask, factors) for layer in (ours, stock)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_mask_that_fused_kernels_see_has_a_step_in_each_utterance(rng, monkeypatch):
    seen = []
    inner_loop = layers.LSTM.inner_loop

    def record(self, sequences, initial_state, mask, training=False):
        seen.append(mask.numpy())
        return inner_loop(self, sequences, initial_state, mask, training)

    monkeypatch.setattr(layers.LSTM, "inner_loop", record)
    layer = CompiledLSTM(UNITS)
    mask = tf.constant([[True, True, False, False], [False] * 4, [False, True, True, True]])
    outputs = layer(rng.normal(size=(3, 4, COLUMNS)).astype(np.float32), mask=mask)
    assert seen[0].any(axis=1).all()
    assert (seen[0] == mask.numpy())[[0, 2]].all()
    assert outputs.numpy()[0].any()
    assert not outputs.numpy()[1].any()


def test_a_training_long_enough_compiles_every_loop(rng):
    inputs = keras.Input((None, COLUMNS))
    steps = layers.Bidirectional(CompiledLSTM(UNITS, return_sequences=True))(inputs)
    model = keras.Model(inputs, AttentionDecoder(UNITS)(CompiledLSTM(UNITS, return_sequences=True)(steps)))
    trainer = Trainer(model, keras.optimizers.SGD(0.1))
    _, both, one, decoder = model.layers
    for num_steps, expected in [(STEPS_WORTH_COMPILING, True), (STEPS_WORTH_COMPILING - 1, False)]:
        trainer.expect_steps(num_steps)
        loops = [both.forward_layer, both.backward_layer, one, decoder]
        assert [loop.is_compiled for loop in loops] == [expected] * 4
