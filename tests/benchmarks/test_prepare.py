import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.long_corpus import link_dialogues, write_long_corpus
from harness.corpus.index import build_index, list_dialogues
from harness.corpus.layout import CorpusLayout, MocapStream
from harness.corpus.mocap import read_mocap

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    layout = CorpusLayout(tmp_path_factory.mktemp("a corpus") / "whole")
    return layout, write_long_corpus(layout, num_dialogues=3, num_rows=2000)


@pytest.mark.long
def test_the_corpus_has_as_many_dialogues_and_rows_as_asked_for(corpus):
    layout, names = corpus
    assert sorted(names) == list_dialogues(layout)
    assert [int(name[3:5]) for name in names] == [1, 2, 3]
    for name in names:
        for stream in MocapStream:
            track, irregularities = read_mocap(layout.mocap_path(name, stream), stream)
            assert (len(track.times), irregularities) == (2000, [])
            assert np.allclose(np.diff(track.times), 1 / 119.9, atol=1e-5)
    index = build_index(layout)
    assert index.irregularities == ()
    assert all(utterance.wav_path for utterance in index.utterances)


def test_a_smaller_corpus_of_links_is_a_corpus(corpus, tmp_path):
    layout, names = corpus
    smaller = CorpusLayout(link_dialogues(layout, names[:1], tmp_path / "first"))
    assert list_dialogues(smaller) == names[:1]
    assert build_index(smaller).utterances


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_script_runs_at_its_smallest():
    arguments = ["--dialogues", "2", "--rows", "2000", "--words", "100", "--runs", "1"]
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.prepare", *arguments],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for part in ("speech, 34 features", "motion, files to windows", "harness prepare", "word vectors"):
        assert part in finished.stdout
