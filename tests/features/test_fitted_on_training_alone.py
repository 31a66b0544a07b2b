"""Scaling and word vectors are fitted on training alone: computed anew here, and a planted leak is found."""

from dataclasses import replace

import numpy as np
import pytest

from harness.features import fitted as fitting
from harness.features.fitted import fit_features
from harness.features.scaling import ColumnScaling
from harness.features.store import FeatureStore
from harness.features.text import train_word_vectors
from harness.splits.protocol import PROTOCOLS, make_split, search_sessions
from tests.invented_features import SETTINGS, invent_features
from tests.searched import prepare_small

PAPER, PUBLISHED = PROTOCOLS["paper"], PROTOCOLS["published-code"]

#: Largest distance of a fitted number from training's own that rounding to float32 explains, in deviations of the
#: column. A choice: an utterance that lies one deviation off moves the mean of 3000 by thirty times as much.
TOLERANCE = 1e-5
#: Numbers of a word vector in the check: whose words were read does not depend on how many there are.
DIMENSION = 16


def rows_of(modality, *parts):
    """Frames or windows, float64 (num_rows, num_columns), NaN where a marker was lost."""
    found = []
    for features in parts:
        every = np.arange(len(features))
        if modality == "speech":
            found += [one[:length] for one, length in zip(features.speech(every), features.speech_lengths, strict=True)]
        else:
            found += list(features.mocap(every))
    return np.concatenate(found).astype(np.float64)


def measure(modality, *parts):
    """Mean and deviation of every column in two passes, another way than trials compute them."""
    rows = rows_of(modality, *parts)
    counts = np.maximum((~np.isnan(rows)).sum(axis=0), 1)
    mean = np.nansum(rows, axis=0) / counts
    deviation = np.sqrt(np.nansum((rows - mean) ** 2, axis=0) / counts)
    deviation[deviation <= np.abs(mean) * np.finfo(np.float32).eps] = 1.0
    return mean, deviation


def distance(found, own):
    """How far the worst number is from training's own, in deviations of its column."""
    mean, deviation = own
    # A mean far from 0 beside its deviation is rounded to float32 as coarsely as it is far.
    rounding = np.abs(mean) * np.finfo(np.float32).eps
    of_means = np.maximum(np.abs(found[0] - mean) - rounding, 0.0) / deviation
    of_deviations = np.abs(found[1] - deviation) / deviation
    return float(max(of_means.max(), of_deviations.max()))


def distances(fitted, train, validation):
    """By modality: the distance of the fitted scaling from training, and that of training with validation."""
    found = {}
    for modality, scaling in (("speech", fitted.speech), ("mocap", fitted.mocap)):
        own = measure(modality, train)
        of_fitted = distance((scaling.mean.astype(np.float64), scaling.std.astype(np.float64)), own)
        found[modality] = (of_fitted, distance(measure(modality, train, validation), own))
    return found


def leaking(fitted, train, validation):
    """The modalities whose scaling is not that of training alone."""
    found = distances(fitted, train, validation)
    return [modality for modality, (of_fitted, _) in found.items() if not of_fitted <= TOLERANCE]


def vector_distances(train, validation, protocol):
    """Distances of the fitted word vectors, and of those of training and validation, from those of training alone."""
    fitted = fit_features(train, ("text",), protocol, None, DIMENSION, 0, vocabulary_extra=validation)
    own = train_word_vectors(train.transcripts, DIMENSION, 0)
    both = train_word_vectors(train.transcripts + validation.transcripts, DIMENSION, 0)
    numbers = {word: fitted.tokenizer.encode_words([word])[0] for word in own.index_to_key}
    return (
        max(float(np.abs(fitted.embedding[numbers[word]] - own[word]).max()) for word in numbers),
        max(float(np.abs(both[word] - own[word]).max()) for word in numbers),
    )


def invent_parts(seed=0):
    return invent_features(80, seed=seed, with_mocap=True), invent_features(30, seed=seed + 1, with_mocap=True)


def both_of(train, validation):
    names = ("speech", "speech_lengths", "mocap", "mocap_rows")
    joined = {name: np.concatenate([part._blocks[0][name] for part in (train, validation)]) for name in names}
    return train.from_arrays(train.utterances + validation.utterances, SETTINGS, train.speech_columns, joined)


def fit_on(features, validation, protocol=PAPER):
    return fit_features(features, ("speech", "mocap"), protocol, None, None, 0, vocabulary_extra=validation)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FeatureStore.open(prepare_small(tmp_path_factory.mktemp("a corpus's folder")))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_on_the_split_of_every_protocol_all_that_is_fitted_is_of_training_alone(store, name):
    protocol = PROTOCOLS[name]
    outside = [utterance.utterance_id for utterance in store.utterances(search_sessions(protocol))]
    split = make_split(protocol, outside)
    train, validation = store.load(split.train), store.load(split.validation)
    found = distances(fit_on(train, validation, protocol), train, validation)
    found["text"] = vector_distances(train, validation, protocol)
    for of_fitted, of_both in found.values():
        assert of_fitted <= TOLERANCE < of_both


def test_what_is_fitted_on_training_alone_passes_and_a_leak_would_have_been_seen():
    train, validation = invent_parts()
    train._blocks[0]["mocap"][:, :20, 3] = np.nan
    for of_fitted, of_both in distances(fit_on(train, validation), train, validation).values():
        assert of_fitted < 1e-6 < 1e-3 < of_both


def test_a_scaler_fitted_on_everything_is_found():
    train, validation = invent_parts()
    fitted = fit_on(both_of(train, validation), validation)
    assert leaking(fitted, train, validation) == ["speech", "mocap"]
    for of_fitted, of_both in distances(fitted, train, validation).values():
        assert of_fitted == pytest.approx(of_both, rel=1e-3)


def test_one_utterance_more_is_found():
    train, validation = invent_parts()
    one = validation.from_arrays(
        validation.utterances[:1],
        SETTINGS,
        validation.speech_columns,
        {name: array[:1] for name, array in validation._blocks[0].items()},
    )
    assert leaking(fit_on(both_of(train, one), validation), train, validation) == ["speech", "mocap"]


def test_a_column_far_from_zero_and_one_that_never_changes_are_no_leaks():
    train, validation = invent_parts()
    for part in (train, validation):
        part._blocks[0]["speech"][:, :, 1] += 1e4
        part._blocks[0]["speech"][:, :, 2] = 7.0
        part._blocks[0]["mocap"][:, :, 5] = np.nan
    assert leaking(fit_on(train, validation), train, validation) == []


def test_not_a_number_counts_as_leaking():
    train, validation = invent_parts()
    fitted = fit_on(train, validation)
    broken = replace(fitted, speech=ColumnScaling(fitted.speech.mean * np.nan, fitted.speech.std))
    assert leaking(broken, train, validation) == ["speech"]


@pytest.mark.parametrize("protocol", [PAPER, PUBLISHED], ids=["paper", "published-code"])
def test_word_vectors_are_of_training_alone(protocol):
    of_fitted, of_both = vector_distances(*invent_parts(), protocol)
    assert of_fitted == 0.0 and of_both > TOLERANCE


def test_word_vectors_of_everything_are_found(monkeypatch):
    train, validation = invent_parts()
    make = fitting._make_embedding

    def make_of_both(tokenizer, features, *others):
        return make(tokenizer, both_of(train, validation), *others)

    monkeypatch.setattr(fitting, "_make_embedding", make_of_both)
    assert vector_distances(train, validation, PAPER)[0] > TOLERANCE
