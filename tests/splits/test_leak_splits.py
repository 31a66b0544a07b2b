"""Splits of rising strictness: the same is scored, equally many train, and each shares what it says."""

import pytest

from harness.corpus.utterances import parse_utterance_id
from harness.errors import FeatureError
from harness.splits.parts import BOUGHT_BY, SHARED, LeakSplit, draw_leak_parts, part_for_epochs

IDS = [
    f"Ses0{session}{marked}_{scene}_{turn}{number:03d}"
    for session in range(1, 5)
    for marked in "FM"
    for scene in ("impro01", "impro02", "impro05a", "script01_1", "script01_2", "script02_1b")
    for turn in "FM"
    for number in range(6)
]
SEARCHED = (4, 3, 2, 1)


def names_of(ids):
    return [parse_utterance_id(name) for name in ids]


@pytest.mark.parametrize("draw", range(8))
def test_each_split_takes_away_what_it_says(draw):
    parts = draw_leak_parts(IDS, SEARCHED, draw)
    scored = names_of(parts.scored)
    assert {name.speaker for name in scored} == {parts.speaker}
    assert {name.scene for name in scored} == set(parts.scenes)
    train = {split: names_of(ids) for split, ids in parts.train.items()}
    assert {len(ids) for ids in parts.train.values()} == {parts.num_train} and parts.num_train > 50
    for ids in parts.train.values():
        assert len(set(ids)) == len(ids) and not set(ids) & set(parts.scored)
    dialogues = {name.dialogue_id for name in scored}
    speakers = {split: {name.speaker for name in names} for split, names in train.items()}
    sessions = {split: {name.session for name in names} for split, names in train.items()}
    scenes = {split: {name.scene for name in names} for split, names in train.items()}
    shared_dialogues = {split: {name.dialogue_id for name in names} & dialogues for split, names in train.items()}
    session = int(parts.speaker[3:5])
    assert parts.speaker in speakers[LeakSplit.RANDOM]
    for split in (LeakSplit.SPEAKER, LeakSplit.SESSION, LeakSplit.SCENE):
        assert parts.speaker not in speakers[split]
    for split in (LeakSplit.RANDOM, LeakSplit.SPEAKER):
        assert session in sessions[split] and shared_dialogues[split]
    for split in (LeakSplit.SESSION, LeakSplit.SCENE):
        assert session not in sessions[split] and not shared_dialogues[split]
    assert set(parts.scenes) <= scenes[LeakSplit.SESSION]
    assert not set(parts.scenes) & scenes[LeakSplit.SCENE]


def test_half_of_the_scenes_and_half_of_their_turns_are_scored():
    parts = draw_leak_parts(IDS, SEARCHED, 0)
    kinds = [name.startswith("script") for name in parts.scenes]
    assert len(kinds) == 3 and 1 <= sum(kinds) <= 2
    # Two recordings of each scene, six turns of the speaker in each.
    assert len(parts.scored) == 3 * 2 * 6 // 2


def test_of_a_script_and_a_scenario_either_is_scored():
    names = [name for name in IDS if "_impro01_" in name or "_script01_1_" in name]
    scored = {draw_leak_parts(names, SEARCHED, draw).scenes for draw in range(8)}
    assert scored == {("impro01",), ("script01_1",)}


def test_eight_draws_score_every_speaker_once_and_draws_go_on_with_the_other_session():
    speakers = [draw_leak_parts(IDS, SEARCHED, draw).speaker for draw in range(8)]
    assert len(set(speakers)) == 8 and [speaker[4] for speaker in speakers[:4]] == list("4321")
    assert [draw_leak_parts(IDS, (4,), draw).speaker for draw in range(3)] == ["Ses04F", "Ses04M", "Ses04F"]


def test_the_same_draw_is_the_same_in_any_order_and_another_draw_is_another():
    first = draw_leak_parts(IDS, SEARCHED, 0)
    assert draw_leak_parts(IDS[::-1], SEARCHED, 0) == first
    assert draw_leak_parts(IDS, SEARCHED, 8).speaker == first.speaker
    assert draw_leak_parts(IDS, SEARCHED, 8).scored != first.scored


def test_a_corpus_of_one_scene_cannot_be_parted():
    of_one = [name for name in IDS if "_impro01_" in name]
    with pytest.raises(FeatureError) as raised:
        draw_leak_parts(of_one, SEARCHED, 0)
    assert str(raised.value) == (
        "leaks: of 96 utterances 6 of speaker 'Ses04F' would be scored, and 0 that share neither session nor scene "
        "with them would train; expected at least one of each; use a corpus of at least two scenes in at least two "
        "sessions"
    )


def test_what_chooses_the_epoch_is_a_part_of_what_trains():
    train, validation = part_for_epochs([f"{number:03d}" for number in range(100, 0, -1)])
    assert (len(train), len(validation)) == (78, 22) and not set(train) & set(validation)
    assert train == tuple(sorted(train)) and validation[0] == "001"


def test_every_split_is_described():
    assert set(SHARED) == set(LeakSplit) and set(BOUGHT_BY) == set(LeakSplit) - {LeakSplit.SCENE}
