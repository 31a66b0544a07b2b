"""What the README claims of scores, on the synthetic corpus and on real speech; a few minutes of training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.features.prepare import prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore
from harness.final.test_session import open_test_session
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.scoring.metrics import weighted_accuracy
from harness.splits.protocol import PROTOCOLS
from harness.store.trial_spec import TrialSpec
from harness.training.recipe import open_parts, recipe_of, train_validated

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

SEEDS = (1, 2, 3)
ADAM = {"optimizer": "adam", "learning_rate": 0.001}
POINTS = {
    "fusion": {"adamlr": 0.001, "dropout": 0.1, "textlstm": 200, "speechlstm": 120, "finalfc": 250},
    "speech4": {"attention": "pooling", "speechlstm": 120, **ADAM},
    "text2": {"textlstm": 200, "textlstm2": 200, **ADAM},
    "mocap1": {"dense": 256},
}


def score_test(prepared_dir, name, max_epochs):
    """Mean over seeds of the test accuracy at the epoch that validation chose."""
    spec = TrialSpec(
        trial_id=1,
        eid=1,
        trial_index=0,
        seed=0,
        system=name,
        protocol=PROTOCOLS["paper"],
        prepared_dir=prepared_dir,
        results_db=Path("unused"),
        max_epochs=max_epochs,
        patience=6,
        threads=2,
    )
    store = FeatureStore.open(prepared_dir)
    parts, test = open_parts(spec.protocol, store), open_test_session(store, spec.protocol)
    accuracies = []
    for seed in SEEDS:
        hyperparameters = read_hyperparameters(SYSTEMS[name], POINTS[name], spec.protocol)
        recipe = recipe_of(replace(spec, seed=seed), SYSTEMS[name], hyperparameters)
        trained, _ = train_validated(recipe, store.load(parts.train), store.load(parts.validation))
        probabilities = trained.predict(test)
        accuracies.append(weighted_accuracy(test.emotions, probabilities.argmax(axis=1)))
    majority = np.bincount(test.emotions).max() / len(test.emotions)
    return float(np.mean(accuracies)), float(majority)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    write_synthetic(folder / "corpus", SyntheticSettings())
    prepare_corpus(folder / "corpus", folder / "prepared", SpeechSettings())
    return folder / "prepared"


@pytest.mark.thorough
def test_fusion_beats_the_best_single_modality_by_8_points_and_the_majority_by_25(synthetic):
    fusion, majority = score_test(synthetic, "fusion", max_epochs=10)
    singles = {name: score_test(synthetic, name, max_epochs=12)[0] for name in ("speech4", "text2", "mocap1")}
    assert fusion >= max(singles.values()) + 0.08, (fusion, singles)
    assert fusion >= majority + 0.25


@pytest.fixture(scope="module")
def real_speech(emodb, tmp_path_factory):
    prepared = tmp_path_factory.mktemp("real speech") / "prepared"
    prepare_corpus(emodb, prepared, SpeechSettings())
    return prepared


def test_speech_beats_60_per_cent_on_real_speech(real_speech):
    accuracy, majority = score_test(real_speech, "speech4", max_epochs=25)
    assert majority < 0.4 and accuracy > 0.6


def test_text_scores_no_better_than_chance_where_every_sentence_is_spoken_in_every_emotion(real_speech):
    accuracy, majority = score_test(real_speech, "text2", max_epochs=15)
    assert accuracy <= majority + 0.05
