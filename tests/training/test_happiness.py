"""Happy utterances count as excited ones under `merged`: in training, predictions, scores and baselines, to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.utterances import CLASSES, Emotion, Happiness
from harness.features.store import Features
from harness.models.baselines import BASELINES
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.splits.protocol import read_protocol
from harness.store.records import ScoreKind
from harness.training.recipe import Recipe, describe_predictions, score_predictions, train_for_epochs
from tests.invented_features import invent_features

POINT = {"speechlstm": 8, "dense": 16, "attention": "pooling", "batch_size": 16}


def call_some_happy(features):
    """The same utterances, every second of the excited ones happy instead."""
    excited = [row for row, utterance in enumerate(features.utterances) if utterance.emotion is Emotion.EXCITEMENT]
    happy = set(excited[::2])
    utterances = [
        replace(utterance, emotion=Emotion.HAPPINESS) if row in happy else utterance
        for row, utterance in enumerate(features.utterances)
    ]
    columns = features.speech_columns
    return Features.from_arrays(utterances, features.speech_settings, columns, features._blocks[0], Happiness.MERGED)


@pytest.fixture(scope="module")
def train():
    return invent_features(60)


@pytest.fixture(scope="module")
def test():
    return invent_features(40, seed=9)


def train_one(features, scored, happiness):
    protocol = read_protocol({"base": "paper", "happiness": happiness})
    system = SYSTEMS["speech4"]
    recipe = Recipe(system, read_hyperparameters(system, POINT, protocol), protocol, 3, 2, None, None)
    return train_for_epochs(recipe, features, 1, test=scored, scored_epochs=(1,))[1][1]


@pytest.mark.long
def test_a_model_trained_on_happy_utterances_is_the_one_trained_on_excited_ones(train, test):
    plain = train_one(train, test, "excited")
    merged = train_one(call_some_happy(train), call_some_happy(test), "merged")
    np.testing.assert_array_equal(merged, plain)
    scores = [
        score_predictions(3, ScoreKind.VALIDATION_CHOSEN, scored, plain, 1) for scored in (test, call_some_happy(test))
    ]
    assert scores[0] == scores[1]
    assert {found.emotion for found in describe_predictions(call_some_happy(test), plain)} == set(CLASSES)


def test_baselines_count_happy_utterances_as_excited_ones(train, test):
    for baseline in BASELINES.values():
        plain, merged = (
            baseline.fit(features, 1).probabilities(test) for features in (train, call_some_happy(train))
        )
        np.testing.assert_array_equal(merged, plain)
