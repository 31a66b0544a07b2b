"""Several seeds a trial: the score is the mean of theirs, and each is the score of a trial of that seed alone."""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Pruned
from harness.report.findings import read_findings
from harness.report.statements import describe_search
from harness.report.tables import tabulate_all_trials, tabulate_best_trials
from harness.splits.protocol import PROTOCOLS
from harness.store.integrity import FindingKind, find_contradictions
from harness.store.pruning import EarlyStopping, PruningRule, Rival, find_pruning
from harness.store.records import EpochRecord, ExperimentStatus, TrialRow, TrialStatus, utc_now
from harness.store.store import ResultsStore
from harness.store.trial_spec import TrialSpec
from harness.training.recipe import Outcome, Recipe, Watch
from harness.training.trial import further_seeds, record_trial
from tests.searched import POINTS, SYSTEM, prepare_small
from tests.store.experiments import a_result, an_epoch, an_experiment

NUM_EPOCHS = 2


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_small(tmp_path_factory.mktemp("seeds"))


def run(prepared_dir: Path, results_db: Path, seed: int, **changes: Any) -> TrialRow:
    with ResultsStore.open(results_db) as results:
        eid = results.create_experiment(an_experiment(name=f"seed {seed}", system=SYSTEM, num_samples=1))
        trial_id = results.start_trial(eid, 0, seed, POINTS[0], 1)
        spec = TrialSpec(
            *(trial_id, eid, 0, seed, SYSTEM, PROTOCOLS["paper"], prepared_dir, results_db, NUM_EPOCHS, None, 1)
        )
        score = record_trial(replace(spec, **changes), POINTS[0])
        results.finish_trial(trial_id, TrialStatus.FINISHED, score=score)
        results.update_experiment(eid, ExperimentStatus.FINISHED, utc_now())
        return results.trial(trial_id)


@pytest.mark.timeout(240)
def test_the_score_is_the_mean_of_seeds_each_as_if_it_were_alone(prepared_dir: Path, tmp_path: Path) -> None:
    results_db = tmp_path / "results.db"
    trial = run(prepared_dir, results_db, 11, seeds_per_trial=3)
    spec = TrialSpec(1, 1, 0, 11, SYSTEM, PROTOCOLS["paper"], prepared_dir, results_db, 2, None, 1, seeds_per_trial=3)
    alone = [run(prepared_dir, results_db, seed) for seed in (11, *further_seeds(spec))]
    assert trial.seed_scores == tuple(each.score for each in alone)
    assert trial.score == statistics.fmean(trial.seed_scores)
    assert trial.score_spread == statistics.stdev(trial.seed_scores)
    assert (alone[0].seed_scores, alone[0].score_spread) == ((), None)
    with ResultsStore.open(results_db) as results:
        # The curve and the predictions are of the first seed.
        first, others = results.epochs(trial.trial_id), results.epochs(alone[0].trial_id)
        assert [replace(epoch, seconds=0.0) for epoch in first] == [replace(epoch, seconds=0.0) for epoch in others]
        predictions = results.validation_predictions(trial.trial_id)
        assert predictions == results.validation_predictions(alone[0].trial_id)
        assert find_contradictions(results, range(1, 6)) == []
        with results.writing() as database:
            database.execute("UPDATE trial_results SET seed_scores = '[0.5, 0.25]' WHERE trial_id = 1")
        assert {finding.kind for finding in find_contradictions(results, [1])} == {FindingKind.WRONG_SCORE}


@pytest.mark.timeout(240)
def test_report_shows_how_far_the_seeds_differ(prepared_dir: Path, tmp_path: Path) -> None:
    results_db = tmp_path / "results.db"
    trial = run(prepared_dir, results_db, 11, seeds_per_trial=2)
    run(prepared_dir, results_db, 12)
    with ResultsStore.open_readonly(results_db) as results:
        findings, without = read_findings(results, 1), read_findings(results, 2)
    assert trial.score_spread is not None
    shown = f"{100 * trial.score_spread:.1f}"
    for table in (tabulate_best_trials(findings, 5), tabulate_all_trials(findings)):
        (row,) = table.rows
        assert row[table.columns.index("standard deviation")].startswith(shown)
    assert "standard deviation" not in tabulate_all_trials(without).columns
    (said,) = [each.text for each in describe_search(findings) if each.heading == "Seeds"]
    assert said.startswith("Each trial trained with 2 seeds, and its score is the mean of theirs;")
    assert not [each for each in describe_search(without) if each.heading == "Seeds"]


@pytest.mark.timeout(240)
def test_a_pruned_trial_trains_with_no_other_seed(
    prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prune(spec: TrialSpec, results: ResultsStore) -> Any:
        def take(epoch: EpochRecord) -> None:
            raise Pruned("others were better")

        return take

    monkeypatch.setattr("harness.training.trial.watch_epochs", prune)
    monkeypatch.setattr("harness.training.trial.further_seeds", None)
    rule = EarlyStopping(PruningRule.ASHA)
    with pytest.raises(Pruned):
        run(prepared_dir, tmp_path / "results.db", 11, seeds_per_trial=2, early_stopping=rule)


def test_later_seeds_are_compared_with_nothing_and_are_no_rivals(
    prepared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials 0 and 1 have strong first seeds and hopeless later ones; that of trial 2 is hopeless at once."""
    curves = {(0, 0): [0.7, 0.7], (0, 1): [0.1, 0.1], (1, 0): [0.8, 0.8], (1, 1): [0.2, 0.2], (2, 0): [0.6, 0.6]}
    seeds: dict[int, tuple[int, int]] = {}
    trained: list[tuple[int, int]] = []

    def train(recipe: Recipe, store: object, parts: object, watch: Watch) -> Outcome:
        trained.append(seeds[recipe.seed])
        for number, accuracy in enumerate(curves[trained[-1]], start=1):
            watch.record_epoch(an_epoch(number, accuracy))
        return Outcome(a_result(max(curves[trained[-1]])))

    monkeypatch.setattr("harness.training.recipe.train_once", train)
    rule = EarlyStopping(PruningRule.ASHA, min_epochs=1, reduction_factor=2)
    results_db = tmp_path / "results.db"
    with ResultsStore.open(results_db) as results:
        settings = '{"seeds_per_trial": 2}'
        eid = results.create_experiment(an_experiment(system=SYSTEM, num_samples=3, settings=settings))
        for index in range(3):
            trial_id = results.start_trial(eid, index, index, POINTS[0], index + 1)
            place = (trial_id, eid, index, index, SYSTEM, PROTOCOLS["paper"], prepared_dir, results_db)
            spec = TrialSpec(*place, NUM_EPOCHS, None, 1, early_stopping=rule, seeds_per_trial=2)
            seeds.update({index: (index, 0), further_seeds(spec)[0]: (index, 1)})
            if index < 2:
                results.finish_trial(trial_id, TrialStatus.FINISHED, score=record_trial(spec, POINTS[0]))
                continue
            with pytest.raises(Pruned) as caught:
                record_trial(spec, POINTS[0])
        assert trained == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
        pruning = find_pruning(results, trial_id)
        assert pruning is not None and pruning.rivals == (Rival(0, 0.7), Rival(1, 0.8))
    assert str(caught.value) == pruning.sentence == (
        "the best accuracy of its first seed by epoch 1 is 0.6000; the asha rule over 2 earlier trials asks for at "
        "least 0.8000"
    )


def test_the_seeds_are_functions_of_the_first() -> None:
    spec = TrialSpec(1, 1, 0, 11, SYSTEM, PROTOCOLS["paper"], Path("p"), Path("r"), 2, None, 1, seeds_per_trial=4)
    # Another release must train with the same ones.
    assert further_seeds(spec) == [693047345, 286046148, 74857987]
    assert further_seeds(spec)[:2] == further_seeds(replace(spec, seeds_per_trial=3))
    assert len({11, *further_seeds(spec), *further_seeds(replace(spec, seed=12))}) == 7
