"""The final models of every fold are planned together, once every search has finished."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import ModelError, WorkFailedError
from harness.final.best_point import find_best_point
from harness.final.folds import find_folded, plan_folds
from harness.final.test_session import find_opening, score_models
from harness.splits.scenes import SceneFold
from harness.store.records import ExperimentStatus, ScoreKind
from harness.store.store import ResultsStore
from tests.folded import score_fold, write_folds
from tests.invented_features import invent_features
from tests.report.searches import run_search


@pytest.fixture
def results(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def test_only_the_latest_search_decides_whether_there_are_folds(results):
    assert find_folded(results) is None
    folded = write_folds(results)
    assert find_folded(results) == folded
    run_search(results, name="later")
    assert find_folded(results) is None


def test_a_fold_that_was_interrupted_or_never_begun_is_named(results, tmp_path):
    folded = write_folds(results, num_searched=4)
    results.update_experiment(2, ExperimentStatus.INTERRUPTED, "2026-01-02T03:04:05.000+00:00")
    with pytest.raises(WorkFailedError) as caught:
        plan_folds(results, tmp_path, folded, 1, opens_test=True)
    assert str(caught.value) == (
        "experiment 'fusion search': the search of Session 2, Session 5 has not finished; run `aup experiment.json` to "
        "the end, or name a fold that has finished with --experiment"
    )


def test_what_trains_one_search_again_asks_which_fold(results):
    write_folds(results, num_searched=2)
    with pytest.raises(ModelError) as caught:
        find_best_point(results, Path("there"), None)
    assert str(caught.value) == (
        "experiment 'fusion search': has 5 folds, each a search with a best trial of its own; name one with "
        "--experiment: 1 (Session 1), 2 (Session 2)"
    )
    # A fold that is named is a search like any other.
    with pytest.raises(ModelError, match="^trial 1 of experiment 2: its job file is not recorded"):
        find_best_point(results, Path("there"), 2)


def test_models_that_have_not_read_the_scored_scenes_need_no_second_score_of_that(results):
    """Each call with --scenes scored every fold of such a search once more."""
    write_folds(results)
    score_fold(results, 1, 1, model="models/a")
    training = SimpleNamespace(model_dir=Path("results/models/a"), seeds=(1, 2), folds=("a group",))
    (opening,) = results.openings()
    assert find_opening([opening], training, with_scenes=True) == opening
    assert find_opening([opening], SimpleNamespace(**{**vars(training), "folds": ()}), with_scenes=True) is None


def test_a_group_whose_scenes_the_test_set_does_not_play_has_nothing_to_score(monkeypatch):
    """Its model was asked about no utterance, at which a system of the dialogue ended after the test set was opened."""
    test = invent_features(6)
    folds = [SceneFold(frozenset({"impro01"}), (), test.utterance_ids), SceneFold(frozenset({"impro02"}), (), ())]

    class Model:
        def predict(self, features):
            assert len(features), "asked about nothing"
            return np.full((len(features), 4), 0.25)

    monkeypatch.setattr("harness.final.answers.load_seed", lambda *where: Model())
    trial = SimpleNamespace(temperature=None)
    training = SimpleNamespace(
        model_dir=Path("results/models/a"), seeds=(1,), group_numbers=(1, 2), num_epochs=3, trial=trial
    )
    (score,) = score_models(training, ScoreKind.VALIDATION_CHOSEN, folds, test)
    assert [found.utterance_id for found in score.predictions] == list(test.utterance_ids)
