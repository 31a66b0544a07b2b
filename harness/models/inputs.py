"""The inputs of a model with their masks and widths, the vectors of its words, and the LSTMs that read them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import layers

from harness.corpus.layout import MocapStream
from harness.features.fitted import FittedFeatures
from harness.features.mocap import MOCAP_COLUMNS
from harness.models.hyperparameters import NetworkHyperparameters, TrainingHyperparameters, WordVectors
from harness.models.layers import Columns, LengthMask, TimeMasks, WordDropout, WordMask, WordTable
from harness.models.recurrence import CompiledLSTM
from harness.splits.protocol import Lengths, MocapOrder, Protocol


@dataclass(frozen=True)
class InputShapes:
    """The widths of the inputs, and their form.

    Attributes:
        speech_frames, speech_columns: most frames of an utterance, and its features (100, 34)
        max_words: most words of an utterance, or most frames of a user's file in place of words
        text_columns: numbers of such a frame; None where words are read
        num_word_ids: padding and the unknown word counted
        num_file_words: the last of the ids, of words that no training utterance has
        embedding: float32 (num_word_ids, dimension), the initial word vectors; None for random ones
        mocap_windows, mocap_columns: (200, 189)
        mocap_order: of the columns as the layers see them; the features are in the paper's
        has_masks: real lengths with masks, or zeros to the full length and no mask
        num_training: training utterances, of which some classifiers keep a vector each
    """

    speech_frames: int = 100
    speech_columns: int = 34
    max_words: int = 500
    text_columns: int | None = None
    num_word_ids: int = 2
    num_file_words: int = 0
    embedding: np.ndarray | None = None
    mocap_windows: int = 200
    mocap_columns: int = 189
    mocap_order: MocapOrder = MocapOrder.FACE_HAND_HEAD
    has_masks: bool = True
    num_training: int = 0


def input_shapes(fitted: FittedFeatures, protocol: Protocol, num_training: int = 0) -> InputShapes:
    """Take the widths of a model's inputs from the fitted features.

    Args:
        num_training: utterances that are trained on
    """
    own_text = fitted.text_features
    return InputShapes(
        speech_frames=fitted.speech_settings.max_frames,
        speech_columns=len(fitted.speech_columns),
        max_words=protocol.max_words if own_text is None else own_text.max_frames,
        text_columns=None if own_text is None else own_text.num_columns,
        num_word_ids=0 if fitted.tokenizer is None else fitted.tokenizer.num_ids,
        num_file_words=0 if fitted.tokenizer is None else fitted.tokenizer.num_file_words,
        embedding=fitted.embedding,
        mocap_order=protocol.mocap_order,
        has_masks=protocol.lengths is Lengths.REAL,
        num_training=num_training,
    )


@dataclass(frozen=True)
class Branch:
    """One modality's part of a model.

    Attributes:
        inputs: by name
        output: float32 (batch, features), or (batch, steps, features) where steps are left
        mask: bool (batch, steps) of those steps; None without masks
    """

    inputs: dict[str, keras.KerasTensor]
    output: keras.KerasTensor
    mask: keras.KerasTensor | None = None


def speech_input(shapes: InputShapes, hyperparameters: TrainingHyperparameters) -> Branch:
    """``speech`` float32 (batch, frames, columns); with masks also ``speech_lengths`` int32 (batch,)."""
    branch = _frames_input(shapes.speech_columns, shapes.has_masks, "speech")
    return replace(branch, output=_disturb(branch.output, branch.mask, hyperparameters, "speech"))


def _frames_input(num_columns: int, has_masks: bool, name: str) -> Branch:
    frames = keras.Input((None, num_columns), name=name)
    if not has_masks:
        return Branch({name: frames}, frames)
    lengths = keras.Input((), dtype="int32", name=f"{name}_lengths")
    return Branch({name: frames, f"{name}_lengths": lengths}, frames, LengthMask(name=f"{name}_mask")(frames, lengths))


def _disturb(
    steps: keras.KerasTensor, mask: keras.KerasTensor | None, hyperparameters: TrainingHyperparameters, name: str
) -> keras.KerasTensor:
    """Let training read frames or windows with noise, and without some spans and numbers."""
    # A model of one's own has these where its dataclass does.
    if noise := getattr(hyperparameters, "noise", 0.0):
        steps = layers.GaussianNoise(noise, name=f"{name}_noise")(steps)
    if time_masks := getattr(hyperparameters, "time_masks", 0):
        steps = TimeMasks(time_masks, name=f"{name}_time_masks")(steps, mask)
    return drop_inputs(steps, hyperparameters, name)


def drop_inputs(
    steps: keras.KerasTensor, hyperparameters: TrainingHyperparameters, name: str
) -> keras.KerasTensor:
    """Let training read a modality without a share of its numbers."""
    share = getattr(hyperparameters, "input_dropout", 0.0)
    return layers.Dropout(share, name=f"{name}_input_dropout")(steps) if share else steps


def text_input(shapes: InputShapes, hyperparameters: TrainingHyperparameters) -> Branch:
    """``text`` int32 (batch, words), 0 for padding, looked up as vectors (batch, words, dimension).

    Of a user's file in place of words it is float32 (batch, frames, columns); with masks also ``text_lengths`` int32
    (batch,).
    """
    if shapes.text_columns is not None:
        branch = _frames_input(shapes.text_columns, shapes.has_masks, "text")
        return replace(branch, output=drop_inputs(branch.output, hyperparameters, "text"))
    table = word_table(shapes, hyperparameters)
    text = keras.Input((None,), dtype="int32", name="text")
    mask = WordMask(name="text_mask")(text) if shapes.has_masks else None
    return Branch({"text": text}, drop_inputs(table(drop_words(text, hyperparameters)), hyperparameters, "text"), mask)


def drop_words(word_ids: keras.KerasTensor, hyperparameters: TrainingHyperparameters) -> keras.KerasTensor:
    """Let training read a share of the word ids, int32 (batch, words), as the unknown word."""
    share = getattr(hyperparameters, "word_dropout", 0.0)
    return WordDropout(share, name="text_word_dropout")(word_ids) if share else word_ids


def word_table(shapes: InputShapes, hyperparameters: TrainingHyperparameters) -> layers.Embedding | WordTable:
    """The vectors of word ids: random ones of a system with a ``random_dimension``, else those of ``shapes``."""
    random_dimension = getattr(hyperparameters, "random_dimension", None)
    if random_dimension is not None:
        return layers.Embedding(shapes.num_word_ids, random_dimension, name="text_vectors")
    if shapes.embedding is None:
        raise ValueError("this text branch needs the initial word vectors")
    is_trained = getattr(hyperparameters, "word_vectors", WordVectors.TRAINED) is WordVectors.TRAINED
    if shapes.num_file_words:
        num_trained = shapes.num_word_ids - shapes.num_file_words
        table = WordTable(num_trained, shapes.num_file_words, shapes.embedding.shape[1], name="text_vectors")
        table.build(None)
        table.set_weights([shapes.embedding[:num_trained], shapes.embedding[num_trained:]])
        table.trainable = is_trained
        return table
    return layers.Embedding(
        *shapes.embedding.shape,
        embeddings_initializer=keras.initializers.Constant(shapes.embedding),
        trainable=is_trained,
        name="text_vectors",
    )


def mocap_input(
    shapes: InputShapes, streams: tuple[MocapStream, ...], hyperparameters: TrainingHyperparameters
) -> Branch:
    """``mocap`` float32 (batch, windows, columns), of which the columns of ``streams`` are kept."""
    return mocap_steps(replace(shapes, has_masks=False), streams, hyperparameters)


def mocap_steps(
    shapes: InputShapes, streams: tuple[MocapStream, ...], hyperparameters: TrainingHyperparameters
) -> Branch:
    """As ``mocap_input``; with masks also ``mocap_lengths`` int32 (batch,): the windows that have a row."""
    mocap = keras.Input((shapes.mocap_windows, shapes.mocap_columns), name="mocap")
    picked = _pick_columns(mocap, shapes, streams)
    inputs, mask = {"mocap": mocap}, None
    if shapes.has_masks:
        inputs["mocap_lengths"] = keras.Input((), dtype="int32", name="mocap_lengths")
        mask = LengthMask(name="mocap_mask")(picked, inputs["mocap_lengths"])
    return Branch(inputs, _disturb(picked, mask, hyperparameters, "mocap"), mask)


def _pick_columns(
    mocap: keras.KerasTensor, shapes: InputShapes, streams: tuple[MocapStream, ...]
) -> keras.KerasTensor:
    if set(streams) != set(MocapStream):
        (stream,) = streams
        return _columns_of(stream, mocap)
    if shapes.mocap_order is MocapOrder.FACE_HAND_HEAD:
        return mocap
    parts = [_columns_of(stream, mocap) for stream in (MocapStream.HEAD, MocapStream.HAND, MocapStream.FACE)]
    return layers.Concatenate(name="mocap_columns")(parts)


def _columns_of(stream: MocapStream, mocap: keras.KerasTensor) -> keras.KerasTensor:
    columns = MOCAP_COLUMNS[stream]
    return Columns(columns.start, columns.stop, name=f"{stream}_columns")(mocap)


def lstm(
    units: int, hyperparameters: NetworkHyperparameters, name: str, *, steps: bool, returns_state: bool = False
) -> CompiledLSTM:
    """An LSTM as the paper's authors used it; ``steps`` returns every step instead of the last."""
    return CompiledLSTM(
        units,
        return_sequences=steps,
        return_state=returns_state,
        recurrent_activation=str(hyperparameters.gates),
        recurrent_dropout=hyperparameters.recurrent_dropout,
        zero_output_for_mask=steps,
        name=name,
    )


def stacked_lstms(
    branch: Branch, first_units: int, second_units: int, hyperparameters: NetworkHyperparameters, name: str
) -> keras.KerasTensor:
    """Two LSTMs, dropout after each; returns the second one's last state, float32 (batch, second_units)."""
    first = lstm(first_units, hyperparameters, f"{name}_lstm", steps=True)(branch.output, mask=branch.mask)
    first = layers.Dropout(hyperparameters.dropout, name=f"{name}_dropout")(first)
    last = lstm(second_units, hyperparameters, f"{name}_lstm2", steps=False)(first, mask=branch.mask)
    return layers.Dropout(hyperparameters.dropout, name=f"{name}_dropout2")(last)
