import os
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import FeatureError
from harness.features import ingest as parts
from harness.features.ingest import (
    has_part,
    make_part,
    part_key,
    part_path,
    read_arrays,
    read_features,
    read_record,
)
from harness.features.speech import SPEECH_VARIANTS, SpeechSettings
from tests.corpus.written import COMPLETE

SETTINGS = SpeechSettings()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "parts").mkdir()
    return part_path(tmp_path, COMPLETE, "0123456789abcdef")


def test_a_part_holds_what_was_read(tiny_corpus, path):
    make_part(tiny_corpus, COMPLETE, SETTINGS, path)
    record, arrays = read_features(tiny_corpus, COMPLETE, SETTINGS)
    assert has_part(path)
    assert read_record(path) == record
    found = read_arrays(path)
    for name in ("frames", "speech_lengths", "mocap", "mocap_empty"):
        assert np.array_equal(getattr(found, name), getattr(arrays, name), equal_nan=True)
        assert getattr(found, name).dtype == getattr(arrays, name).dtype


def test_a_new_part_removes_those_of_earlier_states(tiny_corpus, path):
    stale, other = path.with_name(f"{COMPLETE}.0000.npz"), path.with_name(f"{COMPLETE}b.0000.npz")
    for file in (stale, other):
        file.write_bytes(b"")
    make_part(tiny_corpus, COMPLETE, SETTINGS, path)
    assert sorted(path.parent.iterdir()) == sorted([path, other])


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half"], ids=["missing", "empty", "broken off"])
def test_half_a_part_is_none(path, content):
    if content is not None:
        path.write_bytes(content)
    assert not has_part(path)


def test_the_key_follows_files_settings_and_version(tiny_corpus, monkeypatch):
    keys = [part_key(tiny_corpus, COMPLETE, SETTINGS)]
    assert part_key(tiny_corpus, COMPLETE, SETTINGS) == keys[0]
    keys.append(part_key(tiny_corpus, COMPLETE, replace(SETTINGS, hop=0.05)))
    transcript = tiny_corpus.transcript_path(COMPLETE)
    os.utime(transcript, (1, 1))
    keys.append(part_key(tiny_corpus, COMPLETE, SETTINGS))
    transcript.write_bytes(b"")
    keys.append(part_key(tiny_corpus, COMPLETE, SETTINGS))
    transcript.unlink()
    keys.append(part_key(tiny_corpus, COMPLETE, SETTINGS))
    transcript.with_name(f"._{transcript.name}").write_bytes(b"")
    keys.append(part_key(tiny_corpus, COMPLETE, SETTINGS))
    monkeypatch.setattr(parts, "INGEST_VERSION", 99)
    keys.append(part_key(tiny_corpus, COMPLETE, SETTINGS))
    assert len(set(keys)) == len(keys)


def test_a_damaged_part_is_one_sentence(tiny_corpus, path):
    make_part(tiny_corpus, COMPLETE, SETTINGS, path)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    with pytest.raises(FeatureError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{str(path)!r}: cannot be read (not a whole .npz file: ")
    assert str(caught.value).endswith("); delete it and run harness prepare again")


def test_a_part_without_motion_is_one_of_settings_that_hold_none(tiny_corpus, path):
    make_part(tiny_corpus, COMPLETE, SPEECH_VARIANTS["frames"], path)
    assert read_arrays(path, holds_motion=False).frames.shape[1] == 46
    with pytest.raises(FeatureError, match=r"mocap is <f4 \(0, 200, 189\); expected <f4 \(4, 200, 189\)"):
        read_arrays(path)


def test_a_part_whose_arrays_do_not_fit_each_other_is_refused(path):
    arrays = {"frames": np.zeros((3, 34), np.float32), "speech_lengths": np.array([4])}
    arrays |= {"mocap": np.zeros((1, 200, 189), np.float32), "mocap_empty": np.zeros((1, 200), bool)}
    np.savez(path, **arrays)
    with pytest.raises(FeatureError, match=r"frames is <f4 \(3, 34\); expected <f4 \(4, 34\)"):
        read_arrays(path)
