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


def build_speech1(choices: Speech1Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model1: all frames flattened, (100, 34) -> Dense 1024, 512, 256, each relu."""
    branch = speech_input(shapes)
    hidden = FlattenedDense(choices.dense1, shapes.speech_frames, "relu", name="speech_dense1")(
        branch.output, branch.mask
    )
    hidden = layers.Dropout(choices.dropout, name="speech_dropout")(hidden)
    hidden = layers.Dense(choices.dense2, activation="relu", name="speech_dense2")(hidden)
    hidden = layers.Dropout(choices.dropout, name="speech_dropout2")(hidden)
    output = layers.Dense(choices.dense, activation="relu", name="speech_dense")(hidden)
    return replace(branch, output=output, mask=None)


def build_speech2(choices: Speech2Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model2: LSTM 512, LSTM 256, each with dropout after it -> Dense 512 relu."""
    branch = speech_input(shapes)
    last = stacked_lstms(branch, choices.speechlstm, choices.speechlstm2, choices, "speech")
    output = layers.Dense(choices.dense, activation="relu", name="speech_dense")(last)
    return replace(branch, output=output, mask=None)


def build_speech4(choices: Speech3Hyperparameters, shapes: InputShapes) -> Branch:
    """Speech_Model3, and in both directions Speech_Model4: LSTM 128, attentive layer 128 -> Dense 512 relu."""
    return build_attentive(choices, shapes, units=choices.dense, activation="relu")


def build_attentive(
    choices: Speech3Hyperparameters | FusionHyperparameters,
    shapes: InputShapes,
    units: int,
    activation: str | None,
) -> Branch:
    """An LSTM, a second recurrent layer with attention, and a Dense layer.

    The decoder's steps are flattened, (100, 128) a direction, before the Dense layer; the pooled
    LSTM gives one vector. A choice of ours: the paper does not say which attention it means, and
    its code has the decoder.
    """
    branch = speech_input(shapes)
    encoder = lstm(choices.speechlstm, choices, "speech_lstm", steps=True)
    if choices.directions == 2:
        encoder = layers.Bidirectional(encoder, name="speech_bilstm")
    encoded = layers.Dropout(choices.dropout, name="speech_dropout")(encoder(branch.output, mask=branch.mask))
    if choices.attention is Attention.DECODER:
        decoder = AttentionDecoder(choices.speechlstm, choices.directions, name="speech_decoder")
        attended = layers.Dropout(choices.dropout, name="speech_dropout2")(decoder(encoded, branch.mask))
        dense = FlattenedDense(units, shapes.speech_frames, activation, name="speech_dense")
        return replace(branch, output=dense(attended, branch.mask), mask=None)
    second = lstm(choices.speechlstm, choices, "speech_lstm2", steps=True)
    if choices.directions == 2:
        second = layers.Bidirectional(second, name="speech_bilstm2")
    pooling = AttentionPooling(choices.speechlstm, name="speech_attention")
    pooled = pooling(second(encoded, mask=branch.mask), branch.mask)
    pooled = layers.Dropout(choices.dropout, name="speech_dropout2")(pooled)
    output = layers.Dense(units, activation=activation, name="speech_dense")(pooled)
    return replace(branch, output=output, mask=None)
