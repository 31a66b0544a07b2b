import hashlib
from dataclasses import replace

import numpy as np
import pytest

from harness.corpus.irregularities import IrregularityKind, count_by_kind
from harness.corpus.layout import MocapStream
from harness.features.ingest import read_features, window_motion
from harness.features.speech import SPEECH_VARIANTS, SpeechSettings, extract_speech
from harness.splits.protocol import SpeechSource
from tests.corpus.written import (
    COMPLETE,
    MOCAP_RATE,
    WITHOUT_MOCAP,
    label_bytes,
    mocap_bytes,
    mocap_values,
    tone,
    wav_bytes,
    write_file,
)

SETTINGS = SpeechSettings()
LEFT = SpeechSettings(source=SpeechSource.DIALOGUE_LEFT)
KIND = IrregularityKind


def kinds(record):
    return count_by_kind(record.irregularities)


def test_a_dialogue_gives_all_its_utterances_in_order(tiny_corpus):
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert [utterance.utterance_id[-4:] for utterance in record.utterances] == [
        "F000",
        "F001",
        "M000",
        "M001",
    ]
    # Of 1 s, twice 0.5 s and 0.75 s; F001 has no label of the four.
    assert arrays.speech_lengths.tolist() == [9, 4, 4, 6]
    expected = extract_speech(tone(1.0) / 2**15, SETTINGS).astype(np.float32)
    assert np.array_equal(arrays.frames[:9], expected)
    assert record.num_present == {"speech": 4, "text": 4, "mocap": 4}
    assert record.num_with_stream == {"face": 4, "hand": 4, "head": 4}


def test_windows_hold_the_rows_between_start_and_end(tiny_corpus):
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    # Row n is at (n + 1) / 20 s and holds n; F000 lasts from 0.5 s to 1.5 s, both left out.
    rows = np.arange(10, 29)
    assert (rows + 1).min() / MOCAP_RATE > 0.5 and (rows + 1).max() / MOCAP_RATE < 1.5
    assert arrays.mocap.dtype == np.float32
    assert np.allclose(arrays.mocap[0, :19, 0], rows)
    assert np.allclose(arrays.mocap[0, 0, :3], [10, 10.001, 10.002])
    assert np.allclose(arrays.mocap[0, 0, [165, 166, 183, 188]], [10, 10.001, 10, 10.005])
    assert np.isnan(arrays.mocap[0, 19:]).all()
    assert arrays.mocap_empty[0].tolist() == [False] * 19 + [True] * 181
    assert [utterance.num_mocap_rows for utterance in record.utterances] == [19, 9, 9, 14]
    few = [found for found in record.irregularities if found.kind is KIND.FEW_MOCAP_ROWS]
    assert [found.detail for found in few] == [f"rows: face {n}, hand {n}, head {n}" for n in (19, 9, 9, 14)]


def test_a_dialogue_without_motion_is_nan_and_marked_empty(tiny_corpus):
    record, arrays = read_features(tiny_corpus, WITHOUT_MOCAP, SETTINGS)
    assert arrays.mocap.shape == (2, 200, 189)
    assert np.isnan(arrays.mocap).all()
    assert arrays.mocap_empty.all()
    assert record.mocap_columns == {}
    assert record.num_present["mocap"] == 0
    assert kinds(record) == {KIND.MISSING_MOCAP: 3}


def test_one_stream_that_cannot_be_read_leaves_the_others(tiny_corpus):
    path = tiny_corpus.mocap_path(COMPLETE, MocapStream.HAND)
    path.write_bytes(path.read_bytes().replace(b"1.00500", b"one"))
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert np.isnan(arrays.mocap[0, 0, 165:183]).all()
    assert not np.isnan(arrays.mocap[0, 0, :165]).any()
    assert not arrays.mocap_empty[0, 0]
    assert list(record.mocap_columns) == ["face", "head"]
    assert record.num_with_stream == {"face": 4, "hand": 0, "head": 4}
    (found,) = [found for found in record.irregularities if found.kind is KIND.UNREADABLE_FILE]
    assert found.path == f"Session1/dialog/MOCAP_hand/{COMPLETE}.txt"
    assert "line 4: found 'one'; expected a number, or NaN" in found.detail


def test_motion_that_ends_before_the_utterance_is_told(tiny_corpus):
    for stream in MocapStream:
        values = mocap_values(stream, num_rows=20)
        write_file(tiny_corpus.mocap_path(COMPLETE, stream), mocap_bytes(stream, values))
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    none = [found.utterance_id for found in record.irregularities if found.kind is KIND.NO_MOCAP_ROWS]
    assert none == [f"{COMPLETE}_{turn}" for turn in ("F001", "M000", "M001")]
    assert arrays.mocap_empty.all(axis=1).tolist() == [False, True, True, True]


def test_the_left_channel_of_the_dialogue_is_cut_at_start_and_end(tiny_corpus):
    stereo = np.stack([np.arange(64000) % 20011, np.zeros(64000)], axis=1).astype("<i2")
    write_file(tiny_corpus.dialogue_wav_path(COMPLETE), wav_bytes(stereo))
    record, arrays = read_features(tiny_corpus, COMPLETE, LEFT)
    expected = extract_speech(stereo[28000:36000, 0] / 2**15, LEFT).astype(np.float32)
    assert arrays.speech_lengths.tolist() == [9, 4, 4, 6]
    assert np.array_equal(arrays.frames[13:17], expected)
    assert record.num_present["speech"] == 4


def test_without_the_dialogues_recording_there_is_nothing_to_cut(tiny_corpus):
    tiny_corpus.dialogue_wav_path(COMPLETE).unlink()
    record, arrays = read_features(tiny_corpus, COMPLETE, LEFT)
    assert arrays.speech_lengths.tolist() == [0, 0, 0, 0]
    missing = [found for found in record.irregularities if found.kind is KIND.MISSING_RECORDING]
    assert [found.utterance_id for found in missing] == [
        f"{COMPLETE}_{turn}" for turn in ("F000", "F001", "M000", "M001")
    ]
    assert {found.detail for found in missing} == {"no recording of the dialogue to cut it from"}


def test_what_the_report_says_of_cut_speech_is_true(tiny_corpus):
    path = tiny_corpus.annotation_path(COMPLETE)
    labels = label_bytes(COMPLETE).replace(b"[0.5000 - 1.5000]", b"[ten - 1.5000]")
    path.write_bytes(labels.replace(b"[1.7500 - 2.2500]", b"[2.2500 - 1.7500]"))
    record, arrays = read_features(tiny_corpus, COMPLETE, LEFT)
    assert arrays.speech_lengths.tolist() == [0, 4, 0, 6]
    policies = {found.kind: found.kind.policy for found in record.irregularities}
    assert policies[KIND.UNREADABLE_TIMES] == (
        "Kept with unknown times: without mocap, and without speech that is cut by time."
    )
    assert policies[KIND.REVERSED_TIMES] == (
        "Kept without mocap, and without speech that is cut by time: the turn has no duration."
    )
    tiny_corpus.dialogue_wav_path(COMPLETE).unlink()
    policies = {
        found.kind: found.kind.policy for found in read_features(tiny_corpus, COMPLETE, LEFT)[0].irregularities
    }
    assert policies[KIND.MISSING_DIALOGUE_RECORDING] == (
        "Turn ends are not checked; speech that is cut from it is missing."
    )


@pytest.mark.parametrize(
    ("content", "kind", "length"),
    [
        (b"", KIND.EMPTY_RECORDING, 0),
        (b"RIFF", KIND.UNREADABLE_RECORDING, 0),
        (None, KIND.MISSING_RECORDING, 0),
        (wav_bytes(tone(0.19)), KIND.SHORTER_THAN_WINDOW, 0),
        (wav_bytes(tone(1.0))[:12844], KIND.TRUNCATED_RECORDING, 3),
        (wav_bytes(np.zeros(16000, "<i2")), KIND.SILENT_RECORDING, 9),
        (wav_bytes(np.stack([tone(1.0)] * 2, axis=1)), KIND.STEREO_RECORDING, 9),
        (wav_bytes(tone(1.0, 8000), 8000), KIND.OTHER_SAMPLING_RATE, 9),
        (wav_bytes(np.full(16000, np.nan, "<f4"), encoding=3), KIND.UNREADABLE_RECORDING, 0),
    ],
    ids=["empty", "no wav", "missing", "short", "truncated", "silent", "stereo", "8 kHz", "NaN"],
)
def test_a_damaged_recording_is_told_once_and_costs_no_utterance(tiny_corpus, content, kind, length):
    path = tiny_corpus.utterance_wav_path(f"{COMPLETE}_F000")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert arrays.speech_lengths.tolist() == [length, 4, 4, 6]
    assert len(arrays.frames) == length + 14
    assert np.isfinite(arrays.frames).all()
    assert kinds(record)[kind] == 1
    is_heard = kind not in (KIND.EMPTY_RECORDING, KIND.UNREADABLE_RECORDING, KIND.MISSING_RECORDING)
    assert (record.utterances[0].wav_path is not None) == is_heard


def test_who_has_no_frame_follows_from_the_settings(tiny_corpus):
    path = tiny_corpus.utterance_wav_path(f"{COMPLETE}_F000")
    path.write_bytes(wav_bytes(tone(0.15)))
    for settings, lengths in (
        (SETTINGS, [0, 4, 4, 6]),
        (SPEECH_VARIANTS["short-windows"], [2, 11, 11, 17]),
        (replace(SETTINGS, trims_edge_frames=True), [0, 2, 2, 4]),
    ):
        record, arrays = read_features(tiny_corpus, COMPLETE, settings)
        assert arrays.speech_lengths.tolist() == lengths
        assert kinds(record).get(KIND.SHORTER_THAN_WINDOW, 0) == lengths.count(0)


def test_frames_that_are_all_trimmed_are_told(tiny_corpus):
    path = tiny_corpus.utterance_wav_path(f"{COMPLETE}_F000")
    path.write_bytes(wav_bytes(tone(0.3)))
    record, arrays = read_features(tiny_corpus, COMPLETE, replace(SETTINGS, trims_edge_frames=True))
    assert arrays.speech_lengths.tolist() == [0, 2, 2, 4]
    assert kinds(record)[KIND.SHORTER_THAN_WINDOW] == 1


def test_unknown_times_leave_neither_motion_nor_a_cut(tiny_corpus):
    path = tiny_corpus.annotation_path(COMPLETE)
    path.write_bytes(label_bytes(COMPLETE).replace(b"[0.5000 - 1.5000]", b"[ten - 1.5000]"))
    record, arrays = read_features(tiny_corpus, COMPLETE, LEFT)
    assert np.isnan(record.utterances[0].start)
    assert arrays.speech_lengths[0] == 0
    assert arrays.mocap_empty[0].all()
    assert kinds(record)[KIND.SHORTER_THAN_WINDOW] == 1


def test_motion_is_not_read_beside_short_frames_but_hashed(tiny_corpus):
    tiny_corpus.mocap_path(COMPLETE, MocapStream.FACE).write_bytes(b"nonsense")
    with_motion, _ = read_features(tiny_corpus, COMPLETE, SETTINGS)
    record, arrays = read_features(tiny_corpus, COMPLETE, SPEECH_VARIANTS["frames"])
    assert KIND.UNREADABLE_MOCAP_HEADER in kinds(with_motion) and kinds(record) == {}
    assert arrays.mocap.shape == (0, 200, 189) and arrays.mocap_empty.shape == (0, 200)
    assert record.num_present == {"speech": 4, "text": 4, "mocap": 0}
    assert record.mocap_columns == {} and {utterance.num_mocap_rows for utterance in record.utterances} == {0}
    assert record.file_hashes == with_motion.file_hashes


def test_each_file_is_hashed(tiny_corpus):
    record, _ = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert len(record.file_hashes) == 3 + 3 + 4
    path = tiny_corpus.annotation_path(COMPLETE)
    digest = record.file_hashes[f"Session1/dialog/EmoEvaluation/{COMPLETE}.txt"]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_dialogue_without_any_turn_has_empty_arrays(tiny_corpus):
    tiny_corpus.annotation_path(COMPLETE).write_bytes(b"")
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert record.utterances == ()
    assert arrays.frames.shape == (0, 34)
    assert arrays.mocap.shape == (0, 200, 189)
    assert arrays.mocap_empty.shape == (0, 200)


def test_without_any_track_every_window_is_empty():
    windows, is_empty = window_motion({}, 0.0, 1.0)
    assert np.isnan(windows).all()
    assert is_empty.all()


def test_real_recordings_have_frames(emodb):
    record, arrays = read_features(emodb, "Ses05F_impro01", replace(SETTINGS, max_frames=10))
    assert len(record.utterances) == len(arrays.speech_lengths) == record.num_present["speech"]
    assert 5 < arrays.speech_lengths.min() <= arrays.speech_lengths.max() == 10
    assert np.isfinite(arrays.frames).all()
    assert record.num_present["mocap"] == 0
