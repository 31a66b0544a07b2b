"""Head_, Hand_, Face_ and Mocap_Model, without their softmax. Source: paper, section 4.3."""

from __future__ import annotations

from dataclasses import replace

import keras
from keras import layers

from harness.corpus.layout import MocapStream
from harness.models.hyperparameters import (
    Face1Hyperparameters,
    FusedBranches,
    FusionHyperparameters,
    MotionLstmHyperparameters,
    NetworkHyperparameters,
    SingleHyperparameters,
)
from harness.models.inputs import Branch, InputShapes, lstm, mocap_input, mocap_steps, stacked_lstms
from harness.models.layers import DropoutRelu

Streams = tuple[MocapStream, ...]

#: Filters of the five convolutions. Source: paper, section 4.3.
CONVOLUTION_FILTERS = (32, 64, 64, 128, 128)


def build_motion_lstm(hyperparameters: MotionLstmHyperparameters, shapes: InputShapes, streams: Streams) -> Branch:
    """Head_Model1 (200, 6) and Hand_Model1 (200, 18): LSTM 256 -> Dense 256 relu.

    The paper gives the Dense layer no width; 256 is that of the other head and hand models.
    """
    branch = mocap_steps(shapes, streams, hyperparameters)
    last = lstm(hyperparameters.mocaplstm, hyperparameters, "mocap_lstm", steps=False)(branch.output, mask=branch.mask)
    last = layers.Dropout(hyperparameters.dropout, name="mocap_dropout")(last)
    output = layers.Dense(hyperparameters.dense, activation="relu", name="mocap_dense")(last)
    return replace(branch, output=output, mask=None)


def build_motion_dense(hyperparameters: SingleHyperparameters, shapes: InputShapes, streams: Streams) -> Branch:
    """Head_Model2 (200, 6) and Hand_Model2 (200, 18): all windows flattened -> Dense 256 relu."""
    branch = mocap_input(shapes, streams, hyperparameters)
    flat = layers.Dropout(hyperparameters.dropout, name="mocap_dropout")(layers.Flatten()(branch.output))
    return replace(branch, output=layers.Dense(hyperparameters.dense, activation="relu", name="mocap_dense")(flat))


def build_face1(hyperparameters: Face1Hyperparameters, shapes: InputShapes, streams: Streams) -> Branch:
    """Face_Model1 (200, 165): LSTM 512, LSTM 256 -> Dense 512 relu."""
    branch = mocap_steps(shapes, streams, hyperparameters)
    last = stacked_lstms(branch, hyperparameters.mocaplstm, hyperparameters.mocaplstm2, hyperparameters, "mocap")
    output = layers.Dense(hyperparameters.dense, activation="relu", name="mocap_dense")(last)
    return replace(branch, output=output, mask=None)


def build_mocap1(hyperparameters: SingleHyperparameters, shapes: InputShapes, streams: Streams) -> Branch:
    """Face_Model2 (200, 165) and Mocap_Model1 (200, 189): five convolutions -> Dense 256 relu."""
    branch = mocap_input(shapes, streams, hyperparameters)
    flat = convolve(branch.output, hyperparameters)
    return replace(branch, output=layers.Dense(hyperparameters.dense, activation="relu", name="mocap_dense")(flat))


def build_fused_mocap(hyperparameters: FusionHyperparameters, shapes: InputShapes) -> Branch:
    """Mocap_Model1 as it stands in the combined model, its last layer as ``FusedBranches`` says."""
    branch = mocap_input(shapes, tuple(MocapStream), hyperparameters)
    flat = convolve(branch.output, hyperparameters)
    units = hyperparameters.branch_dense
    if hyperparameters.branches is FusedBranches.TEXT:
        units = max(1, units // 2)
    dense = layers.Dense(units, activation=hyperparameters.branch_activation, name="mocap_dense")
    return replace(branch, output=dense(flat))


def convolve(windows: keras.KerasTensor, hyperparameters: NetworkHyperparameters) -> keras.KerasTensor:
    """Five convolutions of kernel 3 and stride 2 over (windows, columns), flattened.

    Padding ``same`` and dropout before each relu, as the published code has them.
    """
    features = layers.Reshape((*windows.shape[1:], 1))(windows)
    for number, filters in enumerate(CONVOLUTION_FILTERS, start=1):
        features = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"mocap_conv{number}")(features)
        features = DropoutRelu(hyperparameters.dropout, name=f"mocap_dropout{number}")(features)
    return layers.Flatten()(features)
