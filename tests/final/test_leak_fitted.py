"""What is fitted, held against training: a scaler, vectors and a vocabulary that know more are found."""

from dataclasses import replace

import numpy as np
import pytest

from harness.features.fitted import SpeechScaling, fit_features
from harness.final.leak_check import Statistics, check_statistics, check_vocabulary, check_word_vectors
from harness.splits.protocol import PROTOCOLS
from tests.invented_features import SETTINGS, invent_features

PAPER, PUBLISHED = PROTOCOLS["paper"], PROTOCOLS["published-code"]
MODALITIES = ("speech", "mocap")


def invent_parts(seed=0):
    return invent_features(80, seed=seed, with_mocap=True), invent_features(30, seed=seed + 1, with_mocap=True)


def both_of(train, validation):
    names = ("speech", "speech_lengths", "mocap", "mocap_rows")
    joined = {name: np.concatenate([part._blocks[0][name] for part in (train, validation)]) for name in names}
    return train.from_arrays(train.utterances + validation.utterances, SETTINGS, train.speech_columns, joined)


def fit_on(features, validation):
    return fit_features(features, MODALITIES, PAPER, None, None, 0, vocabulary_extra=validation)


def test_what_is_fitted_on_training_alone_passes_and_a_leak_would_have_been_seen():
    train, validation = invent_parts()
    train._blocks[0]["mocap"][:, :20, 3] = np.nan
    checks = check_statistics(fit_on(train, validation), train, validation)
    assert [check.statistics for check in checks] == [Statistics.SPEECH, Statistics.MOCAP]
    for check in checks:
        assert not check.is_leaking and check.can_tell
        assert check.distance < 1e-6 < 1e-3 < check.distance_of_both


def test_a_scaler_fitted_on_everything_is_found():
    train, validation = invent_parts()
    checks = check_statistics(fit_on(both_of(train, validation), validation), train, validation)
    assert all(check.is_leaking for check in checks)
    assert [check.distance for check in checks] == pytest.approx([check.distance_of_both for check in checks], rel=1e-3)


def test_one_utterance_more_is_found():
    train, validation = invent_parts()
    one = validation.from_arrays(
        validation.utterances[:1],
        SETTINGS,
        validation.speech_columns,
        {name: array[:1] for name, array in validation._blocks[0].items()},
    )
    checks = check_statistics(fit_on(both_of(train, one), validation), train, validation)
    assert all(check.is_leaking for check in checks)


def test_a_column_far_from_zero_and_one_that_never_changes_are_no_leaks():
    train, validation = invent_parts()
    for part in (train, validation):
        part._blocks[0]["speech"][:, :, 1] += 1e4
        part._blocks[0]["speech"][:, :, 2] = 7.0
        part._blocks[0]["mocap"][:, :, 5] = np.nan
    assert not any(check.is_leaking for check in check_statistics(fit_on(train, validation), train, validation))


def test_not_a_number_counts_as_leaking():
    train, validation = invent_parts()
    fitted = fit_on(train, validation)
    broken = replace(fitted, speech=SpeechScaling(fitted.speech.mean * np.nan, fitted.speech.std))
    speech, mocap = check_statistics(broken, train, validation)
    assert speech.is_leaking and not mocap.is_leaking


def test_word_vectors_of_training_pass_under_every_protocol():
    train, validation = invent_parts()
    for protocol in (PAPER, PUBLISHED):
        check = check_word_vectors(train.utterances, validation.utterances, protocol)
        assert (check.distance, check.can_tell, check.is_leaking) == (0.0, True, False)


def test_word_vectors_of_everything_are_found(monkeypatch):
    from harness.features import fitted

    train, validation = invent_parts()
    make = fitted._make_embedding

    def make_of_both(tokenizer, features, *others):
        return make(tokenizer, both_of(train, validation), *others)

    monkeypatch.setattr(fitted, "_make_embedding", make_of_both)
    assert check_word_vectors(train.utterances, validation.utterances, PAPER).is_leaking


def test_the_vocabulary_of_the_published_code_leaks_and_that_of_the_paper_does_not():
    train, validation = invent_parts()
    told = [replace(validation.utterances[0], transcript="unheard-of words, so"), *validation.utterances[1:]]
    check = check_vocabulary("search", train.utterances, told, PAPER)
    assert (check.leaked, check.num_utterances, check.num_scored) == ((), 0, 30)
    check = check_vocabulary("search", train.utterances, told, PUBLISHED)
    assert (check.leaked, check.num_utterances) == (("of", "unheard", "words"), 1)
