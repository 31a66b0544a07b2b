"""What stands beside the model when the test session is opened."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from harness.final.baselines import fit_baselines, kind_of, score_probes
from harness.final.test_session import record_transcripts_seen
from harness.models.baselines import BASELINES
from harness.store.records import ScoreKind
from harness.store.store import ResultsStore
from harness.training.recipe import score_predictions
from tests.invented_features import invent_features
from tests.store.experiments import an_opening


@dataclass(frozen=True)
class Corpus:
    """What is read of a ``FeatureStore``."""

    modalities: tuple[str, ...] = ("speech", "text", "mocap")


@pytest.fixture
def results(tmp_path: Path) -> Iterator[ResultsStore]:
    with ResultsStore.open(tmp_path / "results.db") as opened:
        yield opened


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forest of 500 trees takes a second or two; what is tested here shows with twenty."""
    monkeypatch.setattr("harness.models.baselines.NUM_TREES", 20)


def change_transcripts(features, transcripts):
    utterances = [
        replace(found, transcript=transcript)
        for found, transcript in zip(features.utterances, transcripts, strict=True)
    ]
    return replace(features, utterances=tuple(utterances))


def test_every_baseline_has_its_kind_of_score_and_every_such_kind_its_baseline():
    for_all = [baseline for baseline in BASELINES.values() if baseline.is_for_all]
    assert {kind_of(baseline) for baseline in for_all} == {kind for kind in ScoreKind if kind.is_for_all}


def test_baselines_that_draw_are_fitted_with_every_seed_and_the_others_once():
    found = fit_baselines(Corpus(), invent_features(60), (11, 12))
    assert sorted((kind.value, seed) for kind, seed in found.fitted) == [
        ("baseline: SVM on functionals of speech", 11),
        ("baseline: TF-IDF, logistic regression", 11),
        ("baseline: average of TF-IDF and forest", 11),
        ("baseline: average of TF-IDF and forest", 12),
        ("baseline: majority class", 11),
        ("baseline: random forest on speech", 11),
        ("baseline: random forest on speech", 12),
    ]
    assert found.left_out == ()


def test_the_average_is_that_of_the_parts_of_its_seed():
    train, scored = invent_features(60, cue=0.3), invent_features(20, cue=0.3, seed=3)
    found = fit_baselines(Corpus(), train, (11, 12))
    for seed in (11, 12):
        average = found.fitted[ScoreKind.BASELINE_AVERAGE, seed].probabilities(scored)
        alone = BASELINES["text_speech_average"].fit(train, seed).probabilities(scored)
        assert np.array_equal(average, alone)


def test_only_baselines_that_draw_change_with_the_seed():
    train, scored = invent_features(60, cue=0.0), invent_features(20, cue=0.0, seed=3)
    for baseline in BASELINES.values():
        first, second = (baseline.fit(train, seed).probabilities(scored) for seed in (1, 2))
        assert np.array_equal(first, second) is not baseline.is_random, baseline.name


def test_a_baseline_without_its_modality_is_left_out_with_a_sentence():
    found = fit_baselines(Corpus(("speech", "mocap")), invent_features(40), (1,))
    assert {kind for kind, _ in found.fitted} == {
        ScoreKind.BASELINE_MAJORITY,
        ScoreKind.BASELINE_SPEECH_FOREST,
        ScoreKind.BASELINE_SPEECH_SVM,
    }
    assert found.left_out == (
        "The baseline 'TF-IDF, logistic regression' is left out: the corpus has no text.",
        "The baseline 'average of TF-IDF and forest' is left out: the corpus has no text.",
    )


def test_a_baseline_that_finds_nothing_to_read_is_left_out_with_a_sentence():
    silent = change_transcripts(invent_features(20), [None] * 20)
    found = fit_baselines(Corpus(), silent, (1,))
    assert found.left_out[0] == (
        "The baseline 'TF-IDF, logistic regression' is left out: baseline: none of the 20 training utterances has "
        "words; expected at least one."
    )


def test_a_fitted_baseline_is_scored_without_an_epoch():
    train, test = invent_features(80), invent_features(40, seed=5)
    found = fit_baselines(Corpus(), train, (1,))
    fitted = found.fitted[ScoreKind.BASELINE_TEXT_LOGISTIC, 1]
    scores = score_predictions(1, ScoreKind.BASELINE_TEXT_LOGISTIC, test, fitted.probabilities(test), None)
    # The word tells the class.
    assert (scores.epoch, scores.weighted_accuracy) == (None, 1.0)
    assert [found.utterance_id for found in scores.predictions] == list(test.utterance_ids)


def test_transcripts_seen_are_recorded_with_the_opening(results):
    trained_on = change_transcripts(invent_features(3), ["Oh, well.", "no", None])
    test = change_transcripts(invent_features(4, seed=1), ["oh well", "Well, oh", None, "..."])
    opening_id = results.record_opening(an_opening(None))
    record_transcripts_seen(results, opening_id, trained_on, test)
    assert results.test_utterances(opening_id) == dict(zip(test.utterance_ids, (True, False, None, None), strict=True))


def test_a_transcript_of_an_auxiliary_corpus_is_a_seen_one(results):
    trained_on = change_transcripts(invent_features(2), ["Oh, well.", "no"])
    test = change_transcripts(invent_features(3, seed=1), ["oh well", "from elsewhere", "new"])
    others = change_transcripts(invent_features(1, seed=2), ["From elsewhere!"])
    opening_id = results.record_opening(an_opening(None))
    record_transcripts_seen(results, opening_id, trained_on, test, others=others)
    assert list(results.test_utterances(opening_id).values()) == [True, True, False]


def play_scenes(features, scenes):
    """The same utterances, each in one of the scenes in turn."""
    utterances = [
        replace(found, utterance_id=found.utterance_id.replace("impro01", scenes[row % len(scenes)]))
        for row, found in enumerate(features.utterances)
    ]
    return replace(features, utterances=tuple(utterances))


PROBES_OF = {
    "words": (ScoreKind.PROBE_WORDS_SHARED, ScoreKind.PROBE_WORDS_LEFT_OUT),
    "speech": (ScoreKind.PROBE_SPEECH_SHARED, ScoreKind.PROBE_SPEECH_LEFT_OUT),
}


def test_probes_are_recorded_as_kinds_of_their_own_and_complete_no_evaluation(results):
    scenes = ("impro01", "impro02", "script01_1")
    trained_on, test = play_scenes(invent_features(60), scenes), play_scenes(invent_features(30, seed=3), scenes)
    opening_id = results.record_opening(an_opening(None, seeds=(11, 12)))
    scores, said = score_probes(trained_on, test, 11)
    results.record_test_scores(opening_id, *scores)
    assert said == []
    (opening,) = results.openings()
    assert {(score.kind, score.seed, score.epoch, score.model) for score in opening.scores} == {
        (kind, 11, None, None) for kinds in PROBES_OF.values() for kind in kinds
    }
    assert opening.completed_at is None
    for kind in (kind for kinds in PROBES_OF.values() for kind in kinds):
        predictions = results.test_predictions(opening_id, 11, kind)
        assert [found.utterance_id for found in predictions] == sorted(test.utterance_ids)
    # The word tells the class, whatever the scene.
    left_out = [score for score in opening.scores if score.kind is ScoreKind.PROBE_WORDS_LEFT_OUT]
    assert [score.unweighted_accuracy for score in left_out] == [1.0]


def test_a_corpus_of_a_single_scene_has_half_of_each_probe_and_a_sentence():
    scores, said = score_probes(invent_features(40), invent_features(20, seed=3), 1)
    assert said == [
        f"The probe of {reads} has no score with the scored scene left out: every training utterance with {reads} "
        "plays scene 'impro01'."
        for reads in PROBES_OF
    ]
    assert {score.kind for score in scores} == {shared for shared, _ in PROBES_OF.values()}


def test_what_training_has_nothing_of_is_not_probed():
    silent = change_transcripts(invent_features(40), [None] * 40)
    scores, _ = score_probes(silent, invent_features(20, seed=3), 1)
    assert {score.kind for score in scores} == {ScoreKind.PROBE_SPEECH_SHARED}
