"""The scores of folds: each fold's own, and all test sets pooled once every fold has been tested."""

import numpy as np
import pytest

from harness.scoring.folds import Scored, read_folded_scores
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from tests.folded import RIGHT, answers_of, score_fold, write_folds


@pytest.fixture
def store(tmp_path):
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


def test_every_utterance_is_pooled_as_the_fold_predicted_it_that_never_read_it(store):
    folded = write_folds(store)
    for session in RIGHT:
        score_fold(store, session, session)
    scores = read_folded_scores(store, folded)
    assert [fold.spreads[0].mean for fold in scores.folds] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert [fold.num_utterances for fold in scores.folds] == [48] * 5
    assert [(fold.num_finished, fold.best.trial_index) for fold in scores.folds] == [(2, 1)] * 5
    pooled = scores.pooled
    assert (pooled.num_utterances, pooled.num_dialogues, pooled.num_seeds) == (240, 60, 2)
    assert pooled.scores[0].spread.mean == 0.5 and pooled.drawn == "dialogues"
    assert 0.4 < pooled.scores[0].interval.low < 0.5 < pooled.scores[0].interval.high < 0.6
    assert [found.kind for found in pooled.comparisons] == [ScoreKind.BASELINE_MAJORITY]
    speakers = {score.group.name for score, _ in pooled.groups if score.group.name.startswith("Ses")}
    assert speakers == {f"Ses0{session}{letter}" for session in RIGHT for letter in "FM"}


def test_probes_are_pooled_too_and_one_that_a_fold_lacks_is_left_out(store):
    folded = write_folds(store)
    for session in RIGHT:
        probes = {ScoreKind.PROBE_WORDS_SHARED: 3, ScoreKind.PROBE_WORDS_LEFT_OUT: 1}
        probes |= {ScoreKind.PROBE_SPEECH_SHARED: 3} if session < 5 else {}
        score_fold(store, session, session, probes=probes)
    (pair,) = read_folded_scores(store, folded).pooled.scenes
    assert (pair.reader, pair.num_utterances, pair.recognised.difference) == ("words", 240, 0.5)


def test_folds_of_unequal_size_count_by_their_utterances(store):
    folded = write_folds(store)
    for session in RIGHT:
        score_fold(store, session, session)
    # Ten times as many dialogues in the session where nothing is right.
    store.database.execute("DELETE FROM test_predictions WHERE opening_id < 5 AND utterance_id NOT LIKE '%impro00%'")
    assert read_folded_scores(store, folded).pooled.scores[0].spread.mean == pytest.approx(10 / (4 * 4 + 48))


def test_before_every_fold_is_tested_nothing_is_pooled(store):
    folded = write_folds(store, num_searched=4)
    for session in (1, 2, 3):
        score_fold(store, session, session)
    score_fold(store, 4, 4, scored=1)
    scores = read_folded_scores(store, folded)
    assert scores.pooled is None and scores.num_scored == 3
    assert [fold.opening is not None for fold in scores.folds] == [True, True, True, False, False]
    assert [fold.num_openings for fold in scores.folds] == [1, 1, 1, 1, 0]
    assert scores.folds[4].search is None and scores.folds[4].spreads == [] == scores.folds[4].intervals


def test_what_is_not_there_in_every_fold_is_not_pooled(store):
    folded = write_folds(store)
    for session in RIGHT:
        kinds = [ScoreKind.BASELINE_MAJORITY, *([ScoreKind.BASELINE_TEXT_LOGISTIC] if session > 1 else [])]
        score_fold(store, session, session, seeds=range(1, 3 + session), baselines=kinds)
    pooled = read_folded_scores(store, folded).pooled
    assert pooled.num_seeds == 3
    assert [found.kind for found in pooled.comparisons] == [ScoreKind.BASELINE_MAJORITY]


def test_the_latest_complete_evaluation_counts_and_a_variant_alone_does_not(store):
    folded = write_folds(store)
    first = score_fold(store, 1, 1)
    score_fold(store, 1, 1, kind=ScoreKind.FUSION_RETRAINED)
    assert read_folded_scores(store, folded).folds[0].opening.opening_id == first
    again = score_fold(store, 1, 1, seeds=(3,))
    score_fold(store, 1, 1, seeds=(3, 4), scored=1)
    found = read_folded_scores(store, folded).folds[0]
    assert (found.opening.opening_id, found.num_openings) == (again, 4)


def test_answers_are_of_four_classes():
    assert np.unique([each.emotion for each in answers_of(3, 2)]).size == 4


def test_the_same_ensembles_are_pooled_by_themselves(store):
    def score_ensembles(name: str, sessions: list[int]) -> None:
        for session in sessions:
            model = f"models/experiment-{session}-{name}-0a1b2c3{session}"
            score_fold(store, session, session, seeds=(1,), kind=ScoreKind.ENSEMBLE, model=model)

    folded = write_folds(store)
    for session in RIGHT:
        score_fold(store, session, session)
    score_ensembles("top-1-svm", [1, 2, 3, 4])
    # What not every fold has does not hide what all have.
    assert read_folded_scores(store, folded).pooled.kind is ScoreKind.VALIDATION_CHOSEN
    partly = read_folded_scores(store, folded, Scored("top-1-svm"))
    assert partly.pooled is None and partly.num_scored == 4
    score_ensembles("top-1-svm", [5])
    whole = read_folded_scores(store, folded)
    assert (whole.pooled.kind, whole.pooled.num_seeds, whole.pooled.num_utterances) == (ScoreKind.ENSEMBLE, 1, 240)
    # Another ensemble of two folds is not mixed in.
    score_ensembles("top-3", [1, 2])
    assert [fold.opening.opening_id for fold in read_folded_scores(store, folded).folds] == [6, 7, 8, 9, 10]
    assert read_folded_scores(store, folded, Scored()).pooled.kind is ScoreKind.VALIDATION_CHOSEN
