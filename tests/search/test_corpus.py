"""The corpus that a search reads, and the limits of a search without one."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ExperimentFileError, FeatureError
from harness.features.store import FeatureStore
from harness.models.systems import SYSTEMS
from harness.search import corpus as corpus_choice
from harness.search.corpus import choose_corpus, prepare_chosen
from harness.search.experiment_file import TrainingSettings
from harness.splits.protocol import PROTOCOLS

TRAINING = TrainingSettings(SYSTEMS["fusion"], PROTOCOLS["paper"], None, 30, None, None)


def test_the_experiment_file_goes_before_the_environment(folder: Path, tmp_path: Path) -> None:
    assert choose_corpus(folder, {"HARNESS_CORPUS": str(tmp_path)}) == folder
    assert choose_corpus(None, {"HARNESS_CORPUS": str(tmp_path)}) == tmp_path
    assert choose_corpus(None, {"HARNESS_CORPUS": ""}) is None
    assert choose_corpus(None, {}) is None


def test_a_corpus_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ExperimentFileError) as caught:
        choose_corpus(None, {"HARNESS_CORPUS": str(folder / "nowhere")})
    assert (
        str(caught.value)
        == f"HARNESS_CORPUS is '{folder}/nowhere', no folder; expected the folder IEMOCAP_full_release, or"
        " its parent"
    )


def test_a_named_corpus_is_searched_at_full_length(prepared_folder: Path, tiny_corpus: Path) -> None:
    named = replace(TRAINING, corpus=tiny_corpus)
    prepared = prepare_chosen(named, prepared_folder / "results")
    assert (prepared.max_epochs, prepared.patience, prepared.shortened) == (30, None, None)
    assert prepared.is_synthetic
    assert prepared.corpus_path == str(tiny_corpus)
    assert FeatureStore.open(prepared.prepared_dir).corpus_hash == prepared.corpus_hash


def test_without_a_corpus_one_is_made_and_the_search_is_cut(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_choice, "QUICK_START_SCALE", 0.01)
    told: list[str] = []
    prepared = prepare_chosen(
        TRAINING, folder / "results", lambda doing, done, total: told.append(doing), environment={}
    )
    assert (prepared.max_epochs, prepared.patience) == (
        corpus_choice.QUICK_START_MAX_EPOCHS,
        corpus_choice.QUICK_START_PATIENCE,
    )
    assert (
        prepared.shortened
        == "No corpus is named, so this is a quick start on a synthetic one, cut short: max_epochs from 30"
        f" to {prepared.max_epochs}, patience from none to {prepared.patience}; name a corpus in the"
        " experiment file or in HARNESS_CORPUS for the whole search."
    )
    assert (prepared.is_synthetic, prepared.corpus_path) == (True, "")
    assert {"writing the synthetic corpus", "preparing features"} == set(told)
    assert (folder / "results" / "synthetic" / "scale-0.01-seed-0").is_dir()
    assert prepare_chosen(TRAINING, folder / "results", environment={}) == prepared


def test_a_shorter_search_than_the_quick_start_stays_as_it_is(
    prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_choice, "QUICK_START_SCALE", 0.01)
    short = replace(TRAINING, max_epochs=1, patience=1)
    prepared = prepare_chosen(short, prepared_folder / "results", environment={})
    assert (prepared.max_epochs, prepared.patience) == (1, 1)
    assert (
        prepared.shortened
        == "No corpus is named, so this is a quick start on a synthetic one; name a corpus in the experiment"
        " file or in HARNESS_CORPUS for the whole search."
    )


def test_a_system_that_needs_what_the_corpus_lacks_is_refused(
    prepared_folder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    import shutil

    corpus = tmp_path / "without mocap"
    shutil.copytree(tiny_corpus, corpus, ignore=shutil.ignore_patterns("MOCAP_*"))
    with pytest.raises(FeatureError) as caught:
        prepare_chosen(replace(TRAINING, corpus=corpus), prepared_folder / "results")
    assert "needs mocap" in str(caught.value)
