"""The networks over dialogues: what each reads, that padding changes nothing, and that context is learned."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.features.context import Context
from harness.features.dialogues import Dialogues
from harness.models.build import build_optimizer
from harness.models.context_networks import NOT_SCORED, build_context
from harness.models.hyperparameters import ContextHyperparameters, Residual
from harness.training.objective import Objective

SMALL = ContextHyperparameters(contextlstm=6, dense=5)
WIDTH = 3
NETWORKS = [
    pytest.param(context, residual, id=f"{context}-{residual}")
    for context in Context
    # Under PROBABILITIES an untrained network reads no context.
    for residual in (Residual.ADDED, Residual.NONE)
]


def network(context, residual=Residual.ADDED):
    keras.utils.set_random_seed(0)
    return build_context(replace(SMALL, residual=residual), WIDTH, context)


def vectors(*shape):
    return np.random.default_rng(1).normal(size=(*shape, WIDTH)).astype(np.float32)


def answer(model, turns, lengths):
    inputs = {"turns": turns, "dialogue_lengths": np.array(lengths, np.int32)}
    return model(inputs, training=False).numpy()


@pytest.mark.parametrize(("context", "residual"), NETWORKS)
def test_every_turn_has_probabilities_and_padding_changes_nothing(context, residual):
    model = network(context, residual)
    turns = vectors(3, 7)
    lengths = [7, 4, 1]
    answers = answer(model, turns, lengths)
    assert answers.shape == (3, 7, 4) and answers.dtype == np.float32
    assert np.allclose(answers.sum(axis=2), 1.0, atol=1e-6)
    longer = np.pad(turns, [(0, 0), (0, 5), (0, 0)], constant_values=9.0)
    longer[1, 4:] = -9.0
    padded = answer(model, longer, lengths)
    for row, length in enumerate(lengths):
        alone = answer(model, turns[row : row + 1, :length], [length])
        assert np.allclose(padded[row, :length], answers[row, :length], atol=1e-6)
        assert np.allclose(alone[0], answers[row, :length], atol=1e-6)


@pytest.mark.parametrize(("context", "residual"), NETWORKS)
def test_a_network_reads_the_turns_of_its_context_alone(context, residual):
    model = network(context, residual)
    turns = vectors(2, 6)
    changed = turns.copy()
    changed[0, 3] += 1.0
    is_changed = (answer(model, turns, [6, 6]) != answer(model, changed, [6, 6])).any(axis=2)
    expected = {
        Context.NONE: [False, False, False, True, False, False],
        Context.PAST: [False, False, False, True, True, True],
        Context.DIALOGUE: [True] * 6,
    }
    assert is_changed[0].tolist() == expected[context]
    assert not is_changed[1].any()


def test_turns_without_a_label_and_padding_have_no_part_in_the_loss():
    emotions = np.array([[2, NOT_SCORED, 1], [0, NOT_SCORED, NOT_SCORED]])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3)).astype(np.float32)
    expected = -np.log([probabilities[0, 0, 2], probabilities[0, 2, 1], probabilities[1, 0, 0]]).mean()
    given = tf.Variable(probabilities)
    with tf.GradientTape() as tape:
        loss = Objective().scored_cross_entropy({"emotion": tf.constant(emotions)}, given)
    assert np.isclose(loss, expected, rtol=1e-5)
    has_gradient = (tape.gradient(loss, given).numpy() != 0).any(axis=2)
    assert np.array_equal(has_gradient, emotions != NOT_SCORED)
    weights = np.array([0.5, 2.0, 3.0, 1.0], np.float32)
    weighted = -np.log([probabilities[0, 0, 2], probabilities[0, 2, 1], probabilities[1, 0, 0]]) * [3.0, 2.0, 0.5]
    loss = Objective(weights).scored_cross_entropy({"emotion": tf.constant(emotions)}, given)
    assert np.isclose(loss, weighted.mean(), rtol=1e-5)


def test_a_saved_network_answers_the_same(tmp_path):
    model = network(Context.DIALOGUE)
    model.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    turns = vectors(2, 4)
    assert np.array_equal(answer(again, turns, [4, 2]), answer(model, turns, [4, 2]))


NUM_TURNS = 10


def moody(num_dialogues, seed):
    """Dialogues of one speaker each, who keeps the emotion in 19 of 20 turns; a turn's vector tells little of it."""
    generator = np.random.default_rng(seed)
    num_turns = NUM_TURNS * num_dialogues
    bounds = np.arange(0, num_turns + 1, NUM_TURNS)
    everything = np.ones(num_turns, dtype=bool)
    dialogues = Dialogues(tuple(map(str, range(num_turns))), bounds, np.zeros(num_turns, dtype=int), everything)
    emotions = generator.integers(4, size=num_turns)
    for row in range(num_turns):
        if row % NUM_TURNS and generator.random() < 0.95:
            emotions[row] = emotions[row - 1]
    values = generator.normal(size=(num_turns, 4))
    values[np.arange(num_turns), emotions] += 1.0
    return dialogues, values.astype(np.float32), emotions


def train(model, point, dialogues, values, emotions, num_epochs):
    optimizer = build_optimizer(point)
    optimizer.build(model.trainable_variables)
    objective = Objective()

    @tf.function
    def step(turns, lengths, labels):
        with tf.GradientTape() as tape:
            answers = model({"turns": turns, "dialogue_lengths": lengths}, training=True)
            loss = objective.scored_cross_entropy({"emotion": labels}, answers)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    generator = np.random.default_rng(0)
    for _ in range(num_epochs):
        order = generator.permutation(len(dialogues.lengths))
        for numbers in order.reshape(-1, point.batch_size):
            lengths = dialogues.lengths[numbers].astype(np.int32)
            step(*map(tf.constant, (dialogues.pad(values, numbers), lengths, dialogues.pad(emotions, numbers))))


@pytest.mark.long
def test_context_is_learned_where_moods_last():
    point = ContextHyperparameters(contextlstm=16, dense=16, learning_rate=0.01, dropout=0.0)
    training = moody(100, seed=0)
    dialogues, values, emotions = moody(60, seed=1)
    accuracy = {}
    for context in Context:
        keras.utils.set_random_seed(0)
        model = build_context(point, 4, context)
        train(model, point, *training, num_epochs=12)
        every = np.arange(60)
        found = np.zeros((len(dialogues), 4), np.float32)
        dialogues.unpad(answer(model, dialogues.pad(values, every), dialogues.lengths), every, found)
        accuracy[context] = (found.argmax(axis=1) == emotions).mean()
    assert accuracy[Context.PAST] > accuracy[Context.NONE] + 0.1
    assert accuracy[Context.DIALOGUE] > accuracy[Context.PAST] + 0.03, accuracy
