"""The attentive convolutional network: its sizes, its padding, its loss in plain numpy, and missing ratings."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from harness.corpus.utterances import Emotion, Utterance
from harness.errors import FeatureError
from harness.features.frames import FRAME_COLUMNS, frame_columns
from harness.features.speech import SPEECH_VARIANTS
from harness.features.store import Features
from harness.models.build import build_network, build_optimizer
from harness.models.decision import levels_of
from harness.models.inputs import InputShapes
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.training.objective import Objective
from harness.training.recipe import Recipe, train_validated
from harness.training.single import LikelihoodTrainer

SHAPES = InputShapes(speech_frames=1500, speech_columns=len(FRAME_COLUMNS))
SETTINGS = SPEECH_VARIANTS["frames"]
SMALL = {"maps": 6, "width": 3, "width2": 5}


def build(shapes=SHAPES, **values):
    system = find_system("acnn")
    point = read_hyperparameters(system, values, PROTOCOLS["paper"])
    keras.utils.set_random_seed(1)
    return build_network(system, point, shapes), point


def draw_frames(*lengths, num_frames=None):
    frames = np.random.default_rng(0).normal(size=(len(lengths), max(lengths), len(FRAME_COLUMNS))).astype(np.float32)
    padded = np.zeros((len(lengths), num_frames or max(lengths), frames.shape[2]), np.float32)
    for row, length in enumerate(lengths):
        padded[row, :length] = frames[row, :length]
    return {"speech": padded, "speech_lengths": np.array(lengths, np.int32)}


def features_of(*ratings, num_frames=40):
    """Utterances of the four classes in turn, each with a tone of its class, with activation and valence as given."""
    frames = np.random.default_rng(2).normal(size=(len(ratings), num_frames, len(FRAME_COLUMNS))).astype(np.float32)
    frames[np.arange(len(ratings)), :, 3 * (np.arange(len(ratings)) % 4)] += 2.0
    emotions = (Emotion.ANGER, Emotion.EXCITEMENT, Emotion.NEUTRAL, Emotion.SADNESS)
    utterances = [
        Utterance(
            utterance_id=f"Ses01F_impro01_F{row:03d}",
            emotion=emotions[row % 4],
            valence=valence,
            activation=activation,
            dominance=3.0,
            start=0.0,
            end=0.5,
            transcript=None,
            wav_path=None,
            num_mocap_rows=0,
        )
        for row, (activation, valence) in enumerate(ratings)
    ]
    speech = np.zeros((len(ratings), SETTINGS.max_frames, len(FRAME_COLUMNS)), np.float32)
    speech[:, :num_frames] = frames
    arrays = {"speech": speech, "speech_lengths": np.full(len(ratings), num_frames)}
    return Features.from_arrays(utterances, SETTINGS, FRAME_COLUMNS, arrays)


def test_the_sizes_are_as_published():
    network, _ = build()
    shapes = {weight.path: weight.shape for weight in network.model.weights}
    assert shapes["convolution/kernel"] == (10, 26, 100)
    assert shapes["convolution2/kernel"] == (15, 26, 100)
    assert shapes["attention/score"] == (200, 1)
    assert shapes["scores/kernel"] == ((241 + 1) * 200, 4 + 3 + 3)
    inputs = draw_frames(900, 750, 31, 2)
    assert network.model(inputs).shape == (4, 4)
    assert network.likelihoods(inputs).shape == (4, 10)
    assert network.views == {"activation": 1.0, "valence": 1.0}
    np.testing.assert_allclose(network.model(inputs).numpy().sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(("attention", "num_steps"), [("softmax", 242), ("none", 241)])
def test_a_single_view_is_trained_by_its_answer(attention, num_steps):
    network, _ = build(views="single", features="mfcc", attention=attention)
    assert network.likelihoods is None and not network.views
    shapes = {weight.path: weight.shape for weight in network.model.weights}
    assert shapes["convolution/kernel"] == (10, 13, 100)
    assert shapes["scores/kernel"] == (num_steps * 200, 4)


@pytest.mark.parametrize("features", ["log-mel", "mfcc"])
def test_it_reads_its_own_columns_of_the_first_frames_alone(features):
    network, _ = build(features=features, **SMALL)
    inputs = draw_frames(800, 760)
    own = frame_columns("mel_1", "mel_26") if features == "log-mel" else frame_columns("mfcc_1", "mfcc_13")
    before = network.likelihoods(inputs).numpy()
    changed = dict(inputs, speech=inputs["speech"].copy())
    changed["speech"][:, 750:] += 5.0
    changed["speech"][:, :, : own[0]] += 5.0
    changed["speech"][:, :, own[1] + 1 :] += 5.0
    np.testing.assert_array_equal(network.likelihoods(changed).numpy(), before)
    for column in own:
        for frame in (0, 749):
            changed = dict(inputs, speech=inputs["speech"].copy())
            changed["speech"][:, frame, column] += 100.0
            assert not np.array_equal(network.likelihoods(changed).numpy(), before)


def test_padding_changes_nothing():
    network, _ = build(**SMALL)
    # Maps that are above 0 where every frame is 0: padding that was read would win many windows.
    for name in ("convolution", "convolution2"):
        layer = network.model.get_layer(name)
        layer.bias.assign(np.full(layer.bias.shape, 0.5))
    lengths = (1, 2, 29, 30, 31, 100, 0)
    inputs = draw_frames(*lengths)
    alone = [network.likelihoods(draw_frames(*lengths, num_frames=num)).numpy() for num in (100, 101, 300, 900)]
    for found in alone[1:]:
        np.testing.assert_allclose(found, alone[0], atol=1e-5)
    loud = dict(inputs, speech=np.where(inputs["speech"] == 0.0, 50.0, inputs["speech"]))
    np.testing.assert_allclose(network.likelihoods(loud).numpy(), alone[0], atol=1e-5)


def test_the_network_is_its_formula():
    network, _ = build(**SMALL)
    inputs = draw_frames(50, 65)
    weights = {weight.path: np.asarray(weight, np.float64) for weight in network.model.weights}
    found = network.likelihoods(inputs).numpy()
    for row, length in enumerate((50, 65)):
        frames = inputs["speech"][row, :length, :26].astype(np.float64)
        maps = []
        for name, width in (("convolution", 3), ("convolution2", 5)):
            padded = np.pad(frames, [((width - 1) // 2, width // 2), (0, 0)])
            spans = np.stack([padded[start : start + length] for start in range(width)], axis=1)
            scores = np.einsum("twf,wfm->tm", spans, weights[f"{name}/kernel"]) + weights[f"{name}/bias"]
            maps.append(np.maximum(scores, 0.0))
        maps = np.concatenate(maps, axis=1)
        pooled = np.stack([maps[start : start + 30].max(axis=0) for start in range(0, length, 3)])
        attention = np.exp(pooled @ weights["attention/score"])
        attended = (attention / attention.sum() * pooled).sum(axis=0)
        flat = np.concatenate([attended, pooled.ravel()])
        scores = flat @ weights["scores/kernel"][: len(flat)] + weights["scores/bias"]
        parts = np.split(scores, [4, 7])
        expected = np.concatenate([part - np.log(np.exp(part).sum()) for part in parts])
        np.testing.assert_allclose(found[row], expected, atol=1e-4)


def test_levels_are_low_up_to_2_and_high_from_4():
    ratings = np.array([1.0, 2.0, 2.01, 3.0, 3.99, 4.0, 5.0, np.nan], np.float32)
    assert levels_of(ratings).tolist() == [0, 0, 1, 1, 1, 2, 2, -1]


def trainer_of(class_weights=None, **values):
    network, point = build(dropout=0.0, **SMALL, **values)
    return LikelihoodTrainer(network, build_optimizer(point), Objective(class_weights)), network


@pytest.mark.parametrize("class_weights", [None, np.array([2.0, 0.5, 1.0, 0.5], np.float32)], ids=["even", "weighted"])
def test_the_loss_is_the_weighted_sum_of_the_three(class_weights):
    trainer, network = trainer_of(class_weights, activation_weight=0.5, valence_weight=2.0)
    features = features_of((1.5, 4.5), (np.nan, 3.0), (5.0, np.nan), (3.0, np.nan))
    targets = trainer.targets(features)
    assert {name: values.tolist() for name, values in targets.items()} == {
        "emotion": [0, 1, 2, 3], "activation": [0, -1, 2, 1], "valence": [2, 1, -1, -1]
    }  # fmt: skip
    inputs = draw_frames(40, 33, 20, 10)
    likelihoods = network.likelihoods(inputs).numpy()
    weights = np.ones(4) if class_weights is None else class_weights
    expected = (
        -(weights * likelihoods[np.arange(4), np.arange(4)]).mean()
        - 0.5 * likelihoods[[0, 2, 3], [4 + 0, 4 + 2, 4 + 1]].mean()
        - 2.0 * likelihoods[[0, 1], [7 + 2, 7 + 1]].mean()
    )
    before = trainer.get_weights()
    loss, answers = trainer._step(inputs, targets)
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(answers.numpy(), np.exp(likelihoods[:, :4]), atol=1e-6)
    assert all(np.isfinite(weight).all() for weight in trainer.get_weights())
    assert not any(np.array_equal(*pair) for pair in zip(before, trainer.get_weights(), strict=True))


def test_an_utterance_without_a_rating_takes_no_part_in_that_loss():
    kernels = []
    for change in (0.0, 3.0):
        trainer, network = trainer_of()
        inputs = draw_frames(40, 33, 20)
        inputs["speech"][2, :20] += change
        trainer._step(inputs, trainer.targets(features_of((1.5, 4.5), (3.0, 3.0), (np.nan, np.nan))))
        kernels.append(np.asarray(network.model.get_layer("scores").kernel))
    np.testing.assert_array_equal(kernels[0][:, 4:], kernels[1][:, 4:])
    assert not np.array_equal(kernels[0][:, :4], kernels[1][:, :4])


def test_a_batch_without_any_rating_trains_the_emotion_alone():
    trainer, network = trainer_of()
    features = features_of((np.nan, np.nan), (np.nan, np.nan))
    before = np.asarray(network.model.get_layer("scores").kernel)
    loss, _ = trainer._step(draw_frames(40, 33), trainer.targets(features))
    after = np.asarray(network.model.get_layer("scores").kernel)
    assert np.isfinite(loss.numpy())
    np.testing.assert_array_equal(after[:, 4:], before[:, 4:])
    assert not np.array_equal(after[:, :4], before[:, :4])


def recipe_for(protocol=PROTOCOLS["paper"], **values):
    system = find_system("acnn")
    point = read_hyperparameters(system, {**SMALL, "dropout": 0.2, **values}, protocol)
    return Recipe(system, point, protocol, seed=1, max_epochs=25, patience=None, word_vectors=None)


def test_ratings_are_learnt_beside_the_emotion_and_the_file_answers_the_same(tmp_path):
    ratings = [(1.0, 4.5) if row % 4 < 2 else (4.5, 1.0) for row in range(64)]
    features = features_of(*ratings)
    trained, history = train_validated(recipe_for(learning_rate=0.005), features, features)
    assert history.epochs[-1].validation_accuracy > 0.9
    answers = trained.predict(features)
    trained.model.save(tmp_path / "model.keras")
    loaded = replace(trained, model=keras.saving.load_model(tmp_path / "model.keras"))
    np.testing.assert_array_equal(loaded.predict(features), answers)


def test_a_corpus_without_ratings_is_refused_with_several_views_and_read_with_one():
    features = features_of(*[(3.0, np.nan)] * 8)
    with pytest.raises(FeatureError) as refused:
        train_validated(recipe_for(), features, features)
    assert str(refused.value) == (
        "system 'acnn': none of the 8 training utterances has a rating of valence; expected ratings in the corpus, or "
        '"views": "single", which needs none'
    )
    _, history = train_validated(recipe_for(views="single"), features, features)
    assert len(history.epochs) == 25


def test_all_utterances_at_full_length_need_no_mask():
    network, _ = build(replace(SHAPES, has_masks=False), **SMALL)
    inputs = draw_frames(750)
    masked, _ = build(**SMALL)
    np.testing.assert_allclose(
        network.model({"speech": inputs["speech"]}).numpy(), masked.model(inputs).numpy(), atol=1e-6
    )
