"""From a system and its hyperparameters to a Keras model and its optimiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from harness.models.acnn import build_acnn
from harness.models.ctc import build_ctc, build_one_label
from harness.models.decision import Network
from harness.models.fusion import build_fusion, classify
from harness.models.hyperparameters import (
    FusionHyperparameters,
    Optimizer,
    OwnHyperparameters,
    TrainingHyperparameters,
)
from harness.models.inputs import Branch, InputShapes
from harness.models.mocap import build_face1, build_mocap1, build_motion_dense, build_motion_lstm
from harness.models.null_state import build_blstm_null
from harness.models.recogniser import build_asr_transfer
from harness.models.segments import build_dnn_elm
from harness.models.speech import build_speech1, build_speech2, build_speech4
from harness.models.systems import System
from harness.models.text import build_text1, build_text2, build_text3
from harness.models.uni_svm import build_uni_svm
from harness.models.vectors import (
    build_speech_functionals,
    build_speech_vector,
    build_text_terms,
    build_text_vector,
)

#: Systems of speech or text: (hyperparameters, shapes) -> branch.
BRANCHES: Mapping[str, Callable[[Any, InputShapes], Branch]] = {
    "speech1": build_speech1,
    "speech2": build_speech2,
    "speech3": build_speech4,
    "speech4": build_speech4,
    "text1": build_text1,
    "text2": build_text2,
    "text3": build_text3,
    "speech_vector": build_speech_vector,
    "text_vector": build_text_vector,
    "one_label": build_one_label,
    "asr_transfer": build_asr_transfer,
}

#: Systems of motion: (hyperparameters, shapes, streams) -> branch.
MOTION_BRANCHES: Mapping[str, Callable[[Any, InputShapes, Any], Branch]] = {
    "head1": build_motion_lstm,
    "head2": build_motion_dense,
    "hand1": build_motion_lstm,
    "hand2": build_motion_dense,
    "face1": build_face1,
    "face2": build_mocap1,
    "mocap1": build_mocap1,
}

#: Systems whose answer is not what they are trained by: (hyperparameters, shapes) -> network.
NETWORKS: Mapping[str, Callable[[Any, InputShapes], Network]] = {
    "acnn": build_acnn,
    "blstm_null": build_blstm_null,
    "ctc": build_ctc,
    "dnn_elm": build_dnn_elm,
    "speech_functionals": build_speech_functionals,
    "text_terms": build_text_terms,
    "uni_svm": build_uni_svm,
}

# Keras's optimisers on TensorFlow's fused kernels: one pass over a weight where Keras makes ten. The combined model
# has some ten million weights, so that an update is a matter of memory. `tests/models/test_build.py` compares them
# with Keras's own. One thing differs: where a word occurs twice in a batch, Keras squares the gradient of its vector
# for each occurrence, and here it is summed first, as for every other weight.


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


OPTIMIZERS: Mapping[Optimizer, Callable[..., keras.optimizers.Optimizer]] = {
    Optimizer.ADAM: FusedAdam,
    Optimizer.ADADELTA: FusedAdadelta,
    Optimizer.SGD: keras.optimizers.SGD,
    Optimizer.MOMENTUM: partial(keras.optimizers.SGD, momentum=0.9),
}


def build_network(system: System, hyperparameters: TrainingHyperparameters, shapes: InputShapes) -> Network:
    """Build one system, and what it is trained by where that is not its answer.

    Raises:
        ExperimentFileError: as ``OwnSystem.build``
    """
    if system.own is not None:
        assert isinstance(hyperparameters, OwnHyperparameters)
        return Network(system.own.build(hyperparameters, shapes))
    if system.name in NETWORKS:
        return NETWORKS[system.name](hyperparameters, shapes)
    if isinstance(hyperparameters, FusionHyperparameters):
        return Network(build_fusion(hyperparameters, shapes, system.modalities))
    if system.name in MOTION_BRANCHES:
        branch = MOTION_BRANCHES[system.name](hyperparameters, shapes, system.streams)
    else:
        branch = BRANCHES[system.name](hyperparameters, shapes)
    return Network(keras.Model(branch.inputs, classify(branch.output), name=system.name))


def build_model(system: System, hyperparameters: TrainingHyperparameters, shapes: InputShapes) -> keras.Model:
    """Build one system; its outputs are probabilities, float32 (batch, 4), in the order of ``CLASSES``."""
    return build_network(system, hyperparameters, shapes).model


#: The share that the moving average of the weights keeps at each training step: a memory of about 100 steps, which is
#: an epoch of the paper's 3000 utterances in batches of 32. Keras's default.
AVERAGE_MOMENTUM = 0.99


def build_optimizer(
    hyperparameters: TrainingHyperparameters, *, is_averaged: bool = False
) -> keras.optimizers.Optimizer:
    """Build the optimiser that the hyperparameters name, with their learning rate, weight decay and longest gradient.

    Args:
        is_averaged: whether it also keeps a moving average of the weights, which ``finalize_variable_values`` puts in
            their place

    Source: Loshchilov and Hutter 2019 for the decay, which is decoupled from the gradient, under every optimiser.
    """
    decay = hyperparameters.weight_decay or None
    optimizer = OPTIMIZERS[hyperparameters.optimizer](
        learning_rate=hyperparameters.rate, weight_decay=decay, global_clipnorm=hyperparameters.clip_norm or None
    )
    if decay:
        # Patterns of names: those of Keras's layers, where a normalisation calls it beta, and of the decoder.
        optimizer.exclude_from_weight_decay(var_names=["bias", "^beta$", "^b$", "^b_a$"])
    if is_averaged:
        # Before it is built; set here, because not every optimiser takes both as arguments.
        optimizer.use_ema, optimizer.ema_momentum = True, AVERAGE_MOMENTUM
    return optimizer
