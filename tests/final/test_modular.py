"""A missing or better modality: frozen branches keep their weights to the bit, and only fusion layers train."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from harness.errors import ModelError
from harness.features.own import OwnFeatures
from harness.features.speech import own_speech_settings
from harness.final.modalities import (
    _check_replacement,
    compare_without,
    kept_modalities,
    predict_with_zeros,
    retrain_fusion_layers,
    train_whole,
)
from harness.final.saved_model import load_seed, save_seed
from harness.models.fusion import cut_branch
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.scoring.metrics import weighted_accuracy
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ScoreKind
from harness.training.recipe import Recipe
from tests.invented_features import invent_features

pytestmark = pytest.mark.long

SMALL = {"textlstm": 6, "speechlstm": 6, "finalfc": 12, "branch_dense": 10, "embedding_dimension": 8}


NUM_EPOCHS = 12


def make_recipe(system="speech_text", seed=3, **values):
    point = {"attention": "pooling", "adamlr": 0.01, "batch_size": 16, **SMALL, **values}
    known = SYSTEMS[system].hyperparameters.__dataclass_fields__
    point = {key: value for key, value in point.items() if key in known}
    protocol = PROTOCOLS["paper"]
    hyperparameters = read_hyperparameters(SYSTEMS[system], point, protocol)
    return Recipe(SYSTEMS[system], hyperparameters, protocol, seed, NUM_EPOCHS, None, None)


def make_training(system="speech_text"):
    """Everything that is read of a ``FinalTraining``: no search has to run for it."""
    recipe = make_recipe(system)
    return SimpleNamespace(
        system=recipe.system,
        hyperparameters=recipe.hyperparameters,
        num_epochs=NUM_EPOCHS,
        recipe=lambda seed: replace(recipe, seed=seed),
    )


@pytest.fixture(scope="module")
def train():
    return invent_features(96)


@pytest.fixture(scope="module")
def scored():
    return invent_features(60, seed=9)


@pytest.fixture(scope="module")
def base(train):
    return train_whole(make_recipe(), train, NUM_EPOCHS, ("text", "speech"))


def share_right(probabilities, features):
    return weighted_accuracy(features.emotions, probabilities.argmax(axis=1))


def accuracy(model, features):
    return share_right(model.predict(features), features)


def branch_weights(model, modality):
    return cut_branch(model, modality).get_weights()


@pytest.mark.parametrize("kept", ["text", "speech"])
def test_retraining_the_fusion_layers_changes_no_weight_of_a_branch(base, train, kept):
    before = branch_weights(base.model, kept)
    again = retrain_fusion_layers(make_recipe(), {kept: base}, train, NUM_EPOCHS)
    inside = again.model.get_layer(f"{kept}_branch").get_weights()
    assert len(inside) == len(before) > 0
    for old, new, shared in zip(before, inside, branch_weights(base.model, kept), strict=True):
        assert old.tobytes() == new.tobytes() == shared.tobytes()


def test_the_model_without_a_modality_needs_only_what_is_left(base, train, scored):
    again = retrain_fusion_layers(make_recipe(), {"speech": base}, train, NUM_EPOCHS)
    assert sorted(tensor.name for tensor in again.model.inputs) == ["speech", "speech_lengths"]
    assert again.fitted.tokenizer is None
    assert accuracy(again, scored) > 0.5


def test_the_joined_model_survives_its_file(base, train, scored, tmp_path):
    again = retrain_fusion_layers(make_recipe(), {"speech": base}, train, NUM_EPOCHS)
    save_seed(tmp_path, 3, again)
    assert accuracy(load_seed(tmp_path, 3), scored) == accuracy(again, scored)


def test_a_branch_of_another_system_takes_its_place(base, train, scored):
    other = make_recipe("speech2", 5, speechlstm2=5, dense=9, optimizer="adam", learning_rate=0.01, batch_size=64)
    better = train_whole(other, train, NUM_EPOCHS, ("speech",))
    joined = retrain_fusion_layers(make_recipe(), {"text": base, "speech": better}, train, NUM_EPOCHS)
    assert joined.model.get_layer("speech_branch").output.shape == (None, 9)
    assert accuracy(joined, scored) > 0.6


def test_zeros_in_place_of_a_modality_leave_the_model_alone(base, scored):
    before = accuracy(base, scored)
    assert share_right(predict_with_zeros(base, scored, ["speech"]), scored) <= before
    assert share_right(predict_with_zeros(base, scored, []), scored) == before
    assert accuracy(base, scored) == before


def test_three_ways_are_compared_with_the_same_seeds(base, train, scored):
    variants, models = compare_without(make_training(), {3: base}, ["text"], train, scored)
    assert [variant.kind for variant in variants] == [
        ScoreKind.FUSION_RETRAINED,
        ScoreKind.ALL_RETRAINED,
        ScoreKind.ZEROED,
    ]
    assert all(list(variant.probabilities) == [3] for variant in variants)
    assert 0 < variants[0].seconds[0] and variants[2].seconds == (0.0,)
    assert isinstance(models[3].model, keras.Model)


@pytest.mark.parametrize(
    ("system", "without", "message"),
    [
        (
            "speech4",
            ["speech"],
            "system 'speech4': has one branch and no fusion layers; expected 'fusion' or 'speech_text'",
        ),
        (
            "speech_text",
            ["mocap"],
            "system 'speech_text': has no branch for 'mocap'; expected one of ['speech', 'text']",
        ),
        (
            "speech_text",
            ["speech", "text"],
            "system 'speech_text': no modality is left without speech, text; expected at least one modality",
        ),
    ],
    ids=["single", "absent", "nothing left"],
)
def test_what_cannot_be_left_out_gets_one_sentence(system, without, message):
    with pytest.raises(ModelError) as caught:
        kept_modalities(make_training(system), without)
    assert str(caught.value) == message


def test_a_frozen_branch_gives_what_it_gave_in_the_whole_model(base, scored):
    branch = cut_branch(base.model, "text")
    inputs = base.fitted.prepare(scored).batch(np.arange(4))
    whole = keras.Model(base.model.inputs, base.model.get_layer("text_dense").output)
    both = whole({tensor.name: inputs[tensor.name] for tensor in whole.inputs})
    np.testing.assert_array_equal(branch({"text": inputs["text"]}).numpy(), both.numpy())


def test_a_branch_of_one_s_own_features_is_known_by_their_content(monkeypatch):
    own = OwnFeatures("0a1b", 88, 1, 1.0, "egemaps.csv")
    manifest = SimpleNamespace(speech_settings=own_speech_settings(own), text_features=None)
    store, protocol = SimpleNamespace(corpus_hash="c0ffee", manifest=manifest), PROTOCOLS["paper"]
    training = SimpleNamespace(system=SYSTEMS["speech_text"], spec=SimpleNamespace(protocol=protocol), seeds=(1,))
    network = SimpleNamespace(layers=[SimpleNamespace(name="speech_dense", output=np.zeros((1, 2)))])
    monkeypatch.setattr("harness.final.modalities.load_network", lambda *given: SimpleNamespace(model=network))

    def check(**changes):
        settings = own_speech_settings(replace(own, **changes)).to_json()
        other = SimpleNamespace(
            modalities=("speech",), corpus_hash="c0ffee", protocol=protocol, speech_settings=settings, seeds=(1,)
        )
        other.text_features = None
        _check_replacement(training, store, other, "speech", Path("models/other"))

    check(file_name="renamed.csv")
    with pytest.raises(ModelError, match="its speech frames were made with"):
        check(sha256="2c3d")
