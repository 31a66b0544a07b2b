"""Trainings of the networks over short frames on invented features: they learn what they read, and nothing else."""

import keras
import numpy as np
import pytest

from harness.features.frames import frame_columns
from harness.features.speech import SPEECH_VARIANTS
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import PROTOCOLS
from harness.training.recipe import Recipe, train_validated
from tests.invented_features import invent_features

#: Fewer random units than training utterances: as many of both would fit those exactly.
CHOICES = {
    "dnn_elm": {"elm_units": 20, "dense": 32, "learning_rate": 0.02, "optimizer": "momentum"},
    "blstm_null": {"elm_units": 20, "speechlstm": 8, "speechlstm2": 8, "learning_rate": 0.02, "batch_size": 8},
}


def train(name, column, **choices):
    """Train on invented utterances whose class is told by one number of their frames."""
    system, protocol = SYSTEMS[name], PROTOCOLS["paper"]
    point = read_hyperparameters(system, {"batch_size": 16} | CHOICES[name] | choices, protocol)
    invented = {"settings": SPEECH_VARIANTS["frames"], "cue_column": frame_columns(column)[0]}
    features, validation = invent_features(120, **invented), invent_features(80, seed=9, **invented)
    trained, history = train_validated(Recipe(system, point, protocol, 1, 8, None, None), features, validation)
    return trained, history, validation


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("decision", ["elm", "kelm", "posterior"])
@pytest.mark.parametrize("name", CHOICES)
def test_a_number_that_is_read_is_learnt_and_the_saved_model_answers_the_same(name, decision, tmp_path):
    trained, history, validation = train(name, "mfcc_2", decision=decision)
    assert history.epochs[history.best_epoch - 1].validation_accuracy > 0.6
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    trained.model.save(tmp_path / "model.keras")
    trained.fitted.save(tmp_path)
    loaded = type(trained)(keras.saving.load_model(tmp_path / "model.keras"), type(trained.fitted).load(tmp_path))
    np.testing.assert_array_equal(loaded.predict(validation), trained.predict(validation))
    np.testing.assert_allclose(trained.predict(validation), history.best_probabilities, atol=1e-6)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHOICES)
def test_a_number_that_is_not_read_is_not_learnt(name):
    _, history, _ = train(name, "mel_3")
    assert history.epochs[-1].validation_accuracy < 0.45


def test_the_same_seed_gives_the_same_numbers():
    first, again = (train("dnn_elm", "mfcc_2")[1] for _ in range(2))
    np.testing.assert_array_equal(first.best_probabilities, again.best_probabilities)
    assert [epoch.train_loss for epoch in first.epochs] == [epoch.train_loss for epoch in again.epochs]
