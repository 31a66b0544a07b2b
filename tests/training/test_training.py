"""Training: batches, determinism, the best epoch, and that things learn."""

import gc

import numpy as np
import pytest
import tensorflow as tf

from harness.errors import Diverged
from harness.features.fitted import fit_features
from harness.models.build import build_model, build_optimizer
from harness.models.class_weights import balance_classes
from harness.models.inputs import input_shapes
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS, read_protocol
from harness.training.loop import (
    Trainer,
    fit,
    like_length_batches,
    mean_cross_entropy,
    num_batches,
    seed_everything,
    train_for,
)
from harness.training.objective import Objective, make_objective
from harness.training.recipe import Recipe, train_for_epochs
from tests.invented_features import invent_features


def train(features, validation, seed=1, max_epochs=8, patience=None, **choices):
    system = SYSTEMS["speech4"]
    values = {"speechlstm": 8, "dense": 16, "attention": "pooling", "dropout": 0.1, "batch_size": 16}
    values |= {"optimizer": "adam", "learning_rate": 0.01, **choices}
    point = read_hyperparameters(system, values, PROTOCOLS["paper"])
    seed_everything(seed)
    fitted = fit_features(features, ["speech"], PROTOCOLS["paper"], None, None, seed)
    model = build_model(system, point, input_shapes(fitted, PROTOCOLS["paper"]))
    trainer = Trainer(model, build_optimizer(point))
    epochs = []
    history = fit(
        trainer,
        fitted.prepare(features),
        fitted.prepare(validation),
        batch_size=point.batch_size,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed,
        on_epoch=epochs.append,
    )
    return history, epochs, trainer, fitted


def without_seconds(history):
    return [(epoch.train_loss, epoch.validation_loss, epoch.validation_accuracy) for epoch in history.epochs]


@pytest.mark.long
def test_a_cue_is_learnt_and_noise_is_not():
    history, *_ = train(invent_features(160, cue=1), invent_features(80, cue=1, seed=9))
    assert history.epochs[history.best_epoch - 1].validation_accuracy > 0.7
    history, *_ = train(invent_features(160, cue=0), invent_features(200, cue=0, seed=9), max_epochs=3)
    assert history.epochs[-1].validation_accuracy < 0.4


def test_the_same_seed_gives_the_same_numbers_and_another_does_not():
    features, validation = invent_features(60, cue=1), invent_features(30, cue=1, seed=9)
    first, again = (train(features, validation, seed=3, max_epochs=2)[0] for _ in range(2))
    other = train(features, validation, seed=4, max_epochs=2)[0]
    assert without_seconds(first) == without_seconds(again)
    np.testing.assert_array_equal(first.best_probabilities, again.best_probabilities)
    assert without_seconds(first) != without_seconds(other)


@pytest.mark.long
def test_the_model_ends_with_the_weights_of_its_best_epoch():
    validation = invent_features(60, cue=1, seed=9)
    history, epochs, trainer, fitted = train(invent_features(100, cue=1), validation)
    best = max(epoch.validation_accuracy for epoch in epochs)
    assert epochs[history.best_epoch - 1].validation_accuracy == best
    assert history.best_epoch == [epoch.validation_accuracy for epoch in epochs].index(best) + 1
    np.testing.assert_array_equal(trainer.score(fitted.prepare(validation)), history.best_probabilities)


def test_patience_stops_early_and_every_epoch_is_told():
    features, validation = invent_features(40, cue=0), invent_features(40, cue=0, seed=9)
    history, epochs, *_ = train(features, validation, max_epochs=40, patience=2)
    assert len(epochs) == history.best_epoch + 2 < 40
    assert [epoch.epoch for epoch in epochs] == list(range(1, len(epochs) + 1))
    assert tuple(epochs) == history.epochs


def test_a_loss_that_is_no_number_is_a_divergence():
    features = invent_features(40, cue=1)
    with pytest.raises(Diverged, match="training diverged: .* is nan; expected a finite number"):
        train(features, features, learning_rate=1e30, optimizer="sgd")


@pytest.mark.long
def test_training_for_a_number_of_epochs_tells_each():
    features = invent_features(40, cue=1)
    *_, trainer, fitted = train(features, features, max_epochs=1)
    numbers = []
    train_for(
        trainer, fitted.prepare(features), batch_size=16, num_epochs=3, seed=0, on_epoch=numbers.append
    )
    assert numbers == [1, 2, 3]


def test_batches_hold_every_row_once_and_rows_of_like_length_together():
    lengths = np.random.default_rng(0).integers(1, 100, 2000)
    batches = list(like_length_batches(lengths, 32, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches)) == list(range(2000))
    assert {len(batch) for batch in batches} == {31, 32}
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.15 * lengths.sum()


@pytest.mark.parametrize("num_rows", [1, 33, 513, 545, 3000])
def test_no_batch_is_a_remainder_of_few_rows(num_rows):
    """The remainder held the longest utterances, each with up to 16 times the weight of another one."""
    batches = list(like_length_batches(np.arange(num_rows), 32, np.random.default_rng(1)))
    assert len(batches) == num_batches(num_rows, 32)
    assert max(map(len, batches)) - min(map(len, batches)) <= 1 and max(map(len, batches)) <= 32


def test_cross_entropy_is_the_mean_negative_logarithm():
    probabilities = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert mean_cross_entropy(probabilities, np.array([0, 1])) == pytest.approx(np.log(2) / 2)


def test_balanced_classes_weigh_the_same_in_all_and_1_on_average():
    emotions = np.array([0] * 6 + [1] * 3 + [3])
    weights = balance_classes(emotions)
    assert weights.dtype == np.float32 and weights[2] == 0.0
    assert weights[emotions].mean() == pytest.approx(1.0)
    totals = np.bincount(emotions, weights=weights[emotions], minlength=4)
    np.testing.assert_allclose(totals[[0, 1, 3]], len(emotions) / 3, rtol=1e-6)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_weights_of_one_change_no_bit_and_other_weights_change_the_loss_as_they_say():
    features = invent_features(40, cue=1)

    def first_epoch(class_weights):
        *_, trainer, fitted = train(features, features, max_epochs=1)
        weighted = Trainer(trainer.model, trainer.optimizer, Objective(class_weights))
        return weighted.train_epoch(fitted.prepare(features), 40, np.random.default_rng(0))

    plain, probabilities = first_epoch(None)
    ones, same = first_epoch(np.ones(4, np.float32))
    assert plain == ones
    np.testing.assert_array_equal(probabilities, same)
    weights = balance_classes(features.emotions)
    right = -np.log(probabilities[np.arange(40), features.emotions])
    assert first_epoch(weights)[0] == pytest.approx(float((weights[features.emotions] * right).mean()), rel=1e-4)


@pytest.mark.parametrize(("class_weights", "is_balanced"), [("none", False), ("balanced", True)])
def test_the_protocol_says_whether_classes_are_balanced(class_weights, is_balanced):
    features = invent_features(40)
    protocol = read_protocol({"base": "paper", "class_weights": class_weights})
    point = read_hyperparameters(SYSTEMS["speech4"], {}, protocol)
    weights = make_objective(point, protocol.class_weights, features).class_weights
    assert (weights is not None) is is_balanced
    if weights is not None:
        np.testing.assert_array_equal(weights, balance_classes(features.emotions))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_rare_class_is_answered_more_where_classes_are_balanced():
    """A cue too weak to see: unweighted training learns to answer the large class alone."""
    features = invent_features(200, cue=0)
    rare = np.flatnonzero(features.emotions == 0)[:5]
    kept = sorted([*rare, *np.flatnonzero(features.emotions == 2)])
    some = features.select([features.utterance_ids[row] for row in kept])
    shares = {}
    for name in ("none", "balanced"):
        protocol = read_protocol({"base": "paper", "class_weights": name})
        system = SYSTEMS["speech4"]
        values = {"speechlstm": 4, "dense": 4, "attention": "pooling", "batch_size": 16}
        point = read_hyperparameters(system, values | {"optimizer": "adam", "learning_rate": 0.01}, protocol)
        trained, _ = train_for_epochs(Recipe(system, point, protocol, 1, 3, None, None), some, 3)
        shares[name] = trained.predict(some)[:, 0].mean()
    # Of 57 utterances 5 are of the rare class: 9 %.
    assert 2 * shares["none"] < shares["balanced"]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_training_leaves_no_graph_behind():
    """TensorFlow kept every decoder's graph, with the weights: 15 trainings of speech4 took 4.7 GB."""
    features, protocol = invent_features(20, cue=1), PROTOCOLS["paper"]
    point = read_hyperparameters(SYSTEMS["speech4"], {"speechlstm": 4, "dense": 4}, protocol)
    num_graphs = []
    for seed in range(3):
        train_for_epochs(Recipe(SYSTEMS["speech4"], point, protocol, seed, 1, None, None), features, 1)
        gc.collect()
        num_graphs.append(sum(isinstance(each, tf.Graph) for each in gc.get_objects()))
    assert num_graphs[1] == num_graphs[2]
