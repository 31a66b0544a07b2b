import json

import pytest

from harness.corpus.synthetic.settings import (
    MARKER_NAME,
    UNFINISHED_NAME,
    SyntheticSettings,
    is_synthetic,
    says_the_same,
)
from harness.wording import SYNTHETIC_SENTENCE
from tests.corpus.synthetic.conftest import SMALL


def test_a_written_corpus_says_that_it_is_synthetic(written):
    marker = written.layout.root / MARKER_NAME
    assert is_synthetic(written.layout.root)
    assert says_the_same(marker, SMALL) and not says_the_same(marker, SyntheticSettings())
    assert json.loads(marker.read_text())["note"] == SYNTHETIC_SENTENCE
    assert SYNTHETIC_SENTENCE == "This corpus is synthetic: no score on it is a score on IEMOCAP."


def test_another_folder_is_not_synthetic_and_an_unfinished_corpus_is(tmp_path):
    assert not is_synthetic(tmp_path) and not says_the_same(tmp_path / MARKER_NAME, SMALL)
    (tmp_path / UNFINISHED_NAME).write_text("{}")
    assert is_synthetic(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"settings": {"scale": 1}}'], ids=["empty", "list", "none", "few"]
)
def test_a_damaged_marker_file_is_that_of_no_settings(text, tmp_path):
    (tmp_path / MARKER_NAME).write_text(text)
    assert not says_the_same(tmp_path / MARKER_NAME, SyntheticSettings(scale=1.0))
