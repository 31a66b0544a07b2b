"""A search went on with another file of its lexicon, and without the lexicon's package every trial failed."""

from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from harness.errors import FeatureError
from harness.features import lexica
from harness.search.corpus import PreparedCorpus
from harness.search.experiment import describe_differences, identity_of
from harness.search.experiment_file import read_experiment_file
from harness.store.store import DATABASE
from tests.search.searches import SCORES_X, search, write_experiment

DROPOUT = {"name": "dropout", "range": [0.0, 0.4], "type": "float"}
VADER = {"name": "lexicon", "range": ["none", "vader"], "type": "choice"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a folder in the place of the lexicon's package; it is empty."""
    package = tmp_path / "vaderSentiment"
    package.mkdir()
    monkeypatch.setattr(resources, "files", lambda name: package)
    lexica.read_lexicon.cache_clear()
    yield package
    lexica.read_lexicon.cache_clear()


def write_words(package: Path, text: str) -> None:
    (package / "vader_lexicon.txt").write_text(text, "utf-8")
    lexica.read_lexicon.cache_clear()


def identity(folder: Path, *space: dict[str, Any], **keys: Any) -> dict[str, Any]:
    path = write_experiment(folder, SCORES_X, parameter_config=list(space), **keys)
    prepared = PreparedCorpus(folder, "c0ffee", "", False, (), 30, None, None)
    return identity_of(read_experiment_file(path), prepared)


TURNS = {"system": "bc_lstm", "turn_model": {"system": "text_terms", "hyperparameters": {"lexicon": "vader"}}}


@pytest.mark.parametrize(
    ("space", "keys"), [([VADER], {"system": "text_terms"}), ([DROPOUT], TURNS)], ids=["searched", "of the turn model"]
)
def test_a_lexicon_is_known_by_its_content(
    package: Path, tmp_path: Path, space: list[dict[str, Any]], keys: dict[str, Any]
) -> None:
    write_words(package, "hate\t-2.7\n")
    before = identity(tmp_path, *space, **keys)
    write_words(package, "hate\t-1.7\n")
    assert describe_differences(before, identity(tmp_path, *space, **keys)).startswith('lexica was {"vader": ')


def test_a_search_without_a_lexicon_needs_none(package: Path, tmp_path: Path) -> None:
    without = {**VADER, "range": ["none"]}
    for space in ([DROPOUT], [without]):
        assert "lexica" not in identity(tmp_path, *space, system="text_terms")


def test_a_missing_package_is_refused_before_anything_is_recorded(package: Path, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, SCORES_X, system="text_terms", parameter_config=[VADER])
    with pytest.raises(FeatureError) as caught:
        search(path)
    assert str(caught.value) == (
        "lexicon 'vader': the package vaderSentiment is not installed; install it: pip install vaderSentiment"
    )
    assert not (tmp_path / "results" / DATABASE).exists() and not (tmp_path / "results" / "prepared").exists()
