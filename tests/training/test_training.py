"""Training: batches, determinism, the best epoch, and that things learn."""

import numpy as np
import pytest

from harness.errors import Diverged
from harness.features.fitted import fit_features
from harness.models.build import build_model, build_optimizer, input_shapes
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.training.loop import (
    BATCHES_SORTED_TOGETHER,
    Trainer,
    fit,
    like_length_batches,
    mean_cross_entropy,
    seed_everything,
    train_for,
)
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
    assert {len(batch) for batch in batches} == {32, 2000 % (32 * BATCHES_SORTED_TOGETHER) % 32}
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.15 * lengths.sum()


def test_cross_entropy_is_the_mean_negative_logarithm():
    probabilities = np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    assert mean_cross_entropy(probabilities, np.array([0, 1])) == pytest.approx(np.log(2) / 2)
