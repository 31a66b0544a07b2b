"""Networks over the turns of a dialogue: sc_lstm reads the past, bc_lstm both sides. Source: Poria et al., ACL 2017."""

from __future__ import annotations

import keras
from keras import layers

from harness.corpus.utterances import CLASSES
from harness.features.context import Context
from harness.models.fusion import classify
from harness.models.hyperparameters import DialogueNetworkHyperparameters, Residual
from harness.models.inputs import lstm
from harness.models.layers import Columns, LengthMask

#: In place of the emotion of a turn that is not scored, and of padding.
NOT_SCORED = -1


def build_context(hyperparameters: DialogueNetworkHyperparameters, width: int, context: Context) -> keras.Model:
    """Build a network that classifies every turn of a dialogue from the vectors of its turns.

    LSTM ``contextlstm`` over the turns, of each direction -> dropout -> Dense ``dense`` relu, plus the turn's own
    vector through a linear layer under ``Residual.ADDED`` -> softmax at every turn. Under ``Residual.PROBABILITIES``
    and ``Residual.BASELINE`` the first four numbers of a turn's vector, logarithms of probabilities, are added to what
    the softmax reads, whose layer begins at 0: an untrained network answers with these probabilities.

    Inputs are ``turns`` float32 (batch, turns, width), padded on the right, and ``dialogue_lengths`` int32 (batch,).
    Outputs are probabilities, float32 (batch, turns, 4); those of padding mean nothing.

    Args:
        context: ``PAST`` for sc_lstm, ``DIALOGUE`` for bc_lstm; under ``NONE`` there is no LSTM: each turn on its own

    Source:
        Poria et al., ACL 2017, section 3.2: sc-LSTM and bc-LSTM. Deviates: it ends in the softmax with which the
        network is trained, not in an SVM on the Dense layer; ``residual`` is not in the paper.
    """
    turns = keras.Input((None, width), name="turns")
    lengths = keras.Input((), dtype="int32", name="dialogue_lengths")
    mask = LengthMask(name="dialogue_mask")(turns, lengths)
    read = turns
    if context is not Context.NONE:
        recurrent = lstm(hyperparameters.contextlstm, hyperparameters, "context_lstm", steps=True)
        if context is Context.DIALOGUE:
            recurrent = layers.Bidirectional(recurrent, name="context_bilstm")
        read = recurrent(turns, mask=mask)
    read = layers.Dropout(hyperparameters.dropout, name="context_dropout")(read)
    hidden = layers.Dense(hyperparameters.dense, activation="relu", name="context_dense")(read)
    if hyperparameters.residual is Residual.ADDED:
        own = layers.Dense(hyperparameters.dense, name="context_residual")(turns)
        hidden = layers.Add(name="context_sum")([hidden, own])
    if hyperparameters.residual in (Residual.PROBABILITIES, Residual.BASELINE):
        change = layers.Dense(len(CLASSES), kernel_initializer="zeros", name="context_change")(hidden)
        own = Columns(0, len(CLASSES), name="own_probabilities")(turns)
        answers = layers.Softmax(name="emotion")(layers.Add(name="context_sum")([change, own]))
    else:
        answers = classify(hidden)
    return keras.Model({"turns": turns, "dialogue_lengths": lengths}, answers, name=f"context_{context}")
