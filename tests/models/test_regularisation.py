"""What training alone does to inputs, targets and weights: off by default, and refused where it has no meaning."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.errors import ExperimentFileError
from harness.features.frames import FRAME_COLUMNS
from harness.models.build import build_network, build_optimizer
from harness.models.context_networks import NOT_SCORED
from harness.models.hyperparameters import AsrTransferHyperparameters, NetworkHyperparameters
from harness.models.inputs import InputShapes, speech_input
from harness.models.layers import WIDEST_MASK, TimeMasks, WordDropout
from harness.models.network_file import load_network, save_network
from harness.models.recogniser import build_recogniser
from harness.models.short_frames import pick_column
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.models.turn_model import read_turn_model
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.training.loop import Trainer
from harness.training.objective import Objective
from harness.training.single import LikelihoodTrainer

PAPER = PROTOCOLS["paper"]
NUM_WORDS = 30
SMALL = {
    **{"textlstm": 5, "textlstm2": 4, "speechlstm": 5, "speechlstm2": 4, "mocaplstm": 5, "mocaplstm2": 4, "dense": 6},
    **{"dense1": 6, "dense2": 6, "filters": 8, "filters2": 8, "random_dimension": 6, "branch_dense": 6, "finalfc": 6},
    **{"asr_units": 4, "maps": 4, "mocap_dense": 6, "classifier": "network"},
}
LATER = (
    *("word_dropout", "input_dropout", "label_smoothing", "soft_labels", "scene_robustness"),
    *("weight_decay", "noise", "time_masks", "class_weight_power", "clip_norm"),
)
NETWORKS = [name for name, system in SYSTEMS.items() if issubclass(system.hyperparameters, NetworkHyperparameters)]


def read(name, **values):
    fields = SYSTEMS[name].hyperparameters.__dataclass_fields__
    small = {key: value for key, value in SMALL.items() if key in fields}
    return read_hyperparameters(SYSTEMS[name], small | values, PAPER)


def build(name, seed=0, **values):
    embedding = np.random.default_rng(0).normal(size=(NUM_WORDS, 6)).astype(np.float32)
    frames = SYSTEMS[name].speech_features == "frames"
    keras.utils.set_random_seed(seed)
    shapes = InputShapes(
        speech_frames=60 if frames else 100,
        speech_columns=len(FRAME_COLUMNS) if frames else 34,
        num_word_ids=NUM_WORDS,
        embedding=embedding,
        num_training=4,
    )
    if name == "text_terms":
        shapes = replace(shapes, embedding=np.abs(embedding[:, :1]))
    return build_network(SYSTEMS[name], read(name, **values), shapes)


def batch_of(model):
    rng = np.random.default_rng(1)
    everything = {
        "speech": rng.normal(size=(4, 20, 34)).astype(np.float32),
        "speech_lengths": np.array([20, 9, 0, 1], np.int32),
        "text": np.array([[5, 6, 7, 8], [4, 3, 0, 0], [1, 0, 0, 0], [0] * 4], np.int32),
        "mocap": rng.normal(size=(4, 200, 189)).astype(np.float32),
        "mocap_lengths": np.array([200, 30, 0, 1], np.int32),
    }
    return {tensor.name: everything[tensor.name] for tensor in model.inputs}


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_is_off_by_default_and_not_in_a_record(name):
    point = read(name)
    assert not any(getattr(point, each) for each in LATER)
    assert not set(LATER) & set(point.chosen) and point.chosen.keys() >= {"dropout", "gates"}
    assert read(name, weight_decay=0.1).chosen.keys() - point.chosen.keys() == {"weight_decay"}


def test_the_branches_of_a_combined_model_are_in_a_record_only_where_they_are_the_papers():
    assert "branches" not in read("fusion").chosen and read("fusion", branches="paper").chosen["branches"] == "paper"


@pytest.mark.parametrize("name", [name for name in NETWORKS if not SYSTEMS[name].contexts])
def test_by_default_no_layer_is_there(name):
    network = build(name)
    found = [layer for layer in network.model.layers if isinstance(layer, WordDropout | TimeMasks)]
    names = {layer.name for layer in network.model.layers}
    assert not found and not [name for name in names if name.endswith(("_noise", "_input_dropout"))]


def test_a_turn_model_is_recorded_as_before_where_nothing_is_on():
    given = {"system": "text2", "num_epochs": 8}
    plain = read_turn_model(given, SYSTEMS["bc_lstm"], PAPER).to_json()["hyperparameters"]
    assert not plain.keys() & {*LATER, "directions", "text_output"}
    changed = read_turn_model(
        given | {"hyperparameters": {"noise": 0.0, "directions": 2}}, SYSTEMS["bc_lstm"], PAPER
    ).to_json()["hyperparameters"]
    assert changed == plain | {"directions": 2}
    assert read_turn_model(given | {"hyperparameters": changed}, SYSTEMS["bc_lstm"], PAPER).hyperparameters == read(
        "text2", directions=2, textlstm=512, textlstm2=256, dense=512
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("text1", {"word_dropout": 0.5}),
        ("text2", {"input_dropout": 0.5}),
        ("text3", {"word_dropout": 0.5}),
        ("text_terms", {"input_dropout": 0.5}),
        ("speech4", {"noise": 0.5}),
        ("speech1", {"time_masks": 2}),
        ("head1", {"noise": 0.5}),
        ("mocap1", {"time_masks": 2}),
        ("fusion", {"input_dropout": 0.3}),
    ],
)
def test_inputs_are_disturbed_in_training_alone_and_by_the_seed(name, values):
    plain = build(name, dropout=0.0).model
    model, same, other = (build(name, seed, dropout=0.0, **values).model for seed in (0, 0, 1))
    inputs = batch_of(model)
    for each in (model, same, other):
        each.set_weights(plain.get_weights())
    expected = plain(inputs).numpy()
    np.testing.assert_array_equal(model(inputs, training=False), expected)
    first, again, otherwise = (each(inputs, training=True).numpy() for each in (model, same, other))
    assert np.abs(first - expected).max() > 1e-5
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, otherwise) and not np.array_equal(first, model(inputs, training=True))


def test_a_regularised_model_is_saved(tmp_path):
    model = build("fusion", word_dropout=0.2, input_dropout=0.2, noise=0.3, time_masks=2).model
    save_network(tmp_path, model)
    np.testing.assert_array_equal(load_network(tmp_path)(batch_of(model)), model(batch_of(model)))


def test_word_dropout_reads_a_share_of_the_words_as_the_unknown_one():
    ids = tf.constant(np.where(np.arange(400) < 300, 7, 0)[None].repeat(20, axis=0), tf.int32)
    read_ids = WordDropout(0.25, seed=1)(ids, training=True).numpy()
    assert set(np.unique(read_ids)) == {0, 1, 7}
    assert np.array_equal(read_ids == 0, ids == 0)
    assert (read_ids[:, :300] == 1).mean() == pytest.approx(0.25, abs=0.03)


def test_word_dropout_trains_the_vector_of_the_unknown_word():
    changed = []
    for rate in (0.0, 0.5):
        model = build("text2", optimizer="adam", dropout=0.0, word_dropout=rate).model
        trainer = Trainer(model, build_optimizer(read("text2", optimizer="adam")))
        before = model.get_layer("text_vectors").get_weights()[0][1]
        trainer._step({"text": np.array([[5, 6, 7, 8]] * 8, np.int32)}, {"emotion": np.arange(8) % 4})
        changed.append(bool((model.get_layer("text_vectors").get_weights()[0][1] != before).any()))
    assert changed == [False, True]


def test_time_masks_hide_spans_of_the_real_steps():
    steps = tf.ones((200, 50, 2))
    mask = tf.sequence_mask([40] * 199 + [0], 50)
    hidden = TimeMasks(1, seed=3)(steps, mask, training=True).numpy() == 0
    assert np.array_equal(hidden[..., 0], hidden[..., 1]) and not hidden[:, 40:].any() and not hidden[199].any()
    widths = hidden[:, :, 0].sum(axis=1)
    assert widths.max() <= WIDEST_MASK * 40 + 1 and widths[:199].mean() == pytest.approx(WIDEST_MASK * 20, rel=0.2)
    for row in hidden[:, :, 0]:
        places = np.flatnonzero(row)
        assert not len(places) or len(places) == places[-1] - places[0] + 1
    # Every part of an utterance is hidden somewhere, its ends too.
    assert hidden[:, :40, 0].any(axis=0).all()


def test_which_frames_are_voiced_stays_as_it_was():
    point = read("blstm_null", noise=0.5, time_masks=3, input_dropout=0.5)
    branch = speech_input(InputShapes(speech_columns=len(FRAME_COLUMNS)), point)
    model = keras.Model(branch.inputs, pick_column(branch, "voiced"))
    speech = np.random.default_rng(0).normal(size=(2, 9, len(FRAME_COLUMNS))).astype(np.float32)
    given = {"speech": speech, "speech_lengths": np.array([9, 4], np.int32)}
    np.testing.assert_array_equal(model(given, training=True), model(given))


def test_a_recogniser_that_trials_share_is_trained_without_any():
    point = AsrTransferHyperparameters(asr_units=4, noise=0.5, time_masks=3, input_dropout=0.5)
    names = {layer.name for layer in build_recogniser(point, InputShapes(speech_columns=len(FRAME_COLUMNS))).layers}
    assert not names & {"speech_noise", "speech_time_masks", "speech_input_dropout"}


def smooth(emotions, probabilities, share, weights):
    targets = (1 - share) * np.eye(4)[emotions] + share / 4
    return np.mean(weights[emotions] * -(targets * np.log(probabilities)).sum(axis=-1))


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_smoothed_targets_are_spread_over_the_classes(share):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4) * 3, 6).astype(np.float32)
    emotions, weights = np.array([0, 1, 2, 3, 1, 1]), np.array([0.5, 1.0, 2.0, 1.5], np.float32)
    expected = smooth(emotions, probabilities, share, weights)
    objective = Objective(weights, share)
    loss = objective.cross_entropy({"emotion": tf.constant(emotions)}, probabilities)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    padded = {"emotion": tf.constant(np.append(emotions, NOT_SCORED)[None])}
    turns = np.concatenate([probabilities, np.full((1, 4), 0.25, np.float32)])[None]
    assert float(objective.scored_cross_entropy(padded, turns)) == pytest.approx(expected, rel=1e-5)
    of_likelihoods = LikelihoodTrainer(build("dnn_elm"), build_optimizer(read("dnn_elm")), objective)
    loss = of_likelihoods._likelihood_loss(np.log(probabilities), {"emotion": tf.constant(emotions)})
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "sgd", "momentum"])
def test_weight_decay_takes_a_share_of_every_weight_but_biases(optimizer):
    weights = []
    for decay in (0.0, 0.1):
        point = read("text2", optimizer=optimizer, learning_rate=0.5, weight_decay=decay, dropout=0.0)
        found = build_optimizer(point)
        kernel, bias = keras.Variable([[2.0, -1.0]], name="kernel"), keras.Variable([3.0], name="bias")
        found.build([kernel, bias])
        found.apply([tf.zeros((1, 2)), tf.zeros(1)], [kernel, bias])
        weights.append((kernel.numpy().tolist(), bias.numpy().tolist()))
    assert weights[0] == ([[2.0, -1.0]], [3.0])
    assert weights[1][0][0] == pytest.approx([2.0 * 0.95, -0.95]) and weights[1][1] == [3.0]


@pytest.mark.parametrize(
    ("name", "biases"),
    [("fusion", {"bias", "b", "b_a"}), ("speech2", {"bias"}), ("speech_functionals", {"bias", "beta"})],
)
def test_no_bias_of_a_system_is_decayed(name, biases):
    trained = build(name).model.trainable_variables
    optimizer = build_optimizer(read(name, weight_decay=0.1))
    optimizer.build(trained)
    kept = {weight.path.rpartition("/")[2] for weight in trained if not optimizer._use_weight_decay(weight)}
    assert kept == biases


@pytest.mark.parametrize("optimizer", ["adam", "adadelta", "sgd", "momentum"])
def test_a_gradient_is_at_most_as_long_as_said_over_all_weights(optimizer):
    def step(gradients, **values):
        found = build_optimizer(read("text2", optimizer=optimizer, learning_rate=0.5, **values))
        weights = [keras.Variable([2.0, -1.0], name="kernel"), keras.Variable([3.0], name="bias")]
        found.build(weights)
        found.apply([tf.constant(each) for each in gradients], weights)
        return np.concatenate([each.numpy() for each in weights])

    # The length of all three together is 13.
    long, scaled = ([3.0, 4.0], [12.0]), ([3.0 / 13, 4.0 / 13], [12.0 / 13])
    np.testing.assert_allclose(step(long, clip_norm=1.0), step(scaled), rtol=1e-5)
    np.testing.assert_array_equal(step(long, clip_norm=20.0), step(long))


def test_the_gradient_of_a_word_that_is_said_twice_is_as_long_as_its_parts_together():
    point = read("text2", optimizer="sgd", learning_rate=1.0, dropout=0.0, clip_norm=0.001)
    model = build("text2", dropout=0.0).model
    before = [weights.copy() for weights in model.get_weights()]
    trainer = Trainer(model, build_optimizer(point))
    trainer._step({"text": np.array([[5, 5, 5, 5]] * 8, np.int32)}, {"emotion": np.arange(8) // 7})
    steps = [after - start for after, start in zip(model.get_weights(), before, strict=True)]
    assert np.sqrt(sum((step**2).sum() for step in steps)) == pytest.approx(0.001, rel=1e-3)


def test_balanced_classes_leave_nothing_to_a_power_of_their_weight():
    balanced = read_protocol({"base": "paper", "class_weights": "balanced"})
    message = "every class has the same weight under protocol 'paper.*balanced'; expected 0$"
    with pytest.raises(ExperimentFileError, match=message):
        read_hyperparameters(SYSTEMS["text2"], {"class_weight_power": 0.3}, balanced)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "speech4",
            {"word_dropout": 0.1},
            "system 'speech4': hyperparameter 'word_dropout' is 0.1 and has no meaning, for its layers are trained on "
            "speech, and it is of text; expected 0",
        ),
        (
            "text2",
            {"time_masks": 2},
            "system 'text2': hyperparameter 'time_masks' is 2 and has no meaning, for its layers are trained on text, "
            "and it is of speech and mocap; expected 0",
        ),
        (
            "uni_svm",
            {"noise": 0.5},
            "system 'uni_svm': hyperparameter 'noise' is 0.5 and has no meaning, for its layers are trained on text, "
            "and it is of speech and mocap; expected 0",
        ),
        (
            "uni_svm",
            {"vectors": "speech", "weight_decay": 0.1},
            "system 'uni_svm': hyperparameter 'weight_decay' is 0.1 and has no meaning, for nothing of it is trained "
            "by steps; expected 0",
        ),
        (
            "bc_lstm",
            {"input_dropout": 0.1},
            "system 'bc_lstm': hyperparameter 'input_dropout' is 0.1 and has no meaning, for it reads the vectors "
            "of turns, not words, frames or motion; expected 0",
        ),
        (
            "ctc",
            {"label_smoothing": 0.1},
            "system 'ctc': hyperparameter 'label_smoothing' is 0.1 and has no meaning, for the likelihoods of the "
            "labels that it is trained by are not shares of one whole; expected 0",
        ),
        (
            "text2",
            {"word_dropout": 1.0},
            "system 'text2': hyperparameter 'word_dropout' is 1.0; expected from 0 to below 1",
        ),
        (
            "text2",
            {"scene_robustness": 1.5},
            "system 'text2': hyperparameter 'scene_robustness' is 1.5; expected from 0 to 1",
        ),
    ],
    ids=["speech", "words", "statistics", "no step", "turns", "paths", "range", "step of scenes"],
)
def test_what_has_no_meaning_for_a_system_is_refused(name, values, message):
    with pytest.raises(ExperimentFileError) as caught:
        read(name, **values)
    assert str(caught.value) == message


def test_noise_is_refused_where_nothing_is_scaled():
    with pytest.raises(ExperimentFileError, match="protocol 'published-code' scales none; expected 0$"):
        read_hyperparameters(SYSTEMS["speech4"], {"noise": 0.1}, PROTOCOLS["published-code"])
    by_speaker = read_protocol({"base": "published-code", "speaker_scaling": "own"})
    assert read_hyperparameters(SYSTEMS["speech4"], {"noise": 0.1}, by_speaker).noise == 0.1


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("text1", {"filters": 7}, "system 'text1': hyperparameter 'filters' is 7; expected at least 8"),
        ("uni_svm", {"filters": 0}, "system 'uni_svm': hyperparameter 'filters' is 0; expected at least 1"),
        ("acnn", {"width": 0}, "system 'acnn': hyperparameter 'width' is 0; expected at least 1"),
        ("dnn_elm", {"width": 0}, "system 'dnn_elm': hyperparameter 'width' is 0; expected at least 1e-12"),
    ],
)
def test_a_name_that_two_systems_share_has_the_range_of_each(name, values, message):
    with pytest.raises(ExperimentFileError) as caught:
        read(name, **values)
    assert str(caught.value) == message
    assert read("uni_svm", filters=1).filters == 1 and read("dnn_elm", width=0.5).width == 0.5


@pytest.mark.parametrize(
    "values",
    [{"directions": 2}, {"text_output": "pooling"}, {"directions": 2, "text_output": "pooling"}],
    ids=["two directions", "pooled", "both"],
)
def test_words_in_two_directions_and_pooled_with_attention(values, tmp_path):
    model = build("text2", **values).model
    inputs = batch_of(model)
    longer = {"text": np.pad(inputs["text"], ((0, 0), (0, 5)))}
    np.testing.assert_allclose(model(longer), model(inputs), atol=1e-6)
    swapped = {"text": inputs["text"][:, [1, 0, 2, 3]]}
    assert np.abs(model(swapped).numpy() - model(inputs).numpy())[0].max() > 1e-6
    save_network(tmp_path, model)
    np.testing.assert_array_equal(load_network(tmp_path)(inputs), model(inputs))


@pytest.mark.parametrize(
    ("name", "values"),
    [("text_terms", {"classifier": "logistic"}), ("speech_functionals", {}), ("uni_svm", {"vectors": "speech"})],
)
def test_what_is_fitted_at_once_weighs_classes_and_refuses_the_rest(name, values):
    """Of `uni_svm` it was refused with a sentence that named no layers."""
    system = SYSTEMS[name]
    assert read_hyperparameters(system, {**values, "class_weight_power": 0.5}, PAPER).is_fitted_at_once
    with pytest.raises(ExperimentFileError, match="nothing of it is trained by steps"):
        read_hyperparameters(system, {**values, "label_smoothing": 0.1}, PAPER)
