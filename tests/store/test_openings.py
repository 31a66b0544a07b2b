from dataclasses import asdict, replace
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store.records import ExperimentKind, FinalModel, ScoreKind, TestScores, TrialStatus
from harness.store.store import ResultsStore
from tests.store.experiments import a_prediction, an_experiment, an_opening

CHOSEN, MAXIMUM = ScoreKind.VALIDATION_CHOSEN, ScoreKind.TEST_MAXIMUM


def scores(seed: int, kind: ScoreKind = CHOSEN) -> TestScores:
    return TestScores(seed, kind, 0.6, 0.61, 0.59, (a_prediction("Ses05F_impro01_F000"),), epoch=7)


def test_opening_shows_before_anything_is_scored(store: ResultsStore, results_path: Path) -> None:
    eid = store.create_experiment(an_experiment())
    opening = an_opening(eid)
    store.record_opening(opening)
    with ResultsStore.open_readonly(results_path) as reader:
        (row,) = reader.openings()
    assert (row.opening_id, row.completed_at, row.scores, row.is_synthetic) == (1, None, (), True)
    assert all(getattr(row, name) == value for name, value in vars(opening).items())


def test_opening_is_complete_when_every_seed_is_scored(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None, seeds=(1, 2)))
    store.record_test_scores(opening_id, scores(1))
    store.record_test_scores(opening_id, scores(1, MAXIMUM))
    (half,) = store.openings()
    store.record_test_scores(opening_id, scores(2))
    (whole,) = store.openings()
    assert half.completed_at is None and whole.completed_at is not None
    assert [(found.seed, found.kind, found.epoch) for found in whole.scores] == [
        (1, CHOSEN, 7),
        (1, MAXIMUM, 7),
        (2, CHOSEN, 7),
    ]
    assert whole.is_synthetic is None


def test_test_predictions_are_read_back_by_seed_and_kind(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None))
    store.record_test_scores(opening_id, scores(2))
    assert store.test_predictions(opening_id, 2, CHOSEN) == [a_prediction("Ses05F_impro01_F000")]
    assert store.test_predictions(opening_id, 2, MAXIMUM) == []


def test_score_on_the_test_set_is_never_replaced(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None))
    store.record_test_scores(opening_id, scores(1))
    with pytest.raises(StoreError) as caught:
        store.record_test_scores(opening_id, scores(1))
    assert str(caught.value) == (
        "test evaluation 1: seed 1 (validation-chosen epoch) has its score already; expected none, for a score on the "
        "test set is never replaced"
    )


def test_scores_that_are_recorded_together_are_all_there_or_none(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None, seeds=(1, 2)))
    for second in (scores(3), scores(1)):
        with pytest.raises(StoreError):
            store.record_test_scores(opening_id, scores(1), second)
        assert store.openings()[0].scores == () == tuple(store.test_predictions(opening_id, 1, CHOSEN))
    store.record_test_scores(opening_id, scores(1), scores(2), scores(1, ScoreKind.PROBE_WORDS_SHARED))
    assert len(store.openings()[0].scores) == 3 and store.openings()[0].completed_at is not None


def test_seed_that_the_opening_did_not_name_is_refused(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None, seeds=(1, 2)))
    with pytest.raises(StoreError) as caught:
        store.record_test_scores(opening_id, scores(3))
    assert str(caught.value) == "test evaluation 1: scored seed 3; expected one of [1, 2]"


def test_scores_of_an_unknown_opening_are_refused(store: ResultsStore, results_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.record_test_scores(4, scores(1))
    assert (
        str(caught.value)
        == f"test evaluation 4: not in '{results_path}'; expected one that record_opening returned"
    )


def test_final_models_are_read_back_as_written(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment())
    trial_id = store.start_trial(eid, 0, 1, {})
    models = [FinalModel(eid, trial_id, seed, 12, f"results/models/{seed}.keras", 60.5) for seed in (1, 2)]
    assert [store.record_final_training(model) for model in models] == [1, 2]
    rows = store.query("SELECT * FROM final_models ORDER BY model_id", [])
    assert [{name: row[name] for name in asdict(models[0])} for row in rows] == [asdict(model) for model in models]


def test_baselines_and_probes_do_not_complete_an_opening(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None, seeds=(1, 2)))
    for seed in (1, 2):
        store.record_test_scores(opening_id, scores(seed, ScoreKind.BASELINE_MAJORITY))
        store.record_test_scores(opening_id, scores(seed, ScoreKind.PROBE_WORDS_SHARED))
    store.record_test_scores(opening_id, scores(1))
    (half,) = store.openings()
    store.record_test_scores(opening_id, scores(2))
    (whole,) = store.openings()
    assert half.completed_at is None and whole.completed_at is not None


def test_transcripts_seen_are_read_back_by_opening(store: ResultsStore) -> None:
    first, second = (store.record_opening(an_opening(None)) for _ in range(2))
    is_seen = {"Ses05F_impro01_F000": True, "Ses05F_impro01_F001": None, "Ses05F_impro01_M000": False}
    store.record_test_utterances(first, is_seen)
    assert store.test_utterances(first) == is_seen
    assert store.test_utterances(second) == {}


def test_each_test_utterance_stands_with_its_scene(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None))
    store.record_test_utterances(opening_id, {"Ses05F_script01_1b_F000": True, "Ses05M_impro04_M001": None})
    rows = store.query("SELECT utterance_id, scene FROM test_utterances ORDER BY utterance_id", [])
    assert [(row["utterance_id"], row["scene"]) for row in rows] == [
        ("Ses05F_script01_1b_F000", "script01_1"),
        ("Ses05M_impro04_M001", "impro04"),
    ]


def test_transcripts_seen_are_recorded_once(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None))
    store.record_test_utterances(opening_id, {"Ses05F_impro01_F000": True})
    with pytest.raises(StoreError) as caught:
        store.record_test_utterances(opening_id, {"Ses05F_impro01_F001": True})
    assert str(caught.value) == "test evaluation 1: its utterances are recorded already; expected none"


def test_utterances_of_an_unknown_opening_are_refused(store: ResultsStore) -> None:
    with pytest.raises(StoreError, match="^test evaluation 4: not in "):
        store.record_test_utterances(4, {"Ses05F_impro01_F000": True})


def test_trial_of_the_tables_keeps_its_scores_on_the_test_set(store: ResultsStore) -> None:
    eid = store.create_experiment(an_experiment(kind=ExperimentKind.TABLES))
    trial_id = store.start_trial(eid, 0, 1, {})
    opening_id = store.record_opening(an_opening(None, seeds=(1,)))
    for kind in (MAXIMUM, CHOSEN):
        store.record_trial_test_scores(trial_id, opening_id, scores(1, kind))
    assert store.trial_test_scores(trial_id) == {CHOSEN: scores(1), MAXIMUM: scores(1, MAXIMUM)}
    assert list(store.trial_test_scores(trial_id)) == [CHOSEN, MAXIMUM]
    store.complete_opening(opening_id)
    (opening,) = store.openings()
    assert opening.completed_at is not None and opening.scores == ()


def test_trial_that_has_ended_takes_no_more_scores(store: ResultsStore) -> None:
    trial_id = store.start_trial(store.create_experiment(an_experiment()), 0, 1, {})
    opening_id = store.record_opening(an_opening(None, seeds=(1,)))
    store.finish_trial(trial_id, TrialStatus.STOPPED)
    with pytest.raises(StoreError, match=f"^trial {trial_id}: has ended"):
        store.record_trial_test_scores(trial_id, opening_id, scores(1))


@pytest.mark.parametrize("corpus_hash", ["c0ffee", "another"])
def test_opening_without_an_experiment_is_synthetic_where_its_corpus_is(
    store: ResultsStore, corpus_hash: str
) -> None:
    store.create_experiment(an_experiment(kind=ExperimentKind.TABLES, corpus_hash="c0ffee"))
    store.record_opening(an_opening(None, corpus_hash=corpus_hash))
    (opening,) = store.openings()
    assert opening.is_synthetic is (True if corpus_hash == "c0ffee" else None)


def test_a_score_names_the_saved_model_that_it_is_of(store: ResultsStore) -> None:
    opening_id = store.record_opening(an_opening(None, seeds=(1, 2)))
    store.record_test_scores(opening_id, replace(scores(1), model="models/a"))
    store.record_test_scores(opening_id, scores(2))
    (opening,) = store.openings()
    assert [score.model for score in opening.scores] == ["models/a", None]
