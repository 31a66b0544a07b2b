"""What a quick start of the tables says that it cut."""

from pathlib import Path

import pytest

from harness.search.corpus import CorpusFeatures
from harness.tables.settings import prepare_tables


@pytest.mark.parametrize(
    ("max_epochs", "patience", "cut"),
    [
        (30, None, "at most 8 epochs instead of 30 and patience 3;"),
        (8, 2, "at most 8 epochs and patience 2;"),
        (1, 9, "at most 1 epoch and patience 3;"),
    ],
)
def test_a_quick_start_says_what_it_cut_and_nothing_that_it_did_not(settings, monkeypatch, max_epochs, patience, cut):
    """It said "at most 8 epochs instead of 8"."""
    features = CorpusFeatures(Path("prepared"), "c0ffee", "", True, ())
    monkeypatch.setattr("harness.tables.settings.prepare_features", lambda *arguments: features)
    asked = settings(max_epochs=max_epochs, patience=patience)
    shortened, facts = prepare_tables(asked, None, Path("results"), lambda doing, done, total: None)
    assert facts.shortened.startswith(
        f"No corpus is named, so this is a quick start on a synthetic one, with {cut} name a corpus with --corpus or "
    )
    assert (shortened.max_epochs, shortened.patience) == (min(8, max_epochs), min(3, patience or 3))
