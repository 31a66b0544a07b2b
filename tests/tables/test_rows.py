"""From stored trials to rows: means over seeds, sessions scored together, text scores apart."""

import numpy as np
import pytest

from harness.scoring.breakdown import ALL, IMPROVISED, NOT_SEEN, SCRIPTED, SEEN
from harness.scoring.metrics import predicted_classes, weighted_accuracy
from harness.splits.protocol import PROTOCOLS
from harness.store.records import ScoreKind
from harness.tables.experiments import TableExperiment, lacking_modalities
from harness.tables.parts import TableSplit
from tests.tables.work import carry_out_rows, read_rows


def stored_predictions(results, system, kind=ScoreKind.VALIDATION_CHOSEN):
    """Predictions of every experiment and seed of a system."""
    return [
        results.trial_test_scores(trial.trial_id)[kind].predictions
        for found in results.experiments()
        if found.system == system and "improvised" not in found.name
        for trial in results.trials(found.eid)
    ]


@pytest.mark.long
def test_a_row_is_the_mean_over_its_seeds(settings, facts, store, results):
    carry_out_rows(settings(names=("head2",)), facts, store, results)
    (row,) = read_rows(settings(names=("head2",)), facts, store, results).values()
    seeds = [weighted_accuracy(*predicted_classes(found)) for found in stored_predictions(results, "head2")]
    spread = row.chosen.weighted_accuracy
    assert (spread.mean, spread.num_values) == (pytest.approx(np.mean(seeds)), 2)
    assert spread.deviation == pytest.approx(np.std(seeds, ddof=1))
    assert row.chosen.interval.low <= spread.mean <= row.chosen.interval.high
    assert row.chosen.fold_mean is None and row.text == () and row.failures == ()
    assert row.maximum.weighted_accuracy.mean >= spread.mean
    assert row.chosen.num_utterances == len(store.utterances([5]))


def test_sessions_left_out_are_scored_together_and_averaged(settings, facts, store, results):
    left_out = settings(names=("text_logistic",), seeds=(1,), leaves_each_session_out=True)
    carry_out_rows(left_out, facts, store, results)
    (row,) = read_rows(left_out, facts, store, results).values()
    folds = stored_predictions(results, "text_logistic")
    assert len(folds) == 5
    together = [prediction for fold in folds for prediction in fold]
    assert {found.utterance_id for found in together} == {
        found.utterance_id for found in store.utterances(range(1, 6))
    }
    assert row.chosen.weighted_accuracy.mean == weighted_accuracy(*predicted_classes(together))
    each = [weighted_accuracy(*predicted_classes(fold)) for fold in folds]
    assert row.chosen.fold_mean == pytest.approx(np.mean(each))
    assert not row.chosen.interval.is_too_narrow


def test_text_scores_come_apart_into_all_that_is_scored(settings, facts, store, results):
    carry_out_rows(settings(names=("text_logistic",)), facts, store, results)
    (row,) = read_rows(settings(names=("text_logistic",)), facts, store, results).values()
    counts = {score.group: score.num_utterances for score in row.text}
    num_utterances = row.chosen.num_utterances
    assert counts[ALL] == counts[SCRIPTED] + counts[IMPROVISED] == num_utterances
    without = row.num_without_input["text"]
    assert counts[SEEN] + counts[NOT_SEEN] == num_utterances - without
    assert row.text[0].weighted_accuracy == row.chosen.weighted_accuracy


def test_by_position_the_only_score_is_the_optimistic_one(settings, facts, store, results):
    by_position = settings(names=("head2", "majority"), seeds=(1,), split=TableSplit.BY_POSITION)
    carry_out_rows(by_position, facts, store, results)
    rows = read_rows(by_position, facts, store, results)
    assert rows[4, "head2"].chosen is None and rows[4, "head2"].maximum is not None
    assert rows[4, "majority"].maximum is None and rows[4, "majority"].chosen is not None


def test_rows_that_are_not_trained_yet_are_empty(settings, facts, store, results):
    rows = read_rows(settings(), facts, store, results)
    assert all(row.chosen is None and row.maximum is None and row.failures == () for row in rows.values())


def test_what_the_corpus_lacks_is_named(store):
    class Silent(type(store)):
        @property
        def modalities(self):
            return ("text",)

    silent = Silent(store.prepared_dir, store.manifest)
    fusion, majority = (
        TableExperiment(name, PROTOCOLS["paper"], TableSplit.SESSIONS) for name in ("fusion", "majority")
    )
    assert lacking_modalities(silent, fusion) == ("speech", "mocap")
    assert lacking_modalities(silent, majority) == ()
