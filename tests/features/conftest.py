"""What the tests of the features share."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.corpus.layout import CorpusLayout, find_root
from tests.corpus.written import write_tiny_corpus

EMODB = Path(__file__).parents[2] / "../shared/data/emodb"


@pytest.fixture
def tiny_corpus(tmp_path: Path) -> CorpusLayout:
    """Two dialogues, the second without mocap, in a path that holds a space and a quote."""
    return write_tiny_corpus(tmp_path / "the actors' own" / "IEMOCAP_full_release")


@pytest.fixture(scope="session")
def emodb() -> CorpusLayout:
    """Real recordings of ten actors; no mocap, no recordings of whole dialogues."""
    if not EMODB.is_dir():
        pytest.skip("the recordings of EmoDB are not beside this repository")
    return find_root(EMODB)
