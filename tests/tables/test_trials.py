"""The trainings of the tables: each a trial that is never trained twice, failures recorded, broken off and gone on."""

import pytest

from harness.store.records import ExperimentKind, ExperimentStatus, ScoreKind, TrialStatus
from tests.tables.work import carry_out_rows, read_rows

pytestmark = pytest.mark.long


def test_each_row_and_seed_is_a_finished_trial_of_an_experiment_that_is_no_search(settings, facts, store, results):
    num_failed, view = carry_out_rows(settings(), facts, store, results)
    assert num_failed == 0 and view.begun == [(8, 0)]
    experiments = results.experiments()
    assert [found.name for found in experiments] == [
        "tables: majority, Session 5",
        "tables: majority, improvised only, Session 5",
        "tables: text_logistic, Session 5",
        "tables: head2, Session 5",
    ]
    assert {(found.kind, found.status) for found in experiments} == {
        (ExperimentKind.TABLES, ExperimentStatus.FINISHED)
    }
    assert results.latest_experiment() is None
    trials = results.trials(experiments[-1].eid)
    assert [(trial.seed, trial.status, trial.num_epochs) for trial in trials] == [
        (1, TrialStatus.FINISHED, 2),
        (2, TrialStatus.FINISHED, 2),
    ]
    environment = results.environment(trials[0].trial_id)
    assert environment.corpus_hash == facts.corpus_hash and environment.threads == 1
    assert set(results.trial_test_scores(trials[0].trial_id)) == {ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM}
    assert len(results.validation_predictions(trials[0].trial_id)) > 0


def test_the_opening_is_on_record_before_the_first_training(settings, facts, store, results):
    with pytest.raises(KeyboardInterrupt):
        carry_out_rows(settings(), facts, store, results, stop_at=("majority, Session 5", 1))
    (opening,) = results.openings()
    assert (opening.seeds, opening.protocol, opening.corpus_hash) == ((1, 2), "paper", facts.corpus_hash)
    assert opening.completed_at is None and opening.is_synthetic is True


def test_what_is_finished_is_not_trained_again_and_more_seeds_can_be_added(settings, facts, store, results):
    of_two = settings(names=("majority",))
    carry_out_rows(of_two, facts, store, results)
    _, again = carry_out_rows(of_two, facts, store, results)
    assert again.begun == [(4, 4)] and again.sentences == []
    _, more = carry_out_rows(settings(names=("majority",), seeds=(1, 2, 3)), facts, store, results)
    assert more.begun == [(6, 4)] and {seed for _, seed, _ in more.sentences} == {3}
    assert len(results.experiments()) == 2


def test_broken_off_it_goes_on_with_the_training_that_was_at_work(settings, facts, store, results):
    of_head = settings(names=("head2",))
    with pytest.raises(KeyboardInterrupt):
        carry_out_rows(of_head, facts, store, results, stop_at=("on train + validation", 1))
    (experiment,) = results.experiments()
    assert experiment.status is ExperimentStatus.INTERRUPTED
    (trial,) = results.trials(experiment.eid)
    assert (trial.status, trial.message) == (TrialStatus.STOPPED, "broken off")
    num_failed, view = carry_out_rows(of_head, facts, store, results)
    assert num_failed == 0 and view.begun == [(2, 0)]
    assert [(trial.seed, trial.attempt, trial.status.value) for trial in results.trials(experiment.eid)] == [
        (1, 1, "stopped"),
        (1, 2, "finished"),
        (2, 1, "finished"),
    ]
    assert results.experiment(experiment.eid).status is ExperimentStatus.FINISHED


def test_a_training_whose_process_was_killed_is_trained_again(settings, facts, store, results):
    of_one = settings(names=("majority",), seeds=(1,))
    carry_out_rows(of_one, facts, store, results)
    experiment = results.experiments()[0]
    results.start_trial(experiment.eid, 2, 2, {})
    carry_out_rows(settings(names=("majority",)), facts, store, results)
    attempts = [(trial.seed, trial.status.value, trial.message) for trial in results.trials(experiment.eid)]
    assert attempts == [
        (1, "finished", None),
        (2, "killed", "its process ended before the training did"),
        (2, "finished", None),
    ]


def test_a_training_that_fails_is_recorded_and_the_others_go_on(settings, facts, store, results, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("so what\n")
    failing = settings(names=("text1", "majority"), seeds=(1,), word_vectors=vectors)
    num_failed, view = carry_out_rows(failing, facts, store, results)
    assert num_failed == 1 and len(view.sentences) == 3
    by_name = {found.system: found for found in results.experiments()}
    assert by_name["text1"].status is ExperimentStatus.FAILED
    (trial,) = results.trials(by_name["text1"].eid)
    assert trial.status is TrialStatus.CRASHED and "vectors.txt" in trial.message
    rows = read_rows(failing, facts, store, results)
    assert rows[3, "text1"].failures == (f"text1, Session 5, seed 1: crashed: {trial.message}",)
    assert rows[3, "text1"].chosen is None
    assert rows[3, "majority"].chosen is not None
    vectors.write_text("so 1 2\n")
    # The file has another size: another experiment, whose one training is not there yet.
    assert read_rows(failing, facts, store, results)[3, "text1"].failures == ()
