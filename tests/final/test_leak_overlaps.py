"""What parts of a split share: planted things are found, and nothing else."""

from dataclasses import replace

import pytest

from harness.final.leak_check import Part, Shared, find_near_duplicates, find_overlaps
from tests.invented_features import invent_features

AN_UTTERANCE = invent_features(1).utterances[0]


def said(utterance_id, transcript):
    return replace(AN_UTTERANCE, utterance_id=utterance_id, transcript=transcript)


APART = {
    Part.TRAIN: [said("Ses01F_impro01_F000", "I lost my keys and my car"), said("Ses01F_impro01_M000", "No.")],
    Part.VALIDATION: [said("Ses02F_impro02_F000", "We are going to the beach now")],
    Part.TEST: [said("Ses03F_script01_1_F000", "What would you have me do, Annie?")],
}


def shared_in(parts):
    return {
        (found.shared, found.first, found.second): (found.names, found.num_utterances)
        for found in find_overlaps(parts)
        if found.names
    }


def test_every_kind_and_pair_is_counted_and_nothing_is_found_where_nothing_is():
    found = find_overlaps(APART)
    assert len(found) == len(Shared) * 3 and shared_in(APART) == {}
    assert {(each.second, each.num_of_second) for each in found} == {(Part.VALIDATION, 1), (Part.TEST, 1)}


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        (said("Ses02F_impro02_F000", None), {Shared.UTTERANCES, Shared.SPEAKERS, Shared.DIALOGUES, Shared.SCRIPTS}),
        (said("Ses02F_impro02_M000", None), {Shared.DIALOGUES, Shared.SCRIPTS}),
        (said("Ses02M_impro03_F000", None), {Shared.SPEAKERS}),
        (said("Ses04M_impro02a_F000", None), {Shared.SCRIPTS}),
        (said("Ses04M_impro03_F000", "we are going to the BEACH, now!"), {Shared.TRANSCRIPTS}),
        (said("Ses04M_impro03_F000", "We are going to the beach right now"), {Shared.NEAR_DUPLICATES}),
        (said("Ses04M_impro03_F000", "We are going to the cinema right now"), set()),
        (said("Ses04M_impro03_F000", None), set()),
        (said("Ses04M_impro03_F000", "..."), set()),
    ],
    ids=["utterance", "dialogue", "speaker", "script", "verbatim", "near", "not so near", "nothing said", "no word"],
)
def test_what_is_planted_between_validation_and_test_is_found_there_alone(planted, expected):
    found = shared_in({**APART, Part.TEST: [*APART[Part.TEST], planted]})
    there = (Part.VALIDATION, Part.TEST)
    assert {key: num_utterances for key, (_, num_utterances) in found.items()} == {
        (shared, *there): 1 for shared in expected
    }


def test_the_affected_utterances_are_of_the_second_part():
    turns = [said(f"Ses01F_impro05_F00{number}", f"word{number}") for number in range(3)]
    found = shared_in({**APART, Part.VALIDATION: turns})
    assert found[Shared.SPEAKERS, Part.TRAIN, Part.VALIDATION] == (("Ses01F",), 3)


def test_short_transcripts_are_no_near_duplicates_and_verbatim_ones_are_not_counted_twice():
    known = [said("Ses01F_impro01_F000", "Oh my God no"), said("Ses01F_impro01_F001", "a b c d e f g h i j")]
    assert find_near_duplicates([said("Ses02F_impro01_F000", "Oh my God yes")], known) == ()
    assert find_near_duplicates([said("Ses02F_impro01_F000", "A b c d e f g h i j!")], known) == ()
    assert find_near_duplicates([said("Ses02F_impro01_F000", "a b c d e f g h i z j k")], known) == (
        "Ses02F_impro01_F000",
    )


def test_near_duplicates_are_those_of_the_definition():
    """Against the definition, written down again."""
    features = invent_features(60)
    words = [[f"w{(row * 7 + step * step) % 11}" for step in range(9)] for row in range(60)]
    utterances = [
        replace(utterance, transcript=" ".join(spoken))
        for utterance, spoken in zip(features.utterances, words, strict=True)
    ]
    known, asked = utterances[:30], utterances[30:]
    verbatim = {utterance.transcript for utterance in known}

    def is_near(utterance):
        own = set(utterance.transcript.split())
        others = [set(other.transcript.split()) for other in known]
        near = any(len(own & other) >= 0.8 * len(own | other) and len(other) >= 5 for other in others)
        return near and len(own) >= 5 and utterance.transcript not in verbatim

    expected = sorted(utterance.utterance_id for utterance in asked if is_near(utterance))
    assert list(find_near_duplicates(asked, known)) == expected
