"""Disjoint scenes: one model a group, each utterance scored by the one that never read its scene, to the bit."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from harness.corpus.utterances import Emotion
from harness.errors import ModelError
from harness.features.fitted import fit_features
from harness.features.speech import column_names
from harness.features.store import Features, FeatureStore
from harness.final.modalities import retrain_without
from harness.final.recorded import Recorded
from harness.final.retrain import plan_final_training, train_final_models
from harness.final.saved_model import ModelRecord, load_seed, seed_dir
from harness.final.test_session import open_test_session, score_test_session
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.report.final_scores import print_final_training
from harness.report.model_card import write_model_card
from harness.splits.parts import part_search
from harness.splits.protocol import read_protocol
from harness.splits.scenes import find_group
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from harness.training.objective import make_objective
from harness.training.recipe import Recipe, train_for_epochs
from tests.final.test_predict import predict
from tests.invented_features import SETTINGS, invent_features
from tests.searched import SMALL_FUSION, run_small_search

PROTOCOL = {"base": "paper", "scenes": "disjoint"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of the head's motion, not retrained yet."""
    folder = tmp_path_factory.mktemp("disjoint scenes")
    run_small_search(folder, PROTOCOL, max_epochs=1)
    return folder


@pytest.fixture(scope="module")
def retrained(searched, tmp_path_factory):
    """The same, with final models and a test evaluation."""
    folder = shutil.copytree(searched, tmp_path_factory.mktemp("retrained") / "folder")
    with ResultsStore.open(folder / "results" / "results.db") as results:
        training = plan(results, folder)
        train_final_models(training, results)
        score_test_session(training, results, "harness retrain-best --test")
        write_model_card(training.model_dir, results)
    return folder


def plan(results, folder):
    return plan_final_training(results, folder / "results", None, 1)


def open_plan(folder):
    with ResultsStore.open_readonly(folder / "results" / "results.db") as results:
        return plan(results, folder)


def scene(utterance_id):
    return utterance_id.split("_", 1)[1].rsplit("_", 1)[0].rstrip("ab")


def test_the_trial_validates_on_scenes_that_training_has_not_read_and_says_which(searched):
    with ResultsStore.open_readonly(searched / "results" / "results.db") as results:
        trial = results.trials(1)[0]
        environment = results.environment(trial.trial_id)
        predicted = results.validation_predictions(trial.trial_id)
    assert environment.validated_scenes in environment.scene_groups and len(environment.scene_groups) >= 2
    assert predicted and {scene(found.utterance_id) for found in predicted} <= set(environment.validated_scenes)


def test_the_cost_is_said_beforehand(searched, capsys):
    training = open_plan(searched)
    print_final_training(Console(width=500), training)
    printed = capsys.readouterr().out
    num_groups = len(training.folds)
    assert f"one model for each of {num_groups} groups of scenes, trained without the group." in printed
    assert f"That is {num_groups} trainings of 1 epoch, about " in printed and "at the speed of the trial." in printed
    assert "Its best epoch, 1, is the last that max_epochs allows: with more epochs it might score higher." in printed
    longer = replace(training, experiment=replace(training.experiment, max_epochs=2))
    print_final_training(Console(width=500), longer)
    assert "max_epochs" not in capsys.readouterr().out
    trained = sum(len(fold.train) for fold in training.folds)
    assert training.expected_seconds == pytest.approx(trained * training.seconds_per_utterance)


def test_each_group_has_its_model_and_the_record_and_the_card_have_the_groups(retrained):
    training = open_plan(retrained)
    record = ModelRecord.read(training.model_dir)
    assert record.scene_groups == training.scene_groups and record.group_numbers == training.group_numbers
    assert training.trainings == [] and record.seeds == training.seeds
    card = (training.model_dir / "MODEL_CARD.md").read_text("utf-8")
    assert f"Each seed has {len(record.scene_groups)} models, each trained without one group of scenes." in card
    assert f"The groups: {'; '.join(', '.join(group) for group in record.scene_groups)}." in card


def test_each_test_utterance_is_scored_by_the_model_that_has_not_read_its_scene(retrained):
    training = open_plan(retrained)
    (seed,) = training.seeds
    test = open_test_session(training.open_features(), training.spec.protocol)
    by_group = [load_seed(training.model_dir, seed, group).predict(test) for group in training.group_numbers]
    groups = [fold.scenes for fold in training.folds]
    with ResultsStore.open_readonly(retrained / "results" / "results.db") as results:
        (opening,) = results.openings()
        found = results.test_predictions(opening.opening_id, seed, ScoreKind.VALIDATION_CHOSEN)
        kinds = {score.kind for score in opening.scores if score.kind.is_baseline}
        baselines = [results.test_predictions(opening.opening_id, seed, kind) for kind in kinds]
    assert [prediction.utterance_id for prediction in found] == list(test.utterance_ids)
    for row, prediction in enumerate(found):
        own = by_group[find_group(groups, scene(prediction.utterance_id))][row]
        others = [answers[row] for answers in by_group if answers[row] is not own]
        np.testing.assert_allclose(prediction.probabilities, own, atol=1e-6)
        assert any(np.abs(other - prediction.probabilities).max() > 1e-4 for other in others)
    assert len(kinds) == 5 and all(len(of_one) == len(test) for of_one in baselines)


@pytest.mark.long
def test_what_a_group_does_changes_nothing_in_its_own_model(searched, retrained, tmp_path):
    """Words, frames and motion of the first group's scenes are replaced on disk before training."""
    before = open_plan(retrained)
    group = before.folds[0].scenes
    folder = shutil.copytree(searched, tmp_path / "changed")
    prepared = folder / "results" / "prepared" / "features"
    changed = sum(_replace_inputs(prepared / f"Session{session}", group) for session in range(1, 5))
    assert changed > 10
    with ResultsStore.open(folder / "results" / "results.db") as results:
        training = plan(results, folder)
        assert training.scene_groups == before.scene_groups
        train_final_models(training, results)
    (seed,) = training.seeds
    hashes = [_hash_fitted(seed_dir(where.model_dir, seed, 1)) for where in (before, training)]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 3
    test = open_test_session(before.open_features(), before.spec.protocol)
    for number in before.group_numbers:
        answers = [load_seed(where.model_dir, seed, number).predict(test) for where in (before, training)]
        assert np.array_equal(*answers) is (number == 1)


SCENES = ("impro01", "impro02", "script01_1", "script02_2")


def invent_scenes():
    """Utterances of three sessions and four scenes, and the parts of a search."""
    invented = invent_features(96, with_mocap=True)
    utterances = [
        replace(utterance, utterance_id=f"Ses0{1 + row % 3}F_{SCENES[row // 3 % 4]}_F{row:03d}")
        for row, utterance in enumerate(invented.utterances)
    ]
    classes = {utterance.utterance_id: utterance.emotion for utterance in utterances}
    return utterances, invented._blocks[0], part_search(read_protocol(PROTOCOL), classes)


def hold(utterances, arrays):
    return Features.from_arrays(utterances, SETTINGS, column_names(SETTINGS), arrays)


def change_scenes(utterances, arrays, scenes):
    """Say other words and write other numbers in some scenes."""
    others = [
        replace(utterance, transcript="something entirely unheard-of", emotion=Emotion.ANGER)
        if utterance.scene in scenes
        else utterance
        for utterance in utterances
    ]
    rows = [row for row, utterance in enumerate(utterances) if utterance.scene in scenes]
    changed = {name: array.copy() for name, array in arrays.items()}
    changed["speech"][rows], changed["mocap"][rows] = 17.0, 23.0
    changed["speech_lengths"][rows] = 9
    return others, changed


def test_words_statistics_and_class_weights_are_fitted_without_the_groups_scenes(tmp_path):
    utterances, arrays, parts = invent_scenes()
    for number, fold in enumerate(parts.final_folds(())):
        fitted = []
        for inputs in ((utterances, arrays), change_scenes(utterances, arrays, fold.scenes)):
            train = hold(*inputs).select(fold.train)
            folder = tmp_path / f"{number}-{len(fitted)}"
            fit_features(train, ["speech", "text", "mocap"], parts_protocol(), None, 4, 1).save(folder / "fitted")
            point = read_hyperparameters(SYSTEMS["speech_text"], {}, parts_protocol())
            objective = make_objective(point, parts_protocol().class_weights, train)
            fitted.append((_hash_fitted(folder), objective.class_weights.tolist()))
        assert fitted[0] == fitted[1] and len(fitted[0][0]) == 6
    # The same change in another group's scenes is seen.
    seen = hold(*change_scenes(utterances, arrays, parts.groups[0])).select(parts.final_folds(())[1].train)
    fit_features(seen, ["speech", "text", "mocap"], parts_protocol(), None, 4, 1).save(tmp_path / "seen" / "fitted")
    assert not set(_hash_fitted(tmp_path / "seen").items()) & set(_hash_fitted(tmp_path / "1-0").items())


def parts_protocol():
    return read_protocol(PROTOCOL)


@pytest.mark.long
def test_a_model_of_words_and_speech_predicts_the_same_whatever_its_left_out_scenes_say():
    utterances, arrays, parts = invent_scenes()
    system, fold = SYSTEMS["speech_text"], parts.final_folds(())[0]
    point = read_hyperparameters(system, SMALL_FUSION, parts_protocol())
    recipe = Recipe(system, point, parts_protocol(), 1, 1, None, None)
    answers = [
        train_for_epochs(recipe, hold(*inputs).select(fold.train), 1)[0].predict(hold(utterances, arrays))
        for inputs in ((utterances, arrays), change_scenes(utterances, arrays, fold.scenes))
    ]
    np.testing.assert_array_equal(*answers)


def _replace_inputs(session_dir, group):
    """Write other words and numbers for the utterances of a group of scenes, and return how many those are."""
    path = session_dir / "utterances.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows = [row for row, line in enumerate(_with_arrays(session_dir, lines)) if line["scene"] in group]
    for line in lines:
        if line["scene"] in group:
            line["transcript"] = "something entirely otherwise, unheard-of"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    for name in ("speech", "mocap"):
        array = np.load(session_dir / f"{name}.npy")
        array[rows] = 17.0
        np.save(session_dir / f"{name}.npy", array)
    return len(rows)


def _with_arrays(session_dir, lines):
    """The lines whose utterances have rows in the arrays: all, or those of the four classes."""
    num_rows = len(np.load(session_dir / "speech_lengths.npy"))
    four = [line for line in lines if line["emotion"] in ("ang", "exc", "neu", "sad")]
    return lines if len(lines) == num_rows else four


def _hash_fitted(folder):
    files = sorted((folder / "fitted").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.long
def test_a_test_set_that_chooses_the_epoch_is_put_together_from_the_groups_too(searched, retrained, tmp_path):
    folder = shutil.copytree(searched, tmp_path / "open")
    with ResultsStore.open(folder / "results" / "results.db") as results:
        training = replace(plan(results, folder), test_chooses_epoch=True)
        test = open_test_session(training.open_features(), training.spec.protocol)
        (seed,) = training.seeds
        epochs = train_final_models(training, results, test)[seed]
    with ResultsStore.open_readonly(retrained / "results" / "results.db") as results:
        found = results.test_predictions(1, seed, ScoreKind.VALIDATION_CHOSEN)
    expected = [prediction.probabilities for prediction in found]
    np.testing.assert_allclose(epochs[training.num_epochs], expected, atol=1e-6)


def test_only_the_models_that_are_missing_are_trained_again(retrained, tmp_path):
    folder = shutil.copytree(retrained, tmp_path / "broken off")
    training = open_plan(folder)
    (seed,) = training.seeds
    shutil.rmtree(seed_dir(training.model_dir, seed, 2))
    epochs = []
    with ResultsStore.open(folder / "results" / "results.db") as results:
        training = plan(results, folder)
        assert training.trainings == [(seed, 2)]
        with pytest.raises(ModelError, match=f"lack seed {seed}; expected every seed to be trained"):
            score_test_session(training, results, "harness retrain-best --test")
        train_final_models(training, results, on_epoch=lambda *ended: epochs.append(ended))
    assert epochs == [(seed, 1)] and training.trainings == []
    again, before = (load_seed(where.model_dir, seed, 2) for where in (training, open_plan(retrained)))
    for one, other in zip(again.model.get_weights(), before.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_new_recording_is_answered_by_all_models_and_one_of_a_scene_by_that_which_has_not_read_it(
    retrained, monkeypatch
):
    training = open_plan(retrained)
    test = open_test_session(training.open_features(), training.spec.protocol).select
    some = FeatureStore.open(training.spec.prepared_dir).utterances([5])[0].utterance_id
    monkeypatch.setattr("harness.final.predict.read_recorded", lambda record, turns: (test([some]), ((),)))
    recorded = Recorded(mocap_path=training.model_dir)
    (seed,) = training.seeds
    answers = [load_seed(training.model_dir, seed, group).predict(test([some]))[0] for group in training.group_numbers]
    mean = list(predict(training.model_dir, recorded).probabilities.values())
    np.testing.assert_allclose(mean, np.mean(answers, axis=0), rtol=1e-6)
    for fold, answer in zip(training.folds, answers, strict=True):
        told = predict(training.model_dir, recorded, scene=f"{min(fold.scenes)}")
        np.testing.assert_allclose(list(told.probabilities.values()), answer, rtol=1e-6)
    with pytest.raises(ModelError, match="^scene 'kitchen': is not in the corpus; expected one like 'impro03' or"):
        predict(training.model_dir, recorded, scene="kitchen")


def test_a_scene_is_refused_where_every_network_has_read_it(retrained, tmp_path):
    record = ModelRecord.read(open_plan(retrained).model_dir)
    (tmp_path / "model").mkdir()
    replace(record, scene_groups=()).write(tmp_path / "model")
    recorded = Recorded(mocap_path=tmp_path / "face.txt")
    with pytest.raises(ModelError, match="was trained with scenes shared, so its networks have read every scene;"):
        predict(tmp_path / "model", recorded, scene="impro01")


def test_other_models_are_not_made_of_models_without_scenes(searched):
    with ResultsStore.open(searched / "results" / "results.db") as results:
        with pytest.raises(ModelError) as raised:
            retrain_without(plan(results, searched), results, ["mocap"], None)
    assert str(raised.value).endswith(
        'has a model for each group of scenes, and only single models can be changed; expected a search with "scenes": '
        '"shared"'
    )
