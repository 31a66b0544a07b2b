"""Emotion lexica: words of one group share a term, also where training lacks one, and the polarity is a term too."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from harness.errors import FeatureError
from harness.features import lexica
from harness.features.fitted import FittedFeatures, fit_features
from harness.features.lexica import POLARITIES, Lexicon, hash_lexicon, read_lexicon
from harness.features.text import Tokenizer, split_terms
from harness.splits.protocol import PROTOCOLS
from tests.features.invented import make_features

PAPER, VADER = PROTOCOLS["paper"], Lexicon.VADER
TEXTS = ("this is bad", "so what", "not bad!", "I love it")


@pytest.fixture
def other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write another file in the place of the package's."""

    def write(text: str) -> None:
        (tmp_path / "vader_lexicon.txt").write_text(text, "utf-8")
        monkeypatch.setattr(resources, "files", lambda package: tmp_path)
        lexica.read_lexicon.cache_clear()

    yield write
    lexica.read_lexicon.cache_clear()


def test_words_are_of_four_groups_and_nothing_is_known_without_a_lexicon() -> None:
    groups = read_lexicon(VADER)
    assert len(groups) > 7000 and set(groups.values()) == {"<bad>", "<very-bad>", "<good>", "<very-good>"}
    found = [groups.get(word) for word in ("hate", "lost", "fine", "love", "door")]
    assert found == ["<very-bad>", "<bad>", "<good>", "<very-good>", None]
    assert read_lexicon(Lexicon.NONE) == {}


def test_a_word_of_the_lexicon_is_two_terms_and_its_group_has_no_pair() -> None:
    plain = ["i", "hate", "it", "!", "i hate", "hate it", "it !"]
    assert split_terms("I hate it!", VADER) == [*plain, "<very-bad>", "<above-0.75>"]
    assert split_terms("I hate it!") == plain
    tokenizer = Tokenizer.fit_terms(["I hate it", "I loved it"], VADER)
    assert "<very-bad>" in tokenizer.vocabulary and "<very-good>" in tokenizer.vocabulary
    # Of a word that training lacks the group is known.
    unknown, group, *_ = tokenizer.encode("horrible")
    assert unknown == 1 and tokenizer.vocabulary[group - 2] == "<very-bad>"
    assert len(tokenizer.encode("love love love")) <= tokenizer.most_ids(3)


def test_the_polarity_of_an_utterance_follows_its_negations_and_nothing_is_said_of_no_words() -> None:
    bounds = {text: [term for term in split_terms(text, VADER) if "above" in term] for text in TEXTS}
    bad, neutral, not_bad, good = (len(bounds[text]) for text in TEXTS)
    assert bad < neutral == len(POLARITIES) / 2 < not_bad < good
    assert split_terms("", VADER) == []
    # A tag is no word: nobody says it.
    assert "<above0.05>" not in split_terms("[LAUGHTER]", VADER)
    assert Tokenizer.fit_terms(["so what"], VADER).encode(None) == []


def test_it_is_fitted_and_saved_with_the_terms_and_the_source_counts_its_words(tmp_path: Path) -> None:
    train = make_features(["I hate it", "so what"])
    fitted = fit_features(train, ["text"], PAPER, None, None, seed=0, reads_terms=True, lexicon=VADER)
    assert fitted.embedding_source.endswith("; lexicon 'vader' knows 1 of the 5 spoken words of training")
    fitted.save(tmp_path)
    loaded = FittedFeatures.load(tmp_path)
    assert loaded.tokenizer == fitted.tokenizer and loaded.tokenizer.lexicon is VADER
    scored = make_features(["horrible!"])
    batches = [each.prepare(scored).batch([0])["text"] for each in (fitted, loaded)]
    np.testing.assert_array_equal(*batches)


def test_another_lexicon_than_the_fitted_one_is_refused(tmp_path: Path, other_file) -> None:
    train = make_features(["I hate it"])
    fit_features(train, ["text"], PAPER, None, None, seed=0, reads_terms=True, lexicon=VADER).save(tmp_path)
    other_file("hate\t-2.7\t1.0\t[]\nit\t0.1\t1.0\t[]\n")
    with pytest.raises(FeatureError) as caught:
        FittedFeatures.load(tmp_path)
    assert str(caught.value) == (
        f"fitted features {str(tmp_path)!r}: were fitted with another lexicon 'vader' than the one that is installed; "
        "install the version of its package that the model was trained with, or train again"
    )


def test_ratings_that_change_no_group_change_the_hash(other_file) -> None:
    hashes = set()
    for rating in ("-2.7", "-3.1"):
        other_file(f"hate\t{rating}\t1.0\t[]\n")
        hashes.add(hash_lexicon(VADER))
    assert len(hashes) == 2


def test_a_damaged_file_is_named(other_file) -> None:
    other_file("hate -2.7\n")
    with pytest.raises(FeatureError, match="^lexicon 'vader': vader_lexicon.txt of the package vaderSentiment has"):
        read_lexicon(VADER)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lexica._FILES, VADER, ("no_such_package", "vader_lexicon.txt"))
    lexica.read_lexicon.cache_clear()
    with pytest.raises(FeatureError) as caught:
        read_lexicon(VADER)
    assert str(caught.value) == (
        "lexicon 'vader': the package no_such_package is not installed; install it: pip install no_such_package"
    )
