"""Pairs of scores, with scenes shared and left out: the effect, its interval, and the sentence in each of its forms."""

from dataclasses import replace

import pytest

from harness.scoring.scenes import SceneEffect, explain_scenes, pair_scenes
from harness.store.records import ScoreKind
from tests.scored import answer, answer_dialogues, name_utterance

CHOSEN = ScoreKind.VALIDATION_CHOSEN
SHARED, LEFT_OUT = ScoreKind.PROBE_WORDS_SHARED, ScoreKind.PROBE_WORDS_LEFT_OUT
SPEECH_SHARED, SPEECH_LEFT_OUT = ScoreKind.PROBE_SPEECH_SHARED, ScoreKind.PROBE_SPEECH_LEFT_OUT

#: Of the four turns of a dialogue, one of each class.
THREE = answer_dialogues([[True, True, True, False]] * 12)
ONE = answer_dialogues([[True, False, False, False]] * 12)
#: Every other dialogue, and the others.
TWO = answer_dialogues([[True] * 4, [False] * 4] * 6)
TWO_OTHERS = answer_dialogues([[False] * 4, [True] * 4] * 6)


def explain(predictions, model=None, is_synthetic=False):
    return explain_scenes(pair_scenes(model, predictions), is_synthetic)


def test_a_pair_has_both_unweighted_accuracies_and_their_paired_difference():
    (pair,) = pair_scenes(CHOSEN, {CHOSEN: [TWO], SHARED: [THREE], LEFT_OUT: [ONE]})
    assert (pair.reader, pair.shared.spread.mean, pair.left_out.spread.mean) == ("words", 0.75, 0.25)
    assert (pair.recognised.difference, pair.effect) == (0.5, SceneEffect.SHOWN)
    # Every dialogue is alike, and so are all draws of them.
    for interval, expected in ((pair.shared.interval, 0.75), (pair.recognised.interval, 0.5)):
        assert (interval.low, interval.high, interval.drawn) == (expected, expected, "dialogues")


def test_unweighted_accuracy_leads_where_classes_differ_in_size():
    """Nine of ten utterances are anger, and anger alone is right."""
    sizes = [0] * 9 + [3]
    names = [name_utterance(dialogue, turn) for dialogue in range(12) for turn in range(10)]
    angry = [answer(name, sizes[number % 10], 0) for number, name in enumerate(names)]
    (pair,) = pair_scenes(None, {SHARED: [angry], LEFT_OUT: [angry]})
    assert pair.shared.spread.mean == 0.5


def test_words_come_before_speech_and_the_model_last():
    predictions = {
        ScoreKind.SCENES_LEFT_OUT: [ONE, ONE],
        SPEECH_SHARED: [TWO],
        SPEECH_LEFT_OUT: [TWO_OTHERS],
        LEFT_OUT: [ONE],
        SHARED: [THREE],
        CHOSEN: [THREE, TWO],
    }
    words, speech, model = pair_scenes(CHOSEN, predictions)
    assert (words.reader, speech.reader, model.reader) == ("words", "speech", "the model")
    assert (model.shared.spread.mean, model.shared.spread.num_values, model.recognised.difference) == (0.625, 2, 0.375)
    assert explain(predictions, CHOSEN) == (
        "Words alone score 75.0 % unweighted where training has read the test set's scenes, and 25.0 % with the scored "
        "scene left out (chance 25 %): 50.0 points of what words score here are recognition of the scene. "
        "Speech alone scores 50.0 % and 50.0 %: no effect of the scene is shown here. "
        "The model itself scores 62.5 % and 25.0 %: 37.5 points of what the model scores here are recognition of the "
        "scene."
    )


def test_without_scores_of_its_own_the_model_has_no_pair():
    pairs = pair_scenes(CHOSEN, {CHOSEN: [THREE], SHARED: [THREE], LEFT_OUT: [ONE]})
    assert [pair.reader for pair in pairs] == ["words"]
    assert pair_scenes(CHOSEN, {CHOSEN: [THREE]}) == ()


def test_a_difference_whose_interval_holds_zero_claims_nothing():
    every, none = [True] * 4, [False] * 4
    text = explain({SHARED: [answer_dialogues([every, none] * 6)], LEFT_OUT: [answer_dialogues([none, every] * 6)]})
    assert text.startswith(
        "Words alone score 50.0 % unweighted where training has read the test set's scenes, and 50.0 % with the scored "
        "scene left out (chance 25 %): no effect of the scene is shown here (+0.0 points, 95 % interval -"
    )
    assert "recognition" not in text


def test_a_difference_below_zero_is_no_recognition():
    predictions = {SHARED: [ONE], LEFT_OUT: [THREE]}
    (pair,) = pair_scenes(None, predictions)
    assert pair.effect is SceneEffect.REVERSED
    assert explain(predictions).endswith(
        ": having read the scene does not help here (-50.0 points, 95 % interval -50.0 to -50.0)."
    )


def test_where_training_plays_none_of_the_scenes_there_is_nothing_to_leave_out():
    predictions = {SHARED: [THREE], LEFT_OUT: [THREE[::-1]], SPEECH_SHARED: [TWO], SPEECH_LEFT_OUT: [TWO]}
    assert {pair.effect for pair in pair_scenes(None, predictions)} == {SceneEffect.NOTHING_TO_LEAVE_OUT}
    assert explain(predictions) == (
        "Words alone score 75.0 % unweighted (chance 25 %); training has read no scene of the test set, so there is no "
        "scene to leave out, and no effect to measure. Speech alone scores 50.0 %."
    )
    # The same answers of another fit are a difference of zero.
    surer = [replace(found, probabilities=tuple(reversed(found.probabilities))) for found in THREE]
    assert pair_scenes(None, {SHARED: [THREE], LEFT_OUT: [surer]})[0].effect is SceneEffect.NOT_SHOWN


def test_where_nothing_is_left_to_train_on_there_is_one_score():
    predictions = {SHARED: [THREE], SPEECH_SHARED: [TWO]}
    assert [(pair.left_out, pair.recognised) for pair in pair_scenes(None, predictions)] == [(None, None)] * 2
    assert explain(predictions) == (
        "Words alone score 75.0 % unweighted where training has read the test set's scenes (chance 25 %); with the "
        "scored scene left out, too little remains to train on. Speech alone scores 50.0 %; without the scored scene, "
        "too little remains to train on."
    )


def test_a_class_that_a_scene_takes_with_it_is_said():
    without = [
        replace(found, probabilities=(0.5, 0.5, 0.0, 0.0)) if number < 3 else found for number, found in enumerate(ONE)
    ]
    predictions = {SHARED: [THREE], LEFT_OUT: [without]}
    assert pair_scenes(None, predictions)[0].num_without_class == 3
    assert explain(predictions).endswith(
        " For 3 of 48 utterances, leaving out the scene removes every training utterance of some class, which is then "
        "never predicted."
    )


def test_a_class_that_training_lacks_altogether_is_not_the_scenes():
    shared, without = (
        [replace(found, probabilities=(0.5, 0.3, 0.2, 0.0)) for found in predictions] for predictions in (THREE, ONE)
    )
    assert pair_scenes(None, {SHARED: [shared], LEFT_OUT: [without]})[0].num_without_class == 0


@pytest.mark.parametrize("left_out", [[ONE], [THREE], []], ids=["an effect", "no scene to leave out", "nothing left"])
def test_every_form_says_that_the_corpus_is_synthetic(left_out):
    text = explain({SHARED: [THREE], **({LEFT_OUT: left_out} if left_out else {})}, is_synthetic=True)
    assert text.startswith("On this synthetic corpus, words alone score 75.0 % unweighted")
