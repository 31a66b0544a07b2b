"""The final training: what its record says, and that nothing wrong is found only after the test set was opened."""

import json
import shutil
from dataclasses import replace

import pytest

from harness.codec import to_plain
from harness.errors import FeatureError, ModelError
from harness.features.own import OwnFeatures
from harness.features.speech import own_speech_settings
from harness.files import write_digests
from harness.final.modalities import retrain_without
from harness.final.retrain import keep_record, plan_final_training
from harness.final.saved_model import ModelRecord, seed_dir
from harness.final.test_session import score_test_session
from harness.report.model_card import write_model_card
from harness.store.store import ResultsStore
from tests.report.searches import run_search
from tests.report.test_model_card import a_record
from tests.searched import run_small_search


@pytest.fixture(scope="module")
def published_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("as published")
    run_small_search(folder, "published-code", 1)
    return folder / "results"


@pytest.fixture
def published(published_dir):
    with ResultsStore.open(published_dir / "results.db") as opened:
        yield opened


@pytest.fixture
def store(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def save(model_dir, *seeds):
    """Make folders look as if these seeds were saved whole."""
    for seed in seeds:
        seed_dir(model_dir, seed).mkdir(parents=True, exist_ok=True)
        (seed_dir(model_dir, seed) / "model.keras").touch()
        write_digests(seed_dir(model_dir, seed))


def test_seeds_of_the_same_making_are_kept_with_their_date(store, tmp_path):
    record, model_dir = a_record(run_search(store)), tmp_path / "models" / "a"
    save(model_dir, 1, 2)
    # A copy that a user keeps is no seed, and ended in a traceback.
    shutil.copytree(seed_dir(model_dir, 1), model_dir / "seed-before-1")
    keep_record(model_dir, record)
    save(model_dir, 3)
    keep_record(model_dir, replace(record, seeds=(3,), created_at="later"))
    found = ModelRecord.read(model_dir)
    assert (found.seeds, found.created_at) == ((3, 1, 2), record.created_at)


def test_features_of_one_s_own_under_another_name_are_the_same_making(store, tmp_path):
    own = OwnFeatures("0a1b", 88, 1, 1.0, "egemaps.csv")
    record, model_dir = a_record(run_search(store)), tmp_path / "models" / "a"

    def made_of(own, seed):
        settings = own_speech_settings(own).to_json()
        return replace(record, seeds=(seed,), speech_settings=settings, text_features=to_plain(own))

    save(model_dir, 1)
    keep_record(model_dir, made_of(own, 1))
    save(model_dir, 2)
    keep_record(model_dir, made_of(replace(own, file_name="renamed.csv"), 2))
    found = ModelRecord.read(model_dir)
    assert found.seeds == (2, 1) and found.text_features["file_name"] == "renamed.csv"
    keep_record(model_dir, made_of(replace(own, sha256="2c3d"), 2))
    assert ModelRecord.read(model_dir).seeds == (2,)


def test_a_record_of_another_making_is_written_anew_and_its_other_seeds_are_dropped(store, tmp_path):
    """Models that were fitted with the test session open kept a record that denied it."""
    record, model_dir = a_record(run_search(store)), tmp_path / "models" / "a"
    save(model_dir, 1, 2)
    keep_record(model_dir, record)
    keep_record(model_dir, replace(record, seeds=(1,), is_fitted_on_test=True))
    found = ModelRecord.read(model_dir)
    assert found.is_fitted_on_test and found.seeds == (1,)
    write_model_card(model_dir, store)
    assert "contains the words of the test session" in (model_dir / "MODEL_CARD.md").read_text("utf-8")


def test_features_of_another_corpus_are_refused_before_an_opening_is_on_record(published, published_dir):
    training = plan_final_training(published, published_dir, None, 1, opens_test=True)
    assert training.test_chooses_epoch
    training = replace(training, experiment=replace(training.experiment, corpus_hash="0ther"))
    with pytest.raises(ModelError, match=r"^experiment 1: was searched on corpus 0ther, but the features at "):
        score_test_session(training, published, "harness retrain-best --test")
    assert published.openings() == []


def test_models_that_are_not_trained_are_refused_before_an_opening_is_on_record(published, published_dir):
    training = plan_final_training(published, published_dir, None, 2)
    with pytest.raises(ModelError, match=r"^models '.*': lack seed \d+, \d+; expected every seed to be trained before"):
        score_test_session(training, published, "harness retrain-best --test")
    assert published.openings() == []


def test_a_lacking_modality_is_refused_before_an_opening_is_on_record(published, published_dir):
    training = plan_final_training(published, published_dir, None, 1, opens_test=True)
    training = replace(training, system=replace(training.system, modalities=("speech", "smell")))
    with pytest.raises(FeatureError, match="smell"):
        score_test_session(training, published, "harness retrain-best --test")
    assert published.openings() == []


def test_models_that_others_are_made_of_are_not_trained_with_the_test_session_open(published, published_dir):
    training = plan_final_training(published, published_dir, None, 1, opens_test=True)
    with pytest.raises(ModelError, match=r"^protocol 'published-code': would open the test session while the models "):
        retrain_without(training, published, ["speech"], "harness retrain-best --without speech --test")
    assert published.openings() == [] and not training.model_dir.exists()


def test_models_of_another_format_are_in_another_folder(published, published_dir, monkeypatch):
    """They are to be trained again, and would be taken for trained."""
    names = set()
    for version in (1, 2):
        monkeypatch.setattr("harness.final.retrain.FORMAT_VERSION", version)
        names.add(plan_final_training(published, published_dir, None, 1).model_dir)
    assert len(names) == 2


def test_the_test_sessions_part_in_training_is_in_the_folders_name(published, published_dir):
    opened = plan_final_training(published, published_dir, None, 1, opens_test=True)
    sealed = plan_final_training(published, published_dir, None, 1)
    assert opened.seeds == sealed.seeds and opened.model_dir != sealed.model_dir
    assert (opened.test_chooses_epoch, sealed.test_chooses_epoch) == (True, False)
    assert json.loads(opened.experiment.protocol)["epoch_choice"] == "test-maximum"
