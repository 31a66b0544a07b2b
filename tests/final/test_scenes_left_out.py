"""`retrain-best --test --scenes`: the same hyperparameters without the scored scenes, in the same test evaluation."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from harness.errors import ModelError
from harness.final.retrain import plan_disjoint_training, plan_final_training, train_final_models
from harness.final.saved_model import ModelRecord, load_seed
from harness.final.test_session import find_opening, open_test_session, score_test_session
from harness.report.final_scores import print_cost_of_scenes
from harness.report.model_card import write_model_card
from harness.scoring.assessment import read_scored_opening
from harness.splits.scenes import find_group
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.searched import run_small_search

CHOSEN, LEFT_OUT = ScoreKind.VALIDATION_CHOSEN, ScoreKind.SCENES_LEFT_OUT


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search with scenes shared, whose final models are trained and scored with the scored scenes left out too."""
    folder = tmp_path_factory.mktemp("shared scenes")
    run_small_search(folder, max_epochs=1)
    return folder


@pytest.fixture(scope="module")
def results(searched):
    with ResultsStore.open(searched / "results" / "results.db") as opened:
        yield opened


@pytest.fixture(scope="module")
def planned(searched, results):
    training = plan_final_training(results, searched / "results", None, 1)
    return training, plan_disjoint_training(training)


@pytest.fixture(scope="module")
def scored(results, planned):
    training, disjoint = planned
    train_final_models(training, results)
    with pytest.raises(ModelError, match="lack seed"):
        score_test_session(training, results, "harness retrain-best --test --scenes", disjoint=disjoint)
    assert results.openings() == []
    train_final_models(disjoint, results)
    score_test_session(training, results, "harness retrain-best --test --scenes", disjoint=disjoint)
    (opening,) = results.openings()
    return opening


def test_an_evaluation_that_ends_before_its_probes_has_no_score_and_is_not_complete(searched, tmp_path):
    """It counted as complete, and never got its probes."""
    folder = shutil.copytree(searched, tmp_path / "ended")

    def end(doing):
        if doing.startswith("fitting the probe"):
            raise KeyboardInterrupt

    with ResultsStore.open(folder / "results" / "results.db") as results:
        training = plan_final_training(results, folder / "results", None, 1)
        train_final_models(training, results)
        with pytest.raises(KeyboardInterrupt):
            score_test_session(training, results, "harness retrain-best --test", show=end)
        (opening,) = results.openings()
        assert (opening.scores, opening.completed_at) == ((), None)
        assert find_opening([opening], training) is None


def test_the_same_point_epochs_and_seeds_are_trained_in_a_folder_of_their_own(planned):
    training, disjoint = planned
    assert disjoint.spec.protocol.name == "paper+scenes=disjoint" and len(disjoint.folds) > 1
    assert disjoint.spec.protocol.protocol_hash != training.spec.protocol.protocol_hash
    kept = ("seeds", "num_epochs", "hyperparameters", "trial", "system")
    assert all(getattr(training, name) == getattr(disjoint, name) for name in kept)
    assert training.model_dir != disjoint.model_dir and training.model_dir.parent == disjoint.model_dir.parent


def test_its_cost_is_said_from_the_time_of_the_searched_trial(planned, capsys):
    training, disjoint = planned
    num_train = len(disjoint.open_features().searchable_classes(training.spec.protocol))
    assert 0 < disjoint.seconds_per_utterance < training.trial.duration_seconds
    assert disjoint.seconds_per_utterance > training.trial.duration_seconds / num_train
    print_cost_of_scenes(Console(width=500), replace(disjoint, seeds=(1, 2)))
    printed = capsys.readouterr().out
    num_groups = len(disjoint.folds)
    assert f"one model for each of {num_groups} groups of scenes, trained without the group." in printed
    assert f"That is {2 * num_groups} trainings of 1 epoch, about " in printed


def test_both_scores_stand_in_one_evaluation_under_kinds_of_their_own(planned, scored):
    training, disjoint = planned
    models = {score.kind: score.model for score in scored.scores if score.kind.is_of_model}
    assert models == {kind: f"models/{of.model_dir.name}" for kind, of in ((CHOSEN, training), (LEFT_OUT, disjoint))}
    assert scored.protocol == "paper" and scored.completed_at is not None


def test_each_utterance_is_scored_by_the_model_that_has_not_read_its_scene(results, planned, scored):
    _, disjoint = planned
    (seed,) = disjoint.seeds
    test = open_test_session(disjoint.open_features(), disjoint.spec.protocol)
    by_group = [load_seed(disjoint.model_dir, seed, group).predict(test) for group in disjoint.group_numbers]
    groups = [fold.scenes for fold in disjoint.folds]
    found = results.test_predictions(scored.opening_id, seed, LEFT_OUT)
    assert [prediction.utterance_id for prediction in found] == list(test.utterance_ids)
    for row, (prediction, utterance) in enumerate(zip(found, test.utterances, strict=True)):
        own = by_group[find_group(groups, utterance.scene)][row]
        np.testing.assert_allclose(prediction.probabilities, own, atol=1e-6)


def test_the_models_own_pair_is_assessed_below_the_probes(results, planned, scored):
    training, disjoint = planned
    found = read_scored_opening(results, training.experiment.eid)
    assert found.assessment.kind is CHOSEN and not found.assessment.has_disjoint_scenes
    assert [pair.reader for pair in found.assessment.scenes] == ["words", "speech", "the model"]
    # The models of the groups have a card of their own, whose scores are theirs alone.
    of_groups = write_model_card(disjoint.model_dir, results)
    assert of_groups.assessment.kind is LEFT_OUT
    assert [pair.reader for pair in of_groups.assessment.scenes] == ["words", "speech"]
    assert ModelRecord.read(disjoint.model_dir).scene_groups == disjoint.scene_groups
    text = (disjoint.model_dir / "MODEL_CARD.md").read_text("utf-8")
    assert f"{LEFT_OUT} | 1 |" in text and f"| {CHOSEN} |" not in text


def test_an_evaluation_that_has_it_is_found_and_one_that_has_not_is_not(results, planned, scored):
    training, _ = planned
    assert find_opening(results.openings(), training, with_scenes=True) == results.openings()[-1]
    without = replace(scored, scores=tuple(score for score in scored.scores if score.kind is not LEFT_OUT))
    assert find_opening([without], training) == without
    assert find_opening([without], training, with_scenes=True) is None
    assert find_opening([scored], replace(training, seeds=(*training.seeds, 7)), with_scenes=True) is None


def test_models_that_are_saved_are_not_trained_again(searched, results, scored):
    training = plan_final_training(results, searched / "results", None, 1)
    assert plan_disjoint_training(training).trainings == []
