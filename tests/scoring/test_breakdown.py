"""Scores by recording, by transcripts read before, by speaker and by who wears the markers."""

import pytest

from harness.corpus.utterances import CLASSES
from harness.scoring.breakdown import (
    ALL,
    IMPROVISED,
    LISTENER,
    MARKED,
    NOT_SEEN,
    SCRIPTED,
    SEEN,
    TEXT_DIVISIONS,
    Division,
    Group,
    divide,
    find_seen,
    groups_of,
    score_groups,
)
from harness.store.records import Prediction

IMPROVISED_ID = "Ses05F_impro01_F000"
SCRIPTED_ID, SECOND_ID = "Ses05M_script01_1b_F000", "Ses05M_script01_1b_M001"


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


@pytest.mark.parametrize(
    ("utterance_id", "speaker", "markers"),
    [
        ("Ses05F_impro01_F000", "Ses05F", MARKED),
        ("Ses05F_impro01_M000", "Ses05M", LISTENER),
        ("Ses05M_impro01_F000", "Ses05F", LISTENER),
        ("Ses05M_impro01_M000", "Ses05M", MARKED),
    ],
)
def test_the_speaker_is_the_turns_and_the_markers_are_the_dialogues(utterance_id, speaker, markers):
    groups = groups_of(utterance_id, {})
    assert Group(Division.SPEAKER, speaker) in groups and markers in groups


def test_each_prediction_stands_in_its_groups_and_those_of_a_division_side_by_side():
    predictions = [predict(name, True) for name in (IMPROVISED_ID, SCRIPTED_ID, SECOND_ID)]
    parts = divide(predictions, {IMPROVISED_ID: False, SCRIPTED_ID: True})
    assert [(group, [found.utterance_id for found in part]) for group, part in parts.items()] == [
        (ALL, [IMPROVISED_ID, SCRIPTED_ID, SECOND_ID]),
        (SCRIPTED, [SCRIPTED_ID, SECOND_ID]),
        (IMPROVISED, [IMPROVISED_ID]),
        (SEEN, [SCRIPTED_ID]),
        (NOT_SEEN, [IMPROVISED_ID]),
        (Group(Division.SPEAKER, "Ses05F"), [IMPROVISED_ID, SCRIPTED_ID]),
        (Group(Division.SPEAKER, "Ses05M"), [SECOND_ID]),
        (MARKED, [IMPROVISED_ID, SECOND_ID]),
        (LISTENER, [SCRIPTED_ID]),
    ]


def test_scores_are_means_over_the_seeds_of_each_group():
    seeds = [
        [predict(IMPROVISED_ID, False), predict(SCRIPTED_ID, True), predict(SECOND_ID, True)],
        [predict(IMPROVISED_ID, False), predict(SCRIPTED_ID, True), predict(SECOND_ID, False)],
    ]
    is_seen = {SCRIPTED_ID: True, SECOND_ID: True}
    scores = {score.group: score for score in score_groups(seeds, is_seen, TEXT_DIVISIONS)}
    assert list(scores) == [ALL, SCRIPTED, IMPROVISED, SEEN]
    assert scores[SCRIPTED].weighted_accuracy.mean == 0.75
    assert scores[SEEN].num_utterances == 2
    assert scores[ALL].weighted_accuracy.mean == 0.5
    assert scores[IMPROVISED].unweighted_accuracy.mean == 0.0


def test_nothing_scored_has_no_scores():
    assert score_groups([], {}) == ()


def test_where_every_speaker_would_wear_the_markers_nothing_is_said_about_them():
    """Ids of another corpus in the layout name one speaker alone, and no motion was recorded."""
    predictions = [predict(f"Ses05F_impro01_F{number:03d}", True) for number in range(3)]
    assert Division.MARKERS not in {group.division for group in divide(predictions, {})}
