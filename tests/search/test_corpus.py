"""The corpus that a search reads, and the limits of a search without one."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.corpus.synthetic import GENERATOR_VERSION
from harness.errors import ExperimentFileError, FeatureError
from harness.features.auxiliary import AuxiliaryTraining
from harness.features.manifest import FORMAT_VERSION
from harness.features.store import FeatureStore
from harness.models.systems import SYSTEMS
from harness.search import corpus as corpus_choice
from harness.search.corpus import (
    QUICK_START_BATCH_SIZE,
    QUICK_START_MAX_EPOCHS,
    PreparedCorpus,
    choose_corpus,
    prepare_chosen,
    shorten_search,
)
from harness.search.experiment_file import AuxiliarySettings, TrainingSettings, read_experiment_file
from harness.search.proposer import RandomPoints, trial_seed
from harness.search.space import Parameter, ParameterType, SearchSpace
from harness.splits.protocol import PROTOCOLS
from harness.store.pruning import EarlyStopping, PruningRule
from tests.corpus.written import write_tiny_corpus
from tests.search.searches import RECORDS_ITS_SCORE, REPOSITORY, search, trials_of, write_experiment

TRAINING = TrainingSettings(SYSTEMS["fusion"], PROTOCOLS["paper"], None, 30, None, None)

#: The search of a newcomer.
FIRST_SEARCH = read_experiment_file(REPOSITORY / "experiment.json")


def prepared_of(corpus_path: str, max_epochs: int = 30) -> PreparedCorpus:
    return PreparedCorpus(Path("prepared"), "c0ffee", corpus_path, True, (), max_epochs, 10, None)


def test_the_experiment_file_goes_before_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_corpus(None) is None
    monkeypatch.setenv("HARNESS_CORPUS", "")
    assert choose_corpus(None) is None
    monkeypatch.setenv("HARNESS_CORPUS", str(tmp_path))
    assert (choose_corpus(folder), choose_corpus(None)) == (folder, tmp_path)


def test_a_corpus_that_is_not_there_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CORPUS", str(folder / "nowhere"))
    with pytest.raises(ExperimentFileError) as caught:
        choose_corpus(None)
    assert (
        str(caught.value)
        == f"HARNESS_CORPUS is '{folder}/nowhere', which is not a folder; expected IEMOCAP_full_release, or its parent"
    )


def auxiliary_of(corpora: tuple[Path, ...]) -> TrainingSettings:
    auxiliary = AuxiliarySettings(corpora, AuxiliaryTraining.TOGETHER, 1)
    return replace(TRAINING, system=SYSTEMS["text2"], auxiliary=auxiliary)


def test_a_copy_of_the_corpus_is_no_auxiliary_corpus_whatever_it_lacks(
    prepared_folder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    """Its Sessions 1 to 4 hold the validation utterances, and with folds also test sets."""
    part = tmp_path / "part"
    shutil.copytree(tiny_corpus, part)
    next((part / "Session2" / "dialog" / "transcriptions").glob("*.txt")).unlink()
    for corpus in (tiny_corpus, part):
        named = replace(auxiliary_of((corpus,)), corpus=tiny_corpus)
        with pytest.raises(ExperimentFileError, match="is the corpus itself, or a part of it: [1-9][0-9]* of its"):
            prepare_chosen(named, prepared_folder / "results")


def test_an_auxiliary_corpus_is_read_once(prepared_folder: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    write_tiny_corpus(tmp_path / "other")
    named = replace(auxiliary_of((tmp_path / "other",)), corpus=tiny_corpus)
    found = prepare_chosen(named, prepared_folder / "results").auxiliary
    assert found is not None and len(found.prepared_dirs) == 1
    twice = replace(auxiliary_of((tmp_path / "other", tmp_path / "other")), corpus=tiny_corpus)
    with pytest.raises(ExperimentFileError, match="again; expected each once"):
        prepare_chosen(twice, prepared_folder / "results")


def test_a_named_corpus_is_searched_at_full_length(prepared_folder: Path, tiny_corpus: Path) -> None:
    named = replace(TRAINING, corpus=tiny_corpus)
    prepared = prepare_chosen(named, prepared_folder / "results")
    assert (prepared.max_epochs, prepared.patience, prepared.shortened) == (30, None, None)
    assert prepared.is_synthetic
    assert prepared.corpus_path == str(tiny_corpus)
    assert FeatureStore.open(prepared.prepared_dir).corpus_hash == prepared.corpus_hash


def test_a_search_with_a_corpus_is_not_cut() -> None:
    prepared = prepared_of("/data/IEMOCAP_full_release")
    assert shorten_search(FIRST_SEARCH, prepared) == (FIRST_SEARCH, prepared)


def test_without_a_corpus_one_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_choice, "QUICK_START_SCALE", 0.01)
    told: list[str] = []
    prepared = prepare_chosen(TRAINING, folder / "results", lambda doing, done, total: told.append(doing))
    assert (prepared.is_synthetic, prepared.corpus_path) == (True, "")
    assert {"writing the synthetic corpus", "preparing features"} == set(told)
    assert (folder / "results" / "synthetic" / f"scale-0.01-seed-0-version-{GENERATOR_VERSION}").is_dir()
    assert prepare_chosen(TRAINING, folder / "results") == prepared


def test_features_of_another_version_are_prepared_again_in_so_many_words(
    folder: Path, tmp_path: Path
) -> None:
    named = replace(TRAINING, corpus=write_tiny_corpus(tmp_path / "corpus").root)
    manifest = prepare_chosen(named, folder / "results").prepared_dir / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format_version": {FORMAT_VERSION}', '"format_version": 2'))
    told: list[str] = []
    for _ in range(2):
        prepare_chosen(named, folder / "results", lambda doing, done, total: told.append(doing))
    assert told == ["preparing features again, because another version of harness wrote them"]


def test_a_search_without_a_corpus_is_cut_to_few_epochs_and_small_batches_and_says_so() -> None:
    settings, prepared = shorten_search(FIRST_SEARCH, prepared_of(""))
    batch_size = Parameter("batch_size", ParameterType.CHOICE, choices=(QUICK_START_BATCH_SIZE,))
    assert settings.space.parameters == (*FIRST_SEARCH.space.parameters, batch_size)
    assert settings.searched == [*FIRST_SEARCH.searched, batch_size.to_json()]
    assert (prepared.max_epochs, prepared.patience) == (QUICK_START_MAX_EPOCHS, 10)
    assert (
        prepared.shortened
        == "No corpus is named, so this is a quick start on a synthetic one, cut short: max_epochs from 30 to 4, "
           "batch_size from 64 to 8; name a corpus in the experiment file or in HARNESS_CORPUS for the full search."
    )


def test_early_stopping_that_the_cut_leaves_nothing_to_prune_is_named() -> None:
    assert FIRST_SEARCH.training is not None
    for min_epochs, says_so in ((QUICK_START_MAX_EPOCHS - 1, False), (QUICK_START_MAX_EPOCHS, True)):
        stopping = EarlyStopping(PruningRule.MEDIAN, min_epochs=min_epochs)
        settings = replace(FIRST_SEARCH, training=replace(FIRST_SEARCH.training, early_stopping=stopping))
        shortened = shorten_search(settings, prepared_of(""))[1].shortened
        assert shortened is not None
        assert shortened.endswith(
            f"So early_stopping prunes no trial: it compares trials after epoch {min_epochs} at the earliest, and "
            "never after the last."
        ) is says_so


def test_the_cut_leaves_the_other_hyperparameters_as_they_are() -> None:
    points = RandomPoints(FIRST_SEARCH.space, FIRST_SEARCH.seed)
    cut = RandomPoints(shorten_search(FIRST_SEARCH, prepared_of(""))[0].space, FIRST_SEARCH.seed)
    for index in range(30):
        assert cut.point(index) == {**points.point(index), "batch_size": QUICK_START_BATCH_SIZE}


def test_a_grid_has_as_many_points_with_the_cut() -> None:
    layers = Parameter("layers", ParameterType.INT, 1, 3)
    grid = replace(FIRST_SEARCH, space=SearchSpace((layers,)))
    assert shorten_search(grid, prepared_of(""))[0].space.num_points == 3


def test_what_was_cut_is_on_record_with_the_search_and_each_trial(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_choice, "QUICK_START_SCALE", 0.01)
    script = RECORDS_ITS_SCORE.format(work=f"assert spec.max_epochs == {QUICK_START_MAX_EPOCHS}\nrecord(0.5)")
    searched = [{"name": "dropout", "range": [0.0, 0.4], "type": "float"}]
    path = write_experiment(folder, script, system="mocap1", parameter_config=searched)
    experiment = search(path).experiment
    batch_size = {"name": "batch_size", "range": [QUICK_START_BATCH_SIZE], "type": "choice"}
    assert json.loads(experiment.search_space) == [*searched, batch_size]
    assert experiment.max_epochs == QUICK_START_MAX_EPOCHS
    assert experiment.shortened is not None and "batch_size from 64 to 8" in experiment.shortened
    assert [trial.status for trial in trials_of(path)] == ["finished"] * 3
    assert {trial.hyperparameters["batch_size"] for trial in trials_of(path)} == {QUICK_START_BATCH_SIZE}
    assert search(path).experiment.eid == experiment.eid


def test_a_shorter_search_that_chooses_its_batches_stays_as_it_is() -> None:
    batch_size = Parameter("batch_size", ParameterType.INT, 16, 64)
    searched = replace(FIRST_SEARCH, space=SearchSpace((*FIRST_SEARCH.space.parameters, batch_size)))
    settings, prepared = shorten_search(searched, prepared_of("", max_epochs=1))
    assert settings == searched
    assert (prepared.max_epochs, prepared.patience) == (1, 10)
    assert (
        prepared.shortened
        == "No corpus is named, so this is a quick start on a synthetic one; name a corpus in the experiment file or "
           "in HARNESS_CORPUS for the full search."
    )


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_the_lowest_learning_rate_of_the_first_search_leaves_the_largest_class(folder: Path) -> None:
    from harness.models.systems import read_hyperparameters
    from harness.training.recipe import Recipe, Watch, open_parts, train_once

    training = FIRST_SEARCH.training
    assert training is not None and FIRST_SEARCH.num_samples is not None
    chosen = prepare_chosen(training, folder / "results")
    settings, prepared = shorten_search(FIRST_SEARCH, chosen)
    points = RandomPoints(settings.space, settings.seed)
    index = min(range(FIRST_SEARCH.num_samples), key=lambda index: points.point(index)["adamlr"])
    recipe = Recipe(
        training.system,
        read_hyperparameters(training.system, points.point(index), training.protocol),
        training.protocol,
        seed=trial_seed(settings.seed, index),
        max_epochs=prepared.max_epochs,
        patience=prepared.patience,
        word_vectors=None,
    )
    store = FeatureStore.open(prepared.prepared_dir)
    result = train_once(recipe, store, open_parts(training.protocol, store), Watch()).result
    emotions = Counter(prediction.emotion for prediction in result.predictions)
    assert result.score > max(emotions.values()) / emotions.total() + 0.1


def test_a_system_that_needs_what_the_corpus_lacks_is_refused(
    prepared_folder: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    import shutil

    corpus = tmp_path / "without mocap"
    shutil.copytree(tiny_corpus, corpus, ignore=shutil.ignore_patterns("MOCAP_*"))
    with pytest.raises(FeatureError) as caught:
        prepare_chosen(replace(TRAINING, corpus=corpus), prepared_folder / "results")
    assert "needs mocap" in str(caught.value)
