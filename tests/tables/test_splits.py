"""The splits that exist in the tables alone, and the protocols' own."""

import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.errors import FeatureError
from harness.splits.parts import Parts
from harness.splits.protocol import PROTOCOLS, leave_scenes_out, read_protocol
from harness.tables.parts import TableSplit, make_parts, part_at_random, part_by_position

COMPLETE = [f"utterance {number:04d}" for number in range(4936)]


def sessions(utterance_ids):
    return {parse_utterance_id(name).session for name in utterance_ids}


def test_by_position_the_published_code_trains_on_3948_and_tests_on_988():
    parts = part_by_position(list(reversed(COMPLETE)))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (3948, 0, 988)
    assert max(parts.train) < min(parts.test)
    # Session 5 has 1098 utterances, the last by id: 110 of them are trained on.
    assert len(set(COMPLETE[-1098:]) & set(parts.train)) == 110


def test_at_random_a_fifth_tests_and_the_papers_share_of_the_others_validates():
    parts = part_at_random(COMPLETE)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (3087, 862, 987)
    assert sorted(parts.train + parts.validation + parts.test) == COMPLETE
    assert part_at_random(list(reversed(COMPLETE))) == parts


@pytest.mark.parametrize("protocol", ["paper", "strict", "published-code"])
def test_by_session_the_test_set_is_one_whole_session_of_unheard_speakers(store, protocol):
    parts = make_parts(TableSplit.SESSIONS, PROTOCOLS[protocol], store)
    assert sessions(parts.test) == {5} and sessions(parts.trained_on) == {1, 2, 3, 4}
    assert len(parts.test) == len(store.utterances([5]))
    assert set(parts.trained_on) == set(parts.train) | set(parts.validation)


@pytest.mark.parametrize("session", [1, 2, 3, 4, 5])
def test_each_session_can_be_the_test_set(store, session):
    protocol = read_protocol({"base": "paper", "test_session": session})
    parts = make_parts(TableSplit.SESSIONS, protocol, store)
    assert sessions(parts.test) == {session} and sessions(parts.trained_on) == {1, 2, 3, 4, 5} - {session}


WHOLE_SPLITS = [split for split in TableSplit if split is not TableSplit.PARTNER_VALIDATES]


@pytest.mark.parametrize("split", WHOLE_SPLITS)
def test_recordings_are_selected_in_every_part(store, split):
    protocol = read_protocol({"base": "paper", "recordings": "improvised"})
    parts = make_parts(split, protocol, store)
    assert not any(parse_utterance_id(name).is_scripted for name in parts.trained_on + parts.test)


@pytest.mark.parametrize("split", WHOLE_SPLITS)
def test_no_utterance_is_in_two_parts(store, split):
    parts = make_parts(split, PROTOCOLS["paper"], store)
    together = parts.train + parts.validation + parts.test
    assert len(set(together)) == len(together)
    assert set(together) == {found.utterance_id for found in store.utterances(range(1, 6))}


@pytest.mark.parametrize("split", [TableSplit.RANDOM, TableSplit.BY_POSITION])
def test_a_split_that_is_not_by_session_opens_all_of_them(store, split):
    assert sessions(make_parts(split, PROTOCOLS["paper"], store).trained_on) == {1, 2, 3, 4, 5}


def test_a_corpus_without_the_test_session_is_one_sentence(store):
    class Without(type(store)):
        def utterances(self, sessions):
            return super().utterances(set(sessions) - {5})

    with pytest.raises(FeatureError) as caught:
        make_parts(TableSplit.SESSIONS, PROTOCOLS["paper"], Without(store.prepared_dir, store.manifest))
    num_train = len(store.utterances([1, 2, 3, 4]))
    assert str(caught.value) == (
        f"split 'sessions' under protocol 'paper': {round(num_train * 3000 / 3838)} utterances train and 0 test; "
        "expected at least one of each"
    )


def test_what_is_trained_on_in_the_end_is_sorted():
    assert Parts(("b", "d"), ("a", "c"), ("e",)).trained_on == ("a", "b", "c", "d")


def speakers(utterance_ids):
    return {parse_utterance_id(name).speaker for name in utterance_ids}


def test_where_the_partner_validates_the_other_sessions_train_and_one_speaker_tests(store):
    protocol = read_protocol({"test_session": 3, "test_speaker": "F", "recordings": "improvised"})
    parts = make_parts(TableSplit.PARTNER_VALIDATES, protocol, store)
    assert sessions(parts.train) == {1, 2, 4, 5}
    assert (speakers(parts.validation), speakers(parts.test)) == ({"Ses03M"}, {"Ses03F"})
    every = [found.utterance_id for found in store.utterances(range(1, 6))]
    improvised = {name for name in every if not parse_utterance_id(name).is_scripted}
    assert set(parts.train) | set(parts.validation) | set(parts.test) == improvised


def test_where_one_speaker_tests_by_session_the_partner_is_trained_on(store):
    protocol = read_protocol({"test_session": 2, "test_speaker": "M"})
    parts = make_parts(TableSplit.SESSIONS, protocol, store)
    assert speakers(parts.test) == {"Ses02M"} and "Ses02F" in speakers(parts.trained_on)
    assert "Ses02M" not in speakers(parts.trained_on)


def test_where_scenes_are_disjoint_each_group_is_scored_by_what_has_not_read_it(store):
    parts = make_parts(TableSplit.SESSIONS, leave_scenes_out(PROTOCOLS["strict"]), store)
    folds = parts.final_folds(parts.test)
    assert sorted(name for fold in folds for name in fold.scored) == list(parts.test)
    assert sessions(parts.test) == {5} and len(folds) > 1
    for fold in folds:
        assert not {parse_utterance_id(name).scene for name in fold.train} & fold.scenes
