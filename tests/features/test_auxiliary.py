"""Auxiliary corpora: their turns and words, and that Session 5 of them stays sealed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.corpus.synthetic import SyntheticSettings, write_synthetic
from harness.corpus.utterances import Happiness
from harness.errors import FeatureError
from harness.features.auxiliary import AuxiliaryCorpora, AuxiliaryTraining, join_words
from harness.features.prepare import prepare_corpus
from harness.features.speech import SpeechSettings
from harness.features.store import FeatureStore

TOGETHER = AuxiliaryTraining.TOGETHER


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("auxiliary")
    write_synthetic(folder / "other", SyntheticSettings(scale=0.02, mocap_rate=5, seed=7))
    prepare_corpus(folder / "other", folder / "features", SpeechSettings())
    return folder / "features"


def test_its_four_class_turns_are_read_and_session_5_is_not_opened(prepared: Path, tmp_path: Path) -> None:
    sealed = tmp_path / "features"
    shutil.copytree(prepared, sealed)
    shutil.rmtree(sealed / "Session5")
    loaded = AuxiliaryCorpora.open((sealed,), TOGETHER, 1).load(Happiness.EXCITED)
    expected = FeatureStore.open(prepared).utterances([1, 2, 3, 4])
    assert loaded.utterances == expected
    assert set(loaded.emotions) <= {0, 1, 2, 3} and len(loaded) > 20


def test_words_and_labels_are_joined_also_where_ids_are_the_same(prepared: Path) -> None:
    own = AuxiliaryCorpora.open((prepared,), TOGETHER, 1).load(Happiness.EXCITED)
    both = join_words(own, own)
    assert both.transcripts == own.transcripts * 2
    np.testing.assert_array_equal(both.emotions, np.tile(own.emotions, 2))


def test_what_changes_a_training_is_its_identity(prepared: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(prepared, moved)
    first = AuxiliaryCorpora.open((prepared,), TOGETHER, 1)
    assert AuxiliaryCorpora.open((moved,), TOGETHER, 1).identity() == first.identity()
    assert AuxiliaryCorpora.open((prepared,), AuxiliaryTraining.FIRST, 1).identity() != first.identity()
    assert AuxiliaryCorpora.open((prepared,), AuxiliaryTraining.FIRST, 3).describe(40) == (
        "40 turns of auxiliary corpora (other), for 3 epochs before the corpus's own utterances"
    )


def test_a_corpus_without_a_turn_of_the_four_classes_is_refused(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeatureStore, "utterances", lambda self, sessions: ())
    with pytest.raises(FeatureError, match="has no turn of the four classes in Sessions 1 to 4; expected at least one"):
        AuxiliaryCorpora.open((prepared,), TOGETHER, 1).load(Happiness.EXCITED)


def test_a_corpus_that_has_changed_since_the_search_is_refused(prepared: Path, tmp_path: Path) -> None:
    searched = tmp_path / "features"
    shutil.copytree(prepared, searched)
    auxiliary = AuxiliaryCorpora.open((searched,), TOGETHER, 1)
    before = auxiliary.identity()
    manifest = searched / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace(auxiliary.corpus_hashes[0], "0" * 64), "utf-8")
    with pytest.raises(FeatureError) as caught:
        auxiliary.load(Happiness.EXCITED)
    assert str(caught.value) == (
        f"auxiliary corpus {str(prepared.parent / 'other')!r}: was trained on as {auxiliary.corpus_hashes[0][:12]}, "
        f"and its prepared features at {str(searched)!r} are now of 000000000000; restore its files and prepare it "
        "again, or search again with `aup experiment.json`"
    )
    assert auxiliary.identity() == before
