"""Text scores by script, and by whether the transcript was trained on."""

import pytest

from harness.corpus.utterances import CLASSES
from harness.store.records import Prediction
from harness.text_scores import TextGroup, find_seen, part_by_text, score_by_text

IMPROVISED = "Ses05F_impro01_F000"
SCRIPTED, SECOND = "Ses05M_script01_1b_F000", "Ses05M_script01_1b_M001"


def predict(utterance_id, is_right):
    return Prediction(utterance_id, CLASSES[0], CLASSES[0 if is_right else 1], (0.25,) * 4)


@pytest.mark.parametrize(
    ("transcript", "is_seen"),
    [
        ("Who's there?", True),
        ("who's there", True),
        ("Who's there, Augie?", False),
        ("there", False),
        ("[LAUGHTER]", False),
    ],
)
def test_a_transcript_is_seen_where_its_words_were_trained_on_in_one_utterance(transcript, is_seen):
    training = ["Who's THERE!", None, "over there", ""]
    assert find_seen({"a": transcript}, training) == {"a": is_seen}


@pytest.mark.parametrize("transcript", [None, "", " ... "])
def test_an_utterance_without_words_is_neither_seen_nor_not_seen(transcript):
    assert find_seen({"a": transcript}, [transcript, "so what"]) == {}


def test_each_prediction_stands_in_its_groups():
    predictions = [predict(name, True) for name in (IMPROVISED, SCRIPTED, SECOND)]
    parts = part_by_text(predictions, {IMPROVISED: False, SCRIPTED: True})
    assert {group: [found.utterance_id for found in part] for group, part in parts.items()} == {
        TextGroup.ALL: [IMPROVISED, SCRIPTED, SECOND],
        TextGroup.SCRIPTED: [SCRIPTED, SECOND],
        TextGroup.IMPROVISED: [IMPROVISED],
        TextGroup.SEEN: [SCRIPTED],
        TextGroup.NOT_SEEN: [IMPROVISED],
    }


def test_scores_are_means_over_the_seeds_of_each_group():
    seeds = [
        [predict(IMPROVISED, False), predict(SCRIPTED, True), predict(SECOND, True)],
        [predict(IMPROVISED, False), predict(SCRIPTED, True), predict(SECOND, False)],
    ]
    scores = {score.group: score for score in score_by_text(seeds, {SCRIPTED: True, SECOND: True})}
    assert set(scores) == {TextGroup.ALL, TextGroup.SCRIPTED, TextGroup.IMPROVISED, TextGroup.SEEN}
    assert scores[TextGroup.SCRIPTED].weighted_accuracy.mean == 0.75
    assert scores[TextGroup.SEEN].num_utterances == 2
    assert scores[TextGroup.ALL].weighted_accuracy.mean == 0.5
    assert scores[TextGroup.IMPROVISED].unweighted_accuracy.mean == 0.0


def test_nothing_scored_has_no_scores():
    assert score_by_text([], {}) == ()
