"""Folds: each session or speaker is the test set once, and nothing of it is in its own split."""

import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.errors import FeatureError
from harness.splits.folds import Folds, fold_protocols
from harness.splits.protocol import PROTOCOLS, is_tested, make_split, read_protocol, search_sessions
from tests.splits.test_splits import utterance_ids

#: Four-class utterances of the complete corpus. Source: PAPER's 3838 and 1098, by session.
COMPLETE = utterance_ids({1: 942, 2: 813, 3: 1000, 4: 1083, 5: 1098})
SMALL = utterance_ids({1: 20, 2: 20, 3: 20, 4: 20, 5: 20})


def split_of(protocol, names):
    return make_split(protocol, [name for name in names if not is_tested(protocol, name)])


def speakers_of(names):
    return {parse_utterance_id(name).speaker for name in names}


@pytest.mark.parametrize("base", PROTOCOLS)
@pytest.mark.parametrize("folds", Folds)
def test_every_utterance_is_tested_once_and_never_in_a_split_that_it_tests(base, folds):
    protocols = fold_protocols(folds, PROTOCOLS[base], (1, 2, 3, 4, 5)).values()
    tested = []
    for protocol in protocols:
        held = [name for name in SMALL if is_tested(protocol, name)]
        split = split_of(protocol, SMALL)
        assert not speakers_of(held) & speakers_of(split.train + split.validation)
        assert len(held) + len(split.train) + len(split.validation) == len(SMALL)
        tested += held
    assert sorted(tested) == sorted(SMALL)


def test_the_fold_of_the_papers_session_is_the_papers_protocol():
    of_sessions = fold_protocols(Folds.SESSIONS, PROTOCOLS["strict"], (1, 2, 3, 4, 5))
    assert of_sessions["Session 5"] == PROTOCOLS["strict"]
    assert of_sessions["Session 2"] == read_protocol({"base": "strict", "test_session": 2})
    of_speakers = fold_protocols(Folds.SPEAKERS, PROTOCOLS["paper"], (1, 2, 3, 4, 5))
    assert of_speakers["Speaker Ses02M"] == read_protocol({"test_session": 2, "test_speaker": "M"})
    assert len({protocol.protocol_hash for protocol in of_speakers.values()}) == 10


@pytest.mark.parametrize(
    ("session", "sizes"), [(1, (3122, 872)), (2, (3223, 900)), (3, (3077, 859)), (4, (3012, 841)), (5, (3000, 838))]
)
def test_the_last_by_id_of_the_four_other_sessions_validate_in_the_papers_proportion(session, sizes):
    split = split_of(read_protocol({"test_session": session}), COMPLETE)
    assert (len(split.train), len(split.validation)) == sizes
    assert max(split.train) < min(split.validation)


def test_a_speakers_fold_opens_the_session_for_the_partner_alone():
    protocol = read_protocol({"test_session": 4, "test_speaker": "F"})
    assert search_sessions(protocol) == (1, 2, 3, 4, 5) and protocol.test_set == "Speaker Ses04F"
    split = split_of(protocol, SMALL)
    assert speakers_of(split.train + split.validation) >= {"Ses04M"}
    with pytest.raises(FeatureError, match="belongs to Speaker Ses04F, which protocol 'paper.test_session=4.test_sp"):
        make_split(protocol, SMALL)


def test_a_speakers_fold_of_strict_validates_on_speakers_that_nobody_heard():
    split = split_of(read_protocol({"base": "strict", "test_session": 5, "test_speaker": "M"}), SMALL)
    assert speakers_of(split.validation) == {"Ses04F", "Ses04M"}
    others = {f"Ses0{session}{letter}" for session in (1, 2, 3) for letter in "FM"}
    assert speakers_of(split.train) == {"Ses05F"} | others


def test_one_session_is_no_fold():
    with pytest.raises(FeatureError) as caught:
        fold_protocols(Folds.SPEAKERS, PROTOCOLS["paper"], (3,))
    assert str(caught.value) == (
        "folds 'speakers': the corpus has four-class utterances in 1 session(s); expected at least two, one to test "
        "and one to train on"
    )
