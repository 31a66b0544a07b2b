"""The fused optimisers take the steps that Keras's own take."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models.optimizers import FusedAdadelta, FusedAdam

SHAPES = [(7, 5), (11,), (4, 3)]


def take_steps(optimizer, num_steps=5):
    """Weights after some steps whose gradients depend on them; the last weight's gradient is sparse."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in SHAPES]
    optimizer.build(variables)

    @tf.function
    def step(noise):
        gradients = [
            tf.convert_to_tensor(variable) * 0.5 + part
            for variable, part in zip(variables, noise, strict=True)
        ]
        gradients[-1] = tf.IndexedSlices(gradients[-1][1:3], tf.constant([0, 2]), tf.constant(SHAPES[-1]))
        optimizer.apply(gradients, variables)

    for _ in range(num_steps):
        step([tf.constant(rng.normal(size=shape), tf.float32) for shape in SHAPES])
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize(
    ("fused", "stock", "learning_rate"),
    [(FusedAdam, keras.optimizers.Adam, 0.01), (FusedAdadelta, keras.optimizers.Adadelta, 1.0)],
    ids=["adam", "adadelta"],
)
def test_fused_optimizer_takes_the_steps_of_the_stock_one(fused, stock, learning_rate):
    ours, expected = take_steps(fused(learning_rate)), take_steps(stock(learning_rate))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    start = np.random.default_rng(0).normal(size=SHAPES[0])
    assert np.abs(ours[0] - start).max() > 1e-3
