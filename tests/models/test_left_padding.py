"""What all utterances of a batch share is run once, and every number stays as if each had run it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.models.build import build_model
from harness.models.inputs import Branch, InputShapes, stacked_lstms, text_input
from harness.models.layers import WordMask
from harness.models.network_file import load_network, save_network
from harness.models.recurrence import STEPS_COMPILED_FOR, CompiledLSTM
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.models.text import SharedPadding
from harness.splits.protocol import PROTOCOLS
from tests.models.cases import every_case

NUM_IDS, MAX_WORDS = 12, STEPS_COMPILED_FOR + 5
POINT = {"dropout": 0.0, "textlstm": 6, "textlstm2": 5, "dense": 8, "embedding_dimension": 4}

NO_DROPOUT = read_hyperparameters(SYSTEMS["text2"], POINT, PROTOCOLS["paper"])
SHAPES = InputShapes(
    num_word_ids=NUM_IDS,
    max_words=MAX_WORDS,
    embedding=np.random.default_rng(0).normal(size=(NUM_IDS, 4)).astype(np.float32),
    has_masks=False,
)


@pytest.fixture(scope="module")
def models():
    """The text system as it is built, and its two LSTMs over every row's padding, of the same weights."""
    ours = build_model(SYSTEMS["text2"], NO_DROPOUT, SHAPES)
    branch = text_input(SHAPES, NO_DROPOUT)
    last = stacked_lstms(Branch(branch.inputs, branch.output), 6, 5, NO_DROPOUT, "text")
    dense = keras.layers.Dense(8, "relu", name="text_dense")(last)
    every_row = keras.Model(branch.inputs, keras.layers.Dense(4, "softmax", name="emotion")(dense))
    every_row.set_weights(ours.get_weights())
    return ours, every_row


def ids_of(lengths, width=MAX_WORDS):
    rng = np.random.default_rng(1)
    ids = rng.integers(1, NUM_IDS, size=(len(lengths), width))
    ids[np.arange(width) < width - np.array(lengths)[:, None]] = 0
    return tf.constant(ids, tf.int32)


def differentiate(model, ids):
    @tf.function(autograph=False)
    def run(ids):
        with tf.GradientTape() as tape:
            outputs = model({"text": ids}, training=True)
            loss = tf.reduce_sum(outputs[:, 0])
        gradients = tape.gradient(loss, model.trainable_variables)
        return [outputs, *(tf.convert_to_tensor(gradient) for gradient in gradients)]

    return [value.numpy() for value in run(ids)]


@pytest.mark.parametrize(
    ("lengths", "is_compiled"),
    every_case(
        [
            ("short", [3, 1, 7]),
            ("one without padding", [MAX_WORDS, 2]),
            ("no word at all", [0, 0, 0]),
            ("one without a word", [4, 0]),
            ("a single utterance", [1]),
        ],
        [("stock loops", False), ("compiled", True)],
        quick=[("short", "stock loops"), ("one without a word", "stock loops")],
    ),
)
def test_outputs_and_gradients_are_those_of_every_row(models, lengths, is_compiled):
    ours, every_row = models
    for layer in ours.layers:
        if isinstance(layer, CompiledLSTM):
            layer.is_compiled = is_compiled
    ids = ids_of(lengths)
    found, expected = differentiate(ours, ids), differentiate(every_row, ids)
    assert len(found) == 1 + len(ours.trainable_variables) > 6
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # The last gradient but three is of a kernel that reads what the padding has left behind.
    assert max(np.abs(other).max() for other in expected[1:]) > 1e-3


def test_the_shared_padding_is_run_as_one_row():
    part = SharedPadding()
    shared, mask, rest = part(ids_of([3, 1, 7]))
    assert shared.shape == mask.shape == (1, MAX_WORDS - 7 + 1)
    assert mask.numpy().sum() == MAX_WORDS - 7
    assert rest.shape == (3, 7)


def test_dropout_parts_the_rows_so_that_each_is_run():
    point = read_hyperparameters(SYSTEMS["text2"], {**POINT, "dropout": 0.2}, PROTOCOLS["paper"])
    kinds = {type(layer) for layer in build_model(SYSTEMS["text2"], point, SHAPES).layers}
    assert SharedPadding not in kinds and WordMask not in kinds


def test_a_saved_model_gives_the_same_numbers(models, tmp_path):
    ours, _ = models
    folder = tmp_path / "it's"
    folder.mkdir()
    save_network(folder, ours)
    loaded = load_network(folder)
    ids = ids_of([3, 1, 7])
    np.testing.assert_array_equal(loaded({"text": ids}), ours({"text": ids}))
