import json

import pytest

from harness.corpus.synthetic.settings import MARKER_NAME, UNFINISHED_NAME, is_synthetic, read_settings
from harness.errors import CorpusError
from harness.wording import SYNTHETIC_SENTENCE
from tests.corpus.synthetic.conftest import SMALL


def test_a_written_corpus_says_that_it_is_synthetic(written):
    assert is_synthetic(written.layout.root)
    assert read_settings(written.layout.root) == SMALL
    assert json.loads((written.layout.root / MARKER_NAME).read_text())["note"] == SYNTHETIC_SENTENCE
    assert SYNTHETIC_SENTENCE == "This corpus is synthetic: no score on it is a score on IEMOCAP."


def test_another_folder_is_not_synthetic(tmp_path):
    assert not is_synthetic(tmp_path)
    with pytest.raises(CorpusError) as raised:
        read_settings(tmp_path)
    assert str(raised.value) == (
        f"corpus {str(tmp_path)!r}: found no SYNTHETIC.json; expected a finished synthetic corpus"
    )


def test_an_unfinished_corpus_is_synthetic_too_and_has_no_settings(tmp_path):
    (tmp_path / UNFINISHED_NAME).write_text("{}")
    assert is_synthetic(tmp_path)
    with pytest.raises(CorpusError) as raised:
        read_settings(tmp_path)
    assert str(raised.value) == (
        f"corpus {str(tmp_path)!r}: found a write that broke off; expected a finished synthetic corpus"
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"settings": {"scale": 1}}'], ids=["empty", "list", "none", "few"]
)
def test_a_damaged_marker_file_is_rejected_in_one_sentence(text, tmp_path):
    (tmp_path / MARKER_NAME).write_text(text)
    with pytest.raises(CorpusError) as raised:
        read_settings(tmp_path)
    message = str(raised.value)
    assert message.startswith(f"corpus {str(tmp_path)!r}: its SYNTHETIC.json cannot be read (")
    assert message.endswith(
        "); expected the settings that 'harness synth' wrote; write the corpus again into an empty folder"
    )
