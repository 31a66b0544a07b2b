"""A search whose test set is one speaker reads the partner's turns of the same files, and no bit of the speaker's."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from harness.features.fitted import fit_features
from harness.features.store import FeatureStore
from harness.final.test_session import open_test_session
from harness.models.systems import find_system, read_hyperparameters
from harness.splits.protocol import SpeakerScaling, is_tested, read_protocol
from harness.training.recipe import Recipe, Watch, open_parts, train_once
from tests.searched import prepare_small
from tests.training.overwritten import overwrite

SESSION = 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare_small(tmp_path_factory.mktemp("a corpus's folder"))


def overwrite_speaker(prepared, letter, folder):
    """Copy prepared features, with other turns of one speaker of the tested session."""
    return overwrite(prepared, folder / "features", lambda turn: turn.name.speaker == f"Ses{SESSION:02d}{letter}")


def digest(array):
    return sha256(np.asarray(array).tobytes()).hexdigest()


def everything_read(prepared_dir, protocol):
    """All that a search and a final training fit and feed to a model, as digests, and the words that they know."""
    store = FeatureStore.open_for(protocol, prepared_dir)
    parts = open_parts(protocol, store)
    read, vocabularies = [], []
    for fitted_on, scored in ((parts.train, parts.validation), (parts.trained_on, ())):
        train = store.load(fitted_on)
        fitted = fit_features(train, ("speech", "text", "mocap"), protocol, None, 8, 7)
        vocabularies.append(fitted.tokenizer.vocabulary)
        read += [digest(train.emotions), digest(fitted.embedding)]
        for names in filter(None, (fitted_on, scored)):
            batch = fitted.prepare(store.load(names)).batch(np.arange(len(names)))
            read += [digest(array) for _, array in sorted(batch.items())]
    return read, vocabularies


def train_on(prepared_dir, protocol):
    """The predictions of a search's trial on validation."""
    system, store = find_system("head2"), FeatureStore.open(prepared_dir)
    recipe = Recipe(system, read_hyperparameters(system, {}, protocol), protocol, 7, 1, None, None)
    return train_once(recipe, store, open_parts(protocol, store), Watch()).result.predictions


PROTOCOL = read_protocol({"test_session": SESSION, "test_speaker": "F"})


@pytest.mark.parametrize("speaker_scaling", ["none", "own"])
def test_whatever_the_test_speaker_says_changes_no_bit_of_what_a_search_or_a_final_training_reads(
    prepared, tmp_path, speaker_scaling
):
    protocol = replace(PROTOCOL, speaker_scaling=SpeakerScaling(speaker_scaling))
    read, vocabularies = everything_read(prepared, protocol)
    assert everything_read(overwrite_speaker(prepared, "F", tmp_path / "F"), protocol) == (read, vocabularies)
    assert all("shibboleth" not in vocabulary for vocabulary in vocabularies)
    # The partner's turns are read: the comparison would have seen a difference.
    others, vocabularies = everything_read(overwrite_speaker(prepared, "M", tmp_path / "M"), protocol)
    assert others != read and "shibboleth" in vocabularies[1]


@pytest.mark.long
def test_nor_a_bit_of_what_a_trained_model_answers(prepared, tmp_path):
    predictions = train_on(prepared, PROTOCOL)
    assert train_on(overwrite_speaker(prepared, "F", tmp_path / "F"), PROTOCOL) == predictions
    assert train_on(overwrite_speaker(prepared, "M", tmp_path / "M"), PROTOCOL) != predictions


def test_the_test_set_is_all_of_the_speakers_turns_and_nobody_elses(prepared):
    store = FeatureStore.open(prepared)
    names = [found.utterance_id for found in store.utterances([SESSION])]
    tested = open_test_session(store, PROTOCOL).utterance_ids
    assert list(tested) == [name for name in names if is_tested(PROTOCOL, name)]
    assert 0 < len(tested) < len(names) and not set(tested) & set(open_parts(PROTOCOL, store).trained_on)


def test_the_partners_turns_scale_nothing_of_the_test_speaker(prepared, tmp_path):
    protocol = replace(PROTOCOL, speaker_scaling=SpeakerScaling.OWN)

    def read_test(prepared_dir):
        features = open_test_session(FeatureStore.open_for(protocol, prepared_dir), protocol)
        return digest(features.speech(np.arange(len(features))))

    before = read_test(prepared)
    assert read_test(overwrite_speaker(prepared, "M", tmp_path / "M")) == before
    assert read_test(overwrite_speaker(prepared, "F", tmp_path / "F")) != before
