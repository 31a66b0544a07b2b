import numpy as np
import pytest

from harness.corpus.layout import MocapStream
from harness.corpus.mocap import read_mocap, rows_between
from harness.corpus.synthetic.motion import (
    BODIES,
    LOST_SHARES,
    NOSE_TIP,
    count_rows,
    encode_mocap_file,
    move,
    rows_of,
)
from harness.corpus.synthetic.plan import plan_corpus
from harness.corpus.synthetic.settings import ALL_CUES, Cue, SyntheticSettings

SETTINGS = SyntheticSettings()


@pytest.fixture(scope="module")
def dialogues():
    return plan_corpus(SETTINGS).dialogues


@pytest.mark.parametrize("stream", MocapStream)
def test_the_file_reads_back_as_moved(stream, dialogues, tmp_path):
    dialogue = dialogues[0]
    path = tmp_path / "face.txt"
    path.write_bytes(b"".join(encode_mocap_file(SETTINGS, dialogue, stream)))
    track, irregularities = read_mocap(path, stream)
    assert irregularities == []
    assert len(track.times) == count_rows(SETTINGS, dialogue)
    np.testing.assert_allclose(track.values, move(SETTINGS, dialogue, stream), atol=2e-4)
    assert track.times[0] == pytest.approx(1 / SETTINGS.mocap_rate)
    assert len(set(track.columns)) == stream.num_columns
    for utterance in dialogue.utterances:
        expected = rows_between(track, utterance.start, utterance.end)
        assert rows_of(SETTINGS, utterance) == expected


def test_the_file_has_two_header_lines_single_spaces_and_five_decimals(dialogues):
    text = b"".join(encode_mocap_file(SETTINGS, dialogues[0], MocapStream.HEAD)).decode()
    assert text.startswith("Frame# Time pitch roll yaw tra_x tra_y tra_z\nX Y Z X Y Z\n1 0.04000 ")
    assert "  " not in text and " \n" not in text
    assert all(len(value.split(".")[1]) == 5 for value in text.split("\n")[2].split(" ")[1:])


def test_the_first_time_at_the_real_rate_is_the_real_one(dialogues):
    settings = SyntheticSettings(mocap_rate=119.9)
    text = b"".join(encode_mocap_file(settings, dialogues[0], MocapStream.HEAD)).decode()
    assert text.split("\n")[2].startswith("1 0.00834 ")


def test_markers_are_lost_as_unevenly_as_in_the_real_sessions(dialogues):
    for session, share in LOST_SHARES.items():
        faces = [move(SETTINGS, one, MocapStream.FACE) for one in dialogues if one.session == session]
        lost = np.concatenate([np.isnan(values).any(axis=1) for values in faces])
        assert lost.mean() == pytest.approx(share, abs=0.09)
        assert all(np.isfinite(values).any(axis=1).all() for values in faces)


def test_every_row_of_many_utterances_of_session_five_has_a_lost_marker(dialogues):
    wholly_lost = []
    for dialogue in dialogues:
        if dialogue.session == 5:
            is_lost = np.isnan(move(SETTINGS, dialogue, MocapStream.FACE)).any(axis=1)
            wholly_lost += [is_lost[rows_of(SETTINGS, utterance)].all() for utterance in dialogue.utterances]
    assert 0.15 < np.mean(wholly_lost) < 0.35


def test_the_nose_tip_does_not_move(dialogues):
    values = move(SETTINGS, dialogues[0], MocapStream.FACE)
    assert (values[:, 3 * NOSE_TIP : 3 * NOSE_TIP + 3] == 0).all()
    assert (np.nanstd(np.delete(values, np.s_[3 * NOSE_TIP : 3 * NOSE_TIP + 3], axis=1), axis=0) > 0.1).all()


@pytest.mark.parametrize("stream", MocapStream)
def test_only_the_marked_actor_shows_a_cue(stream, dialogues):
    body = BODIES[stream]
    shown, power = {True: [], False: []}, body.main_cue @ body.main_cue
    for dialogue in dialogues:
        values = move(SETTINGS, dialogue, stream)
        for utterance in dialogue.utterances:
            departures = np.nan_to_num(values[rows_of(SETTINGS, utterance)] - body.rest)
            if len(departures) > 5:
                side = 1 if Cue(stream.value) in utterance.main_sides else -1
                shown[utterance.is_marked].append(side * departures.mean(axis=0) @ body.main_cue / power)
    assert np.mean(shown[True]) > 0.65
    assert abs(np.mean(shown[False])) < 0.1


def test_the_motion_of_one_stream_does_not_change_with_the_others_cues(dialogues):
    only_hand = SyntheticSettings(cues=frozenset({Cue.HAND}))
    alone = plan_corpus(only_hand).dialogues[0]
    together = dialogues[0]
    assert only_hand.cues < ALL_CUES
    same = move(only_hand, alone, MocapStream.HAND), move(SETTINGS, together, MocapStream.HAND)
    other = move(only_hand, alone, MocapStream.HEAD), move(SETTINGS, together, MocapStream.HEAD)
    assert np.array_equal(*same, equal_nan=True)
    assert not np.array_equal(*other)
