"""The best trial is found with what its training depended on, or refused in one sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ModelError, WorkFailedError
from harness.final.best_point import find_best_point
from harness.models.own import OwnSystem, hash_source
from harness.search.experiment import experiment_folder
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ExperimentKind, TrialResult, TrialStatus
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec, trial_spec_path
from tests.report.searches import begin_search, fail_trial, validation_predictions
from tests.searched import POINTS, SEEDS, SYSTEM, run_small_search
from tests.store.experiments import an_experiment


@pytest.fixture
def results(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def test_a_folder_without_a_search_is_refused(results):
    with pytest.raises(ModelError, match=r"^results 'there': hold no experiment; run `aup experiment.json` first$"):
        find_best_point(results, Path("there"), None)


def test_a_search_without_a_finished_trial_is_refused(results):
    fail_trial(results, begin_search(results), 0)
    with pytest.raises(WorkFailedError, match=r"^experiment 1 \('fusion search'\): no trial has finished, so "):
        find_best_point(results, Path("there"), None)


def test_a_trial_of_a_script_of_its_own_is_refused(results):
    eid = begin_search(results)
    trial_id = results.start_trial(eid, 4, 0, {}, 4)
    results.record_result(trial_id, TrialResult(0.5, 1, 1, validation_predictions(10), None, 1.0))
    results.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    with pytest.raises(ModelError, match=r"^trial 4 of experiment 1: its job file is not recorded, so its "):
        find_best_point(results, Path("there"), None)


def test_a_trial_that_recorded_no_epoch_is_refused(results):
    eid = begin_search(results)
    trial_id = results.start_trial(eid, 4, 0, {}, 4)
    results.record_job(trial_id, 1, "host", job_path="jobs/4.json")
    results.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    with pytest.raises(ModelError, match=r"^trial 4 of experiment 1: recorded no epoch, so it cannot be trained "):
        find_best_point(results, Path("there"), None)


@pytest.mark.parametrize(
    ("recorded", "sentence"),
    [
        ({"system_source": "c0ffee" * 10}, "and the search has the SHA-256 c0ffeec0ffee... on record"),
        ({}, "and the search has no SHA-256 of it on record"),
    ],
)
def test_a_trial_of_another_file_than_was_searched_is_refused(results, tmp_path, recorded, sentence):
    own = OwnSystem("mine.py", "build", hash_source("pass\n"), ("speech",), (), "pass\n")
    eid = begin_search(results)
    trial_id = results.start_trial(eid, 4, 0, {}, 4)
    job_path, prepared = tmp_path / "4.json", tmp_path / "prepared"
    results.record_job(trial_id, 1, "host", job_path=str(job_path))
    spec = TrialSpec(
        *(trial_id, eid, 4, 0, own.name, PROTOCOLS["paper"], prepared, tmp_path / "results.db", 1, None, 1),
        own_system=own.to_plain(),
    )
    spec.write(trial_spec_path(job_path))
    results.record_result(trial_id, TrialResult(0.5, 1, 1, validation_predictions(10), None, 1.0))
    results.finish_trial(trial_id, TrialStatus.FINISHED, score=0.5)
    identity = experiment_folder(tmp_path, eid).identity_path
    identity.parent.mkdir(parents=True)
    identity.write_text(json.dumps({"system_source": own.sha256}))
    assert find_best_point(results, tmp_path, None).system.own == own
    identity.write_text(json.dumps(recorded))
    with pytest.raises(ModelError) as raised:
        find_best_point(results, tmp_path, None)
    said = str(raised.value)
    assert said.startswith("trial 4 of experiment 1: its mine.py has the SHA-256 ") and sentence in said


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (ExperimentKind.TABLES, "tables"),
        (ExperimentKind.LEAKS, "leaks"),
        (ExperimentKind.REPLICATION, "replicate"),
    ],
)
def test_an_experiment_that_is_no_search_is_refused_as_such(results, kind, command):
    eid = results.create_experiment(an_experiment(kind=kind, name="not sought"))
    with pytest.raises(ModelError) as raised:
        find_best_point(results, Path("there"), eid)
    assert str(raised.value) == (
        f"experiment 1 ('not sought'): holds trainings of `harness {command}`; expected a search, whose best trial can "
        "be trained again; name one with --experiment, or omit it for the latest search"
    )


def test_the_best_trial_is_found_and_its_features_are_those_that_it_was_trained_on(tmp_path):
    eid = run_small_search(tmp_path)
    with ResultsStore.open(tmp_path / "results" / "results.db") as results:
        best = find_best_point(results, tmp_path / "results", None)
        scores = [trial.score for trial in results.trials(eid)]
    index = scores.index(max(scores))
    assert (best.trial.trial_index, best.spec.seed, best.system.name) == (index, SEEDS[index], SYSTEM)
    assert best.hyperparameters.learning_rate == POINTS[index]["learning_rate"]
    assert best.title == f"trial {index} of experiment {eid}"
    store = best.open_features()
    assert store.corpus_hash == best.experiment.corpus_hash
    of_another_corpus = replace(best, experiment=replace(best.experiment, corpus_hash="c0ffee"))
    with pytest.raises(ModelError) as raised:
        of_another_corpus.open_features()
    assert str(raised.value).startswith("experiment 1: was searched on corpus c0ffee, but the features at '")
