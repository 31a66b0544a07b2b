"""Classifiers over one vector an utterance: the machine against scikit-learn, and that trainings learn."""


import numpy as np
import pytest
import tensorflow as tf
from sklearn import linear_model
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from harness.errors import ExperimentFileError
from harness.features.functionals import compute_functionals, summarise_speech
from harness.features.own import OwnFeatures
from harness.features.store import Features
from harness.models.build import build_network
from harness.models.decision import KernelSvm, LogisticRegression
from harness.models.inputs import InputShapes
from harness.models.kernel_svm import (
    SIGNS,
    SVM_COSTS,
    SessionSvm,
    cut_parts,
    find_sharpness,
    fit_machine,
    offsets_of,
    probabilities_of,
    rbf_kernel,
    score_margins,
)
from harness.models.systems import TEXT_FEATURE_READERS, find_system, read_hyperparameters
from harness.models.terms import term_vectorizer
from harness.models.uni_svm import Functionals
from harness.splits.protocol import PROTOCOLS, ClassWeights, read_protocol
from harness.training.recipe import Recipe, train_for_epochs, train_validated
from tests.invented_features import invent_features
from tests.models.saved_answers import check_answers_and_file

SYSTEM, PAPER = find_system("speech_functionals"), PROTOCOLS["paper"]
TRAIN, SCORED = invent_features(160), invent_features(80, seed=9)


def blobs(num_vectors=120, apart=2.0, seed=0):
    rng = np.random.default_rng(seed)
    emotions = np.arange(num_vectors) % 4
    centres = apart * np.eye(4, 6)
    return centres[emotions] + rng.normal(size=(num_vectors, 6)), emotions


def test_functionals_without_a_network_are_those_of_the_layer():
    rows = np.flatnonzero(TRAIN.speech_lengths > 0)
    found = compute_functionals(TRAIN, rows)
    lengths = TRAIN.speech_lengths[rows]
    mask = np.arange(TRAIN.speech_shape[0]) < lengths[:, None]
    layer = Functionals()(tf.constant(TRAIN.speech(rows)), tf.constant(mask)).numpy()
    np.testing.assert_allclose(found, layer, atol=1e-5)
    np.testing.assert_array_equal(found[:, : 2 * len(TRAIN.speech_columns)], summarise_speech(TRAIN, rows))
    assert len(set(lengths)) > 3


def test_the_margins_of_the_pairs_are_scikit_learns_and_so_is_nearly_every_answer():
    vectors, emotions = blobs(400, apart=1.5)
    known, asked, labels = vectors[:120], vectors[120:], emotions[:120]
    readout, bias = fit_machine(rbf_kernel(known, known, 0.1), labels, np.ones(120), 2.0)
    margins = rbf_kernel(asked, known, 0.1) @ readout + bias
    theirs = SVC(C=2.0, gamma=0.1, decision_function_shape="ovo").fit(known, labels)
    # Positive for the first class of each pair, in the order (0, 1), (0, 2), ...
    np.testing.assert_allclose(margins, theirs.decision_function(asked), atol=1e-2)
    answers = (score_margins(margins) + offsets_of(labels)).argmax(axis=1)
    # It votes: margins that are cut off differ from votes where a margin is small.
    assert (answers == theirs.predict(asked)).mean() > 0.95
    whole = (margins @ SIGNS).argmax(axis=1)
    assert (answers == theirs.predict(asked)).sum() > (whole == theirs.predict(asked)).sum()


def test_no_pair_outvotes_the_others():
    # Class 0 wins against each other one, if narrowly; 1 loses to it, and beats the two others by far.
    margins = np.array([[0.6, 0.6, 0.6, 9.0, 9.0, 0.0]])
    assert score_margins(margins).tolist() == [[1.5, 0.5, -1.0, -1.0]]


def test_a_weight_counts_an_utterance_as_often():
    vectors, emotions = blobs(40)
    twice = np.concatenate([np.arange(40), np.arange(10)])
    weights = np.ones(40)
    weights[:10] = 2.0
    kernel = rbf_kernel(vectors, vectors, 0.1)
    weighted = kernel @ fit_machine(kernel, emotions, weights, 1.0)[0]
    again = rbf_kernel(vectors, vectors[twice], 0.1)
    repeated = again @ fit_machine(again[twice], emotions[twice], np.ones(50), 1.0)[0]
    np.testing.assert_allclose(weighted - weighted[:1], repeated - repeated[:1], atol=0.02)


def test_the_factor_makes_probabilities_of_the_right_confidence():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 4))
    drawn = np.array([rng.choice(4, p=each) for each in probabilities_of(scores, 3.0)])
    assert find_sharpness(scores, drawn, np.ones(4000)) == pytest.approx(3.0, rel=0.15)
    assert np.array_equal(probabilities_of(scores, 0.1).argmax(axis=1), scores.argmax(axis=1))


def test_sessions_choose_the_cost_and_nothing_else_does():
    vectors, emotions = blobs(apart=1.0)
    sessions = cut_parts(120)
    svm = SessionSvm(sessions)
    svm.fit(vectors, emotions)
    accuracies = []
    for cost in SVM_COSTS:
        right = 0
        for session in range(4):
            here = sessions == session
            scaled = StandardScaler().fit(vectors).transform(vectors)
            kernel = rbf_kernel(scaled[~here], scaled[~here], 1 / 6)
            readout, bias = fit_machine(kernel, emotions[~here], np.ones((~here).sum()), cost)
            answers = score_margins(rbf_kernel(scaled[here], scaled[~here], 1 / 6) @ readout + bias)
            right += (answers.argmax(axis=1) == emotions[here]).sum()
        accuracies.append(right)
    assert svm.cost == SVM_COSTS[int(np.argmax(accuracies))] and len(set(accuracies)) > 1
    assert svm.predict_proba(vectors).sum(axis=1) == pytest.approx(1.0)


def test_the_machine_of_a_network_answers_as_that_of_the_baseline_with_the_same_cost():
    vectors, emotions = blobs()
    svm = SessionSvm(cut_parts(120))
    svm.fit(vectors, emotions)
    layer = KernelSvm(num_vectors=120, cost=svm.cost)
    layer(tf.zeros((1, 6)))
    layer.fit(vectors, emotions, np.ones(120))
    answers = tf.nn.softmax(layer(tf.constant(vectors, tf.float32)))
    np.testing.assert_allclose(answers, svm.predict_proba(vectors), atol=1e-4)


def test_balanced_classes_are_answered_more_of_a_rare_class():
    rng = np.random.default_rng(1)
    emotions = np.array([0] * 20 + [2] * 80)
    vectors = rng.normal(size=(100, 3)) + 0.7 * (emotions == 0)[:, None]
    sessions = np.arange(100) % 4
    answered = []
    for weights in ClassWeights:
        svm = SessionSvm(sessions, weights)
        svm.fit(vectors, emotions)
        answered.append(svm.predict_proba(vectors).mean(axis=0)[0])
    assert answered[1] > answered[0] + 0.1


@pytest.mark.parametrize(
    "decision", [lambda: KernelSvm(num_vectors=9), lambda: LogisticRegression(0.1)], ids=["svm", "logistic"]
)
@pytest.mark.parametrize(
    "emotions", [[0, 1, 2, 3, 0, 1, 2, 3, 0], [1, 1, 3, 3, 1, 3, 1, 1, 3], [2] * 9], ids=["four", "two", "one"]
)
def test_a_class_that_was_never_trained_on_is_never_answered(decision, emotions):
    layer, vectors = decision(), np.random.default_rng(2).normal(3.0, 2.0, size=(9, 5))
    layer(tf.zeros((1, 5)))
    layer.fit(vectors, np.array(emotions), np.ones(9))
    answers = tf.nn.softmax(layer(tf.constant(vectors, tf.float32))).numpy()
    assert (answers[:, np.setdiff1d(range(4), emotions)] == 0).all() and np.isfinite(answers).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "choices", [{}, {"speaker_scaling": "past"}, {"speaker_scaling": "own", "lengths": "padded"}], ids=str
)
def test_functionals_are_centred_only_where_all_turns_scale_speech(choices):
    protocol = read_protocol(choices)
    with pytest.raises(ExperimentFileError) as refused:
        read_hyperparameters(SYSTEM, {"centring": "speaker"}, protocol)
    assert str(refused.value).startswith(
        f"system 'speech_functionals': hyperparameter 'centring' is 'speaker', and protocol {protocol.name!r} has "
        f"speaker_scaling '{protocol.speaker_scaling}', lengths '{protocol.lengths}' and chroma 'library'; expected "
    )
    assert read_hyperparameters(SYSTEM, {"centring": "speaker"}, read_protocol({"speaker_scaling": "own"}))


def recipe(max_epochs=15, **values):
    return Recipe(SYSTEM, read_hyperparameters(SYSTEM, values, PAPER), PAPER, 5, max_epochs, None, None)


# A distance over all numbers is told little by the one of 34 that has the cue.
@pytest.mark.parametrize(("classifier", "lowest"), [("svm", 0.4), ("logistic", 0.6), ("network", 0.6)])
def test_a_training_learns_is_saved_and_answers_the_same(classifier, lowest, tmp_path):
    point = {"classifier": classifier, "batch_size": 16, "learning_rate": 0.003, "dropout": 0.2, "logistic_cost": 1.0}
    trained, history = train_validated(recipe(**point), TRAIN, SCORED)
    assert history.epochs[history.best_epoch - 1].validation_accuracy > lowest
    assert len(history.epochs) == (15 if classifier == "network" else 1)
    answers = check_answers_and_file(trained, history, SCORED, tmp_path)
    again, _ = train_for_epochs(recipe(**point), TRAIN, history.best_epoch)
    np.testing.assert_allclose(again.predict(SCORED), answers, atol=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_regression_over_terms_is_scikit_learns_and_is_saved_whole(power, tmp_path):
    system = find_system("text_terms")
    values = {"classifier": "logistic", "logistic_cost": 0.7, "class_weight_power": power}
    trained, history = train_validated(
        Recipe(system, read_hyperparameters(system, values, PAPER), PAPER, 5, 15, None, None), TRAIN, SCORED
    )
    assert len(history.epochs) == 1
    answers = check_answers_and_file(trained, history, SCORED, tmp_path)
    known, asked = ([each or "" for each in features.transcripts] for features in (TRAIN, SCORED))
    vectorizer = term_vectorizer(known)
    counts = np.bincount(TRAIN.emotions)
    weights = (len(TRAIN) / (4 * counts[TRAIN.emotions])) ** power
    expected = linear_model.LogisticRegression(C=0.7, max_iter=1000).fit(
        vectorizer.fit_transform(known), TRAIN.emotions, sample_weight=weights / weights.mean()
    )
    np.testing.assert_allclose(answers, expected.predict_proba(vectorizer.transform(asked)), atol=1e-3)


@pytest.mark.parametrize("has_masks", [True, False])
@pytest.mark.parametrize("classifier", ["svm", "logistic", "network"])
def test_padding_changes_no_answer_where_there_are_masks(classifier, has_masks):
    protocol = PAPER if has_masks else PROTOCOLS["published-code"]
    shapes = InputShapes(has_masks=has_masks, num_training=7)
    model = build_network(SYSTEM, read_hyperparameters(SYSTEM, {"classifier": classifier}, protocol), shapes).model
    rng = np.random.default_rng(3)
    for weight in model.weights:
        # A decision that was not fitted answers alike, and so does one whose margins are all cut off.
        scale = 0.05 if weight.name in ("readout", "bias") else 1.0
        weight.assign(scale * (1.0 + np.abs(rng.normal(size=weight.shape))))
    batch = {"speech": rng.normal(size=(3, 6, 34)).astype(np.float32), "speech_lengths": np.array([6, 2, 0], np.int32)}
    longer = batch | {"speech": np.pad(batch["speech"], [(0, 0), (0, 4), (0, 0)], constant_values=3.0)}
    first, padded = (model({each.name: some[each.name] for each in model.inputs}).numpy() for some in (batch, longer))
    assert np.allclose(first, padded, atol=1e-5) is has_masks


#: A file that stands for the words: up to 3 frames of 5 numbers.
OWN_TEXT = OwnFeatures("0a1b", 5, 3, 2.0, "bert.npz")


def with_text(features, seed=0):
    """The same utterances, with frames in place of words of which one number is large, by the class."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 4, len(features))
    frames = rng.normal(size=(len(features), 3, 5)).astype(np.float32)
    frames[:, :, :4] += 4.0 * np.eye(4)[features.emotions][:, None]
    frames[np.arange(3) >= lengths[:, None]] = 0.0
    arrays = {**features._blocks[0], "text": frames, "text_lengths": lengths}
    columns = features.speech_columns
    return Features.from_arrays(
        features.utterances, features.speech_settings, columns, arrays, text_features=OWN_TEXT
    )


def train_vector(name, train, scored, **values):
    system = find_system(name)
    point = read_hyperparameters(system, {"learning_rate": 0.01, "batch_size": 16, **values}, PAPER)
    recipe = Recipe(system, point, PAPER, 1, 15, None, None)
    return train_validated(recipe, train, scored)


@pytest.mark.parametrize("name", ["speech_vector", "text_vector"])
def test_a_network_over_vectors_learns_the_cue_and_nothing_without_one(name):
    learnt, history = train_vector(name, invent_features(160), invent_features(80, seed=9))
    assert history.epochs[history.best_epoch - 1].validation_accuracy > 0.7
    _, chance = train_vector(name, invent_features(160, cue=0.0), invent_features(80, cue=0.0, seed=9))
    assert chance.epochs[chance.best_epoch - 1].validation_accuracy < 0.5


SMALL_TEXT = {
    "text_vector": {},
    "text2": {"textlstm": 12, "textlstm2": 12, "dense": 16, "optimizer": "adam"},
}


@pytest.mark.parametrize("name", SMALL_TEXT)
def test_systems_of_words_learn_from_a_file_in_place_of_words(name):
    train, scored = with_text(invent_features(160, cue=0.0)), with_text(invent_features(80, cue=0.0, seed=9), seed=5)
    trained, history = train_vector(name, train, scored, **SMALL_TEXT[name])
    assert history.epochs[history.best_epoch - 1].validation_accuracy > 0.7
    assert {tensor.name for tensor in trained.model.inputs} == {"text", "text_lengths"}
    assert trained.fitted.tokenizer is None


@pytest.mark.parametrize("has_masks", [True, False], ids=["masks", "padded"])
@pytest.mark.parametrize("name", TEXT_FEATURE_READERS)
def test_every_reader_of_a_file_takes_its_frames(name, has_masks):
    small = {"textlstm": 5, "textlstm2": 5, "speechlstm": 5, "filters": 8, "dense": 6, "branch_dense": 6, "finalfc": 6}
    system = find_system(name)
    known = {key: value for key, value in small.items() if key in system.hyperparameters.__dataclass_fields__}
    shapes = InputShapes(max_words=3, text_columns=5, has_masks=has_masks)
    model = build_network(system, read_hyperparameters(system, known, PAPER), shapes).model
    inputs = {tensor.name: np.zeros([size or 2 for size in tensor.shape], np.float32) for tensor in model.inputs}
    inputs["text"] = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    inputs |= {key: np.array([3, 2], np.int32) for key in inputs if key == "text_lengths"}
    if "speech" in inputs:
        inputs["speech"] = np.zeros((2, 100, 34), np.float32)
    before = model(inputs).numpy()
    inputs["text"] = inputs["text"] + 1.0
    assert before.shape == (2, 4) and np.abs(model(inputs).numpy() - before).max() > 1e-6


def test_frames_beyond_an_utterances_length_change_nothing():
    system = find_system("text_vector")
    shapes = InputShapes(max_words=3, text_columns=5)
    model = build_network(system, read_hyperparameters(system, {}, PAPER), shapes).model
    frames = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    lengths = np.array([3, 1], np.int32)
    changed = frames.copy()
    changed[1, 1:] = 9.0
    for other in (changed, np.pad(frames, ((0, 0), (0, 2), (0, 0)), constant_values=3.0)):
        np.testing.assert_allclose(
            model({"text": other, "text_lengths": lengths}), model({"text": frames, "text_lengths": lengths}), atol=1e-6
        )
