"""Fixtures for all tests."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before any test imports TensorFlow: it writes its start-up notes to standard error otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).parents[1]
EMODB = REPOSITORY.parent / "shared" / "data" / "emodb"


@pytest.fixture(scope="session")
def emodb():
    """Real speech in the corpus's layout; it is no part of this repository."""
    if not EMODB.is_dir():
        pytest.skip("../shared/data/emodb, 339 recordings of real speech, is not here")
    return EMODB


@pytest.fixture
def hangups_heard() -> Iterator[None]:
    """SIGHUP means what it means in a terminal, to what is started here too, and although nohup started pytest."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
