"""Speech_Model1 to 4, without their softmax. Source: paper, section 4.1."""

from __future__ import annotations

from dataclasses import replace

from keras import layers

from harness.models.decoder import AttentionDecoder
from harness.models.hyperparameters import (
    Attention,
    FusionHyperparameters,
    Speech1Hyperparameters,
    Speech2Hyperparameters,
    Speech3Hyperparameters,
)
from harness.models.inputs import Branch, InputShapes, lstm, speech_input, stacked_lstms
from harness.models.layers import AttentionPooling, FlattenedDense


def build_speech1(hyperparameters: Speech1Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model1: all frames flattened, (100, 34) -> Dense 1024, 512, 256, each relu."""
    branch = speech_input(shapes, hyperparameters)
    hidden = FlattenedDense(hyperparameters.dense1, shapes.speech_frames, "relu", name="speech_dense1")(
        branch.output, branch.mask
    )
    hidden = layers.Dropout(hyperparameters.dropout, name="speech_dropout")(hidden)
    hidden = layers.Dense(hyperparameters.dense2, activation="relu", name="speech_dense2")(hidden)
    hidden = layers.Dropout(hyperparameters.dropout, name="speech_dropout2")(hidden)
    output = layers.Dense(hyperparameters.dense, activation="relu", name="speech_dense")(hidden)
    return replace(branch, output=output, mask=None)


def build_speech2(hyperparameters: Speech2Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model2: LSTM 512, LSTM 256, each with dropout after it -> Dense 512 relu."""
    branch = speech_input(shapes, hyperparameters)
    last = stacked_lstms(branch, hyperparameters.speechlstm, hyperparameters.speechlstm2, hyperparameters, "speech")
    output = layers.Dense(hyperparameters.dense, activation="relu", name="speech_dense")(last)
    return replace(branch, output=output, mask=None)


def build_speech4(hyperparameters: Speech3Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model3, and in both directions Speech_Model4: LSTM 128, attentive layer 128 -> Dense 512 relu."""
    return build_attentive(hyperparameters, shapes, units=hyperparameters.dense, activation="relu")


def build_attentive(
    hyperparameters: Speech3Hyperparameters | FusionHyperparameters,
    shapes: InputShapes,
    units: int,
    activation: str | None,
) -> Branch:
    """An LSTM, a second recurrent layer with attention, and a Dense layer.

    The decoder's steps are flattened, (100, 128) a direction, before the Dense layer; the pooled
    LSTM gives one vector. A choice of ours: the paper does not say which attention it means, and
    its code has the decoder.
    """
    branch = speech_input(shapes, hyperparameters)
    encoder = lstm(hyperparameters.speechlstm, hyperparameters, "speech_lstm", steps=True)
    if hyperparameters.directions == 2:
        encoder = layers.Bidirectional(encoder, name="speech_bilstm")
    encoded = layers.Dropout(hyperparameters.dropout, name="speech_dropout")(encoder(branch.output, mask=branch.mask))
    if hyperparameters.attention is not Attention.POOLING:
        is_linear = hyperparameters.attention is Attention.LINEAR_DECODER
        decoder = AttentionDecoder(
            hyperparameters.speechlstm, hyperparameters.directions, is_linear, name="speech_decoder"
        )
        attended = layers.Dropout(hyperparameters.dropout, name="speech_dropout2")(decoder(encoded, branch.mask))
        dense = FlattenedDense(units, shapes.speech_frames, activation, name="speech_dense")
        return replace(branch, output=dense(attended, branch.mask), mask=None)
    second = lstm(hyperparameters.speechlstm, hyperparameters, "speech_lstm2", steps=True)
    if hyperparameters.directions == 2:
        second = layers.Bidirectional(second, name="speech_bilstm2")
    pooling = AttentionPooling(hyperparameters.speechlstm, name="speech_attention")
    pooled = pooling(second(encoded, mask=branch.mask), branch.mask)
    pooled = layers.Dropout(hyperparameters.dropout, name="speech_dropout2")(pooled)
    output = layers.Dense(units, activation=activation, name="speech_dense")(pooled)
    return replace(branch, output=output, mask=None)
