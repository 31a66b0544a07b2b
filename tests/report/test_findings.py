from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.report.findings import find_baseline
from harness.store.records import ExperimentKind, TrialStatus
from harness.store.store import ResultsStore
from tests.report.searches import (
    begin_search,
    begin_trial,
    fail_trial,
    findings_of,
    run_search,
    run_trial,
    score_test,
)


def test_finished_trials_come_best_first_and_of_equals_the_first(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    for trial_index, score in ((2, 0.7), (1, 0.7), (0, 0.6)):
        run_trial(store, eid, trial_index, 3, score)
    findings = findings_of(results_path)
    assert [trial.trial_index for trial in findings.finished] == [1, 2, 0]
    assert findings.best is not None and findings.best.trial_index == 1


def test_trial_that_was_run_again_counts_once_and_its_failure_is_kept(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    fail_trial(store, eid, 0, TrialStatus.KILLED, "its controller died")
    run_trial(store, eid, 0, 3, 0.6)
    findings = findings_of(results_path)
    assert [(trial.attempt, trial.status) for trial in findings.trials] == [(2, TrialStatus.FINISHED)]
    assert [trial.message for trial in findings.failures] == ["its controller died"]


def test_search_without_a_finished_trial_has_epochs_and_no_best(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store)
    trial_id = begin_trial(store, eid, 0, 3, num_epochs=2)
    findings = findings_of(results_path)
    assert (findings.best, findings.finished, findings.predictions, findings.baseline) == (None, [], (), None)
    assert findings.is_running and list(findings.epochs) == [trial_id]
    assert findings.environment is not None


def test_baseline_is_the_largest_class_of_the_validation_utterances(searched: Path) -> None:
    baseline = findings_of(searched).baseline
    assert baseline is not None
    assert (baseline.emotion, baseline.num_utterances, baseline.share) == ("neu", 10, 0.5)
    assert find_baseline([]) is None


def test_search_space_is_read_with_its_scales_and_choices(searched: Path) -> None:
    adamlr, textlstm, attention = findings_of(searched).search_space
    assert (adamlr.name, adamlr.low, adamlr.high, adamlr.is_log) == ("adamlr", 0.0001, 0.001, True)
    assert (textlstm.low, textlstm.high, textlstm.is_log, textlstm.choices) == (150, 300, False, ())
    assert attention.choices == ("decoder", "pooling")


def test_other_experiments_are_left_out_and_their_openings_are_not(
    store: ResultsStore, results_path: Path
) -> None:
    first = run_search(store)
    second = run_search(store, num_trials=2)
    score_test(store, first)
    findings = findings_of(results_path)
    assert findings.experiment.eid == second and len(findings.trials) == 3
    assert [opening.eid for opening in findings.openings] == [first]
    assert findings_of(results_path, first).experiment.eid == first


def test_scores_of_a_foreign_script_are_not_taken_for_accuracies(
    store: ResultsStore, results_path: Path
) -> None:
    eid = begin_search(store, target="min", system="")
    run_trial(store, eid, 0, 3, 0.5)
    assert not findings_of(results_path).scores_are_accuracies
    other = begin_search(store, system="")
    # Of no trial nothing is known yet, least of all that it is an accuracy.
    assert not findings_of(results_path, other).scores_are_accuracies
    trial_id = begin_trial(store, other, 0, 3)
    store.finish_trial(trial_id, TrialStatus.FINISHED, score=17.0)
    assert not findings_of(results_path, other).scores_are_accuracies


def test_database_without_an_experiment_gives_one_sentence(store: ResultsStore, results_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        findings_of(results_path)
    assert str(caught.value) == f"results database '{results_path}': holds no search yet; run aup first"


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (ExperimentKind.TABLES, "harness tables"),
        (ExperimentKind.LEAKS, "harness leaks"),
        (ExperimentKind.REPLICATION, "harness replicate"),
    ],
)
def test_what_is_no_search_is_refused_with_the_command_that_reports_it(
    store: ResultsStore, results_path: Path, kind: ExperimentKind, command: str
) -> None:
    begin_search(store, kind=kind, name="another")
    with pytest.raises(StoreError) as caught:
        findings_of(results_path, 1)
    assert str(caught.value) == (
        f"experiment 1, 'another': trainings of `{command}`, each with its own split or seed; expected a search; "
        f"`{command}` reports them"
    )
