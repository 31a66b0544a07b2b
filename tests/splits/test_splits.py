"""Splits: proportions, seals, and what each protocol promises."""

import json

import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.errors import ExperimentFileError, FeatureError, UnknownNameError
from harness.splits.protocol import (
    PROTOCOLS,
    ClassWeights,
    EpochChoice,
    Lengths,
    Recordings,
    Scenes,
    adapts_to_speakers,
    make_split,
    read_protocol,
    search_sessions,
    select_recordings,
)


def utterance_ids(num_by_session):
    return [
        f"Ses{session:02d}F_{kind}{1 + number // 500:02d}_{'FM'[number % 2]}{number % 500:03d}"
        for session, count in num_by_session.items()
        for number in range(count)
        for kind in ["impro" if number % 3 else "script"]
    ]


def test_the_complete_corpus_parts_into_3000_and_838():
    names = utterance_ids({1: 950, 2: 906, 3: 1016, 4: 966})
    split = make_split(PROTOCOLS["paper"], names)
    assert (len(split.train), len(split.validation)) == (3000, 838)
    assert list(split.train + split.validation) == sorted(names)


def test_a_smaller_corpus_keeps_the_proportions():
    split = make_split(PROTOCOLS["paper"], utterance_ids({1: 95, 2: 90, 3: 101, 4: 97}))
    assert (len(split.train), len(split.validation)) == (299, 84)


def shared_speakers(split):
    """Speakers heard both in train and in validation."""
    heard = {parse_utterance_id(name).speaker for name in split.train}
    return heard & {parse_utterance_id(name).speaker for name in split.validation}


def test_the_paper_hears_validation_speakers_in_training_and_says_so():
    split = make_split(PROTOCOLS["paper"], utterance_ids({1: 95, 2: 90, 3: 101, 4: 97}))
    assert PROTOCOLS["paper"].shares_speakers
    assert shared_speakers(split) == {"Ses04F"}


def test_strict_validates_on_a_session_whose_speakers_are_not_heard_in_training():
    split = make_split(PROTOCOLS["strict"], utterance_ids({1: 20, 2: 20, 3: 20, 4: 20}))
    assert not PROTOCOLS["strict"].shares_speakers
    assert shared_speakers(split) == set()
    assert {name[:5] for name in split.validation} == {"Ses04"}
    dialogues = [{parse_utterance_id(name).dialogue_id for name in part} for part in (split.train, split.validation)]
    assert not dialogues[0] & dialogues[1]


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_a_search_never_opens_the_test_session(protocol):
    assert search_sessions(protocol) == (1, 2, 3, 4)
    with pytest.raises(FeatureError) as caught:
        make_split(protocol, utterance_ids({1: 10, 5: 1}))
    assert str(caught.value) == (
        f"utterance 'Ses05F_script01_F000': belongs to Session 5, which protocol {protocol.name!r} keeps for the test; "
        "expected a split without it"
    )


@pytest.mark.parametrize(
    ("name", "pinned"), [("paper", "8bb6c6e1"), ("strict", "501ab3f6"), ("published-code", "ada6ca1f")]
)
def test_choices_that_came_later_change_no_hash_of_before(name, pinned):
    assert PROTOCOLS[name].protocol_hash.startswith(pinned)
    assert "happiness" in PROTOCOLS[name].to_json() and "happiness" not in PROTOCOLS[name].choices
    merged = read_protocol({"base": name, "happiness": "merged", "name": name})
    assert merged.choices == PROTOCOLS[name].choices | {"happiness": "merged"}
    assert merged.protocol_hash != PROTOCOLS[name].protocol_hash


def test_disjoint_scenes_balance_the_classes_unless_the_file_says_otherwise():
    assert {protocol.class_weights for protocol in PROTOCOLS.values()} == {ClassWeights.NONE}
    disjoint = read_protocol({"base": "strict", "scenes": "disjoint"})
    assert (disjoint.scenes, disjoint.class_weights) == (Scenes.DISJOINT, ClassWeights.BALANCED)
    assert disjoint.name == "strict+class_weights=balanced+scenes=disjoint"
    plain = read_protocol({"base": "strict", "scenes": "disjoint", "class_weights": "none"})
    assert (plain.class_weights, plain.name) == (ClassWeights.NONE, "strict+scenes=disjoint")
    assert read_protocol({"base": "paper", "scenes": "shared"}) == PROTOCOLS["paper"]
    hashes = {protocol.protocol_hash for protocol in (disjoint, plain, PROTOCOLS["strict"])}
    assert len(hashes) == 3


def test_another_test_session_moves_the_seal():
    protocol = read_protocol({"base": "strict", "test_session": 2})
    split = make_split(protocol, utterance_ids({1: 10, 3: 10, 4: 10, 5: 10}))
    assert {name[:5] for name in split.validation} == {"Ses05"}
    assert protocol.name == "strict+test_session=2"


@pytest.mark.parametrize(
    ("recordings", "kind"), [(Recordings.IMPROVISED, "impro"), (Recordings.SCRIPTED, "script")]
)
def test_only_the_recordings_that_are_asked_for_are_kept(recordings, kind):
    kept = select_recordings(utterance_ids({1: 30}), recordings)
    assert kept and all(kind in name for name in kept)


def test_an_empty_part_is_refused():
    with pytest.raises(FeatureError, match="1 utterances are split into 1 for training and 0 for validation"):
        make_split(PROTOCOLS["paper"], utterance_ids({1: 1}))


def test_a_preset_is_read_by_its_name():
    assert read_protocol("published-code").epoch_choice is EpochChoice.TEST_MAXIMUM


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_survives_json(name):
    protocol = PROTOCOLS[name]
    again = read_protocol({"base": "paper", **json.loads(json.dumps(protocol.to_json()))})
    assert again.protocol_hash == protocol.protocol_hash


def test_a_changed_choice_changes_the_name_and_the_hash():
    changed = read_protocol({"base": "paper", "lengths": "padded"})
    assert changed.lengths is Lengths.PADDED
    assert changed.name == "paper+lengths=padded"
    assert changed.protocol_hash != PROTOCOLS["paper"].protocol_hash


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            "papr",
            UnknownNameError,
            "unknown protocol 'papr'; expected one of ['careful', 'paper', 'published-code', 'strict']",
        ),
        (
            {"lengths": "short"},
            UnknownNameError,
            "unknown value of the protocol's 'lengths': 'short'; expected one of ['padded', 'real']",
        ),
        (
            {"max_words": "many"},
            ExperimentFileError,
            "protocol choice 'max_words': found 'many'; expected a value like 500",
        ),
        (
            7,
            ExperimentFileError,
            "protocol: found 7; expected one of ['careful', 'paper', 'published-code', 'strict'], or an object with "
            "'base' and choices",
        ),
    ],
    ids=["preset", "value", "type", "neither"],
)
def test_a_wrong_protocol_gets_one_sentence(value, error, message):
    with pytest.raises(error) as caught:
        read_protocol(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"test_session": 0}, "protocol 'paper+test_session=0': test_session is 0; expected one of [1, 2, 3, 4, 5]"),
        ({"max_words": 0}, "protocol 'paper+max_words=0': max_words is 0; expected from 1 to 10000"),
        ({"max_words": 10**9}, f"protocol 'paper+max_words={10**9}': max_words is {10**9}; expected from 1 to 10000"),
        ({"name": ["x"]}, 'protocol: name is ["x"]; expected a text that is more than spaces'),
        ({"name": " "}, "protocol: name is ' '; expected a text that is more than spaces"),
    ],
    ids=["session", "no words", "words", "list", "spaces"],
)
def test_a_choice_out_of_its_range_is_refused(choices, message):
    with pytest.raises(ExperimentFileError) as caught:
        read_protocol({"base": "paper", **choices})
    assert str(caught.value) == message


def test_the_least_of_a_choice_is_allowed():
    assert read_protocol({"base": "paper", "max_words": 1}).max_words == 1


def test_a_protocol_s_name_is_no_choice():
    renamed = read_protocol({"base": "paper", "name": "mine", "max_words": 50})
    assert renamed.protocol_hash == read_protocol({"base": "paper", "max_words": 50}).protocol_hash


@pytest.mark.parametrize(
    ("value", "modalities", "scenes", "scaling"),
    [
        ("careful", ("speech",), "shared", "own"),
        ("careful", ("text", "speech"), "disjoint", "own"),
        ("careful", ("text",), "disjoint", "none"),
        ({"base": "careful", "scenes": "shared"}, ("text", "speech"), "shared", "own"),
        ({"base": "careful", "speaker_scaling": "past"}, ("text",), "disjoint", "past"),
        ({"base": "careful", "name": "mine", "max_words": 50}, ("speech",), "shared", "own"),
        ({"base": "careful", "name": "mine"}, ("speech",), "shared", "own"),
        ("strict", ("text",), "shared", "none"),
    ],
)
def test_careful_keeps_scored_scenes_from_words_and_says_what_it_adapts_to(value, modalities, scenes, scaling):
    protocol = read_protocol(value, modalities)
    assert (protocol.scenes, protocol.speaker_scaling) == (scenes, scaling)
    assert protocol.class_weights == ("balanced" if scenes == "disjoint" else "none")
    assert adapts_to_speakers(protocol.name) == (scaling != "none")
    if isinstance(value, dict) and "name" in value:
        assert protocol.name.startswith("mine")
    # Only one choice of scaling stands in the name.
    assert protocol.name.count("speaker_scaling=") == (protocol.name != "strict")
