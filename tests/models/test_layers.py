"""The layers that Keras does not have: padding must change nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer

from harness.features.text import Tokenizer, inverse_frequencies, split_terms
from harness.models.decoder import AttentionDecoder
from harness.models.layers import (
    AttentionPooling,
    DropoutRelu,
    FlattenedDense,
    LengthMask,
    TermFrequencies,
    WordMask,
    WordTable,
    draw_kept,
    masked_softmax,
)


@pytest.fixture
def steps():
    return np.random.default_rng(0).normal(size=(3, 7, 5)).astype(np.float32)


@pytest.fixture
def mask():
    return tf.sequence_mask([7, 2, 0], 7)


def pad(steps, extra):
    noise = np.random.default_rng(1).normal(size=(len(steps), extra, steps.shape[2]))
    return np.concatenate([steps, noise.astype(np.float32)], axis=1)


def pad_mask(mask, extra):
    return tf.pad(mask, [[0, 0], [0, extra]])


@pytest.mark.parametrize(
    "layer",
    [AttentionPooling(4), AttentionDecoder(4), AttentionDecoder(4, directions=2)],
    ids=["pooling", "decoder", "two directions"],
)
def test_padding_changes_no_output(layer, steps, mask):
    short = layer(steps, mask).numpy()
    long = layer(pad(steps, 3), pad_mask(mask, 3)).numpy()
    np.testing.assert_allclose(long[:, : short.shape[1]], short, atol=1e-6)
    assert not long[:, short.shape[1] :].any()


def test_a_flattened_dense_layer_reads_missing_steps_as_zeros(steps, mask):
    layer = FlattenedDense(6, max_steps=10)
    short = layer(steps, mask).numpy()
    long = layer(pad(steps, 3), pad_mask(mask, 3)).numpy()
    np.testing.assert_allclose(long, short, atol=1e-6)
    full = np.where(mask[..., None], steps, 0.0).reshape(3, -1)
    np.testing.assert_allclose(short, full @ layer.kernel.numpy()[:35], atol=1e-5)


def test_what_has_no_real_step_comes_out_as_zeros(steps, mask):
    assert not AttentionPooling(4)(steps, mask).numpy()[2].any()
    assert not AttentionDecoder(4)(steps, mask).numpy()[2].any()


def test_each_emitted_step_is_a_softmax_over_the_units(steps, mask):
    emitted = AttentionDecoder(4, directions=2)(steps, mask).numpy()
    np.testing.assert_allclose(emitted[0].sum(axis=1), 2.0, atol=1e-5)
    np.testing.assert_allclose(emitted[1, :2].sum(axis=1), 2.0, atol=1e-5)


def test_the_decoder_computes_what_the_paper_of_bahdanau_writes(steps):
    layer = AttentionDecoder(4)
    emitted = layer(steps).numpy()
    weights = {weight.name: weight.numpy()[0].astype(np.float64) for weight in layer.weights}

    def sigmoid(values):
        return 1 / (1 + np.exp(-values))

    def softmax(values):
        exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def gate(number, output, state, context):
        part = slice(4 * number, 4 * number + 4)
        return (
            output @ weights["W"][:, part]
            + state @ weights["U"][:, part]
            + context @ weights["C"][:, part]
            + weights["b"][0, part]
        )

    encoded = steps.astype(np.float64)
    state, output = np.tanh(encoded[:, 0] @ weights["W_s"]), np.zeros((3, 4))
    for number in range(7):
        hidden = np.tanh((state @ weights["W_a"])[:, None] + encoded @ weights["U_a"] + weights["b_a"])
        attention = softmax((hidden @ weights["V_a"])[..., 0])
        context = np.einsum("bt,btc->bc", attention, encoded)
        reset, update = sigmoid(gate(0, output, state, context)), sigmoid(gate(1, output, state, context))
        proposal = np.tanh(gate(2, output, reset * state, context))
        state, output = (
            (1 - update) * state + update * proposal,
            softmax(gate(3, output, state, context)),
        )
        np.testing.assert_allclose(emitted[:, number], output, atol=1e-5)


def test_the_second_direction_is_the_first_on_reversed_steps(steps):
    both, single = AttentionDecoder(4, directions=2), AttentionDecoder(4)
    outputs = both(steps).numpy()
    single.build(steps.shape)
    single.set_weights([weight[1:] for weight in both.get_weights()])
    np.testing.assert_allclose(outputs[..., 4:], single(steps[:, ::-1]).numpy()[:, ::-1], atol=1e-6)


def test_masks_come_from_lengths_and_from_word_ids(steps):
    lengths = LengthMask()(steps, np.array([7, 2, 0], np.int32)).numpy()
    assert lengths.sum(axis=1).tolist() == [7, 2, 0]
    assert WordMask()(np.array([[3, 1, 0]], np.int32)).numpy().tolist() == [[True, True, False]]


def test_a_masked_softmax_without_anything_left_is_zero_and_has_no_nan_gradient():
    scores = tf.Variable([[1.0, 2.0], [1e30, -1e30]])
    with tf.GradientTape() as tape:
        shares = masked_softmax(scores, tf.constant([[False, False], [True, False]]))
    assert shares.numpy().tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert np.isfinite(tape.gradient(shares, scores).numpy()).all()


@pytest.mark.parametrize(
    "layer",
    [AttentionPooling(4), AttentionDecoder(4, 2), FlattenedDense(3, 9, "relu"), LengthMask(), WordMask()],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_survives_its_configuration(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.999])
def test_dropout_keeps_the_share_that_it_should(rate):
    kept, scale = draw_kept(tf.constant([999, 501]), rate, tf.constant([1, 2]))
    share = kept.numpy().mean()
    assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / kept.shape.num_elements())
    assert scale * (1 - rate) == pytest.approx(1, rel=0.01)


def test_dropout_draws_neighbours_independently():
    kept = draw_kept(tf.constant([1000, 1000]), 0.5, tf.constant([1, 2]))[0].numpy()
    agree = [(kept[:, ::2] == kept[:, 1::2]).mean(), (kept[1:] == kept[:-1]).mean()]
    np.testing.assert_allclose(agree, 0.5, atol=0.005)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_dropout_and_relu_in_one_have_the_outputs_and_gradients_of_the_two(rate):
    values = tf.constant(np.random.default_rng(0).normal(size=(5, 40, 3)), tf.float32)
    factors = tf.constant(np.random.default_rng(1).normal(size=(5, 40, 3)), tf.float32)
    layer = DropoutRelu(rate, seed=3)
    kept, scale = tf.ones(values.shape, tf.bool), 1.0
    if rate:
        seed = tf.cast(tf.convert_to_tensor(keras.random.SeedGenerator(3).next()), tf.int32)
        kept, scale = draw_kept(tf.shape(values), rate, seed)
    results = []
    for run in (
        lambda: layer(values, training=True),
        lambda: tf.nn.relu(values * tf.cast(kept, tf.float32) * scale),
    ):
        with tf.GradientTape() as tape:
            tape.watch(values)
            outputs = run()
            loss = tf.reduce_sum(outputs * factors)
        results.append((outputs.numpy(), tape.gradient(loss, values).numpy()))
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)
        assert expected.any()


def test_dropout_and_relu_in_one_drop_nothing_when_scoring_and_draw_anew_each_step():
    values = tf.constant(np.random.default_rng(0).normal(size=(4, 50)), tf.float32)
    layer = DropoutRelu(0.5, seed=3)
    np.testing.assert_array_equal(layer(values), tf.nn.relu(values))
    first, second = (layer(values, training=True).numpy() for _ in range(2))
    assert (first != second).any()
    again = DropoutRelu(0.5, seed=3)
    np.testing.assert_array_equal(first, again(values, training=True))


@pytest.mark.parametrize("counter", [0, 7])
def test_dropout_layers_of_near_seeds_draw_no_shifted_copies_of_one_mask(counter):
    first, second = (draw_kept(tf.constant([10_000]), 0.5, tf.constant([seed, counter]))[0].numpy() for seed in (3, 8))
    agree = [(first[shift:] == second[: len(second) - shift]).mean() for shift in range(20)]
    np.testing.assert_allclose(agree, 0.5, atol=0.03)


def test_of_a_word_table_the_words_of_the_file_are_never_trained():
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    table, plain = WordTable(4, 2, 3), keras.layers.Embedding(4, 3)
    table.build(None)
    table.set_weights([vectors[:4], vectors[4:]])
    np.testing.assert_array_equal(table(np.array([[5, 0], [3, 4]])), vectors[[[5, 0], [3, 4]]])
    plain.build(None)
    plain.set_weights([vectors[:4]])
    ids = np.array([[1, 3, 3], [2, 0, 1]], np.int32)
    after = []
    for layer in (table, plain):
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(layer.trainable_variables)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(ids) ** 2)
        optimizer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        after.append(layer.get_weights())
        assert [tuple(each.shape) for each in optimizer.variables[2:]] == [(4, 3)] * 2
    (trained, fixed), (expected,) = after
    np.testing.assert_array_equal(trained, expected)
    np.testing.assert_array_equal(fixed, vectors[4:])
    assert not np.array_equal(trained, vectors[:4])


def test_term_frequencies_are_those_of_scikit_learn():
    transcripts = ["Oh no! Oh no!", "no, no way", "...", "so what? so what?", "oh way"]
    tokenizer = Tokenizer.fit_terms(transcripts)
    assert tokenizer.vocabulary == ("!", ".", "?", "no", "oh", "so", "way", "what")
    layer = TermFrequencies(tokenizer.num_ids)
    layer.set_weights([inverse_frequencies(tokenizer, transcripts)])
    scored = [*transcripts, "never heard", "oh never!", ""]
    ids = [tokenizer.encode(transcript) for transcript in scored]
    padded = np.array([row + [0] * (20 - len(row)) for row in ids], np.int32)
    plain = TfidfVectorizer(analyzer=split_terms, sublinear_tf=True, vocabulary=tokenizer.vocabulary).fit(transcripts)
    found = layer(padded).numpy()
    np.testing.assert_allclose(found[:, 2:], plain.transform(scored).toarray(), atol=1e-6)
    assert not found[:, :2].any()
    np.testing.assert_array_equal(layer(np.pad(padded, ((0, 0), (3, 0)))), found)
