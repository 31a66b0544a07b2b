"""The trainings behind `harness leaks`: the same is scored, leaks that are planted show, the test session is sealed."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.features.store import Features
from harness.final.best_point import BestPoint, find_best_point
from harness.final.leaks import LeaksPlan, plan_experiments, record_leaks_opening
from harness.models.systems import SYSTEMS, read_hyperparameters
from harness.report.findings import read_leaks
from harness.search.repair import look_through
from harness.splits.parts import LeakSplit
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ExperimentKind, ScoreKind
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec
from harness.training.recipe import Watch
from harness.training.runner import Execution, carry_out
from tests.invented_features import SETTINGS, invent_features
from tests.searched import run_small_search
from tests.store.experiments import an_experiment
from tests.tables.work import Recorder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a search's folder")
    run_small_search(folder)
    return folder / "results"


def carry_out_leaks(results, results_dir, num_seeds, opens_test=False):
    best = find_best_point(results, results_dir, None)
    plan = LeaksPlan(best, best.open_features(), num_seeds, opens_test)
    opening_id = record_leaks_opening(plan, results, "harness leaks --test") if opens_test else None
    view = Recorder()
    return carry_out(Execution(results, view, 1, opening_id), plan_experiments(plan)), view, plan, opening_id


def test_without_the_test_session_every_split_scores_the_same_utterances_on_validation(results_dir):
    with ResultsStore.open(results_dir / "results.db") as results:
        num_failed, view, plan, _ = carry_out_leaks(results, results_dir, 2)
        assert num_failed == 0 and view.begun == [(8, 0)]
        experiments = [each for each in results.experiments() if each.kind is ExperimentKind.LEAKS]
        settings = [json.loads(each.settings) for each in experiments]
        assert [each["split"] for each in settings if not each["opens_test"]] == [split.value for split in LeakSplit]
        assert settings[0]["draws"]["1"]["num_scored"] == len(plan.draws[1].scored)
        for experiment in experiments[:4]:
            for trial in results.trials(experiment.eid):
                predictions = results.validation_predictions(trial.trial_id)
                assert tuple(each.utterance_id for each in predictions) == plan.draws[trial.seed].scored
                assert results.trial_test_scores(trial.trial_id) == {}
        trained_on = {name for parts in plan.draws.values() for ids in parts.train.values() for name in ids}
        assert trained_on and not any(name.startswith("Ses05") for name in trained_on)
        assert results.openings() == []
        _, again, *_ = carry_out_leaks(results, results_dir, 2)
        assert again.begun == [(8, 8)]
        leaks = read_leaks(results, results.latest_experiment())
        assert leaks.seeds == (1, 2) and [score.split for score in leaks.scores] == list(LeakSplit)
        assert leaks.num_scored == sum(len(parts.scored) for parts in plan.draws.values())
        sizes = [parts.num_train for parts in plan.draws.values()]
        assert leaks.num_train == (min(sizes), max(sizes))
        assert read_leaks(results, results.latest_experiment(), opens_test=True) is None
    with ResultsStore.open_readonly(results_dir / "results.db") as results:
        assert look_through(results) == ({}, [])


def test_with_the_test_session_its_turns_are_scored_once_and_under_an_opening(results_dir):
    with ResultsStore.open(results_dir / "results.db") as results:
        num_failed, _, plan, opening_id = carry_out_leaks(results, results_dir, 1, opens_test=True)
        assert num_failed == 0
        results.complete_opening(opening_id)
        experiments = [each for each in results.experiments() if json.loads(each.settings).get("opens_test")]
        assert len(experiments) == 4
        for experiment in experiments:
            (trial,) = results.trials(experiment.eid)
            (kind, scores), *others = results.trial_test_scores(trial.trial_id).items()
            assert kind is ScoreKind.VALIDATION_CHOSEN and others == []
            assert tuple(each.utterance_id for each in scores.predictions) == plan.draws[1].scored
            assert all("Ses05" in each.utterance_id for each in scores.predictions)
            chosen_on = {each.utterance_id for each in results.validation_predictions(trial.trial_id)}
            assert chosen_on and not chosen_on & set(plan.draws[1].scored)
        leaks = read_leaks(results, results.latest_experiment(), opens_test=True)
        assert leaks.opens_test and leaks.num_scored == len(plan.draws[1].scored)
    with ResultsStore.open_readonly(results_dir / "results.db") as results:
        assert look_through(results) == ({}, [])


SCENES = ("impro01", "impro02", "script01_1", "script01_2")


def invent_corpus(told_by):
    """Four sessions; each speaker, or each scene, has columns of its own that tell the class."""
    names = [
        f"Ses0{session}F_{scene}_{turn}{number:03d}"
        for session in range(1, 5)
        for scene in SCENES
        for turn in "FM"
        for number in range(15)
    ]
    invented = invent_features(len(names), cue=0.0)
    speech = invented._blocks[0]["speech"].copy()
    for row, (name, emotion) in enumerate(zip(names, invented.emotions, strict=True)):
        turn = parse_utterance_id(name)
        scene = SCENES.index(turn.scene)
        key = 2 * turn.session + "FM".index(turn.speaker[-1]) - 2 if told_by == "speaker" else scene
        speech[row, :, :] = 0.1 * speech[row]
        speech[row, :, 4 * key + emotion] = 3.0
    utterances = tuple(
        replace(utterance, utterance_id=name) for name, utterance in zip(names, invented.utterances, strict=True)
    )
    arrays = {"speech": speech, "speech_lengths": np.full(len(names), 4)}
    return Features.from_arrays(utterances, SETTINGS, invented.speech_columns, arrays)


class InventedStore:
    """Features in memory, opened as those on disk are."""

    modalities = ("speech",)

    def __init__(self, features):
        self.features = features

    def utterances(self, sessions):
        return tuple(each for each in self.features.utterances if each.name.session in sessions)

    def load(self, utterance_ids):
        places = {name: row for row, name in enumerate(self.features.utterance_ids)}
        rows = [places[name] for name in utterance_ids]
        arrays = {name: array[rows] for name, array in self.features._blocks[0].items()}
        utterances = [self.features.utterances[row] for row in rows]
        return Features.from_arrays(utterances, SETTINGS, self.features.speech_columns, arrays)


def score_splits(told_by):
    """Return the accuracy under each split, of what is scored in two draws."""
    system, protocol = SYSTEMS["speech1"], PROTOCOLS["paper"]
    values = {"optimizer": "adam", "learning_rate": 0.001, "dense1": 64, "dense2": 32, "dense": 32}
    choices = read_hyperparameters(system, values, protocol)
    spec = TrialSpec(1, 1, 0, 1, "speech1", protocol, Path("unused"), Path("unused"), 12, None, 1)
    experiment = SimpleNamespace(**vars(an_experiment()), eid=1)
    trial = SimpleNamespace(trial_index=0, hyperparameters=values)
    best = BestPoint(experiment, trial, spec, system, choices, 1)
    plan = LeaksPlan(best, InventedStore(invent_corpus(told_by)), num_seeds=2, opens_test=False)
    right = {split: [] for split in LeakSplit}
    for split, repeated in zip(LeakSplit, plan_experiments(plan), strict=True):
        for seed in repeated.seeds:
            predictions = repeated.train(seed, Watch()).result.predictions
            right[split] += [each.emotion == each.predicted for each in predictions]
    assert {len(found) for found in right.values()} == {len(right[LeakSplit.RANDOM])}
    return {split: float(np.mean(found)) for split, found in right.items()}


def test_what_only_the_speakers_own_turns_tell_shows_under_the_random_split_alone():
    accuracy = score_splits("speaker")
    assert accuracy[LeakSplit.RANDOM] > 0.8, accuracy
    assert max(accuracy[split] for split in list(LeakSplit)[1:]) < 0.6, accuracy


def test_what_only_the_scene_tells_shows_until_scenes_are_kept_apart():
    accuracy = score_splits("scene")
    assert min(accuracy[split] for split in list(LeakSplit)[:3]) > 0.8, accuracy
    assert accuracy[LeakSplit.SCENE] < 0.6, accuracy
