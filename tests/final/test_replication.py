"""New seeds of the best point: trained as the search trained it, kept, gone on with, and the test session sealed."""

import pytest

from harness.final.best_point import REPLICATION_SEEDS, BestPoint, find_best_point, plan_replication
from harness.report.findings import read_replication
from harness.search.repair import look_through
from harness.store.records import ExperimentKind, ExperimentStatus, TrialStatus
from harness.store.store import ResultsStore
from harness.training.recipe import Watch
from harness.training.runner import Execution, carry_out
from tests.searched import SEEDS, run_small_search
from tests.tables.work import Recorder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def results_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a search's folder")
    run_small_search(folder)
    return folder / "results"


@pytest.fixture
def results(results_dir, tmp_path):
    with ResultsStore.open(results_dir / "results.db") as opened:
        yield opened


def replicate(results, results_dir, num_seeds, stop_at=None):
    best = find_best_point(results, results_dir, None)
    view = Recorder(stop_at)
    plan = plan_replication(best, best.open_features(), num_seeds)
    return best, carry_out(Execution(results, view, 1), [plan]), view


def test_broken_off_it_goes_on_and_more_seeds_are_added(results, results_dir):
    best = find_best_point(results, results_dir, None)
    title = f"new seeds of trial {best.trial.trial_index} of experiment 1"
    seeds = best.new_seeds(3, REPLICATION_SEEDS)
    with pytest.raises(KeyboardInterrupt):
        replicate(results, results_dir, 2, stop_at=(title, seeds[1]))
    (experiment,) = [each for each in results.experiments() if each.kind is ExperimentKind.REPLICATION]
    assert experiment.status is ExperimentStatus.INTERRUPTED
    _, num_failed, view = replicate(results, results_dir, 3)
    assert num_failed == 0 and view.begun == [(3, 1)]
    experiment = results.experiment(experiment.eid)
    assert (experiment.status, experiment.num_samples) == (ExperimentStatus.FINISHED, 3)
    assert experiment.seed == best.experiment.seed
    trials = results.trials(experiment.eid)
    assert [(trial.trial_index, trial.seed, trial.status) for trial in trials] == [
        (0, seeds[0], TrialStatus.FINISHED),
        (1, seeds[1], TrialStatus.STOPPED),
        (1, seeds[1], TrialStatus.FINISHED),
        (2, seeds[2], TrialStatus.FINISHED),
    ]
    assert trials[0].hyperparameters == best.trial.hyperparameters
    assert results.openings() == []
    assert results.latest_experiment().eid == best.experiment.eid
    scored = {each.utterance_id for each in results.validation_predictions(best.trial.trial_id)}
    assert {each.utterance_id for each in results.validation_predictions(trials[0].trial_id)} == scored

    found = read_replication(results, best.experiment)
    assert (found.best.trial_id, found.num_trials, len(found.trials)) == (best.trial.trial_id, 2, 3)
    with ResultsStore.open_readonly(results_dir / "results.db") as reader:
        assert look_through(reader) == ({}, [])


def test_the_trials_own_seed_gives_the_trials_own_predictions(results, results_dir, monkeypatch):
    """So what differs with other seeds is the seed's doing, and not another way of training."""
    best = find_best_point(results, results_dir, None)
    monkeypatch.setattr(BestPoint, "new_seeds", lambda *arguments: (best.trial.seed,))
    plan = plan_replication(best, best.open_features(), 1)
    outcome = plan.train(0, Watch())
    assert (outcome.result.score, outcome.result.best_epoch) == (best.trial.score, best.trial.best_epoch)
    assert list(outcome.result.predictions) == results.validation_predictions(best.trial.trial_id)
    assert outcome.scores == ()


def test_the_seeds_are_new_and_those_of_fewer_are_the_first_of_more(results, results_dir):
    best = find_best_point(results, results_dir, None)
    store = best.open_features()
    more, fewer = (plan_replication(best, store, count).seeds for count in (20, 5))
    assert list(fewer.items()) == list(more.items())[:5] and len(set(more.values())) == 20
    assert not set(more.values()) & {*best.new_seeds(20), *SEEDS}
