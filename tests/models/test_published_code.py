"""Under the published code's maths every system computes what plain Keras computes, padded and unmasked."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.plain_keras import (
    DrawnAlike,
    build_plain,
    copy_weights,
    fix_dropout_masks,
    gradients_by_layer,
)
from harness.models.build import build_model
from harness.models.inputs import InputShapes
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from tests.models.cases import every_case

SMALL = {
    "textlstm": 12,
    "textlstm2": 9,
    "speechlstm": 10,
    "speechlstm2": 8,
    "finalfc": 14,
    "dense": 16,
    "dense1": 20,
    "dense2": 18,
    "filters": 16,
    "branch_dense": 11,
    "embedding_dimension": 15,
    "random_dimension": 13,
}
NUM_WORD_IDS, BATCH = 30, 6
CHECKED = [
    *((name, 1) for name in "speech1 speech2 speech3 speech4 text1 text2 text3 mocap1 fusion".split()),
    ("speech4", 2),
    ("fusion", 2),
]


def make_batch(shapes):
    rng = np.random.default_rng(0)
    speech = rng.normal(size=(BATCH, shapes.speech_frames, 34)).astype(np.float32)
    text = rng.integers(1, NUM_WORD_IDS, (BATCH, shapes.max_words)).astype(np.int32)
    for row in range(BATCH):
        speech[row, 5 + row :] = 0.0
        text[row, : shapes.max_words - 2 - row] = 0
    return {
        "speech": speech,
        "text": text,
        "mocap": rng.normal(size=(BATCH, 200, 189)).astype(np.float32),
    }


def differentiate(model, batch, training):
    inputs = {tensor.name: batch[tensor.name] for tensor in model.inputs}
    with tf.GradientTape() as tape:
        probabilities = model(inputs, training=training)
        emotions = np.arange(BATCH) % 4
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(emotions, probabilities))
    gradients = tape.gradient(loss, model.trainable_variables)
    return probabilities.numpy(), gradients_by_layer(model, gradients)


@pytest.mark.long
@pytest.mark.parametrize(
    ("system_and_directions", "dropout"),
    every_case(
        [(f"{name}-{directions}", (name, directions)) for name, directions in CHECKED],
        [("no dropout", 0.0), ("fixed masks", 0.3)],
        quick=[("fusion-1", "fixed masks"), ("text1-1", "no dropout")],
    ),
)
def test_outputs_and_gradients_agree_with_plain_keras(system_and_directions, dropout):
    name, directions = system_and_directions
    system = SYSTEMS[name]
    known = system.hyperparameters.__dataclass_fields__
    values = {"dropout": dropout, "recurrent_dropout": dropout, "directions": directions, **SMALL}
    choices = read_hyperparameters(
        system, {key: value for key, value in values.items() if key in known}, PROTOCOLS["published-code"]
    )
    assert str(choices.gates) == "hard_sigmoid"
    shapes = InputShapes(
        speech_frames=12,
        max_words=9,
        num_word_ids=NUM_WORD_IDS,
        embedding=np.random.default_rng(1).normal(size=(NUM_WORD_IDS, 15)).astype(np.float32),
        mocap_order=PROTOCOLS["published-code"].mocap_order,
        has_masks=False,
    )
    keras.utils.set_random_seed(1)
    ours, plain = build_model(system, choices, shapes), build_plain(name, choices, shapes, DrawnAlike)
    batch = make_batch(shapes)
    differentiate(ours, batch, training=True)
    copy_weights(ours, plain)
    assert fix_dropout_masks(ours) == fix_dropout_masks(plain)
    probabilities, gradients = differentiate(ours, batch, training=True)
    expected_probabilities, expected_gradients = differentiate(plain, batch, training=True)
    np.testing.assert_allclose(probabilities, expected_probabilities, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected_gradients[key], atol=1e-5, err_msg=str(key))
