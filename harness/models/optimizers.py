"""Keras's optimisers on TensorFlow's fused kernels: one pass over a weight where Keras makes ten.

The combined model has some ten million weights, so that an update is a matter of memory. Held equal
to Keras's own by `tests/models/test_optimizers.py`, but for one thing: where a word occurs twice in a
batch, Keras squares the gradient of its vector for each occurrence, and here it is summed first, as
for every other weight.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):
    """Adam as Keras computes it, without its AMSGrad variant."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        num_updates = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**num_updates,
            beta2_power=self.beta_2**num_updates,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


class FusedAdadelta(keras.optimizers.Adadelta):
    """Adadelta as Keras computes it."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdadelta(
            var=_handle(variable),
            accum=_handle(self._accumulated_grads[index]),
            accum_update=_handle(self._accumulated_delta_vars[index]),
            lr=tf.cast(learning_rate, tf.float32),
            rho=self.rho,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


def _handle(variable: Any) -> tf.Tensor:
    """The resource of a variable of Keras's or TensorFlow's."""
    return (variable if isinstance(variable, tf.Variable) else variable.value).handle
