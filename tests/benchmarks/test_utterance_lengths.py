"""Invented utterances are as long as the corpus's."""

import numpy as np
import pytest

from benchmarks.utterance_lengths import InventedCorpus, draw_lengths, draw_voiced
from harness.features.frames import frame_columns
from harness.features.speech import SpeechSettings
from harness.features.text import spell
from harness.models.decision import levels_of
from harness.splits.protocol import PROTOCOLS


@pytest.fixture
def corpus(tmp_path):
    corpus = InventedCorpus(tmp_path, num_train=6, num_validation=4)
    corpus.write()
    return corpus


@pytest.mark.parametrize("num_utterances", [3000, 838])
def test_lengths_are_those_of_the_annotations(num_utterances):
    lengths = draw_lengths(num_utterances, np.random.default_rng(3))
    assert lengths.words.mean() == pytest.approx(11.6, abs=0.15)
    assert np.percentile(lengths.words, 95) == pytest.approx(33, abs=1)
    assert 1 <= lengths.words.min() and lengths.words.max() == 98
    assert lengths.seconds.mean() == pytest.approx(4.6, abs=0.1)
    assert np.percentile(lengths.seconds, 95) == pytest.approx(11.2, abs=0.2)
    assert 0.58 <= lengths.seconds.min() and lengths.seconds.max() <= 34.1
    assert 0.8 < np.corrcoef(np.log(lengths.words), np.log(lengths.seconds))[0, 1] < 0.95


def test_frames_are_whole_windows():
    lengths = draw_lengths(200, np.random.default_rng(0))
    frames = lengths.num_frames(SpeechSettings())
    one = np.flatnonzero(lengths.seconds > 1)[0]
    assert frames[one] == min(100, int((lengths.seconds[one] - 0.2) / 0.1) + 1)
    assert frames.min() >= 4 and frames.max() == 100


def test_batches_have_the_lengths_that_were_drawn(corpus):
    features = corpus.open("train")
    inputs = corpus.fit(("text", "speech", "mocap"), PROTOCOLS["paper"]).prepare(features)
    lengths = corpus.lengths("train")
    batch = inputs.batch(np.arange(6))
    assert (batch["text"] != 0).sum(axis=1).tolist() == lengths.words.tolist()
    assert batch["speech_lengths"].tolist() == lengths.num_frames(corpus.settings).tolist()
    assert batch["mocap"].shape == (6, 200, 189)
    assert (np.abs(batch["speech"]).sum(axis=2) > 0).sum(axis=1).tolist() == batch["speech_lengths"].tolist()


def test_opening_twice_gives_the_same_utterances(corpus):
    first, second = corpus.open("validation"), corpus.open("validation")
    assert first.transcripts == second.transcripts
    assert first.emotions.tolist() == second.emotions.tolist()
    assert first.transcripts != corpus.open("train").transcripts[:4]


def test_short_frames_follow_the_seconds_and_are_voiced_in_runs(tmp_path):
    corpus = InventedCorpus(tmp_path, num_train=40, num_validation=4, speech_features="frames")
    corpus.write()
    features, seconds = corpus.open("train"), corpus.lengths("train").seconds
    assert features.speech_lengths.max() == 1500
    assert features.speech_lengths.tolist() == [min(1500, int((each - 0.025) / 0.01 + 1e-6) + 1) for each in seconds]
    frames = features.speech(np.arange(40))
    assert frames.shape == (40, 1500, 46)
    for row, length in enumerate(features.speech_lengths):
        assert frames[row, :length].std() > 0.9 and not frames[row, length:].any()
        assert set(frames[row, :length, frame_columns("voiced")[0]]) == {0.0, 1.0}
    assert features.mocap_rows.tolist() == [0] * 40


def test_voiced_segments_are_as_long_as_is_said():
    voiced = draw_voiced(20000, np.random.default_rng(1))
    edges = np.flatnonzero(np.diff(voiced))
    runs = np.diff(edges)
    assert voiced[0] == 0.0 and voiced[edges[1]] == 1.0
    assert (runs[0::2].min(), runs[0::2].max(), runs[1::2].min(), runs[1::2].max()) == (5, 35, 5, 25)


def test_utterances_can_be_spelled_and_have_all_levels(corpus):
    features = InventedCorpus(corpus.directory, num_train=6, num_validation=4).open("train")
    texts = [spell(transcript) for transcript in features.transcripts]
    assert None not in texts and [len(text.split()) for text in texts] == corpus.lengths("train").words.tolist()
    ratings = np.concatenate([features.activation, features.valence])
    assert set(levels_of(ratings)) == {0, 1, 2}
