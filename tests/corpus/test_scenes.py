"""The scene of an utterance: 15 in the corpus, whatever the take and whoever plays."""

from math import nan

import pytest

from harness.corpus.synthetic.plan import dialogue_ids
from harness.corpus.utterances import Emotion, Utterance, parse_utterance_id, scene_of
from harness.errors import CorpusError


def test_the_sessions_play_the_same_fifteen_scenes():
    scenes = {session: {scene_of(name) for name in dialogue_ids(session, scale=1.0)} for session in range(1, 6)}
    scripts = {f"script0{number}" for number in ("1_1", "1_2", "1_3", "2_1", "2_2", "3_1", "3_2")}
    assert all(found >= scripts for found in scenes.values())
    assert set.union(*scenes.values()) - scripts == {f"impro0{number}" for number in range(1, 9)}


@pytest.mark.parametrize(
    ("utterance_id", "scene"),
    [
        ("Ses01F_impro05_M003", "impro05"),
        ("Ses03M_impro05a_F012", "impro05"),
        ("Ses03M_impro05b_F012", "impro05"),
        ("Ses05F_script01_1b_M000", "script01_1"),
        ("Ses02F_script01_1_M000", "script01_1"),
        ("Ses02F_script01_2_M000", "script01_2"),
    ],
)
def test_takes_belong_to_their_scene(utterance_id, scene):
    utterance = Utterance(utterance_id, Emotion.ANGER, nan, nan, nan, 0.0, 1.0, None, None, 0)
    assert parse_utterance_id(utterance_id).scene == utterance.scene == scene


def test_the_scene_of_another_name_is_refused():
    with pytest.raises(CorpusError, match="^dialogue 'impro05': is not an id of the corpus"):
        scene_of("impro05")
