"""A small corpus with its features, and the settings of small tables."""

from dataclasses import replace

import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.features.store import FeatureStore
from harness.splits.protocol import Recordings
from harness.store.store import ResultsStore
from harness.tables.settings import TablesSettings, prepare_tables


@pytest.fixture(scope="session")
def corpus_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("the actors' own") / "IEMOCAP_full_release"
    write_synthetic(path, SyntheticSettings(scale=0.02, mocap_rate=5))
    return path


SETTINGS = TablesSettings(
    names=("head2", "majority", "text_logistic"),
    seeds=(1, 2),
    protocol="paper",
    recordings=Recordings.ALL,
    split=None,
    leaves_each_session_out=False,
    max_epochs=2,
    patience=None,
)


@pytest.fixture
def settings():
    """Return settings with some changed."""
    return lambda **changes: replace(SETTINGS, **changes)


@pytest.fixture(scope="session")
def facts(corpus_path, tmp_path_factory):
    results_dir = tmp_path_factory.mktemp("prepared features")
    _, found = prepare_tables(SETTINGS, corpus_path, results_dir, lambda doing, done, total: None)
    return found


@pytest.fixture(scope="session")
def store(facts):
    return FeatureStore.open(facts.prepared_dir)


@pytest.fixture
def results(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened
