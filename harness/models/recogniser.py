"""A speech recogniser of characters, and the classifier over its layers: the idea of Lakomkin et al. in small.

Source: Lakomkin, Weber, Magg and Wermter, "Reusing Neural Speech Representations for Auditory Emotion Recognition",
IJCNLP 2017, as far as it could be found: representations of a recogniser are reused. Theirs is of the kind of Deep
Speech 2, trained on other and much larger corpora; the layers here, and all sizes, are choices of ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from harness.features.frames import MEL, frame_columns
from harness.features.text import LETTERS
from harness.models.hyperparameters import AsrTransferHyperparameters, Transfer
from harness.models.inputs import Branch, InputShapes, lstm, speech_input
from harness.models.layers import AttentionPooling, Columns, EveryNth

#: The character that stands for none.
BLANK = len(LETTERS)
NUM_LAYERS = 2
#: Frames a step of the recurrent layers: 40 ms. At 20 ms the layers cost twice as much.
FRAMES_PER_STEP = 4
#: Frames, then pairs of frames, that a convolution reads; ours.
_KERNEL = 5


def build_recogniser(hyperparameters: AsrTransferHyperparameters, shapes: InputShapes) -> keras.Model:
    """Build the recogniser: float32 (batch, steps, 29), the scores of ``LETTERS`` and of the blank at every step.

    (frames, 26) -> two convolutions of stride 2 -> (steps, 128) -> two BLSTM layers -> (steps, 256) -> (steps, 29).
    """
    plain = replace(hyperparameters, input_dropout=0.0, noise=0.0, time_masks=0)
    branch = _encode(_without_dropout(plain), shapes, NUM_LAYERS)
    scores = layers.Dense(len(LETTERS) + 1, name="characters")(branch.output)
    return keras.Model(branch.inputs, scores, name="recogniser")


def build_asr_transfer(hyperparameters: AsrTransferHyperparameters, shapes: InputShapes) -> Branch:
    """Build the classifier without its softmax: the recogniser's layers up to ``asr_layer``, then attention.

    Layers that stay as they are drop nothing: what they have learnt knows no dropout.
    """
    is_frozen = hyperparameters.transfer is Transfer.FROZEN
    encoder = _without_dropout(hyperparameters) if is_frozen else hyperparameters
    branch = _encode(encoder, shapes, hyperparameters.asr_layer)
    pooling = AttentionPooling(hyperparameters.asr_units, name="speech_attention")
    pooled = pooling(branch.output, branch.mask)
    output = layers.Dropout(hyperparameters.dropout, name="speech_dropout")(pooled)
    return replace(branch, output=output, mask=None)


def _without_dropout(hyperparameters: AsrTransferHyperparameters) -> AsrTransferHyperparameters:
    return replace(hyperparameters, dropout=0.0, recurrent_dropout=0.0)


def _encode(hyperparameters: AsrTransferHyperparameters, shapes: InputShapes, num_layers: int) -> Branch:
    branch = speech_input(shapes, hyperparameters)
    mask = branch.mask
    first, last = frame_columns(MEL[0], MEL[-1])
    hidden = Columns(first, last + 1, name="asr_mel")(branch.output)
    for number in (1, 2):
        # Reading no later frame, a real step reads no padding, and no length moves the frames that it reads.
        hidden = layers.Conv1D(
            hyperparameters.asr_units,
            _KERNEL,
            strides=2,
            padding="causal",
            activation="relu",
            name=f"asr_convolution{number}",
        )(hidden)
    if mask is not None:
        mask = EveryNth(FRAMES_PER_STEP, name="asr_mask")(mask)
    for number in range(1, num_layers + 1):
        steps = lstm(hyperparameters.asr_units, hyperparameters, f"asr_lstm{number}", steps=True)
        hidden = layers.Bidirectional(steps, name=f"asr_bilstm{number}")(hidden, mask=mask)
        if number < num_layers:
            hidden = layers.Dropout(hyperparameters.dropout, name=f"asr_dropout{number}")(hidden)
    return replace(branch, output=hidden, mask=mask)


def transfer_weights(recogniser: keras.Model, classifier: keras.Model, transfer: Transfer) -> None:
    """Copy the recogniser's weights into the classifier's layers of the same names; frozen ones are not trained."""
    own = {layer.name: layer for layer in recogniser.layers}
    for layer in classifier.layers:
        if layer.name in own and layer.weights:
            layer.set_weights(own[layer.name].get_weights())
            layer.trainable = transfer is not Transfer.FROZEN


def count_steps(lengths: Any) -> Any:
    """Return the steps of utterances of some frames: integers (num_utterances,), an array or a tensor as these are.

    Example:
        >>> count_steps(np.array([0, 1, 4, 5]))
        array([0, 1, 1, 2])
    """
    return (lengths + FRAMES_PER_STEP - 1) // FRAMES_PER_STEP


def encode_letters(texts: list[str]) -> np.ndarray:
    """Return int64 (num_texts, num_characters), the places of characters in ``LETTERS``; -1 beyond a text's end."""
    numbers = np.full((len(texts), max(map(len, texts))), -1, np.int64)
    for row, text in enumerate(texts):
        numbers[row, : len(text)] = [LETTERS.index(letter) for letter in text]
    return numbers


def fits(text: str, steps: int) -> bool:
    """Say whether so many steps can spell a text: one a character, and a blank between two that are the same.

    Example:
        >>> fits("see", 3), fits("see", 4)
        (False, True)
    """
    return len(text) + sum(first == second for first, second in zip(text, text[1:], strict=False)) <= steps


def ctc_loss(characters: tf.Tensor, scores: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Return the negative logarithm of each text's likelihood, float32 (batch,).

    Args:
        characters: int64 (batch, num_characters), as ``encode_letters`` returns them
        scores: float32 (batch, steps, 29), of the recogniser
        steps: int32 (batch,), that are real

    Source:
        Graves, Fernandez, Gomez and Schmidhuber, ICML 2006.
    """
    places = tf.where(characters >= 0)
    # Of labels that are sparse TensorFlow has a kernel; its loop over dense ones takes some hundred times as long.
    labels = tf.SparseTensor(
        places, tf.cast(tf.gather_nd(characters, places), tf.int32), tf.shape(characters, out_type=tf.int64)
    )
    return tf.nn.ctc_loss(labels, scores, None, steps, logits_time_major=False, blank_index=BLANK)


def read_best_path(scores: np.ndarray, steps: np.ndarray) -> list[str]:
    """Read the most probable character of every step, without repetitions and blanks.

    Args:
        scores: float32 (num_utterances, steps, 29)
        steps: int64 (num_utterances,), that are real
    """
    texts: list[str] = []
    for path, length in zip(scores.argmax(axis=-1), steps, strict=True):
        path = path[:length]
        starts = path[np.diff(path, prepend=-1) != 0]
        texts.append("".join(LETTERS[number] for number in starts if number != BLANK))
    return texts
