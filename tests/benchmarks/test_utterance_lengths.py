"""Invented utterances are as long as the corpus's."""

import numpy as np
import pytest

from benchmarks.utterance_lengths import InventedCorpus, draw_lengths
from harness.features.speech import SpeechSettings
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
