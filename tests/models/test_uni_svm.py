"""The vectors of one utterance: published sizes, padding, missing modalities, and that a small training learns."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.features.functionals import QUANTILES
from harness.models.build import build_network
from harness.models.inputs import InputShapes
from harness.models.systems import find_system, modalities_of, read_hyperparameters
from harness.models.uni_svm import Functionals
from harness.splits.protocol import PROTOCOLS
from harness.training.recipe import Recipe, Watch, train_for_epochs, train_twice, train_validated
from tests.invented_features import invent_features
from tests.models.saved_answers import check_answers_and_file

SYSTEM, PAPER = find_system("uni_svm"), PROTOCOLS["paper"]
SMALL = {"filters": 8, "filters2": 6, "dense": 12, "mocap_dense": 5, "embedding_dimension": 10}
NUM_WORDS = 40


def build(values, protocol=PAPER, **shapes):
    keras.utils.set_random_seed(2)
    embedding = np.random.default_rng(0).normal(size=(NUM_WORDS, 10)).astype(np.float32)
    has_masks = protocol is PAPER
    found = InputShapes(num_word_ids=NUM_WORDS, embedding=embedding, has_masks=has_masks, **shapes)
    return build_network(SYSTEM, read_hyperparameters(SYSTEM, values, protocol), found)


def vectors_of(network, batch):
    """The vectors under the machine, float32 (batch, width)."""
    vectors = keras.Model(network.model.inputs, network.decision.input)
    return vectors({tensor.name: batch[tensor.name] for tensor in network.model.inputs}).numpy()


def make_batch(frames=9, words=7):
    rng = np.random.default_rng(1)
    return {
        "speech": rng.normal(size=(4, frames, 34)).astype(np.float32),
        "speech_lengths": np.array([frames, 3, 0, 1], np.int32),
        "text": np.array([[5, 6, 7, 8, 9, 1, 2], [4, 3, 9, 0, 0, 0, 0], [0] * 7, [8, 0, 0, 0, 0, 0, 0]], np.int32),
        "mocap": rng.normal(size=(4, 200, 189)).astype(np.float32),
        "mocap_lengths": np.array([200, 30, 0, 1], np.int32),
    }


def test_the_layers_are_as_published():
    network = build({"vectors": "text+speech+mocap"})
    found = {layer.name: layer.output.shape for layer in network.model.layers}
    assert found["text_conv1_3"][-1] == found["text_conv1_4"][-1] == 50 and found["text_conv2"][-1] == 100
    assert (found["text_dense"][-1], found["speech_vector"][-1], found["mocap_dense"][-1]) == (500, 7 * 34, 256)
    assert network.decision.input.shape == (None, 500 + 238 + 256)
    # 50 words, twice pooled.
    assert network.model.get_layer("text_dense").kernel.shape == (13 * 100, 500)


@pytest.mark.parametrize("vectors", ["text", "speech", "mocap", "text+speech", "text+speech+mocap"])
def test_only_the_named_modalities_are_read_and_only_what_is_trained_has_a_softmax_of_its_own(vectors):
    network = build({**SMALL, "vectors": vectors})
    names = {tensor.name.removesuffix("_lengths") for tensor in network.model.inputs}
    point = read_hyperparameters(SYSTEM, {"vectors": vectors}, PAPER)
    assert names == set(vectors.split("+")) == set(modalities_of(SYSTEM, point))
    assert point.is_fitted_at_once is (network.likelihoods is None) is (vectors == "speech")
    if network.likelihoods is not None:
        batch = {tensor.name: make_batch()[tensor.name] for tensor in network.model.inputs}
        heads = {layer.name for layer in network.likelihoods.layers if layer.name.endswith("_emotion")}
        assert heads == {f"{name}_emotion" for name in names - {"speech"}}
        # A sum of the logarithms of probabilities.
        likelihoods = network.likelihoods(batch).numpy()
        assert likelihoods.shape == (4, 4) and (likelihoods < 0).all()
        if len(heads) == 1:
            np.testing.assert_allclose(np.exp(likelihoods).sum(axis=1), 1.0, atol=1e-6)


def test_functionals_are_numpy_s_over_the_real_frames():
    frames = np.random.default_rng(3).normal(size=(6, 12, 5)).astype(np.float32)
    lengths = [12, 11, 6, 2, 1, 0]
    mask = np.arange(12) < np.array(lengths)[:, None]
    found = Functionals()(tf.constant(frames), tf.constant(mask)).numpy()
    for row, length in enumerate(lengths[:4]):
        real = frames[row, :length]
        steps = np.diff(real, axis=0)
        quantiles = np.quantile(real, QUANTILES, axis=0).ravel()
        expected = [real.mean(axis=0), real.std(axis=0), quantiles, steps.mean(axis=0), steps.std(axis=0)]
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-6)
    one, zeros = frames[4, 0], np.zeros(5)
    np.testing.assert_array_equal(found[4], np.concatenate([one, zeros, one, one, one, zeros, zeros]))
    np.testing.assert_array_equal(found[5], 0.0)
    np.testing.assert_allclose(Functionals()(tf.constant(frames[:1])).numpy(), found[:1], atol=1e-6)


@pytest.mark.parametrize("words", [7, 6, 3])
def test_padding_changes_no_vector(words):
    network, batch = build({**SMALL, "vectors": "text+speech"}), make_batch()
    batch["text"] = batch["text"][:, :words]
    expected = vectors_of(network, batch)
    batch["speech"] = np.pad(batch["speech"], [(0, 0), (0, 5), (0, 0)], constant_values=3.0)
    batch["text"] = np.pad(batch["text"], [(0, 0), (0, 6)])
    np.testing.assert_allclose(vectors_of(network, batch), expected, atol=1e-5)
    # Each alone, without the words of the longest beside it.
    alone = {name: values[3:4] for name, values in batch.items()} | {"text": batch["text"][3:4, :1]}
    np.testing.assert_allclose(vectors_of(network, alone), expected[3:4], atol=1e-5)


def test_an_utterance_without_a_modality_has_zeros_for_its_vector():
    network = build({**SMALL, "vectors": "text+speech+mocap"})
    for layer in network.model.layers:
        # With biases of 0 nothing would differ.
        if getattr(layer, "bias", None) is not None and layer is not network.decision:
            layer.bias.assign(np.full(layer.bias.shape, 0.3))
    found = vectors_of(network, make_batch())
    np.testing.assert_array_equal(found[2], 0.0)
    text, speech, mocap = np.split(found[[0, 1, 3]], [12, 12 + 238], axis=1)
    assert all(part.any(axis=1).all() for part in (text, speech, mocap))


def test_fifty_words_are_read_the_first_ones_or_where_padding_stands_on_the_left_the_last_ones():
    words = np.random.default_rng(4).integers(1, NUM_WORDS, (1, 60)).astype(np.int32)
    values = {**SMALL, "vectors": "text"}
    real, padded = build(values, max_words=60), build(values, PROTOCOLS["published-code"], max_words=60)
    np.testing.assert_allclose(
        vectors_of(real, {"text": words}), vectors_of(real, {"text": words[:, :50]}), atol=1e-6
    )
    np.testing.assert_allclose(
        vectors_of(padded, {"text": words}), vectors_of(real, {"text": words[:, 10:]}), atol=1e-5
    )
    changed = words.copy()
    changed[:, 49] = changed[:, 49] % (NUM_WORDS - 1) + 1
    assert np.abs(vectors_of(real, {"text": changed}) - vectors_of(real, {"text": words})).max() > 1e-4


def recipe(max_epochs=3, **values):
    point = read_hyperparameters(SYSTEM, {**SMALL, "batch_size": 16, "svm_cost": 1e-3, **values}, PAPER)
    return Recipe(SYSTEM, point, PAPER, 5, max_epochs, None, None)


TRAIN, SCORED = invent_features(160), invent_features(80, seed=9)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("vectors", "lowest"),
    # The four classes lie on a line of the first column: a linear machine tells the first and the last from the rest.
    [
        ("speech", 0.5),
        pytest.param("text", 0.8, marks=pytest.mark.long),
        pytest.param("text+speech", 0.8, marks=pytest.mark.long),
    ],
)
def test_a_small_training_learns_and_its_file_answers_the_same(vectors, lowest, tmp_path):
    trained, history = train_validated(recipe(vectors=vectors, learning_rate=0.01, svm_cost=0.01), TRAIN, SCORED)
    assert history.epochs[history.best_epoch - 1].validation_accuracy > lowest
    # Statistics of speech have nothing to train: a second epoch would be the first again.
    assert len(history.epochs) == (1 if vectors == "speech" else 3)
    check_answers_and_file(trained, history, SCORED, tmp_path)


def test_where_nothing_is_trained_by_steps_the_search_for_the_best_epoch_fits_once():
    names, shown = TRAIN.utterance_ids, []
    parts = SimpleNamespace(train=names[:80], validation=names[80:120], trained_on=names[:120], test=names[120:])
    watch = Watch(show=lambda stage, epoch: shown.append((stage, epoch)))
    store = SimpleNamespace(load=TRAIN.select)
    outcome = train_twice(recipe(vectors="speech"), store, parts, watch, finds_maximum=True)
    assert shown == [("validated", 1), ("on train + validation", 1)]
    assert [scores.epoch for scores in outcome.scores] == [1, 1]


def test_statistics_of_speech_are_no_better_than_chance_without_a_cue():
    silent = [invent_features(number, cue=0, seed=number) for number in (160, 200)]
    _, history = train_validated(recipe(vectors="speech"), *silent)
    assert history.epochs[0].validation_accuracy < 0.4


@pytest.mark.long
@pytest.mark.timeout(300)
def test_each_network_is_trained_as_it_would_be_alone():
    data = invent_features(60, with_mocap=True)
    weights = {}
    for vectors in ("text", "text+mocap"):
        trained, _ = train_for_epochs(recipe(vectors=vectors), data, 2)
        weights[vectors] = [trained.model.get_layer(name).kernel.numpy() for name in ("text_conv2", "text_dense")]
    for alone, beside in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(beside, alone, atol=1e-6)
